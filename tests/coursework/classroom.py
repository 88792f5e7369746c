"""A class of twenty that hands in the first sheet: ten honest notebooks, ten that do harm."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import sheets

SHEET = "functional-framework"
ANSWERS = sheets.answers(SHEET)


def change(notebook: dict, name: str, code: str) -> dict:
    """Return a copy of a notebook with another code in one cell."""
    changed = copy.deepcopy(notebook)
    (cell,) = [cell for cell in changed["cells"] if cell["id"] == name]
    cell["source"] = [code]
    return changed


def insert(notebook: dict, code: str, before: str) -> dict:
    """Return a copy of a notebook with one more cell."""
    changed = copy.deepcopy(notebook)
    cell = {"cell_type": "code", "id": "my-own", "metadata": {}, "source": [code]}
    position = [c["id"] for c in changed["cells"]].index(before)
    changed["cells"].insert(position, cell | {"execution_count": None, "outputs": []})
    return changed


def solved(empty: dict) -> dict:
    """Fill the solutions of the master into the students' notebook."""
    notebook = copy.deepcopy(empty)
    solutions = {cell["id"]: cell for cell in sheets.master(SHEET)["cells"]}
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            cell["source"] = solutions[cell["id"]]["source"]
    return notebook


def honest(empty: dict) -> dict[str, tuple[dict, dict[str, bool]]]:
    """Return {student: (notebook, {answer: whether all its tests pass})}."""
    full = solved(empty)
    found = {
        "full": (full, dict.fromkeys(ANSWERS, True)),
        "empty": (empty, dict.fromkeys(ANSWERS, False)),
    }
    for answer, kinds in sheets.variants(SHEET).items():
        for kind in ("right", "wrong"):
            code = next(iter(kinds[kind].values()))
            marks = dict.fromkeys(ANSWERS, True) | {answer: kind == "right"}
            found[f"{kind} {answer}"] = (change(full, answer, code), marks)
    for answer in ANSWERS:
        (stub,) = ["".join(c["source"]) for c in empty["cells"] if c["id"] == answer]
        marks = dict.fromkeys(ANSWERS, True) | {answer: False}
        found[f"without {answer}"] = (change(full, answer, stub), marks)
    return dict(list(found.items())[:10])


FIRST = ANSWERS[0]
LOOPS = f"""
def {FIRST.replace("-", "_")}(*arguments):
    while True:
        try:
            while True:
                pass
        except KeyboardInterrupt:
            print("not me")
"""
PRINTS = "while True:\n    print('all work and no play ' * 50)"
MEMORY = """
import numpy as np

kept, size = [], 10_000_000
while size > 100_000:
    try:
        kept.append(np.ones(size))
    except MemoryError:
        size //= 2
kept.append(np.ones(10_000_000))
"""
RAISES = "import os\n\nraise SystemExit(os.getpid())"
OVERWRITES = """
import curse_lib

kernel = curse_lib.ExponentialSum
kernel.__call__ = kernel.step_response = kernel.laplace = lambda self, t: 0.0 * t
curse_lib.LinearRNN.simulate = None
for name in curse_lib.__all__:
    setattr(curse_lib, name, name)
    setattr(curse_lib.kernels, name, name)
types = sys = inspect = warnings = contextlib = builtins = LIBRARY = KNOWN = "mine"
"""
FILES = """
from pathlib import Path

for folder in (Path.cwd(), Path.home()):
    for number in range(5):
        (folder / f"file-{number}").write_bytes(b"0" * 100_000)
with open("huge", "wb") as file:
    while True:
        file.write(b"0" * 10_000_000)
"""
DIES = "import os\n\nos._exit(3)"
ORPHAN = """
import subprocess, sys

code = "import time\\nwhile True: time.sleep(0.1)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
"""


def hostile(empty: dict) -> dict[str, tuple[str, str]]:
    """Return {student: (text of the file, a part of the verdict)}."""
    full = solved(empty)
    without = copy.deepcopy(full)
    without["cells"] = [
        c for c in full["cells"] if not c["metadata"].get("nbgrader", {}).get("locked")
    ]
    other = copy.deepcopy(full)
    other["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    huge = insert(full, "x = '" + "0" * 11_000_000 + "'", FIRST)
    last = ANSWERS[-1]
    notebooks = {
        "loops": (change(full, FIRST, LOOPS), "did not heed"),
        "prints": (insert(full, PRINTS, FIRST), "wait"),
        "memory": (insert(full, MEMORY, FIRST), "1 cell ran out of memory"),
        "raises": (insert(full, RAISES, FIRST), "wait"),
        "deletes tests": (without, "put back"),
        "overwrites": (insert(full, OVERWRITES, f"{last}-visible"), "wait"),
        "files": (insert(full, FILES, FIRST), "wait"),
        "kernel": (other, "'ir'"),
        "huge": (huge, "MB"),
    }
    texts = {name: (json.dumps(nb), said) for name, (nb, said) in notebooks.items()}
    return texts | {"broken": (json.dumps(full)[:3000], "not a valid notebook")}


def write_class(folder: Path, empty: dict) -> None:
    texts = {name: json.dumps(notebook) for name, (notebook, _) in honest(empty).items()}
    texts |= {name: text for name, (text, _) in hostile(empty).items()}
    assert len(texts) == 20
    for student, text in texts.items():
        (folder / student).mkdir(parents=True)
        (folder / student / f"{SHEET}.ipynb").write_text(text, "utf-8")
