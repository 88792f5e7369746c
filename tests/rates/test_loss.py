"""How the loss flattens with the delay."""

import numpy as np
import pytest

from curse_lib import ExponentialSum, GaussianBump, PopulationLoss


@pytest.mark.parametrize("rates", [(1.0, 0.5), (1.0, 2.0)])
def test_the_gradient_falls_like_the_slowest_exponential(rates):
    start, delays = ExponentialSum([1.0, 0.0], rates), np.arange(10.0, 101.0, 10.0)
    norms = np.array(
        [
            np.linalg.norm(
                PopulationLoss(start + GaussianBump(d, 0.5), start).gradient(np.zeros(4))
            )
            for d in delays
        ]
    )
    # A neuron in use feels its rate too, with a factor of the delay.
    factor = delays if min(rates) == 1.0 else 1.0
    slope = np.polyfit(delays, np.log(norms / factor), 1)[0]
    assert slope == pytest.approx(-min(rates), abs=0.01)
