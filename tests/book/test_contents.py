"""The table of contents, the links between pages, the data, and what tracked files may say."""

from __future__ import annotations

import re
from collections import Counter

import contents
import pytest
import rules
from contents import BOOK, ROOT

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def pages_on_disk():
    return sorted(
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in BOOK.rglob("*")
        if path.suffix in (".md", ".ipynb")
        and not any(part.startswith(("_", ".")) for part in path.relative_to(BOOK).parts)
        and path.relative_to(BOOK).parts[0] != "data"
        and not path.is_relative_to(contents.MASTERS)
    )


def source_of(page):
    found = [path for suffix in (".md", ".ipynb") if (path := ROOT / f"{page}{suffix}").exists()]
    assert len(found) == 1, f"{page} of _toc.yml must be one file, .md or .ipynb; found {found}"
    return found[0]


def test_table_of_contents_lists_each_page_once():
    repeated = [page for page, count in Counter(contents.pages()).items() if count > 1]
    assert not repeated
    assert sorted(contents.pages()) == pages_on_disk()


def test_chapters_are_notebooks():
    assert contents.chapters()
    assert not [path for path in contents.chapters() if not path.exists()]


@pytest.mark.parametrize("page", contents.pages())
def test_links_lead_to_files(page):
    source = source_of(page)
    is_notebook = source.suffix == ".ipynb"
    text = rules.markdown(contents.read(source)) if is_notebook else source.read_text("utf-8")
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:|#", target):
            continue
        path = (source.parent / target.split("#")[0]).resolve()
        assert path.exists(), f"{page} links to {target}, which is not there"


def test_markdown_pages_hold_no_code_to_execute():
    for page in contents.pages():
        source = source_of(page)
        if source.suffix == ".md":
            assert "{code-cell}" not in source.read_text("utf-8"), f"{page}: use a notebook"


def test_data_has_source_and_licence():
    for path in (BOOK / "data").rglob("*"):
        if path.is_dir() or path.suffix == ".md" or path.stem.lower().startswith("licen"):
            continue
        notes = "\n".join(p.read_text("utf-8") for p in path.parent.glob("*.md"))
        name = path.relative_to(ROOT)
        assert path.name in notes, f"{name}: a .md file beside it must say where it comes from"
        assert re.search(r"licen[cs]e", notes, re.IGNORECASE), f"{name}: say its licence"


# --------------------------------------------------------------------------- tracked files

# Written in parts, so that this file itself passes.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work)" + r"/\w|[A-Z]:\\Users")
REGISTRY = re.compile("python" + r"hosted\.org|py" + r"pi\.org/simple|registry\.npm" + "js")
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + "ME|XX" + r"X)\b|[Ll]orem " + "ipsum")
FORBIDDEN = {
    "a path of one machine": MACHINE_PATH,
    "the host of a package registry": REGISTRY,
    "a mark of unfinished work": UNFINISHED,
}


@pytest.mark.parametrize(("what", "pattern"), FORBIDDEN.items(), ids=FORBIDDEN.keys())
def test_tracked_files_do_not_hold(what, pattern):
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in contents.tracked_texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (MACHINE_PATH, "open('/" + "home/me/data.csv')"),
        (MACHINE_PATH, "see /" + "Users/me"),
        (REGISTRY, "https://files.python" + "hosted.org/x"),
        (UNFINISHED, "# TO" + "DO later"),
        (UNFINISHED, "Lorem " + "ipsum"),
    ],
)
def test_patterns_notice(pattern, line):
    assert pattern.search(line)


def test_no_built_or_private_file_is_tracked():
    built = re.compile(r"(^|/)(_build|lab|\.venv|__pycache__|\.ipynb_checkpoints)/|\.pyc$")
    names = [contents.name(path) for path in contents.tracked_files()]
    assert not [name for name in names if built.search(name)]


def test_no_folder_is_called_static():
    # Jupyter Book would load every script in it on every page.
    assert not (ROOT / "_static").exists()


def test_no_large_file_is_tracked():
    large = [contents.name(p) for p in contents.tracked_files() if p.stat().st_size > 2_000_000]
    assert not large
