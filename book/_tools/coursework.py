"""The sheets of the coursework: `make coursework`, `make grade`, `make teach`.

- `release` writes what students get: their notebooks, a guide, the library as a wheel.
- `grade` grades a folder of notebooks, each in a process and a folder of its own, and writes a
  table and a page of feedback for each.
- `teach` prepares a course folder for nbgrader and opens JupyterLab on it.

The sheets are the notebooks in `book/coursework/source/`. A year changes the seeds of all tests; a
private folder ("overlay") changes hidden tests or whole sheets. See the instructor's guide.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import html
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lab import QUIET, content_hash, write

ROOT = Path(__file__).resolve().parents[2]
COURSEWORK = ROOT / "book" / "coursework"
SOURCE = COURSEWORK / "source"
BUILT = ROOT / "_build" / "coursework"
AT_A_TIME = 2
LARGEST = 10_000_000  # bytes of a notebook that is handed in
MEGABYTE = 1024 * 1024
RUN = "COURSEWORK_RUN"  # in the environment of all that a submission starts
COLUMNS = ("student", "assignment", "problem", "points", "max", "verdict")
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
YEAR_LINE = re.compile(r"^YEAR = \d+", re.MULTILINE)
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n.*?^### END HIDDEN TESTS$", re.M | re.S)
RECORD = ".book-versions.json"
CONFIG = """# Settings of nbgrader for this course; see the instructor's guide of the book.
from pathlib import Path

c = get_config()  # noqa: F821
folder = Path(__file__).resolve().parent
c.CourseDirectory.root = str(folder)
c.CourseDirectory.course_id = "curse-of-memory"
c.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
c.Exchange.root = str(folder / "exchange")
c.Execute.timeout = 60
"""


class Refused(Exception):
    """What was asked for can't be done; the message says why and what to do."""


# ------------------------------------------------------------------------------ the sheets


def sheets() -> list[str]:
    return sorted(path.stem for path in SOURCE.glob("*/*.ipynb") if path.parent.name == path.stem)


def overlay_files(overlay: Path | None) -> dict[tuple[str, str], Path]:
    """Return {(sheet, name of a file): path} of a private folder, or say what is wrong in it."""
    if overlay is None:
        return {}
    if not overlay.is_dir():
        raise Refused(f"OVERLAY={overlay}: there is no such folder")
    found = {}
    for path in sorted(p for p in overlay.rglob("*") if p.is_file() and not p.name.startswith(".")):
        parts = path.relative_to(overlay).parts
        if any(part.startswith(".") for part in parts) or path.suffix == ".md":
            continue
        if len(parts) != 2 or parts[0] not in sheets() or path.suffix not in (".py", ".ipynb"):
            raise Refused(
                f"OVERLAY: {path} is neither SHEET/SHEET.ipynb nor SHEET/TEST-CELL.py with a "
                f"sheet of {', '.join(sheets())}"
            )
        found[parts[0], parts[1]] = path
    return found


def sheet_of(
    sheet: str, year: int | None = None, overlay: Path | None = None, source: Path = SOURCE
) -> dict:
    """Return the master of a sheet with the seeds of a year and a course's own hidden tests."""
    files = overlay_files(overlay)
    path = files.pop((sheet, f"{sheet}.ipynb"), source / sheet / f"{sheet}.ipynb")
    notebook = json.loads(path.read_text("utf-8"))
    cells = {cell.get("id"): cell for cell in notebook["cells"]}
    for (owner, name), own in files.items():
        if owner != sheet:
            continue
        cell = cells.get(Path(name).stem)
        tests = "".join(cell["source"]) if cell else ""
        if not HIDDEN.search(tests):
            raise Refused(f"OVERLAY: {own}: the sheet has no hidden tests {Path(name).stem!r}")
        code = own.read_text("utf-8").strip("\n")
        region = f"### BEGIN HIDDEN TESTS\n{code}\n### END HIDDEN TESTS"
        cell["source"] = [HIDDEN.sub(lambda match, region=region: region, tests)]
    if year is not None:
        first, count = YEAR_LINE.subn(f"YEAR = {year}", "".join(cells["setup"]["source"]))
        if count != 1:
            raise Refused(f"{path}: its cell 'setup' needs one line YEAR = ...")
        cells["setup"]["source"] = [first]
    return notebook


def generate(course: Path, sheet: str) -> None:
    """Write the students' version of a sheet of a course, and the sheet into its gradebook."""
    import grading_box

    try:
        grading_box.generate(course, sheet)
    except grading_box.Failed as error:
        raise Refused(
            f"the sheet {sheet} can't be turned into a students' version:\n{error}"
        ) from None


def prepare(course: Path, masters: dict[str, dict]) -> None:
    """Make a course folder: the sheets, the students' versions, a gradebook."""
    for sheet, master in masters.items():
        text = json.dumps(master, indent=1, ensure_ascii=False)
        write(course / "source" / sheet / f"{sheet}.ipynb", text.encode())
        generate(course, sheet)


# ------------------------------------------------------------------------------ release


def guide_for_students() -> str:
    """Return the student's guide as a file that stands alone: links into the book become words."""
    text = (COURSEWORK / "student-guide.md").read_text("utf-8")
    return re.sub(r"\[([^\]]*)\]\((?![a-z]+:)[^)]*\)", r"*\1*", text)


def build_wheel(target: Path) -> str:
    """Put the library into one file that a student installs; return its name."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / name, folder)
        no_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "curse_lib", Path(folder) / "curse_lib", ignore=no_caches)
        options = "--no-deps --no-build-isolation --no-index --quiet --disable-pip-version-check"
        command = [sys.executable, "-m", "pip", "wheel", *options.split(), "-w", target, folder]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"the library could not be packed:\n{done.stderr[-2000:]}")
    (wheel,) = Path(target).glob("*.whl")
    return wheel.name


def release(arguments: argparse.Namespace) -> None:
    target = arguments.output or BUILT / "release"
    if target.exists() and not target.is_dir():
        raise Refused(f"OUTPUT={target} is a file; name a folder")
    with tempfile.TemporaryDirectory() as folder:
        course, draft = Path(folder) / "course", Path(folder) / "release"
        prepare(course, {s: sheet_of(s, arguments.year, arguments.overlay) for s in sheets()})
        draft.mkdir()
        for sheet in sheets():
            shutil.copy(course / "release" / sheet / f"{sheet}.ipynb", draft)
        wheel = build_wheel(draft)
        (draft / "README.md").write_text(guide_for_students().replace("WHEEL", wheel), "utf-8")
        if target.exists():
            strange = {p.name for p in target.iterdir() if p.suffix != ".whl"}
            strange -= {f"{sheet}.ipynb" for sheet in sheets()} | {"README.md"}
            if strange:
                raise Refused(
                    f"{target} holds other files ({', '.join(sorted(strange))}); name a new folder"
                )
            shutil.rmtree(target)
        shutil.copytree(draft, target)
    print(
        f"The package for students is {shown(target)}: {len(sheets())} sheets, README.md and the "
        "library."
    )


def shown(path: Path) -> str:
    """Return a path as the reader of a message would type it."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


# ------------------------------------------------------------------------------ grade


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in; `refused` says why it can't even be opened."""

    path: Path
    student: str
    sheet: str
    refused: str = ""


def identify(path: Path, folder: Path, known: list[str]) -> Submission:
    """Tell student and sheet from where a notebook lies.

    STUDENT/SHEET.ipynb, STUDENT/SHEET/SHEET.ipynb (nbgrader), SHEET/STUDENT.ipynb, or
    STUDENT_SHEET.ipynb in any folder.
    """
    *folders, _ = path.relative_to(folder).parts
    stem = path.stem
    others = [name for name in folders if name not in known]
    if stem in known:
        student, sheet = others[0] if others else "", stem
    elif match := re.fullmatch(rf"(.+?)[ _-]+({'|'.join(known)})", stem):
        student, sheet = match[1], match[2]
    elif len(inside := [name for name in folders if name in known]) == 1:
        student, sheet = stem, inside[0]
    else:
        why = "its name and folder tell no sheet; call it STUDENT_SHEET.ipynb"
        return Submission(path, others[0] if others else stem, "", why)
    if not student:
        return Submission(path, "", sheet, "its name and folder tell no student")
    if path.is_symlink() or not path.is_file():
        return Submission(path, student, sheet, "it is a link or no file")
    if (size := path.stat().st_size) > LARGEST:
        why = f"the file has {size / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are read"
        return Submission(path, student, sheet, why)
    return Submission(path, student, sheet)


def without_notebook(folder: Path, paths: list[Path], known: list[str]) -> Iterator[Submission]:
    """Yield the folders of students, or of a student's sheet, that hold no notebook."""
    holding = {parent for path in paths for parent in path.parents}
    for path in sorted(set(folder.rglob("*")) - holding - set(paths)):
        if not path.is_dir():
            continue
        *above, last = path.relative_to(folder).parts
        named = [name for name in (*above, last) if name in known]
        others = [name for name in (*above, last) if name not in known]
        of_one = last in known or set(above) <= set(known)
        whole = not any((path / name).is_dir() for name in known)
        if others and of_one and whole and not any(name.startswith(".") for name in others):
            sheet = named[0] if named else ""
            yield Submission(path, others[0], sheet, "its folder holds no notebook (.ipynb)")


def find_submissions(folder: Path, known: list[str]) -> list[Submission]:
    if not folder.is_dir():
        raise Refused(f"SUBMISSIONS={folder}: there is no such folder")
    paths = sorted(
        path
        for path in folder.rglob("*.ipynb")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise Refused(f"SUBMISSIONS={folder}: there are no notebooks (.ipynb) in it")
    found, first = [], {}
    for submission in (identify(path, folder, known) for path in paths):
        key = (submission.student, submission.sheet)
        if submission.sheet and submission.student and key in first:
            why = f"handed in twice; {first[key].relative_to(folder)} was graded"
            submission = Submission(submission.path, *key, why)
        first.setdefault(key, submission.path)
        found.append(submission)
    return sorted([*found, *without_notebook(folder, paths, known)], key=lambda one: one.path)


def processes(mark: str) -> Iterator:
    """Yield the processes of one run, wherever they moved: they carry its mark."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(RUN) == mark:
                yield process


def stop(mark: str) -> None:
    """End all processes of one run; one that is being born is caught by the next round."""
    import psutil

    for _ in range(20):
        running = [p for p in processes(mark) if p.status() != psutil.STATUS_ZOMBIE]
        if not running:
            return
        for process in running:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(running, timeout=0.5)


def memory(pid: int) -> int:
    """Return the bytes that a process and all below it hold."""
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def remove(folder: Path) -> None:
    """Remove a folder, also when someone took away its permissions."""
    for _ in range(3):
        for path, _, _ in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(path).chmod(stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


@dataclass(frozen=True)
class Grader:
    """What all submissions share, none of it open to change by one of them."""

    course: Path
    limits: dict[str, int]
    warm: Path  # caches that a first start would have to compute
    halt: threading.Event  # set when the instructor interrupts

    def environment(self, box: Path, mark: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        for name in ("HOME", "TMPDIR", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            kept[name] = str(box / ("tmp" if name == "TMPDIR" else "home"))
        one = dict.fromkeys(
            (
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "VECLIB_MAXIMUM_THREADS",
            ),
            "1",
        )
        library = {"PYTHONPATH": str(box / "library"), "PYTHONDONTWRITEBYTECODE": "1"}
        return kept | one | library | {"MPLBACKEND": "agg", "JUPYTER_PLATFORM_DIRS": "1", RUN: mark}

    def run(self, submission: Submission, box: Path) -> dict:
        """Grade one submission in a box and return rows, or why there are none."""
        sheet, mark = submission.sheet, uuid.uuid4().hex
        course = box / "course"
        for part in ("source", "release"):
            shutil.copytree(self.course / part / sheet, course / part / sheet)
        shutil.copy(self.course / "gradebook.db", course)
        shutil.copytree(self.warm / "library", box / "library")
        shutil.copytree(self.warm / "home", box / "home")
        (box / "tmp").mkdir()
        shutil.copyfile(submission.path, box / "submission.ipynb")
        (box / "job.json").write_text(json.dumps({"sheet": sheet} | self.limits), "utf-8")
        command = [sys.executable, Path(__file__).with_name("grading_box.py"), box]
        deadline = time.monotonic() + self.limits["total_seconds"]
        stopped = ""
        try:
            with (box / "log.txt").open("wb") as log:
                process = subprocess.Popen(
                    command,
                    cwd=box,
                    env=self.environment(box, mark),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            while not stopped:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.25)
                    break
                if time.monotonic() > deadline:
                    stopped = f"stopped after {self.limits['total_seconds']} s in all"
                elif self.halt.is_set():
                    stopped = "interrupted"
                elif memory(process.pid) > 1.5 * self.limits["memory_bytes"]:
                    stopped = "stopped: out of memory"
        finally:
            stop(mark)
            process.wait()
        if stopped:
            return {"refused": stopped}
        try:
            return json.loads((box / "result.json").read_text("utf-8"))
        except (OSError, ValueError):
            log = (box / "log.txt").read_text("utf-8", errors="replace")
            errors = re.findall(
                r"^(?:[\w.]*(?:Error|Exception|Interrupt|Exit)\b.*)$", log, re.MULTILINE
            )
            why = errors[-1][:200] if errors else "its process ended early"
            return {"refused": f"the grading broke off: {why}"}

    def __call__(self, submission: Submission) -> tuple[Submission, dict, dict[str, str]]:
        """Grade one submission; return also the texts of its pages."""
        if submission.refused:
            return submission, {"refused": submission.refused}, {}
        box = Path(tempfile.mkdtemp(prefix="coursework-"))
        try:
            result = self.run(submission, box)
            pages = {
                name: (box / name).read_text("utf-8")
                for name in ("feedback.html", "graded.ipynb")
                if "rows" in result and (box / name).is_file()
            }
        except Exception as error:  # the rest of the class is graded still
            result, pages = (
                {"refused": f"the grading broke off: {type(error).__name__}: {error}"},
                {},
            )
        finally:
            remove(box)
        return submission, result, pages


def warm_up(folder: Path) -> None:
    """Make what every box starts with: a compiled library, a home with the list of fonts."""
    shutil.copytree(ROOT / "curse_lib", folder / "library" / "curse_lib")
    (folder / "home").mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(folder / "library"),
        "MPLCONFIGDIR": str(folder / "home"),
    }
    command = [sys.executable, "-c", "import curse_lib, matplotlib.font_manager"]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def problem_of(cell: str) -> str:
    return re.sub(r"-(visible|hidden)$", "", cell)


def table(submission: Submission, result: dict, points: dict[str, float]) -> list[dict]:
    """Return the rows of one submission: its problems, then the whole sheet."""
    base = {"student": submission.student, "assignment": submission.sheet}
    whole = base | {"problem": "sheet", "points": 0, "max": sum(points.values())}
    if "refused" in result:
        rows = [
            base | {"problem": name, "points": 0, "max": most, "verdict": "not graded"}
            for name, most in points.items()
        ]
        return [*rows, whole | {"verdict": f"not graded: {result['refused']}"}]
    problems: dict[str, dict] = {}
    for row in result["rows"]:
        if row["cell"] == "setup":
            if row["verdict"] != "passed":
                result["notes"].append(f"the first cell {row['verdict']}")
            continue
        name = problem_of(row["cell"])
        entry = problems.setdefault(
            name, base | {"problem": name, "points": 0, "max": 0, "verdict": []}
        )
        entry["max"] += row["max"]
        if row["points"] is None:
            entry["points"] = ""
        else:
            entry["points"] += row["points"]
        if row["verdict"] not in entry["verdict"] and row["verdict"] != "passed":
            entry["verdict"].append(row["verdict"])
    for entry in problems.values():
        entry["verdict"] = "; ".join(entry["verdict"]) or "passed"
    by_hand = sum(entry["max"] for entry in problems.values() if entry["points"] == "")
    whole["points"] = sum(entry["points"] or 0 for entry in problems.values())
    waiting = f"{by_hand:g} points wait to be given by hand" if by_hand else "graded"
    return [*problems.values(), whole | {"verdict": "; ".join([waiting, *result["notes"]])}]


def points_of(sheet: dict) -> dict[str, float]:
    """Return {problem: points} of a sheet."""
    found: dict[str, float] = {}
    for cell in sheet["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        if mark.get("grade") and mark["grade_id"] != "setup":
            name = problem_of(mark["grade_id"])
            found[name] = found.get(name, 0) + mark["points"]
    return found


def safe(name: str) -> str:
    """Return a name that is one part of a path, and of no other folder."""
    return re.sub(r"[^\w.@+-]+", "_", name).lstrip(".") or "_"


def cell_text(value: object) -> object:
    """Return a value that a spreadsheet shows as it is, and does not take for a formula."""
    text = " ".join(str(value).split()) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@") else text


def summary(submission: Submission, rows: list[dict]) -> str:
    """Return what a page says first: whose it is, and a line for each problem."""
    name = html.escape(f"{submission.student}: {submission.sheet or submission.path.name}")
    lines = ""
    for row in rows:
        points = "–" if row["points"] == "" else f"{row['points']:g}"
        problem, verdict = html.escape(row["problem"]), html.escape(str(row["verdict"]))
        lines += (
            f"<tr><td>{problem}</td>"
            f'<td style="white-space: nowrap">{points} of {row["max"]:g}</td>'
            f'<td style="overflow-wrap: anywhere">{verdict}</td></tr>'
        )
    return (
        '<div class="container" style="font-family: sans-serif">'
        f'<h3 style="overflow-wrap: anywhere">{name}</h3>'
        f'<table class="table" cellpadding="6">{lines}</table></div>'
    )


#: What nbconvert writes to fetch MathJax from the network, and what takes its place.
REMOTE_MATH = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.S)
LOCAL_MATH = """<script>
MathJax = {tex: {inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]], processEscapes: true, tags: "ams"}};
</script>
<script src="mathjax/tex-svg.js" defer></script>"""


def feedback_page(submission: Submission, rows: list[dict], graded: str = "") -> str:
    """Return a page of feedback: the summary, then the graded notebook if there is one."""
    name = html.escape(f"{submission.student}: {submission.sheet or submission.path.name}")
    head = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    top = summary(submission, rows if graded else rows[-1:])
    if graded:
        graded = re.sub(
            r"<title>.*?</title>", lambda _: f"{head}<title>{name}</title>", graded, count=1
        )
        graded = REMOTE_MATH.sub(lambda _: LOCAL_MATH, graded, count=1)
        return graded.replace("<body>", f"<body>{top}", 1)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{head}<title>{name}</title>'
        f"{top}</html>\n"
    )


def publish(output: Path, one: Submission, result: dict, pages: dict, rows: list[dict]) -> None:
    """Write the page of feedback; of two notebooks for one sheet, that of the graded one."""
    if "handed in twice" not in result.get("refused", ""):
        name = f"{safe(one.student or one.path.stem)}_{one.sheet or safe(one.path.stem)}.html"
        page = feedback_page(one, rows, pages.get("feedback.html", ""))
        write(output / "feedback" / name, page.encode())


def keep_table(path: Path) -> Path | None:
    """Rename the table of an earlier call, which may hold points by hand; return its new name."""
    if not path.exists():
        return None
    written = time.strftime("%Y-%m-%d-%H%M%S", time.localtime(path.stat().st_mtime))
    return path.replace(path.with_name(f"grades-{written}.csv"))


def into_course(course: Path, submission: Submission, result: dict, notebook: str) -> None:
    """Put a graded notebook and its points into the gradebook of a course folder."""
    import warnings

    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SAWarning

    warnings.simplefilter("ignore", SAWarning)  # of nbgrader's own ways
    sheet, student = submission.sheet, safe(submission.student)
    for part, data in (
        ("submitted", submission.path.read_bytes()),
        ("autograded", notebook.encode()),
    ):
        target = course / part / student / sheet / f"{sheet}.ipynb"
        if part == "autograded" or not target.exists():
            write(target, data)
    rows = {row["cell"]: row for row in result["rows"]}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}", "curse-of-memory") as gradebook:
        gradebook.update_or_create_student(student)
        entry = gradebook.update_or_create_submission(sheet, student)
        for grade in entry.notebooks[0].grades:
            row = rows[grade.name]
            grade.auto_score = row["points"]
            grade.needs_manual_grade = row["points"] is None and grade.manual_score is None
        gradebook.db.commit()


def grade(arguments: argparse.Namespace) -> None:
    from offline_math import copy_mathjax

    if arguments.submissions is None:
        raise Refused("say which folder: make grade SUBMISSIONS=folder")
    started = time.monotonic()
    output = arguments.output or BUILT / "grades"
    if output.exists() and not output.is_dir():
        raise Refused(f"OUTPUT={output} is a file; name a folder")
    submissions = find_submissions(arguments.submissions, sheets())
    wanted = sorted({s.sheet for s in submissions if s.sheet})
    if arguments.course and not (arguments.course / "gradebook.db").is_file():
        raise Refused(f"COURSE={arguments.course}: no course is there; make teach prepares one")
    limits = {
        "cell_seconds": arguments.cell_seconds,
        "total_seconds": arguments.total_seconds,
        "memory_bytes": arguments.memory_mb * MEGABYTE,
        "file_bytes": arguments.file_mb * MEGABYTE,
        "output_bytes": arguments.output_kb * 1024,
    }
    source = arguments.course / "source" if arguments.course else SOURCE
    masters = {s: sheet_of(s, arguments.year, arguments.overlay, source) for s in wanted}
    for other in set(sheets()) - set(wanted) if arguments.overlay else ():
        sheet_of(other, overlay=arguments.overlay)  # a misspelt name is refused here too
    copy_mathjax(output / "feedback" / "mathjax")
    all_rows = []
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder)
        prepare(shared / "course", masters)
        warm_up(shared / "warm")
        grader = Grader(shared / "course", limits, shared / "warm", threading.Event())
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            try:
                for number, (one, result, pages) in enumerate(pool.map(grader, submissions), 1):
                    rows = table(one, result, points_of(masters[one.sheet]) if one.sheet else {})
                    all_rows += rows
                    publish(output, one, result, pages, rows)
                    if arguments.course and "rows" in result:
                        into_course(arguments.course, one, result, pages["graded.ipynb"])
                    who = f"{one.student or '?'}, {one.sheet or one.path.name}"
                    said = f"{rows[-1]['points']:g} of {rows[-1]['max']:g} points"
                    counted = f"[{number}/{len(submissions)}]"
                    print(f"{counted} {who}: {said}; {rows[-1]['verdict']}", flush=True)
            except BaseException:
                grader.halt.set()
                pool.shutdown(cancel_futures=True)
                raise
    kept = keep_table(output / "grades.csv")
    with (output / "grades.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({k: cell_text(v) for k, v in row.items()} for row in all_rows)
    if kept:
        print(f"The table that was there is now {shown(kept)}.")
    number = sum(one.path.is_file() for one in submissions)
    count = "1 notebook" if number == 1 else f"{number} notebooks"
    print(
        f"{count} in {time.monotonic() - started:.0f} s. The points are in "
        f"{shown(output / 'grades.csv')}, the pages of feedback in {shown(output / 'feedback')}."
    )


# ------------------------------------------------------------------------------ teach


def update_course(course: Path, year: int | None, overlay: Path | None) -> list[str]:
    """Bring a course folder up to date; return a message for each sheet that was left alone."""
    record_file = course / "source" / RECORD
    record = json.loads(record_file.read_text("utf-8")) if record_file.exists() else {}
    messages = []
    if not (course / "nbgrader_config.py").exists():
        write(course / "nbgrader_config.py", CONFIG.encode())
    for sheet in sheets():
        path = course / "source" / sheet / f"{sheet}.ipynb"
        data = json.dumps(sheet_of(sheet, year, overlay), indent=1, ensure_ascii=False).encode()
        version = content_hash(data, ".ipynb")
        present = content_hash(path.read_bytes(), ".ipynb") if path.exists() else None
        if present not in (None, version, record.get(sheet)):
            messages.append(f"{shown(path)}: you changed it, so it stays as it is.")
            continue
        if present != version:
            write(path, data)
            generate(course, sheet)
        record[sheet] = version
    write(record_file, json.dumps(record, indent=1).encode())
    (course / "exchange").mkdir(exist_ok=True)
    return messages


def teach(arguments: argparse.Namespace) -> None:
    course = (arguments.course or ROOT / "course").resolve()
    for message in update_course(course, arguments.year, arguments.overlay):
        print(message)
    print(
        f"The course is in {shown(course)}. In JupyterLab: menu Nbgrader, Formgrader.", flush=True
    )
    if arguments.prepare_only:
        return
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={course}"]
    os.chdir(course)
    os.execv(sys.executable, [*command, *QUIET, *arguments.options])


# ------------------------------------------------------------------------------ the command


def whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def parse(words: list[str]) -> argparse.Namespace:
    # `make` passes options that were not said as empty words.
    words = [word for word in words if not re.fullmatch(r"--[a-z-]+=", word)]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, action in (("release", release), ("grade", grade), ("teach", teach)):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        command.add_argument("--year", type=whole, help="seeds of the tests; default as stored")
        command.add_argument("--overlay", type=Path, help="folder of a course's own hidden tests")
        if name != "teach":
            command.add_argument("--output", type=Path, help="where to write")
        if name != "release":
            command.add_argument("--course", type=Path, help="nbgrader's course folder")
    grading, teaching = commands.choices["grade"], commands.choices["teach"]
    grading.add_argument("--submissions", type=Path, help="folder with the notebooks")
    for option, default, help_text in (
        ("cell-seconds", 60, "time of one cell"),
        ("total-seconds", 600, "time of one notebook"),
        ("memory-mb", 3072, "memory of one process"),
        ("file-mb", 50, "size of a file that a notebook writes"),
        ("output-kb", 1000, "output of one cell"),
    ):
        grading.add_argument(f"--{option}", type=whole, default=default, help=help_text)
    teaching.add_argument("--prepare-only", action="store_true", help="open nothing")
    arguments, arguments_left = parser.parse_known_args(words)
    if arguments_left and arguments.command != "teach":
        parser.error(f"unknown: {' '.join(arguments_left)}")
    arguments.options = arguments_left
    return arguments


def main() -> None:
    arguments = parse(sys.argv[1:])
    # nbgrader starts a program of its own environment.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # Whoever ends this process, or closes its terminal, ends what it started too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        if find_spec("nbgrader") is None:
            raise Refused(
                "nbgrader is not installed here; make coursework installs it, or "
                "python -m pip install -c constraints.txt -e '.[teach]'"
            )
        arguments.action(arguments)
    except Refused as error:
        sys.exit(f"Not done: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing that was started is left.")


if __name__ == "__main__":
    main()
