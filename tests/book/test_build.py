"""The Sphinx extensions, on a book of two notebooks in a temporary folder."""

from __future__ import annotations

import io
import json
import re
import shutil

import accessible
import docstring_parts
import fresh_notebooks
import offline_math
import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
CONFIG = {
    "extensions": ["myst_nb", "fresh_notebooks", "offline_math"],
    "nb_execution_mode": "cache",
    "nb_execution_timeout": 60,
    "nb_output_stderr": "warn",
    "myst_enable_extensions": ["dollarmath"],
    "mathjax_path": "mathjax/tex-svg.js",
    "html_theme": "basic",
    "root_doc": "intro",
}


def write_notebook(path, title, *codes):
    cells = [{"cell_type": "markdown", "id": "title", "metadata": {}, "source": [f"# {title}"]}]
    for number, code in enumerate(codes):
        cell = {"cell_type": "code", "id": f"code-{number}", "metadata": {}, "source": [code]}
        cells.append(cell | {"execution_count": None, "outputs": []})
    content = {"cells": cells, "metadata": {"kernelspec": KERNEL}}
    path.write_text(json.dumps(content | {"nbformat": 4, "nbformat_minor": 5}), "utf-8")


class Book:
    """A small book, and what its last build did."""

    def __init__(self, folder):
        self.folder = folder
        self.pages = folder / "book"
        (self.pages / "data").mkdir(parents=True)
        (folder / "curse_lib").mkdir()
        (folder / "curse_lib" / "__init__.py").write_text("", "utf-8")
        (folder / "constraints.txt").write_text("numpy==2.0\n", "utf-8")
        (self.pages / "data" / "value.txt").write_text("seven\n", "utf-8")
        toc = "# Intro\n\n$x^2$\n\n```{toctree}\none\ntwo\n```\n"
        (self.pages / "intro.md").write_text(toc, "utf-8")
        write_notebook(self.pages / "one.ipynb", "One", "print(open('data/value.txt').read())")
        write_notebook(self.pages / "two.ipynb", "Two", "print('nine')")

    def build(self):
        """Build the book and return (executed notebooks, read pages, warnings)."""
        status, warnings = io.StringIO(), io.StringIO()
        out = self.folder / "_build" / "html"
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                srcdir=self.pages,
                confdir=None,
                outdir=out,
                doctreedir=out.parent / ".doctrees",
                buildername="html",
                confoverrides=CONFIG,
                status=status,
                warning=warnings,
            )
            read = []
            app.connect("env-before-read-docs", lambda app, env, names: read.extend(names))
            app.build()
        log = re.sub(r"\x1b\[[0-9;]*m", "", status.getvalue())
        executed = re.findall(r"\[\d/\d\] (\w+): ", log)
        assert "Executing notebook using" not in log, "MyST-NB executed a notebook itself"
        return sorted(executed), sorted(read), warnings.getvalue()

    def html(self, page):
        return (self.folder / "_build" / "html" / f"{page}.html").read_text("utf-8")


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_notebooks, "ROOT", tmp_path)
    monkeypatch.setattr(fresh_notebooks, "library_folder", lambda: tmp_path / "curse_lib")
    return Book(tmp_path)


ALL = ["intro", "one", "two"]


def test_nothing_is_ever_stale(book):
    assert book.build() == (["one", "two"], ALL, "")
    assert "seven" in book.html("one")
    assert book.build() == ([], [], "")

    # A page: that page.
    (book.pages / "intro.md").write_text(
        (book.pages / "intro.md").read_text("utf-8") + "More.\n", "utf-8"
    )
    assert book.build() == ([], ["intro"], "")

    # The code of a notebook: that notebook. Its prose: the page, without an execution.
    write_notebook(book.pages / "two.ipynb", "Two", "print('eleven')")
    assert book.build() == (["two"], ["two"], "")
    assert "eleven" in book.html("two")
    write_notebook(book.pages / "two.ipynb", "Second", "print('eleven')")
    assert book.build() == ([], ["two"], "")
    assert "Second" in book.html("one")  # in its table of contents

    # The library, the locked versions, the data: everything.
    (book.folder / "curse_lib" / "__init__.py").write_text("x = 1\n", "utf-8")
    assert book.build()[:2] == (["one", "two"], ALL)
    (book.folder / "constraints.txt").write_text("numpy==2.1\n", "utf-8")
    assert book.build()[:2] == (["one", "two"], ALL)
    (book.pages / "data" / "value.txt").write_text("eight\n", "utf-8")
    assert book.build()[:2] == (["one", "two"], ALL)
    assert "eight" in book.html("one")

    # The settings and the assets: every page, no notebook.
    (book.folder / "_config.yml").write_text("title: x\n", "utf-8")
    assert book.build()[:2] == ([], ALL)

    # A removed page leaves no file behind.
    (book.pages / "two.ipynb").unlink()
    (book.pages / "intro.md").write_text("# Intro\n\n```{toctree}\none\n```\n", "utf-8")
    book.build()
    assert not (book.folder / "_build" / "html" / "two.html").exists()


def test_a_warning_does_not_vanish_by_building_again(book):
    with (book.pages / "intro.md").open("a", encoding="utf-8") as page:
        page.write("{ref}`nowhere`\n")
    assert "nowhere" in book.build()[2]
    assert "nowhere" in book.build()[2]


def test_a_failing_notebook_is_named_and_the_others_are_kept(book):
    write_notebook(book.pages / "two.ipynb", "Two", "x = 1", "assert x == 2, 'not two'")
    with pytest.raises(ExtensionError) as caught:
        book.build()
    message = str(caught.value)
    assert "two.ipynb, cell 3" in message
    assert 'id "code-1"' in message
    assert "AssertionError: not two" in message
    write_notebook(book.pages / "two.ipynb", "Two", "print('nine')")
    assert book.build()[0] == ["two"]


def test_a_dead_kernel_is_a_failure(book):
    write_notebook(book.pages / "two.ipynb", "Two", "import os\nos._exit(1)")
    with pytest.raises(ExtensionError, match="two.ipynb, .*DeadKernelError"):
        book.build()


def test_a_cut_short_cache_heals(book):
    book.build()
    cache = book.folder / "_build" / ".jupyter_cache"
    first, second = sorted(cache.glob("executed/*/base.ipynb"))
    first.write_text("{", "utf-8")
    shutil.rmtree(second.parent)
    assert book.build()[0] == ["one", "two"]


def test_library_elsewhere_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(fresh_notebooks, "ROOT", tmp_path)
    with pytest.raises(ExtensionError, match="not from this book"):
        fresh_notebooks.library_folder()


def test_mathjax_and_its_licence_are_in_the_site(book):
    book.build()
    assert 'src="_static/mathjax/tex-svg.js' in book.html("intro")
    folder = book.folder / "_build" / "html" / offline_math.TARGET
    assert (folder / "tex-svg.js").stat().st_size > 1_000_000
    licence = (folder / "LICENSE.txt").read_text("utf-8")
    assert "MathJax" in licence
    assert "Version 2.0, January 2004" in licence
    assert "TERMS AND CONDITIONS" in licence


def test_missing_mathjax_says_what_to_do(monkeypatch):
    with pytest.raises(ExtensionError, match="make book"):
        offline_math.find_file("no-such-package-here", "tex-svg.js")
    monkeypatch.setattr(offline_math, "LICENCE_SOURCES", ("no-such-package-here",))
    with pytest.raises(ExtensionError, match="Apache"):
        offline_math.apache_licence()


def test_parts_of_a_docstring_become_sections_with_links():
    env = type("Env", (), {"found_docs": {"book/framework/memory-kernel"}})()
    app = type("App", (), {"env": env})()
    lines = ["Sum.", "", "Source: a paper.", "", "Used in: `book/framework/memory-kernel.ipynb`"]
    lines += ["and `slider`; `x/y.py`."]
    docstring_parts.show_parts(app, "function", "name", None, {}, lines)
    text = "\n".join(lines)
    assert "\nSource\n------\na paper.\n" in text
    linked = ":doc:`/book/framework/memory-kernel` and ``slider``; ``x/y.py``."
    assert f"\nUsed in\n-------\n{linked}\n" in text


def test_references_are_a_list_of_items():
    context = {"body": '<div role="list"><div role="doc-biblioentry">x</div></div>'}
    accessible.mend_roles(None, "page", "page.html", context, None)
    assert context["body"] == '<div role="list"><div role="listitem">x</div></div>'
