"""Grade one notebook inside a folder of its own: what `coursework.py` starts for each submission.

The folder ("box") holds `submission.ipynb`, a course folder with the sheet and a gradebook of its
own, and `job.json`. This process sets its limits first, then calls nbgrader, which starts the
kernel; both inherit the limits. It leaves `result.json`, the graded notebook and a page of
feedback. Whoever started this process stops it when it takes too long.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import resource
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_async, run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateAssignment, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import Execute
from nbgrader.utils import is_grade, is_solution
from traitlets import Integer
from traitlets.config import Config

STUDENT = "student"  # inside a box there is one, and a name cannot do harm
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
LIVES = 4  # kernels that a notebook may use up
PATIENCE = 10  # seconds that a kernel has to answer after an interruption
HIDDEN = "### BEGIN HIDDEN TESTS"
YEAR = re.compile(r"^YEAR = (\d+)", re.MULTILINE)
ODD = {
    "CellTimeoutError": "took too long",
    "KernelDied": "ended the kernel",
    "MemoryError": "ran out of memory",
    "TooMuchOutput": "printed too much",
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Unreadable(Exception):
    """The file that was handed in is no notebook."""


class Failed(Exception):
    """nbgrader gave up; the message is the end of what it logged."""


# ------------------------------------------------------------------------- nbgrader's folders


def course_config(folder: Path, sheet: str = "", *, limits: dict | None = None) -> Config:
    """Return nbgrader's settings for a course folder."""
    config = Config()
    config.CourseDirectory.root = str(folder)
    config.CourseDirectory.course_id = "curse-of-memory"
    config.CourseDirectory.db_url = f"sqlite:///{folder / 'gradebook.db'}"
    config.CourseDirectory.assignment_id = sheet
    if limits:
        config.CarefulExecute.timeout = limits["cell_seconds"]
        config.CarefulExecute.output_limit = limits["output_bytes"]
    return config


def convert(kind: type, config: Config, student: str = "*") -> None:
    """Run one of nbgrader's converters on one sheet of a course folder."""
    config.CourseDirectory.student_id = student
    converter = kind(coursedir=CourseDirectory(config=config), config=config)
    converter.force = True
    with io.StringIO() as said:
        handler = logging.StreamHandler(said)
        handler.setLevel(logging.ERROR)
        converter.log.addHandler(handler)
        try:
            converter.start()
        except NbGraderException:
            lines = [
                line for line in said.getvalue().splitlines() if re.match(r"\w+(\.\w+)*: ", line)
            ]
            raise Failed(ANSI.sub("", lines[0] if lines else said.getvalue()[-1000:])) from None
        finally:
            converter.log.removeHandler(handler)


def generate(folder: Path, sheet: str) -> None:
    """Write the students' version of a sheet, and the sheet into the gradebook."""
    convert(GenerateAssignment, course_config(folder, sheet), ".")


# ------------------------------------------------------------------------- the submission


def read_submission(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of any version, or say what the file is instead."""
    data = path.read_bytes()
    if not data.strip():
        raise Unreadable("the file is empty")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not a valid notebook: {type(error).__name__}, {error}") from None
    if not isinstance(found, dict) or not ("cells" in found or "worksheets" in found):
        raise Unreadable("not a valid notebook: it has no list of cells")
    try:
        notebook = nbformat.reads(json.dumps(found), as_version=4)  # in any Unicode encoding
        for cell in notebook.cells:
            cell.metadata = nbformat.from_dict(dict(cell.get("metadata", {})))
            cell.source = str(cell.get("source", ""))
        return notebook
    except Exception as error:  # whatever a malformed file makes the reader do
        raise Unreadable(f"not a valid notebook: {type(error).__name__}, {error}") from None


def grade_id(cell: nbformat.NotebookNode) -> str | None:
    mark = cell.metadata.get("nbgrader")
    return mark.get("grade_id") if isinstance(mark, dict) else None


def mend(notebook: nbformat.NotebookNode, sheet: nbformat.NotebookNode) -> list[str]:
    """Put back in place what the grader needs of the sheet, and say what was done.

    Marks of cells come from the sheet; a cell that lost its mark is known by its id. Cells that
    are missing, and the cell of the helpers, are put back behind the cell before them. Tags go: one
    of them would keep the tests from being run.
    """
    notes, wanted = (
        [],
        {
            cell.metadata.nbgrader.grade_id: cell
            for cell in sheet.cells
            if "nbgrader" in cell.metadata
        },
    )
    kernel = notebook.metadata.get("kernelspec") or KERNEL
    name = kernel.get("name") if isinstance(kernel, dict) else kernel
    if name != KERNEL["name"]:
        notes.append(f"its kernel was {str(name)[:40]!r}; it was run with Python 3")
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    present: dict[str, Any] = {}
    for cell in notebook.cells:
        mark = grade_id(cell) or cell.get("id")
        cell.metadata = nbformat.from_dict({})
        if mark in wanted and mark not in present:
            cell.metadata.nbgrader = nbformat.from_dict(dict(wanted[mark].metadata.nbgrader))
            present[mark] = cell
    years = [YEAR.findall(cells["setup"].source) for cells in (present, wanted) if "setup" in cells]
    if len(years) == 2 and years[0] and years[0] != years[1]:
        notes.append(f"a sheet of {years[0][0][:9]}, graded with YEAR={years[1][0]}")
    missing = [mark for mark in wanted if mark not in present]
    if missing:
        notes.append(f"missing cells were put back: {', '.join(missing)}")
    position = 0
    for mark, cell in wanted.items():
        if mark not in present or mark == "setup":
            if mark in present:
                notebook.cells.remove(present[mark])
            notebook.cells.insert(position, nbformat.from_dict(dict(cell)))
            present[mark] = notebook.cells[position]
        position = 1 + next(i for i, c in enumerate(notebook.cells) if c is present[mark])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notes


# ------------------------------------------------------------------------- the execution


class CarefulExecute(Execute):
    """nbgrader's execution, which a kernel that hangs, dies or prints without end can't stop.

    What ran before keeps its outputs. For the cells after it a new kernel takes over, in which
    the cells without points that went well run again. So it does where a cell ran out of memory:
    what that cell keeps would starve the next ones. After `LIVES` dead kernels the rest is not run.
    """

    output_limit = Integer(1_000_000, help="Bytes of output that a cell may have").tag(config=True)
    lost, deaths = "", 0

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type != "code":
            return cell, resources
        if self.lost:
            cell.outputs = [self.error("NotRun", self.lost)]
            return cell, resources
        self.written, self.slow, died = 0, False, ""
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except DeadKernelError:
            died = "the kernel died (memory, or a crash)"
        except CellTimeoutError:
            self.slow = True
        if self.slow and not died and not run_sync(self.answers)():
            died = "the kernel did not heed an interruption and was stopped"
        if died:
            cell.outputs = [*cell.get("outputs", []), self.error("KernelDied", died)]
            self.deaths += 1
        if died or has_error(cell, "MemoryError"):
            self.renew(index, resources)
        if self.written > self.output_limit:
            said = f"more than {self.output_limit} bytes of output; the rest was dropped"
            cell.outputs.append(self.error("TooMuchOutput", said))
        return cell, resources

    def renew(self, index: int, resources) -> None:
        """Go on with a new kernel, brought to the state before this cell; or give up."""
        try:
            if self.deaths >= LIVES:
                raise DeadKernelError(f"{LIVES} kernels died")
            run_sync(self.km.restart_kernel)(now=True)
            run_sync(self.kc.wait_for_ready)(timeout=60)
            for number, cell in enumerate(self.nb.cells[:index]):
                needed = cell.cell_type == "code" and (
                    grade_id(cell) == "setup" or not is_grade(cell)
                )
                if needed and not first_error(cell):
                    super().preprocess_cell(cell, resources, number)
        except (DeadKernelError, CellTimeoutError, RuntimeError) as error:
            self.lost = f"not run, since the cells before it could not be run ({error})"[:200]

    @staticmethod
    def error(name: str, said: str) -> nbformat.NotebookNode:
        return nbformat.v4.new_output(
            "error", ename=name, evalue=said, traceback=[f"{name}: {said}"]
        )

    def _get_timeout(self, cell):
        # The first cell imports the library; on a busy machine that takes its time.
        return max(self.timeout, 120) if cell and grade_id(cell) == "setup" else self.timeout

    async def _async_handle_timeout(self, timeout, cell=None):
        self.slow = True
        reply = await super()._async_handle_timeout(timeout, cell)
        reply["content"]["evalue"] = f"stopped after {timeout} s"
        return reply

    async def answers(self) -> bool:
        """Tell whether the kernel is ready for the next cell."""
        question = await ensure_async(self.kc.kernel_info())
        with contextlib.suppress(Exception):  # an empty channel, a kernel that is gone
            while True:
                reply = await ensure_async(self.kc.shell_channel.get_msg(timeout=PATIENCE))
                if reply["parent_header"].get("msg_id") == question:
                    return True
        return False

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, AttributeError):
            os.kill(self.km.provisioner.process.pid, number)

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            size = len(json.dumps(msg["content"], default=str))
            before, self.written = self.written, self.written + size
            if self.written > self.output_limit:
                if before <= self.output_limit:
                    self.signal(signal.SIGINT)
                return None
        return super().process_message(msg, cell, cell_index)


class CarefulAutograde(Autograde):
    """nbgrader's autograder with the execution above."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.autograde_preprocessors = [
            CarefulExecute if kind is Execute else kind for kind in self.autograde_preprocessors
        ]


# ------------------------------------------------------------------------- the result


def first_error(cell: nbformat.NotebookNode) -> tuple[str, str] | None:
    """Return name and message of what went wrong in a cell."""
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            return output.ename, ANSI.sub("", output.evalue).strip()
    return None


def has_error(cell: nbformat.NotebookNode, name: str) -> bool:
    errors = [out for out in cell.get("outputs", []) if out.output_type == "error"]
    return any(out.ename == name for out in errors)


def verdict(cell: nbformat.NotebookNode, points: float | None, most: float) -> str:
    """Say in a line how a cell with points went."""
    error = first_error(cell)
    if points is None:
        return "by hand"
    if is_solution(cell):
        return "not answered"
    if error is None:
        return "passed" if points == most else "failed: the cell of the tests wrote to stderr"
    name, said = error
    if name == "NotImplementedError":
        return "not answered"
    if name == "CellTimeoutError":
        return f"failed: {said}"
    if name == "MemoryError":
        return "failed: out of memory"
    return f"failed: {said[:300]}" if name == "AssertionError" else f"failed: {name}: {said[:300]}"


def hide(graded: nbformat.NotebookNode, sheet: nbformat.NotebookNode) -> None:
    """Show of hidden tests what they complained of, and not their code."""
    shown = {
        cell.metadata.nbgrader.grade_id: cell for cell in sheet.cells if "nbgrader" in cell.metadata
    }
    for cell in graded.cells:
        if cell.cell_type == "code" and HIDDEN in cell.source:
            cell.source = shown[grade_id(cell)].source
            for output in cell.outputs:
                if output.output_type == "error":
                    output.traceback = [f"{output.ename}: {output.evalue}"]


def grade(box: Path, job: dict) -> dict:
    """Grade the submission in a box and return what there is to tell."""
    sheet, course = job["sheet"], box / "course"
    released = nbformat.read(course / "release" / sheet / f"{sheet}.ipynb", as_version=4)
    notebook = read_submission(box / "submission.ipynb")
    notes = mend(notebook, released)
    handed_in = course / "submitted" / STUDENT / sheet / f"{sheet}.ipynb"
    handed_in.parent.mkdir(parents=True)
    nbformat.write(notebook, handed_in)
    config = course_config(course, sheet, limits=job)
    convert(CarefulAutograde, config, STUDENT)

    path = course / "autograded" / STUDENT / sheet / f"{sheet}.ipynb"
    graded = nbformat.read(path, as_version=4)
    cells = {grade_id(cell): cell for cell in graded.cells if is_grade(cell)}
    rows = []
    with Gradebook(config.CourseDirectory.db_url) as gradebook:
        for entry in gradebook.find_submission_notebook(sheet, sheet, STUDENT).grades:
            cell, points, most = cells[entry.name], entry.auto_score, entry.max_score
            rows.append(
                {
                    "cell": entry.name,
                    "points": points,
                    "max": most,
                    "by_hand": is_solution(cell),
                    "verdict": verdict(cell, points, most),
                }
            )
    (box / "graded.ipynb").write_text(nbformat.writes(graded), "utf-8")
    for name, said in ODD.items():
        if count := sum(has_error(cell, name) for cell in graded.cells):
            notes.append(f"{count} {'cell' if count == 1 else 'cells'} {said}")
    order = {mark: i for i, mark in enumerate(map(grade_id, graded.cells))}
    hide(graded, released)
    # The helpers of the tests say nothing to a student, unless they failed.
    graded.cells = [c for c in graded.cells if grade_id(c) != "setup" or first_error(c)]
    path.chmod(0o644)
    nbformat.write(graded, path)
    convert(GenerateFeedback, config, STUDENT)
    page = course / "feedback" / STUDENT / sheet / f"{sheet}.html"
    page.replace(box / "feedback.html")
    rows.sort(key=lambda row: order[row["cell"]])
    return {"rows": rows, "notes": notes}


def limit(job: dict) -> None:
    """Set the limits of this process and of all that it starts."""
    wanted = {
        "RLIMIT_AS": job["memory_bytes"],
        "RLIMIT_FSIZE": job["file_bytes"],
        "RLIMIT_CPU": 2 * job["total_seconds"],
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS has no limit of memory
            resource.setrlimit(kind, (value, value))


def main() -> None:
    box = Path(sys.argv[1])
    job = json.loads((box / "job.json").read_text("utf-8"))
    limit(job)
    tempfile.tempdir = str(box / "tmp")
    try:
        result = grade(box, job)
    except Unreadable as error:
        result = {"refused": str(error)[:300]}
    except Failed as error:
        result = {"refused": f"nbgrader gave up: {str(error)[:300]}"}
    draft = box / "result.draft"
    draft.write_text(json.dumps(result), "utf-8")
    draft.replace(box / "result.json")


if __name__ == "__main__":
    main()
