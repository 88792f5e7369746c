"""Hitting times beside explicit gradient descent, and the exact gradient beside a step of torch.

The target is a narrow bump at lag D; one neuron of amplitude 0 and rate 1 starts. Gradient descent
can't be run to the end of such a plateau: its cost a step is measured here, and the number of steps
it needs is extrapolated as tau_0 over the learning rate, 0.5 (the largest eigenvalue of the Hessian
on the plateau is 1, so that it is stable below 2). ``growth`` is a cost, in steps or seconds, over
that at D = 20; log tau_0 grows by about four from D = 20 to 80.
"""

from __future__ import annotations

import importlib.util

import numpy as np
from side_by_side import medians, milliseconds, table

from curse_lib import (
    ExponentialSum,
    GaussianBump,
    PopulationLoss,
    gradient_descent,
    hitting_times,
)

DELTA, RATE, STEPS = 0.05, 0.5, 200
DELAYS = (20, 40, 80)
START = ExponentialSum([0.0], [1.0])
WIDTH, BATCH, LENGTH = 16, 128, 64


def plateau(delay):
    """Time up to the end of one plateau."""
    return hitting_times(GaussianBump(delay, 1e-9), START, DELTA, parameters_only=True)


def torch_step():
    """One minibatch step of torch.nn.RNN with the same width, as a call."""
    import torch

    torch.manual_seed(0)
    network, readout = torch.nn.RNN(1, WIDTH, batch_first=True), torch.nn.Linear(WIDTH, 1)
    optimiser = torch.optim.SGD([*network.parameters(), *readout.parameters()], lr=1e-3)
    x, y = torch.randn(BATCH, LENGTH, 1), torch.randn(BATCH, 1)

    def step():
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(readout(network(x)[0][:, -1]), y).backward()
        optimiser.step()

    return step


def main():
    """Print both tables."""
    calls = {f"{delay}": lambda delay=delay: plateau(delay) for delay in DELAYS}
    one = PopulationLoss(GaussianBump(DELAYS[0], 1e-9), START)
    calls["descent"] = lambda: gradient_descent(one, learning_rate=RATE, steps=STEPS)
    seconds = medians(calls)
    step, rows = seconds.pop("descent") / STEPS, []
    for delay in DELAYS:
        found, time = plateau(delay), seconds[f"{delay}"]
        growth = [found.steps / plateau(DELAYS[0]).steps, time / seconds[f"{DELAYS[0]}"]]
        needed = found.parameters / RATE
        rows.append(
            [f"{delay}", f"{found.parameters:.2e}", f"{found.steps}", milliseconds(time)]
            + [f"{x:.2g}" for x in growth]
            + [f"{needed:.1e}", f"{needed * step / time:.1e}"]
        )
    print(
        f"to the end of a plateau; gradient descent (steps extrapolated): {1e3 * step:.2g} ms each"
    )
    names = ["D", "tau_0", "steps", "ms", "growth (steps)", "growth (ms)", "its steps", "its ratio"]
    table(names, rows)

    rng = np.random.default_rng(0)
    wide = ExponentialSum(rng.normal(size=WIDTH), np.geomspace(0.2, 4, WIDTH))
    loss = PopulationLoss(wide + GaussianBump(20.0, 0.5), wide)
    state = 1e-3 * rng.normal(size=2 * WIDTH)
    contenders = {"exact gradient": lambda: loss.gradient(state)}
    if importlib.util.find_spec("torch"):
        contenders["torch.nn.RNN, one step"] = torch_step()
    else:
        print("torch isn't installed: a step of torch.nn.RNN is left out")
    seconds = medians(contenders)
    print(f"width {WIDTH}; batch {BATCH}, {LENGTH} samples each")
    rows = [
        [name, milliseconds(time), f"{time / seconds['exact gradient']:.3g}"]
        for name, time in seconds.items()
    ]
    table(["", "ms", "ratio"], rows)


if __name__ == "__main__":
    main()
