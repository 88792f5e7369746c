"""The notebooks keep the rules of the book, and each rule notices when it is broken."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections import Counter

import contents
import nbformat
import pytest
import rules

NOTEBOOKS = contents.notebooks()
CHAPTERS = contents.chapters()
MASTERS = contents.masters()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=contents.name)
def test_notebook_keeps_the_rules(path):
    notebook = contents.read(path)
    chosen = rules.MASTER_RULES if path in MASTERS else rules.NOTEBOOK_RULES
    breaches = [message for rule in chosen for message in rule(notebook)]
    assert not breaches, "\n".join(f"{contents.name(path)} {message}" for message in breaches)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=contents.name)
def test_notebook_is_valid(path):
    notebook = nbformat.read(path, as_version=4)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)


@pytest.mark.parametrize("path", CHAPTERS, ids=contents.name)
def test_chapter_keeps_the_rules(path):
    notebook = contents.read(path)
    breaches = [message for rule in rules.CHAPTER_RULES for message in rule(notebook)]
    assert not breaches, "\n".join(f"{contents.name(path)} {message}" for message in breaches)


def test_template_has_the_skeleton():
    notebook = contents.read(contents.TEMPLATE)
    assert not [*rules.skeleton(notebook), *rules.opening(notebook)]


def test_labels_are_unique_in_the_book():
    places = Counter()
    for path in NOTEBOOKS:
        places.update(rules.labels(contents.read(path)))
    assert not [label for label, count in places.items() if count > 1]


# ------------------------------------------------------------- the rules notice what they should


@pytest.fixture
def template():
    return contents.read(contents.TEMPLATE)


def find(notebook, cell_id):
    return next(cell for cell in notebook["cells"] if cell["id"] == cell_id)


def replace(notebook, old, new):
    """Replace in every cell; the old text must occur."""
    assert any(old in rules.text(cell) for cell in notebook["cells"])
    for cell in notebook["cells"]:
        cell["source"] = [rules.text(cell).replace(old, new)]


def store_output(nb):
    output = {"output_type": "stream", "name": "stdout", "text": ["1\n"]}
    find(nb, "size-of-one-kernel")["outputs"] = [output]


def count_execution(nb):
    find(nb, "size-of-one-kernel")["execution_count"] = 1


def set_source(nb, source, cell="size-of-one-kernel"):
    find(nb, cell)["source"] = [source]


FIGURE = "draw-sizes"
BREACHES = {
    "output": (rules.stripped, store_output),
    "count": (rules.stripped, count_execution),
    "language": (rules.stripped, lambda nb: nb["metadata"].update(language_info={})),
    "kernel": (rules.kernel, lambda nb: nb["metadata"].pop("kernelspec")),
    "random id": (rules.cell_ids, lambda nb: nb["cells"][3].update(id="4f1c09ab")),
    "no id": (rules.cell_ids, lambda nb: nb["cells"][3].pop("id")),
    "id twice": (rules.cell_ids, lambda nb: nb["cells"][3].update(id=nb["cells"][2]["id"])),
    "two titles": (rules.one_title, lambda nb: replace(nb, "## Limits", "# Limits")),
    "no title": (rules.one_title, lambda nb: nb["cells"].pop(0)),
    "no alt": (rules.figures, lambda nb: find(nb, FIGURE)["metadata"]["mystnb"].pop("image")),
    "no figure": (rules.figures, lambda nb: find(nb, FIGURE)["metadata"].clear()),
    "no caption": (
        rules.figures,
        lambda nb: find(nb, FIGURE)["metadata"]["mystnb"]["figure"].pop("caption"),
    ),
    "no name": (
        rules.figures,
        lambda nb: find(nb, FIGURE)["metadata"]["mystnb"]["figure"].pop("name"),
    ),
    "plot title": (rules.figures, lambda nb: replace(nb, "plt.show()", "ax.set_title('x')")),
    "image": (rules.figures, lambda nb: replace(nb, "## Limits", "## Limits\n\n![](a.png)")),
    "macro": (rules.mathematics, lambda nb: replace(nb, r"\int_0", r"\newcommand{\x}{y}\int_0")),
    "fetched": (rules.mathematics, lambda nb: replace(nb, r"\int_0", r"\boldsymbol{\int_0")),
    "in code": (rules.mathematics, lambda nb: replace(nb, r"$a e^{-wt}$", r"$\color{red}$")),
    "no seed": (rules.seeds, lambda nb: set_source(nb, "rng = np.random.default_rng()")),
    "global": (rules.seeds, lambda nb: set_source(nb, "x = np.random.randn(3)")),
    "label": (rules.label_prefixes, lambda nb: replace(nb, "def-template", "template")),
    "equation": (rules.label_prefixes, lambda nb: replace(nb, "$$ (eq-", "$$ (")),
    "missing": (rules.skeleton, lambda nb: replace(nb, "## Limits", "## Borders")),
    "order": (rules.skeleton, lambda nb: nb["cells"].append(nb["cells"].pop(1))),
    "hidden": (rules.skeleton, lambda nb: replace(nb, "## Limits", "```\n## Limits\n```")),
    "promise": (rules.opening, lambda nb: replace(nb, "you will be able to", "you know")),
    "time": (rules.opening, lambda nb: replace(nb, "**Reading time:**", "Reading time:")),
    "run time": (rules.opening, lambda nb: replace(nb, "../backmatter/execution.md", "x.md")),
    "unsolved": (rules.exercises, lambda nb: replace(nb, "{solution} ex-", "{solution} no-")),
    "unfolded": (rules.exercises, lambda nb: replace(nb, ":class: dropdown", ":class: open")),
}


@pytest.mark.parametrize(("rule", "mutate"), BREACHES.values(), ids=BREACHES.keys())
def test_rule_notices(template, rule, mutate):
    broken = copy.deepcopy(template)
    mutate(broken)
    assert len(list(rule(broken))) > len(list(rule(template)))


def test_message_names_the_command_that_strips(template):
    store_output(template)
    (message,) = rules.stripped(template)
    assert "nbstripout --keep-id" in message
    assert "size-of-one-kernel" in message


def test_stripping_with_that_command_is_enough(template, tmp_path):
    store_output(template)
    template["metadata"]["language_info"] = {"name": "python"}
    path = tmp_path / "chapter.ipynb"
    path.write_text(json.dumps(template), "utf-8")
    options = rules.STRIP.split()[1:]
    subprocess.run([sys.executable, "-m", "nbstripout", *options, path], check=True)
    stripped = contents.read(path)
    assert not list(rules.stripped(stripped))
    assert stripped["metadata"] == contents.read(contents.TEMPLATE)["metadata"]


def test_drawing_inside_a_function_is_not_a_figure():
    assert not rules.draws("def frame(x):\n    fig, ax = plt.subplots()\n    return fig")
    assert rules.draws("for x in range(2):\n    fig, ax = plt.subplots()")
