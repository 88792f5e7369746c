"""Sphinx extension: typeset the formulas without the network.

The wheel `sphinx-mathjax-offline` carries MathJax 3 as one file, `tex-svg.js`. This extension
copies that file into the site, with its licence, which the wheel lacks; the grader of the
coursework copies it beside the pages of feedback. The wheel's own Sphinx extension stays off: it
would copy all of MathJax, more than ten times as much.

The file draws its own glyphs, so that it needs no fonts, and it also works on pages that are
opened from a folder. It cannot fetch the rare TeX extensions (colour, cancel, braket, ...):
formulas keep to base TeX and the AMS packages.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from sphinx.errors import ExtensionError

TARGET = Path("_static", "mathjax")  # `mathjax_path` in _config.yml is relative to _static
# Packages that Sphinx always installs and that are under the Apache licence themselves.
LICENCE_SOURCES = ("packaging", "requests")
NOTICE = """\
tex-svg.js is MathJax 3.2, Copyright (c) The MathJax Consortium, unchanged. It is licensed under
the Apache License, Version 2.0, whose text follows. What lies around it has its own licences.

"""


def find_file(package: str, name: str) -> Path:
    """Return the path of an installed package's file."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix().endswith(name) and Path(file.locate()).is_file():
            return Path(file.locate())
    raise ExtensionError(
        f"The package {package} with its file {name} is not installed; the formulas need it. "
        "Run `make book`, or `python -m pip install -c constraints.txt -e '.[book]'`."
    )


def apache_licence() -> str:
    """Return the full text of the Apache License 2.0 from a package that ships it."""
    for package in LICENCE_SOURCES:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if Path(file.name).stem.upper() != "LICENSE" or not Path(file.locate()).is_file():
                continue
            text = Path(file.locate()).read_text("utf-8")
            marks = ("Apache License", "Version 2.0, January 2004", "9. Accepting Warranty")
            if all(mark in text for mark in marks):
                return text
    raise ExtensionError(
        "No installed package carries the text of the Apache License 2.0, which must stand "
        f"beside MathJax. Reinstall one of: {', '.join(LICENCE_SOURCES)}."
    )


def copy_mathjax(folder: Path) -> None:
    """Put MathJax and its licence into a folder; leave them alone when they are there."""
    source = find_file("sphinx-mathjax-offline", "static/mathjax/tex-svg.js")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("tex-svg.js", source.read_bytes()),
        ("LICENSE.txt", (NOTICE + apache_licence()).encode("utf-8")),
    ):
        target = folder / name
        if not target.is_file() or target.read_bytes() != content:
            target.write_bytes(content)


def into_site(app) -> None:
    if app.builder.format == "html":
        copy_mathjax(Path(app.outdir) / TARGET)


def setup(app):
    app.connect("builder-inited", into_site)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
