"""Sphinx extension: show the parts "Source:" and "Used in:" of a docstring as sections.

A docstring of `curse_lib` ends with paragraphs such as "Source: Theorem 3.1 of ..." and "Used in:
`book/framework/memory-kernel.ipynb`." On the API page each becomes a section of its own,
whatever section it follows, and a page of the book in it becomes a link.
"""

from __future__ import annotations

import re

PARTS = ("Source", "Used in")  # also in `napoleon_custom_sections` of _config.yml
QUOTED = re.compile(r":[\w:]+:`[^`]*`|(`{1,2})([^`]+)\1(?!`)")  # a role, or what is quoted
PAGE = re.compile(r"(book/[\w/-]+)\.(?:ipynb|md)")


def show_parts(app, what, name, obj, options, lines) -> None:
    """Rewrite the lines of one docstring in place."""

    def link(match: re.Match) -> str:
        if match[1] is None:  # a role, :name:`text`
            return match[0]
        page = PAGE.fullmatch(match[2])
        known = page and page[1] in app.env.found_docs
        return f":doc:`/{page[1]}`" if known else f"``{match[2]}``"

    for part in PARTS:
        starts = [i for i, line in enumerate(lines) if line.strip().startswith(f"{part}:")]
        if not starts:
            continue
        first = last = starts[0]
        while last < len(lines) and lines[last].strip():
            last += 1
        text = " ".join(line.strip() for line in lines[first:last]).removeprefix(f"{part}:")
        text = QUOTED.sub(link, text.strip())
        lines[first:last] = ["", part, "-" * len(part), text, ""]


def setup(app):
    app.setup_extension("sphinx.ext.napoleon")
    # Before napoleon (500), which then knows the sections by their names.
    app.connect("autodoc-process-docstring", show_parts, priority=400)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
