"""Search of a plateau: forced Lorenz-96 systems, recurrent cells, Adam, ten seeds.

    python book/data/lorenz-search/search.py [PREFIX OF NAMES]

appends a row for each setting to search.csv. Medians of ten runs, losses over that of
the best constant:

plateau_steps  the longest stretch of recorded steps, on a logarithmic axis and from
               step 10 on, over which the running minimum of a run's loss falls by at
               most a tenth, while later it falls to less than half; 0 if there is none
level          the loss where that stretch begins
loss_100       the loss at the first recorded step from 100 on
loss_end       the loss at the end
stuck          number of runs that end above half of the best constant's loss

All forcings are drawn with the seed 0, all starts and batches with the seed 1.
"""

import csv
import sys
from pathlib import Path

import numpy as np

from curse_lib import Lorenz96, SequenceTask, train

OUT = Path(__file__).with_name("search.csv")
ONE = {"slow": 1, "fast": 8, "speed": 2.0}
MANY = {"slow": 8, "fast": 4, "sign": -1, "speed": 1.0}
RING = {"slow": 16, "fast": 1, "sign": -1, "speed": 1.0, "background": 1.7}
BASE = {
    "horizon": 6.4,
    "sd": 4.0,
    "corr": 1.0,
    "scatter": 0.0,
    "node": 0,
    "read": "last",
    "width": 16,
    "lr": 1e-3,
    "steps": 2500,
    "cell": "tanh",
    "substeps": 4,
    "normal": True,
    "d": 1,
    "dt": 0.2,
    "stop": None,
}


def settings() -> dict[str, tuple[dict, dict]]:
    """System and options of each setting by name."""
    found = {}
    one = {"sd": 1.0, "scatter": 0.1, "substeps": 8}
    for name, options in (
        ("s=-1 sd=1.0", {}),
        ("s=-1 sd=5.0", {"sd": 5.0}),
        ("s=1 sd=1.0", {}),
        ("s=1 sd=5.0", {"sd": 5.0}),
        ("s=1 sd=1 all steps", {"read": "all"}),
        ("s=1 sd=1 mean", {"read": "mean"}),
        ("s=1 sd=5 corr=.2", {"sd": 5.0, "corr": 0.2}),
        ("s=1 white sd=5", {"sd": 5.0, "corr": 0.0}),
        ("s=1 sd=1 long", {"horizon": 12.8}),
        ("s=1 sd=1 width64 lr1e-4", {"width": 64, "lr": 1e-4, "steps": 1500}),
        ("s=1 sd=1 lr1e-2", {"lr": 1e-2}),
        ("s=1 sd=1 residual", {"cell": "residual"}),
        ("s=1 sd=1 raw scale", {"sd": 4.0, "normal": False}),
    ):
        sign = -1 if name.startswith("s=-1") else 1
        found[f"A one {name}"] = ({**ONE, "sign": sign}, {**one, **options})
    for name, options in (
        ("forced all sd=1", {"sd": 1.0, "d": 8, "scatter": 0.1}),
        ("forced all sd=5", {"sd": 5.0, "d": 8, "scatter": 0.1}),
        ("forced one sd=5", {"sd": 5.0, "scatter": 0.1}),
        ("forced one, y_3, sd=5", {"sd": 5.0, "node": 2, "scatter": 0.5}),
        ("forced all, all steps", {"sd": 2.0, "d": 8, "read": "all"}),
    ):
        found[f"B many {name}"] = (MANY, options)
    for node in (0, 2, 4, 6, 8):
        options = {"sd": 0.5, "node": node, "horizon": 12.8, "steps": 5000}
        found[f"C ring node {node}"] = (RING, options)
    for name, options in (
        ("white", {"sd": 1.0, "corr": 0.0}),
        ("white all steps", {"sd": 1.0, "corr": 0.0, "read": "all"}),
        ("residual", {"cell": "residual"}),
        ("lr1e-4", {"lr": 1e-4, "steps": 5000}),
        ("lr1e-2", {"lr": 1e-2}),
        ("width64", {"width": 64, "steps": 1000}),
        ("sd=4", {"sd": 4.0}),
    ):
        options = {"sd": 0.5, "node": 6, "horizon": 12.8, **options}
        found[f"C ring node 6 {name}"] = (RING, options)
    stopped = {"scatter": 0.1, "stop": 2.0}
    for delay in (0, 1, 2, 3, 4):
        here = {**stopped, "horizon": 2.2 + delay, "substeps": 8}
        slow, system = {**here, "steps": 6000}, {**ONE, "sign": 1}
        found[f"D delayed {delay} tanh"] = (system, slow)
        found[f"D delayed {delay} residual"] = (system, {**here, "cell": "residual"})
    for node in (2, 4, 8, 10):
        options = {"sd": 1.0, "corr": 0.0, "node": node, "horizon": 12.8, "read": "all"}
        found[f"E ring white all steps node {node}"] = (RING, options)
    for delay in (1, 2, 3, 4, 5):
        options = {**stopped, "dt": 0.1, "horizon": 2.1 + delay, "steps": 4000}
        found[f"F delayed {delay} dt=.1"] = ({**ONE, "sign": 1}, options)
    return {
        name: (system, {**BASE, **options}) for name, (system, options) in found.items()
    }


def plateau(steps: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """Length of one run's plateau and the loss at which it begins."""
    lowest = np.minimum.accumulate(losses)[steps >= 10]
    steps = steps[steps >= 10]
    ends = np.searchsorted(-lowest, -0.9 * lowest, side="right") - 1
    counts = lowest[-1] < lowest / 2
    # The longest on a logarithmic axis, as one would see it.
    best = np.where(counts, steps[ends] / steps, 1.0).argmax()
    return (steps[ends] - steps)[best] if counts.any() else 0, lowest[best]


def recorded(steps: int) -> np.ndarray:
    """The steps at which the losses of a run are recorded."""
    return np.geomspace(1, steps, 14 * int(np.ceil(np.log10(steps)))).round()


def task(system: dict, o: dict) -> SequenceTask:
    """What the networks learn in one setting."""
    length = round(o["horizon"] / o["dt"])
    data = Lorenz96(**system).dataset(
        1024,
        length + 1,
        o["dt"],
        np.random.default_rng(0),
        deviation=o["sd"],
        correlation=o["corr"],
        input_dim=o["d"],
        stop=o["stop"],
        scatter=o["scatter"],
        substeps=o["substeps"],
    )
    x, y = data.inputs[:, :length], data.outputs[:, 1:, o["node"]]
    y = {"last": y[:, -1], "mean": y.mean(axis=1), "all": y}[o["read"]]
    if o["normal"]:
        x, y = x / o["sd"], (y - y.mean()) / y.std()
    return SequenceTask(x, y, o["dt"], o["cell"], batch=64)


def run(name: str, system: dict, o: dict) -> dict:
    """Train ten networks in one setting: a row of the table."""
    learnt = task(system, o)
    runs = train(
        learnt,
        o["width"],
        rng=np.random.default_rng(1),
        learning_rate=o["lr"],
        steps=o["steps"],
        optimizer="adam",
        record=recorded(o["steps"]),
        progress=False,
    )
    found = np.array([plateau(runs.steps, losses) for losses in runs.losses.T])
    length, level = np.median(found, axis=0)
    losses = runs.losses / learnt.power
    return {
        "name": name,
        "plateau_steps": int(length),
        "level": f"{level / learnt.power:.3f}",
        "loss_100": f"{np.median(losses[np.searchsorted(runs.steps, 100)]):.3f}",
        "loss_end": f"{np.median(losses[-1]):.4f}",
        "stuck": int((losses[-1] > 0.5).sum()),
    }


if __name__ == "__main__":
    for name, (system, options) in settings().items():
        if name.startswith(tuple(sys.argv[1:]) or ""):
            row = run(name, system, options)
            with open(OUT, "a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
