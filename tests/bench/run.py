"""Run the speed benchmarks: ``python tests/bench/run.py [NAME ...]``.

A benchmark is a script beside this one. It times our function and its rivals in turns, in one
process, and prints ratios: seconds depend on the machine, ratios hardly do. Each script runs
twice, with one thread and with the number of threads that the linear algebra takes by default.
Nothing fails here; the tests check results and time nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main() -> int:
    """Run the named benchmarks, or all, and return the first exit code that isn't 0."""
    names = sorted(path.stem for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    chosen = parser.parse_args().names or names
    if unknown := sorted(set(chosen) - set(names)):
        parser.error(f"no benchmark {', '.join(unknown)}; there is {', '.join(names)}")
    inherited = {k: v for k, v in os.environ.items() if k not in THREAD_VARIABLES}
    settings = {
        "one thread": inherited | dict.fromkeys(THREAD_VARIABLES, "1"),
        f"default threads, {os.cpu_count()} cores": inherited,
    }
    for name in chosen:
        for setting, environment in settings.items():
            print(f"== {name} ({setting})", flush=True)
            done = subprocess.run([sys.executable, HERE / f"{name}.py"], env=environment)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
