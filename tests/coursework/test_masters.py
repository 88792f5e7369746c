"""The masters keep to one format, and their solutions do what the tests ask."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys

import contents
import pytest
import rules
import sheets
from sheets import SHEETS, mark, text

NAMES = ("functional-framework", "plateaus", "rates-and-curse", "universal-approximation")
# kind of cell: grade, solution, locked
KINDS = {(False, False, True), (False, True, False), (True, False, True), (True, True, False)}


def graded(sheet):
    return [c for c in sheets.master(sheet)["cells"] if mark(c)["grade"] and c["id"] != "setup"]


def asserts(source):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]


def problems(sheet):
    """Return [(heading, cells)], a heading of level 2 with what stands below it."""
    found = []
    for cell in sheets.master(sheet)["cells"]:
        if cell["cell_type"] == "markdown":
            for heading in re.findall(r"^## (.+)$", text(cell), re.MULTILINE):
                found.append((heading, []))
        if found:
            found[-1][1].append(cell)
    return found


def test_every_sheet_is_there():
    assert set(SHEETS) == set(NAMES)
    assert sheets.SOURCE in {path.parents[1] for path in contents.masters()}


@pytest.mark.parametrize("sheet", SHEETS)
def test_marks_of_cells(sheet):
    cells = sheets.master(sheet)["cells"]
    marked = [cell for cell in cells if "nbgrader" in cell["metadata"]]
    for cell in marked:
        data = mark(cell)
        assert data["schema_version"] == 3
        assert data["grade_id"] == cell["id"]
        assert (data["grade"], data["solution"], data["locked"]) in KINDS
        assert not data["grade"] or data["cell_type"] == cell["cell_type"]
        assert data["solution"] == ("### BEGIN SOLUTION" in text(cell)), cell["id"]
        assert data["solution"] or "BEGIN SOLUTION" not in text(cell)
    unmarked = [text(c) for c in cells if c not in marked]
    assert not [t for t in unmarked if "BEGIN SOLUTION" in t or "BEGIN HIDDEN" in t]


@pytest.mark.parametrize("sheet", SHEETS)
def test_the_first_cell_is_the_same_in_all(sheet):
    first = sheets.code_cells(sheet)[0]
    assert first["id"] == "setup"
    assert mark(first)["points"] == 0
    assert text(first) == text(sheets.code_cells(SHEETS[0])[0])


@pytest.mark.parametrize("sheet", SHEETS)
def test_tests_follow_their_answer_and_are_counted(sheet):
    cells = sheets.master(sheet)["cells"]
    order = [cell["id"] for cell in cells]
    by_id = dict(zip(order, cells, strict=True))
    for answer in sheets.answers(sheet):
        visible, hidden = f"{answer}-visible", f"{answer}-hidden"
        start = order.index(answer)
        assert order[start : start + 3] == [answer, visible, hidden]
        seen, unseen = (asserts(text(by_id[name])) for name in (visible, hidden))
        total, count = len(seen) + len(unseen), len(unseen)
        assert re.match(
            rf"# Tests of problem \d+: {len(seen)} visible of {total}\n", text(by_id[visible])
        ), f"{visible} must announce {len(seen)} visible of {total}"
        announced = rf"# {count} hidden tests? of problem \d+\n### BEGIN HIDDEN TESTS\n"
        assert re.match(announced, text(by_id[hidden])), f"{hidden} must announce {count}"
        assert text(by_id[hidden]).endswith("### END HIDDEN TESTS")
        assert "HIDDEN TESTS" not in text(by_id[visible])
        for name in (visible, hidden):
            assert f"\n@tests\ndef {name.replace('-', '_')}(" in text(by_id[name])
        bare = [ast.unparse(node) for node in seen + unseen if node.msg is None]
        assert not bare, f"assertions without a message: {bare}"


@pytest.mark.parametrize("sheet", SHEETS)
def test_points_are_those_that_are_announced(sheet):
    by_hand = sum(mark(c)["points"] for c in graded(sheet) if mark(c)["solution"])
    by_tests = sum(mark(c)["points"] for c in graded(sheet) if not mark(c)["solution"])
    said = f"Points: {by_hand + by_tests}, of which {by_tests} by tests and {by_hand} by hand."
    assert said in text(sheets.master(sheet)["cells"][0])
    for number, (heading, cells) in enumerate(problems(sheet), 1):
        points = sum(mark(cell).get("points", 0) for cell in cells)
        pattern = rf"{number}\. .+ \((code|pencil|code and words|experiment), {points} points\)"
        assert re.fullmatch(pattern, heading), f"{heading}: its cells have {points} points"


@pytest.mark.parametrize("sheet", SHEETS)
def test_each_kind_of_problem_is_there(sheet):
    headings = " ".join(heading for heading, _ in problems(sheet)).lower()
    for kind in ("(code, ", "(pencil, ", "(experiment, ", "defect"):
        assert kind in headings
    for cell in graded(sheet):
        if mark(cell)["solution"]:
            below = [t for h, cells in problems(sheet) if cell in cells for t in map(text, cells)]
            assert any("Rubric" in t for t in below), f"{cell['id']} has no rubric"


@pytest.mark.parametrize("sheet", SHEETS)
def test_solutions_pass_and_mutants_do_not(sheet):
    """Also: the empty sheet passes nothing, and other right answers pass."""
    command = [sys.executable, sheets.__file__, sheet]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


LOOSER = """
def looser(function):
    import types
    import numpy as np

    def loosen(value):
        if isinstance(value, tuple):
            return [loosen(part) for part in value]
        return np.asarray(value).tolist() if np.ndim(value) else np.asarray(value)

    inside = types.FunctionType(function.__code__, OWN, None, function.__defaults__)
    return lambda *given: loosen(inside(*given))


OWN = dict(globals())
"""


@pytest.mark.parametrize("sheet", SHEETS)
def test_lists_are_as_good_as_arrays(sheet):
    """The solutions pass when they return lists for arrays and tuples, and boxed numbers."""
    changed = {}
    for cell in sheets.code_cells(sheet):
        if cell["id"] in sheets.answers(sheet):
            names = re.findall(r"^def (\w+)", text(cell), re.M)
            changed[cell["id"]] = (
                text(cell) + LOOSER + "".join(f"{n} = looser({n})\n" for n in names)
            )
    tests = [test for answer in changed for test in sheets.tests_of(sheet, answer)]
    assert len(tests) >= 6 and sheets.run(sheet, changed, tests) == dict.fromkeys(tests, "")


def test_hidden_tests_of_the_guide_work():
    """The instructor's guide shows a complete file of an overlay."""
    guide = (contents.BOOK / "coursework" / "instructor-guide.md").read_text("utf-8")
    code = re.search(r"^```\n(@tests\n.*?)^```$", guide, re.M | re.S)[1]
    sheet = "functional-framework"
    (name,) = re.findall(rf"^  {sheet}/\n +([a-z-]+)\.py", guide, re.M)
    (cell,) = [cell for cell in sheets.code_cells(sheet) if cell["id"] == name]
    assert len(asserts(code)) == len(asserts(text(cell)))
    assert sheets.run(sheet, {name: code}, [name]) == {name: ""}
    broken = {name: code, name.removesuffix("-hidden"): "def kernel_values(*x):\n    return 1, 2"}
    assert "AssertionError" in sheets.run(sheet, broken, [name])[name]


# --------------------------------------------------------------- the helpers of the first cell


def space_with(code=""):
    space = {"__name__": "__main__"}
    exec(text(sheets.code_cells(SHEETS[0])[0]), space)
    exec(code, space)
    return space


def test_tests_see_the_library_as_it_was(capsys):
    import curse_lib

    original = curse_lib.l1_norm, curse_lib.ExponentialSum.__call__
    space = space_with(
        "curse_lib.l1_norm = None\n"
        "curse_lib.ExponentialSum.__call__ = lambda self, t: 0\n"
        "curse_lib.ExponentialSum.l2 = 3\n"
        "np = sum = types = dict = inspect = print = None\n"
        "@tests\n"
        "def see():\n"
        "    assert sum([1, 2]) == 3 and np.ones(2).shape == (2,)\n"
        "    assert not hasattr(curse_lib.ExponentialSum, 'l2')\n"
        "    import warnings\n"
        "    warnings.warn('nobody hears this')\n"
    )
    assert (curse_lib.l1_norm, curse_lib.ExponentialSum.__call__) == original
    assert space["np"] is None
    assert capsys.readouterr() == ("see: passed\n", "")


def test_a_missing_answer_is_named():
    with pytest.raises(NameError, match="answer is not there"):
        space_with("@tests\ndef see(answer):\n    pass\n")


def test_a_failing_test_says_its_message():
    with pytest.raises(AssertionError, match="one is not two"):
        space_with("@tests\ndef see():\n    assert 1 == 2, 'one is not two'\n")


def test_an_error_in_an_answer_is_located():
    code = (
        "def answer(x):\n    y = []\n    return y[x]\n\n\n@tests\ndef see(answer):\n    answer(3)\n"
    )
    with pytest.raises(
        IndexError, match=r"list index out of range \(line 3 of your answer's cell\)"
    ):
        space_with(code)


def test_seeds_change_with_the_year():
    draws = {space_with()["seeded"](number).integers(2**60) for number in (1, 2)}
    later = text(sheets.code_cells(SHEETS[0])[0]).replace("YEAR = 2026", "YEAR = 2027")
    space = {"__name__": "__main__"}
    exec(later, space)
    assert len(draws | {space["seeded"](1).integers(2**60)}) == 3


def test_masters_are_notebooks_of_the_book_without_its_skeleton():
    assert set(contents.masters()) <= set(contents.notebooks())
    assert not set(contents.masters()) & set(contents.chapters())
    assert rules.figures not in rules.MASTER_RULES
