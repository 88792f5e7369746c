"""What the book consists of: its table of contents, its notebooks, the files of the repository."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
MASTERS = BOOK / "coursework" / "source"
TEMPLATE = BOOK / "_template" / "chapter.ipynb"


def toc() -> dict:
    return yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))


def entries(node: dict, numbered: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield (page, whether it is a chapter) of the table of contents, in order."""
    if "root" in node or "file" in node:
        yield node.get("root") or node["file"], numbered
    numbered = bool(node.get("numbered", numbered))
    for key in ("parts", "chapters", "sections"):
        for child in node.get(key, []):
            yield from entries(child, numbered)


def pages() -> list[str]:
    return [page for page, _ in entries(toc())]


def chapters() -> list[Path]:
    """Return the notebooks of the numbered parts."""
    return [ROOT / f"{page}.ipynb" for page, numbered in entries(toc()) if numbered]


def notebooks() -> list[Path]:
    """Return every notebook of the book, the template and the sheets of the coursework too."""
    found = BOOK.rglob("*.ipynb")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)


def masters() -> list[Path]:
    """Return the sheets of the coursework, with their solutions: no pages of the site."""
    return [path for path in notebooks() if path.is_relative_to(MASTERS)]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8"))


def tracked_files() -> list[Path]:
    """Return the files that are, or would be, in the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: there is no list of tracked files")
    paths = (ROOT / item for item in listed.decode().split("\0") if item)
    return [path for path in paths if path.is_file()]


def tracked_texts() -> list[tuple[str, str]]:
    """Return (name, text) of the tracked files that are text."""
    found = []
    for path in tracked_files():
        try:
            found.append((name(path), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return found
