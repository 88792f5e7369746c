"""`make coursework`, `make grade` and `make teach`, on the first sheet and a class of twenty."""

from __future__ import annotations

import argparse
import csv
import functools
import html
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import classroom
import pytest
import sheets
from classroom import SHEET
from sheets import mark, text

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "book" / "_tools" / "coursework.py"
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build" / "html"))
BY_TESTS = {
    answer: sum(
        mark(cell)["points"]
        for cell in sheets.code_cells(SHEET)
        if cell["id"] in sheets.tests_of(SHEET, answer)
    )
    for answer in sheets.answers(SHEET)
}

# Imports and drawing look alike everywhere; they are no part of a solution.
COMMON = re.compile(r"(import|from|fig|ax|axes|plt|rng)\b")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None and not os.environ.get("CI"),
    reason="nbgrader is not installed; make test installs it",
)


def tool(*words, expect=0, **options):
    command = [sys.executable, TOOL, *words]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def read(path):
    return json.loads(path.read_text("utf-8"))


@pytest.fixture(scope="module", autouse=True)
def boxes(tmp_path_factory):
    """Return the folder in which graders make theirs."""
    folder = tmp_path_factory.mktemp("boxes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coursework") / "release"
    tool("release", f"--output={folder}")
    return folder


def test_without_nbgrader_it_says_what_to_install(monkeypatch):
    import coursework

    monkeypatch.setenv("PATH", os.environ["PATH"])  # main puts its own folder first
    monkeypatch.setattr(sys, "argv", ["coursework.py", "release"])
    monkeypatch.setattr(coursework, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"nbgrader is not installed.*\[teach\]"):
        coursework.main()


# ------------------------------------------------------------------------------- the package


def test_package_is_complete(package):
    names = {path.name for path in package.iterdir() if path.suffix != ".whl"}
    assert names == {"README.md"} | {f"{sheet}.ipynb" for sheet in sheets.SHEETS}
    (wheel,) = package.glob("*.whl")
    readme = (package / "README.md").read_text("utf-8")
    assert wheel.name in readme
    assert "WHEEL" not in readme
    assert not re.search(r"\]\((?![a-z]+:)", readme), "a link out of the package"
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0].split("-")[0] for name in archive.namelist()}
    assert tops == {"curse_lib", "curse_of_memory"}


@pytest.mark.parametrize("sheet", sheets.SHEETS)
def test_students_get_stubs(package, sheet):
    notebook = read(package / f"{sheet}.ipynb")
    given = {cell["id"]: text(cell) for cell in notebook["cells"]}
    for cell in sheets.master(sheet)["cells"]:
        if mark(cell)["solution"]:
            stub = "YOUR ANSWER HERE" if cell["cell_type"] == "markdown" else sheets.STUB
            assert stub.split("\n")[0] in given[cell["id"]]
        elif cell["id"].endswith("-hidden"):
            assert given[cell["id"]].strip().count("\n") == 0
        else:
            assert given[cell["id"]] == text(cell)


def secret_lines(sheet, students):
    """Return the long lines of solutions and hidden tests that no students' version has."""
    public = {
        line.strip() for s in students for cell in s["cells"] for line in text(cell).splitlines()
    }
    region = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)### END \1", re.S)
    found = set()
    for cell in sheets.master(sheet)["cells"]:
        for match in region.finditer(text(cell)):
            found |= {line.strip() for line in match[2].splitlines()}
    kept = {line for line in found - public if len(line) > 30 and not COMMON.match(line)}
    return {squeeze(line) for line in kept}


def squeeze(words):
    return re.sub(r"\s+", "", words)


def plain(path):
    """Return what a file says, without marks of HTML, quotes of JSON and blanks."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            parts = [archive.read(name).decode("utf-8", "ignore") for name in archive.namelist()]
        return squeeze(" ".join(parts))
    content = path.read_text("utf-8", errors="ignore")
    if path.suffix in (".ipynb", ".json"):
        return squeeze(content.replace("\\n", " ").replace('\\"', '"').replace("\\\\", "\\"))
    if path.suffix in (".html", ".svg"):
        content = html.unescape(re.sub(r"<[^>]*>", "", content))
    return squeeze(content)


def leaks(files, secrets):
    return [
        f"{path.name}: {line}"
        for path in files
        for said in [plain(path)]
        for line in secrets
        if line in said
    ]


@pytest.fixture(scope="module")
def secrets(package):
    students = [read(package / f"{sheet}.ipynb") for sheet in sheets.SHEETS]
    found = {sheet: secret_lines(sheet, students) for sheet in sheets.SHEETS}
    assert all(len(lines) > 5 for lines in found.values())
    return set().union(*found.values())


def test_no_solution_is_in_the_package(package, secrets):
    assert not leaks(package.iterdir(), secrets)


def test_no_solution_is_in_the_site(secrets):
    if not (SITE / "index.html").exists():
        pytest.skip("the book is not built; run make book")
    kinds = {".html", ".ipynb", ".md", ".txt", ".js", ".json", ".py"}
    files = [path for path in SITE.rglob("*") if path.suffix in kinds and path.is_file()]
    assert (SITE / "book" / "coursework" / "student-guide.html") in files
    assert not [path for path in files if path.stem in sheets.SHEETS]
    assert not leaks(files, secrets)


def test_leaks_are_noticed(package, secrets, tmp_path):
    master = sheets.SOURCE / SHEET / f"{SHEET}.ipynb"
    lines = [line for cell in read(master)["cells"] for line in text(cell).splitlines()]
    line = next(line for line in lines if "np." in line and squeeze(line) in secrets)
    page = tmp_path / "page.html"
    page.write_text(html.escape(line).replace("np", "<span>np</span>"), "utf-8")
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"says": f'"\n{line}'}), "utf-8")
    found = leaks([page, index, master], {squeeze(line)})
    assert len(found) == 3
    assert leaks([master], secrets)


# ------------------------------------------------------------------------------- the class


@pytest.fixture(scope="module")
def grades(package, tmp_path_factory):
    """Grade a class of twenty; return {student: {problem: row}} and the folder of the output."""
    folder = tmp_path_factory.mktemp("class")
    classroom.write_class(folder / "handed-in", read(package / f"{SHEET}.ipynb"))
    output = folder / "grades"
    options = ("--cell-seconds=10", "--memory-mb=2048")
    said = tool("grade", f"--submissions={folder / 'handed-in'}", f"--output={output}", *options)
    assert "20 notebooks" in said
    table = {}
    with (output / "grades.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert row["assignment"] == SHEET
            table.setdefault(row["student"], {})[row["problem"]] = row
    return table, output


def points(rows):
    """Return {answer: points}, of the autograded problems of one student."""
    return {answer: float(rows[answer]["points"]) for answer in BY_TESTS}


def test_honest_marks_are_right(package, grades):
    table, _ = grades
    for student, (_, passes) in classroom.honest(read(package / f"{SHEET}.ipynb")).items():
        got = points(table[student])
        for answer, most in BY_TESTS.items():
            if passes[answer]:
                assert got[answer] == most, f"{student}, {answer}: {table[student][answer]}"
            else:
                assert got[answer] < most, f"{student}, {answer} has all points"
    assert not any(points(table["empty"]).values())
    assert {table["empty"][answer]["verdict"] for answer in BY_TESTS} == {"not answered"}
    full = table["full"]
    assert sum(points(full).values()) == float(full["sheet"]["points"])
    assert {full[answer]["verdict"] for answer in BY_TESTS} == {"passed"}


def test_hostile_notebooks_get_a_clear_verdict(package, grades):
    table, output = grades
    for student, (_, said) in classroom.hostile(read(package / f"{SHEET}.ipynb")).items():
        verdicts = "; ".join(row["verdict"] for row in table[student].values())
        assert said in verdicts, f"{student}: {verdicts}"
    # What they broke costs them no more than that.
    everything = sum(BY_TESTS.values())
    harmless = ("deletes tests", "files", "kernel", "memory", "overwrites", "prints", "raises")
    for student in harmless:
        assert sum(points(table[student]).values()) == everything, table[student]
    first = classroom.FIRST
    assert sum(points(table["loops"]).values()) == everything - BY_TESTS[first]
    for student in ("broken", "huge"):
        assert not any(points(table[student]).values())


def test_feedback_shows_what_tests_said_and_not_their_code(package, grades):
    table, output = grades
    assert len(list((output / "feedback").glob("*.html"))) == 20
    wrong = (output / "feedback" / f"wrong_{classroom.FIRST}_{SHEET}.html").read_text("utf-8")
    messages = [row["verdict"] for row in table[f"wrong {classroom.FIRST}"].values()]
    (message,) = [m.removeprefix("failed: ") for m in messages if m.startswith("failed: ")]
    assert message[:40] in html.unescape(wrong)
    notebook = read(package / f"{SHEET}.ipynb")
    solutions = classroom.solved(notebook)
    hidden = secret_lines(SHEET, [solutions])
    assert len(hidden) > 5
    page = output / "feedback" / f"full_{SHEET}.html"
    assert not leaks([page], hidden)
    # The page fetches nothing but the copy of MathJax beside it.
    (fetched,) = re.findall(
        r"""(?:src|<link[^>]*href)=["'](?!data:)([^"']+)""", page.read_text("utf-8")
    )
    assert (page.parent / fetched).is_file()


def of_boxes(boxes):
    """Return the processes that these graders started and that still run."""
    import psutil

    def marked(process):
        try:
            home = process.environ().get("HOME", "")
            return home.startswith(str(boxes)) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    return [process for process in psutil.process_iter() if marked(process)]


def test_nothing_stays_behind(grades, boxes):
    assert not of_boxes(boxes)
    assert not list(boxes.iterdir())


def test_processes_and_deaths_of_a_kernel(package, boxes, tmp_path):
    full = classroom.solved(read(package / f"{SHEET}.ipynb"))
    first, last = classroom.ANSWERS[0], classroom.ANSWERS[-1]
    texts = {
        "dies": classroom.insert(full, classroom.DIES, last),
        "orphan": classroom.insert(full, classroom.ORPHAN, first),
        "late": classroom.insert(full, "import time\n\ntime.sleep(1000)", first),
    }
    for student, notebook in texts.items():
        (tmp_path / f"{student}_{SHEET}.ipynb").write_text(json.dumps(notebook), "utf-8")
    output = tmp_path / "grades"
    # A shell starts what runs in the background deaf to interruptions; kernels must hear them.
    deaf = functools.partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    words = (f"--submissions={tmp_path}", f"--output={output}", "--cell-seconds=15")
    said = tool("grade", *words, preexec_fn=deaf)
    assert said.count(f" {sum(BY_TESTS.values())} of ") == 3, said
    assert re.search("dies, .*1 cell ended the kernel", said), said
    assert re.search("late, .*1 cell took too long", said), said
    assert not of_boxes(boxes)


@pytest.fixture
def sleeper(package, tmp_path):
    """Return the options that grade a notebook that sleeps."""
    full = classroom.solved(read(package / f"{SHEET}.ipynb"))
    notebook = classroom.insert(full, "import time\n\ntime.sleep(1000)", classroom.FIRST)
    (tmp_path / f"ada_{SHEET}.ipynb").write_text(json.dumps(notebook), "utf-8")
    return f"--submissions={tmp_path}", f"--output={tmp_path / 'grades'}"


def test_time_in_all_is_limited(sleeper, boxes):
    assert "stopped after 3 s in all" in tool("grade", *sleeper, "--total-seconds=3")
    assert not of_boxes(boxes)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_grader_leaves_nothing(sleeper, boxes, number):
    command = [sys.executable, TOOL, "grade", *sleeper]
    # Tests that run in the background may be deaf to a signal, and so would be what they start.
    heard = functools.partial(signal.signal, number, signal.SIG_DFL)
    grader = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    try:
        while not of_boxes(boxes):
            assert grader.poll() is None
            time.sleep(0.2)
        grader.send_signal(number)
        assert "Interrupted" in grader.communicate(timeout=120)[1]
    finally:
        grader.kill()
    assert not of_boxes(boxes)


@pytest.mark.parametrize("sort", ["code", "markdown", "raw"])
def test_only_the_text_of_a_cell_counts(package, tmp_path, sort):
    """Neither tags nor another type of cell keep the tests from being run."""
    empty = read(package / f"{SHEET}.ipynb")
    for student, notebook in {"ada": empty, "bob": classroom.solved(empty)}.items():
        for cell in notebook["cells"]:
            tags = ["skip-execution", "raises-exception"]
            cell["metadata"] = cell["metadata"] | {"tags": tags}
            if cell["cell_type"] == "code" and sort != "code":
                cell["cell_type"] = sort
                del cell["outputs"], cell["execution_count"]
        # As some editors save it, with a mark at the beginning.
        (tmp_path / f"{student}_{SHEET}.ipynb").write_text(json.dumps(notebook), "utf-8-sig")
    said = tool("grade", f"--submissions={tmp_path}", f"--output={tmp_path / 'grades'}")
    assert " 0 of " in re.search("ada, .*", said)[0]
    assert f" {sum(BY_TESTS.values())} of " in re.search("bob, .*", said)[0]


# ------------------------------------------------------------------------ years and overlays


@pytest.fixture
def coursework():
    import coursework

    return coursework


def test_year_and_overlay_change_the_sheet(coursework, tmp_path):
    name = f"{classroom.FIRST}-hidden"
    (tmp_path / SHEET).mkdir()
    (tmp_path / SHEET / f"{name}.py").write_text("assert 1 == 1, 'mine'\n", "utf-8")
    cells = {c["id"]: text(c) for c in coursework.sheet_of(SHEET, 2031, tmp_path)["cells"]}
    assert "\nYEAR = 2031 " in cells["setup"]
    head, *middle, end = cells[name].splitlines()[1:]
    assert (head, end) == ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")
    assert middle == ["assert 1 == 1, 'mine'"]
    untouched = {c["id"]: text(c) for c in sheets.master(SHEET)["cells"]}
    assert {n for n in cells if cells[n] != untouched[n]} == {"setup", name}


@pytest.mark.parametrize(
    "name", ["plateau/x.py", f"{SHEET}/no-such-cell.py", f"{SHEET}/x.txt", "x.py"]
)
def test_misspelt_overlays_are_refused(coursework, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", "utf-8")
    with pytest.raises(coursework.Refused, match="OVERLAY"):
        coursework.sheet_of(SHEET, None, tmp_path)


def test_submissions_are_told_apart(coursework, tmp_path):
    places = {
        f"ada/{SHEET}.ipynb": ("ada", SHEET),
        f"ben/{SHEET}/{SHEET}.ipynb": ("ben", SHEET),
        f"{SHEET}/eve.ipynb": ("eve", SHEET),
        f"all/joe_{SHEET}.ipynb": ("joe", SHEET),
        "all/other.ipynb": ("all", ""),
        f"{SHEET}.ipynb": ("", SHEET),
        ".ipynb_checkpoints/x.ipynb": None,
    }
    for name in places:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}", "utf-8")
    (tmp_path / f"ada_{SHEET}.ipynb").write_text("{}", "utf-8")
    (tmp_path / "all" / f"link_{SHEET}.ipynb").symlink_to(tmp_path / f"ada/{SHEET}.ipynb")
    for name in ("ada/images", "dan", f"fay/{SHEET}/images", f"{SHEET}/gil", ".git/objects"):
        (tmp_path / name).mkdir(parents=True)
    found = coursework.find_submissions(tmp_path, coursework.sheets())
    told = {s.path.relative_to(tmp_path).as_posix(): (s.student, s.sheet) for s in found}
    assert {k: v for k, v in places.items() if v}.items() <= told.items()
    refused = {s.path.relative_to(tmp_path).as_posix(): s.refused for s in found if s.refused}
    assert "tell no sheet" in refused.pop("all/other.ipynb")
    assert "tell no student" in refused.pop(f"{SHEET}.ipynb")
    assert "link" in refused.pop(f"all/link_{SHEET}.ipynb")
    assert "handed in twice" in refused.pop(f"ada_{SHEET}.ipynb")
    nothing = {"dan": "", f"fay/{SHEET}": SHEET, f"{SHEET}/gil": SHEET}
    for name, sheet in nothing.items():
        assert "holds no notebook" in refused.pop(name)
        assert told[name] == (re.search("dan|fay|gil", name)[0], sheet)
    assert not refused


def test_errors_say_what_to_do(coursework, tmp_path):
    assert "make grade SUBMISSIONS=" in tool("grade", "--submissions=", expect=1)
    assert "no such folder" in tool("grade", f"--submissions={tmp_path / 'x'}", expect=1)
    assert "no notebooks" in tool("grade", f"--submissions={tmp_path}", expect=1)
    (tmp_path / "thesis.tex").write_text("mine", "utf-8")
    assert "holds other files" in tool("release", f"--output={tmp_path}", expect=1)
    assert (tmp_path / "thesis.tex").exists()


def test_spreadsheets_take_no_cell_for_a_formula(coursework):
    assert coursework.cell_text("=1+1") == "'=1+1"
    assert coursework.cell_text("a\nb") == "a b"
    assert coursework.cell_text(-2.0) == -2.0
    assert coursework.safe("../../x y") == "_.._x_y"


def test_make_passes_what_was_said():
    command = ["make", "-n", "-o", ".venv/.installed", "grade", "SUBMISSIONS=in", "YEAR=2027"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = re.sub(r"\\\n\s*", "", said).replace('"', "").split()
    assert {"--submissions=in", "--year=2027", "--overlay=", "--course="} <= set(words)


# ------------------------------------------------------------------------------- the course


def test_course_keeps_what_an_instructor_changed(coursework, package, tmp_path):
    course = tmp_path / "course"
    said = tool("teach", "--prepare-only", f"--course={course}")
    assert "stays as it is" not in said
    assert (course / "release" / SHEET / f"{SHEET}.ipynb").is_file()
    path = course / "source" / SHEET / f"{SHEET}.ipynb"
    path.write_text(path.read_text("utf-8").replace("# Sheet ", "# My sheet "), "utf-8")
    assert "you changed it" in tool("teach", "--prepare-only", f"--course={course}")
    assert "# My sheet " in path.read_text("utf-8")

    full = classroom.solved(read(package / f"{SHEET}.ipynb"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"ada_{SHEET}.ipynb").write_text(json.dumps(full), "utf-8")
    words = (f"--submissions={tmp_path / 'in'}", f"--output={tmp_path / 'out'}")
    tool("grade", *words, f"--course={course}")
    assert (course / "autograded" / "ada" / SHEET / f"{SHEET}.ipynb").is_file()
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "curse-of-memory") as gradebook:
        submission = gradebook.find_submission(SHEET, "ada")
        assert submission.score == sum(BY_TESTS.values())
        assert submission.needs_manual_grade


def test_command_line(coursework):
    said = coursework.parse(["teach", "--year=", "--overlay=", "--course=", "--no-browser"])
    assert isinstance(said, argparse.Namespace)
    assert (said.year, said.overlay, said.options) == (None, None, ["--no-browser"])
    with pytest.raises(SystemExit):
        coursework.parse(["grade", "--no-such-option=1"])
