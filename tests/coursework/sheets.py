"""Run the code cells of a sheet in one process: its solutions, its stubs, other answers to it.

`python sheets.py SHEET` checks one sheet and its file of answers, and prints what went wrong.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "book" / "coursework" / "source"
SHEETS = sorted(path.name for path in SOURCE.iterdir() if path.is_dir())
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
REGION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.M | re.S)
TEST = re.compile(r"(.+)-(?:visible|hidden)$")
YEAR = re.compile(r"^YEAR = \d+", re.M)


def master(sheet: str) -> dict:
    return json.loads((SOURCE / sheet / f"{sheet}.ipynb").read_text("utf-8"))


def text(cell: dict) -> str:
    return "".join(cell["source"])


def mark(cell: dict) -> dict:
    """Return what nbgrader's metadata say of a cell."""
    return cell["metadata"].get("nbgrader", {"grade": False, "solution": False})


def code_cells(sheet: str) -> list[dict]:
    return [cell for cell in master(sheet)["cells"] if cell["cell_type"] == "code"]


def answers(sheet: str) -> list[str]:
    """Return the cells that are graded by tests."""
    marks = [mark(cell) for cell in code_cells(sheet)]
    return [m["grade_id"] for m in marks if m["solution"] and not m["grade"]]


def tests_of(sheet: str, answer: str) -> list[str]:
    return [
        cell["id"]
        for cell in code_cells(sheet)
        if (match := TEST.match(cell["id"])) and match[1] == answer
    ]


def stub(source: str) -> str:
    """Return the cell of an answer as a student gets it."""
    return REGION.sub(lambda m: "\n".join(m[1] + line for line in STUB.splitlines()), source)


def variants(sheet: str) -> dict[str, dict[str, dict[str, str]]]:
    """Return {answer: {"right" or "wrong": {name: code}}} from the file beside this one."""
    path = Path(__file__).with_name(sheet.replace("-", "_") + ".py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.VARIANTS


def run(sheet: str, changed: dict[str, str], tests: list[str], year: int = 2026) -> dict[str, str]:
    """Run the sheet with changed cells and return {test: "" or what it complained of}.

    Of the cells with points only the named tests run. An error in another cell does not stop
    the rest, as in a grader.
    """
    space = {"__name__": "__main__"}
    verdicts = {}
    for cell in code_cells(sheet):
        name, source = cell["id"], changed.get(cell["id"], text(cell))
        if mark(cell)["grade"] and name not in tests and name != "setup":
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(YEAR.sub(f"YEAR = {year}", source), name, "exec"), space)
            complaint = ""
        except Exception as error:
            complaint = f"{type(error).__name__}: {error}"
        if name in tests or (complaint and name not in changed):
            verdicts[name] = complaint
    return verdicts


def check(sheet: str) -> list[str]:
    """Return one message for each thing that is not as it should be."""
    wrong, every = [], [test for answer in answers(sheet) for test in tests_of(sheet, answer)]
    for year in (2026, 2027, 2031):
        for name, complaint in run(sheet, {}, every, year).items():
            if complaint:
                wrong.append(f"the solution, year {year}, {name}: {complaint}")
    stubs = {c["id"]: stub(text(c)) for c in code_cells(sheet) if mark(c)["solution"]}
    for name, complaint in run(sheet, stubs, every).items():
        if not complaint and name in every:
            wrong.append(f"the empty sheet passes {name}")
    given = variants(sheet)
    if sorted(given) != sorted(answers(sheet)):
        wrong.append(f"variants are for {sorted(given)}, answers are {sorted(answers(sheet))}")
    for answer, kinds in given.items():
        for kind, least in (("right", 2), ("wrong", 3)):
            if len(kinds[kind]) < least:
                wrong.append(f"{answer} has {len(kinds[kind])} {kind} variants, needs {least}")
            for name, code in kinds[kind].items():
                verdicts = run(sheet, {answer: code}, tests_of(sheet, answer))
                failed = {test: said for test, said in verdicts.items() if said}
                if kind == "right" and failed:
                    wrong.append(f"{answer}, right variant {name!r} fails: {failed}")
                if kind == "wrong" and not failed:
                    wrong.append(f"{answer}, wrong variant {name!r} passes")
                if kind == "wrong" and any(
                    not said.startswith("AssertionError: ") for said in failed.values()
                ):
                    wrong.append(f"{answer}, wrong variant {name!r} is not named: {failed}")
    return wrong


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1]), indent=1))
