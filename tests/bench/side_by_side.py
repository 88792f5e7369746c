"""Timing in turns, and the table that all benchmarks print."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def medians(contenders: dict[str, Callable[[], object]], budget: float = 3.0) -> dict[str, float]:
    """Median seconds a call of each contender, over 3 to 300 turns that share ``budget`` seconds.

    All take part in each turn, so that the machine's ups and downs meet all alike. A turn is one
    untimed call and then as many as last 3 ms, so that none profits from a neighbour's caches.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    gc.collect()
    gc.disable()
    try:
        once = {}
        for name, call in contenders.items():
            call()
            once[name] = _seconds(call, 1)
        calls = {name: 1 + int(3e-3 / seconds) for name, seconds in once.items()}
        turn = sum(seconds * (1 + calls[name]) for name, seconds in once.items())
        for _ in range(int(min(300, max(3, budget / turn)))):
            for name, call in contenders.items():
                call()
                times[name].append(_seconds(call, calls[name]))
    finally:
        gc.enable()
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _seconds(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def table(header: list[str], rows: list[list[str]]) -> None:
    """Print right-aligned columns."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    print(flush=True)


def milliseconds(seconds: float) -> str:
    """Three significant digits."""
    return f"{1e3 * seconds:.3g}"
