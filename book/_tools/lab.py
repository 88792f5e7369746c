"""Open your own copy of the chapters in JupyterLab: `make lab`.

The copy is the folder `lab/`. It is yours: run, change and save what you like. Call the command
again after the book has changed, and

- new files are added;
- files that you have not changed are brought up to date (a notebook that you only ran counts as
  not changed: its outputs go, and running it brings them back);
- files that you have changed stay as they are, and the book's new version is put beside, as
  `NAME.new.ipynb`.

Nothing that you wrote is ever overwritten or removed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# JupyterLab neither asks about its news nor looks for newer versions of itself on the network.
QUIET = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
GLUED = re.compile(rb"\{glue:text\}`([a-z0-9-]+)[^`]*`")
RECORD = ".book-versions.json"  # in the copy: which version of each file was copied last


def for_lab(path: Path) -> bytes:
    """Return a file as the copy holds it.

    The site puts computed numbers into sentences. JupyterLab can't; it would show the whole code
    of such a place, so the copy has the number's name there, which the cell above prints.
    """
    data = path.read_bytes()
    return GLUED.sub(rb"`\1`", data) if path.suffix == ".ipynb" else data


def content_hash(data: bytes, suffix: str) -> str:
    """Hash what a file says; of a notebook only its cells, without outputs and counts."""
    if suffix == ".ipynb":
        try:
            cells = json.loads(data)["cells"]
            said = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
            data = json.dumps(said).encode()
        except (ValueError, KeyError, TypeError):
            pass  # not a notebook that we can read: compare it byte by byte
    return hashlib.sha256(data).hexdigest()


def book_files(book: Path) -> list[Path]:
    """Return the files of the book that a reader works with, relative to the book's folder."""
    return sorted(
        path.relative_to(book)
        for path in book.rglob("*")
        if path.is_file()
        and path.suffix != ".toml"  # settings of the book's own tools
        and path.relative_to(book).parts[:2] != ("coursework", "source")  # solutions
        and not any(part.startswith((".", "_")) for part in path.relative_to(book).parts)
    )


def write(target: Path, data: bytes) -> None:
    """Write a file in one step, so that an interruption leaves the old or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.draft")
    draft.write_bytes(data)
    draft.replace(target)


def free_name(target: Path, data: bytes) -> Path:
    """Return NAME.new.SUFFIX, or NAME.new2.SUFFIX, ...: the first that would lose nothing."""
    number = 1
    while True:
        mark = ".new" if number == 1 else f".new{number}"
        candidate = target.with_name(f"{target.stem}{mark}{target.suffix}")
        if not candidate.exists() or candidate.read_bytes() == data:
            return candidate
        number += 1


def update_copy(book: Path, copy: Path) -> list[str]:
    """Bring the copy up to date and return one message for each file that needs a look."""
    record_file = copy / RECORD
    record = json.loads(record_file.read_text("utf-8")) if record_file.exists() else {}
    messages = []
    for name in book_files(book):
        source, target = book / name, copy / name
        data = for_lab(source)
        version = content_hash(data, name.suffix)
        copied = record.get(name.as_posix())
        if not target.exists():
            write(target, data)
        elif (present := content_hash(target.read_bytes(), name.suffix)) != version:
            if present == copied:
                write(target, data)
            elif copied != version:
                beside = free_name(target, data)
                write(beside, data)
                messages.append(
                    f"{target.relative_to(copy)}: you changed it, so it stays. "
                    f"The book's new version is {beside.relative_to(copy)}."
                )
        record[name.as_posix()] = version
    write(record_file, json.dumps(record, indent=1).encode())
    return messages


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Open your own copy of the chapters in JupyterLab.",
        epilog="Further options go to JupyterLab, for example --no-browser or --port=9999.",
    )
    parser.add_argument("--copy-only", action="store_true", help="update lab/, open nothing")
    arguments, options = parser.parse_known_args()
    copy = ROOT / "lab"
    for message in update_copy(ROOT / "book", copy):
        print(message)
    print("Your copy of the chapters is in lab/. What you change there stays.", flush=True)
    if arguments.copy_only:
        return
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={copy}"]
    command += ["--LabApp.default_url=/lab/tree/intro.ipynb", *QUIET, *options]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
