"""Update rules that know of nothing but gradients: what training and the descents share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from curse_lib._checks import Array

#: From the gradient at step k = 1, 2, ... to the change of the parameters.
Update = Callable[[Array, int], Array]


def heavy_ball_update(rate: float, momentum: float) -> Update:
    """Polyak's rule; without momentum it is gradient descent."""
    speed = 0.0

    def update(gradient: Array, _: int) -> Array:
        nonlocal speed
        speed = momentum * speed - rate * gradient
        return speed

    return update


def adam_update(rate: float, beta1: float, beta2: float, eps: float) -> Update:
    """Kingma and Ba's rule."""
    mean = square = 0.0

    def update(gradient: Array, k: int) -> Array:
        nonlocal mean, square
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        return -rate * (mean / (1 - beta1**k)) / (np.sqrt(square / (1 - beta2**k)) + eps)

    return update
