"""Lorenz-96 with tanh networks: loss curves of ten runs each.

    python book/data/lorenz-search/curves.py ring FOLDER
    python book/data/lorenz-search/curves.py delayed FOLDER

writes ring.csv (forcing at one node, readout at another) or delayed.csv (the forcing
stops, the readout comes later). Finished points are kept in FOLDER, so that the command
may be stopped and started again.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from curse_lib import Lorenz96, SequenceTask, point_seed, sweep, train

#: Steps for each node of the readout, and of the plain cell for each delay.
RING = {0: 1500, 2: 3000, 4: 5000, 6: 8000, 8: 8000}
DELAYED = {
    0.5: 1000,
    1.0: 1000,
    1.5: 4000,
    2.0: 4000,
    2.5: 8000,
    3.0: 16000,
    3.5: 32000,
}


def learn(task: SequenceTask, steps: int, scale: float) -> dict[str, np.ndarray]:
    """Ten runs from random starts, recorded sixty times."""
    runs = train(
        task,
        16,
        rng=np.random.default_rng(point_seed(seed=0)),
        learning_rate=1e-3,
        steps=steps,
        optimizer="adam",
        scale=scale,
        record=np.geomspace(1, steps, 60).round(),
    )
    return {"steps": runs.steps, "losses": runs.losses}


def scaled(y: np.ndarray) -> np.ndarray:
    """With mean 0 and standard deviation 1."""
    return (y - y.mean()) / y.std()


def ring(node: int, cell: str, steps: int) -> dict[str, np.ndarray]:
    """Forcing of the first of sixteen slow variables, and another one as the output."""
    system = Lorenz96(slow=16, fast=1, sign=-1, speed=1.0, background=1.7)
    data = system.dataset(
        512,
        65,
        0.2,
        np.random.default_rng(1),
        deviation=0.5,
        correlation=1.0,
        substeps=4,
    )
    y = scaled(data.outputs[:, 64, node])
    task = SequenceTask(data.inputs[:, :64] / 0.5, y, 0.2, cell, batch=32)
    return learn(task, steps, 0.5)


def delayed(delay: float, cell: str, steps: int) -> dict[str, np.ndarray]:
    """Forcing on [0, 2], and the slow variable that long after it as the output."""
    data = Lorenz96(slow=1, fast=8, sign=1, speed=2.0).dataset(
        256,
        40,
        0.2,
        np.random.default_rng(1),
        deviation=4.0,
        correlation=0.5,
        stop=2.0,
        scatter=0.1,
        substeps=4,
    )
    count = 10 + round(delay / 0.2)
    y = scaled(data.outputs[:, count, 0])
    task = SequenceTask(data.inputs[:, :count] / 4, y, 0.2, cell, batch=16)
    return learn(task, steps, 0.25)


if __name__ == "__main__":
    name, folder = sys.argv[1], sys.argv[2]
    if name == "ring":
        grid = [{"node": n, "cell": "tanh", "steps": k} for n, k in RING.items()]
        results = sweep(ring, grid, folder=folder)
    else:
        grid = []
        for delay, steps in DELAYED.items():
            grid.append({"delay": delay, "cell": "tanh", "steps": steps})
            grid.append({"delay": delay, "cell": "residual", "steps": 1000})
        results = sweep(delayed, grid, folder=folder)
    where = "node" if name == "ring" else "delay"
    with open(Path(__file__).with_name(f"{name}.csv"), "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["cell", where, "step", *(f"run {i}" for i in range(10))])
        for point, found in zip(grid, results, strict=True):
            for step, row in zip(found["steps"], found["losses"], strict=True):
                numbers = (f"{value:.5g}" for value in row)
                rows.writerow([point["cell"], point[where], step, *numbers])
