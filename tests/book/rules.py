"""The rules of the book's notebooks, each a function that yields one message for each breach.

A rule takes a notebook as nested dicts and lists, as `json` reads it. `test_notebooks.py` applies
the rules to the book, and to copies of the template that each break one of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

STRIP = "nbstripout --keep-id --extra-keys metadata.language_info"
HEADINGS = (
    "The question",
    "Definitions",
    "Statements",
    "In the library",
    "Experiments",
    "What the numbers say",
    "Limits",
    "Take-aways",
    "Exercises",
    "References",
)
# Prefixes of labels, by directive (those of sphinx-proof without their `prf:`).
STATEMENT = ("thm-", "prop-", "lem-", "cor-", "rem-", "exm-")
PREFIXES = {
    "definition": ("def-",),
    "exercise": ("ex-",),
    "exercise-start": ("ex-",),
    "solution": ("sol-",),
    "solution-start": ("sol-",),
} | dict.fromkeys(("theorem", "proposition", "lemma", "corollary", "remark", "example"), STATEMENT)
# Macros of one's own (JupyterLab does not know them), and commands that MathJax would fetch.
REFUSED_TEX = (
    "newcommand renewcommand providecommand def let newenvironment require boldsymbol bra ket "
    "braket color colorbox textcolor cancel bcancel enclose unicode verb ce href bbox"
)
TEX = re.compile(r"\\(" + "|".join(REFUSED_TEX.split()) + r")(?![A-Za-z])")
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<title>.*)\n"
    r"(?P<options>(?::[\w-]+:.*(?:\n|$))*)(?P<body>(?s:.*?))^(?P=fence)[ \t]*$",
    re.MULTILINE,
)
EQUATION_LABEL = re.compile(r"^\$\$[ \t]*\(([^)\s]+)\)", re.MULTILINE)
# `random` of the standard library and NumPy's global state; a generator without a seed.
UNSEEDED = re.compile(r"\bdefault_rng\(\s*\)|\b(?:np|numpy)\.random\.(?!default_rng|Generator)\w+")


def text(cell: dict) -> str:
    return "".join(cell["source"])


def cells(notebook: dict, kind: str) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def markdown(notebook: dict) -> str:
    return "\n\n".join(text(cell) for cell in cells(notebook, "markdown"))


def headings(notebook: dict, level: int) -> list[str]:
    """Return the headings of a level; a `#` inside a fence (code, a directive) is none."""
    found, fence = [], ""
    for line in markdown(notebook).splitlines():
        mark = re.match(r"`{3,}|:{3,}", line)
        if fence:
            if mark and line.strip() == mark.group() and line.strip().startswith(fence):
                fence = ""
        elif mark:
            fence = mark.group()
        elif line.startswith("#" * level + " "):
            found.append(line.lstrip("#").strip())
    return found


def directives(source: str) -> Iterator[dict]:
    """Yield name, title, options and body of each directive, nested ones too."""
    for match in DIRECTIVE.finditer(source):
        found = match.groupdict()
        found["options"] = dict(
            re.findall(r"^:([\w-]+):[ \t]*(.*?)[ \t]*$", found["options"], re.M)
        )
        yield found
        yield from directives(found["body"])


# -------------------------------------------------------------------- rules of every notebook


def stripped(notebook: dict) -> Iterator[str]:
    full = [c["id"] for c in cells(notebook, "code") if c["outputs"] or c["execution_count"]]
    if full:
        yield f"has stored outputs (cells {', '.join(full)}); strip them: {STRIP}, or make strip"
    if "language_info" in notebook["metadata"]:
        yield f"stores language_info; strip it: {STRIP}, or make strip"


def kernel(notebook: dict) -> Iterator[str]:
    spec = notebook["metadata"].get("kernelspec", {})
    if (spec.get("name"), spec.get("display_name")) != ("python3", "Python 3"):
        yield f'kernelspec is {spec}; it must have the name "python3" and display name "Python 3"'


def cell_ids(notebook: dict) -> Iterator[str]:
    seen = set()
    for position, cell in enumerate(notebook["cells"], 1):
        name = cell.get("id", "")
        words = re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and re.search(r"[a-z]{3}", name)
        random = re.fullmatch(r"[0-9a-f]{8}|[0-9a-f-]{32,36}", name) and re.search(r"\d", name)
        if not words or random:
            yield f"cell {position} has the id {name!r}; use words, such as draw-kernel"
        if name in seen:
            yield f"cell {position} repeats the id {name!r}"
        seen.add(name)


def one_title(notebook: dict) -> Iterator[str]:
    titles = headings(notebook, 1)
    first = notebook["cells"][0]
    if len(titles) != 1 or first["cell_type"] != "markdown" or not text(first).startswith("# "):
        yield f"must begin with its title, the one heading of level 1; it has {titles}"


def draws(source: str) -> bool:
    """Tell whether the cell itself (not a function that it defines) makes a figure."""
    makers = {"subplots", "figure", "subplot_mosaic", "show"}

    def makes(node: ast.AST) -> bool:
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            return False
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if call and node.func.attr in makers and ast.unparse(node.func.value) == "plt":
            return True
        return any(makes(child) for child in ast.iter_child_nodes(node))

    return makes(ast.parse(source))


def calls(source: str, name: str) -> bool:
    return any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == name
        for node in ast.walk(ast.parse(source))
    )


def figures(notebook: dict) -> Iterator[str]:
    for cell in cells(notebook, "code"):
        source, name = text(cell), cell["id"]
        settings = cell["metadata"].get("mystnb", {})
        if ("figure" in settings or draws(source)) and not calls(source, "slider"):
            figure = settings.get("figure", {})
            if len(settings.get("image", {}).get("alt", "")) < 20:
                yield f"{name}: a figure needs alt text (mystnb: image: alt) of a sentence"
            if not figure.get("caption"):
                yield f"{name}: a figure needs a caption (mystnb: figure: caption)"
            if not figure.get("name", "").startswith("fig-"):
                yield f"{name}: a figure needs a name that starts with fig- (mystnb: figure: name)"
        if re.search(r"\.(set_title|suptitle|title)\(|\.set\([^)]*\btitle=", source):
            yield f"{name}: no title inside a plot; say it in the caption"
    for match in re.finditer(r"!\[\s*\]\(", markdown(notebook)):
        yield f"an image without alt text: {match.group()}"


def mathematics(notebook: dict) -> Iterator[str]:
    sources = [(cell["id"], text(cell)) for cell in cells(notebook, "markdown")]
    for cell in cells(notebook, "code"):
        strings = (n.value for n in ast.walk(ast.parse(text(cell))) if isinstance(n, ast.Constant))
        sources += [(cell["id"], value) for value in strings if isinstance(value, str)]
    for name, source in sources:
        for command in sorted(set(TEX.findall(source))):
            yield f"{name}: \\{command} does not work offline or in JupyterLab; use AMS commands"


def seeds(notebook: dict) -> Iterator[str]:
    for cell in cells(notebook, "code"):
        for found in UNSEEDED.findall(text(cell)):
            yield f"{cell['id']}: {found} has no seed; use numpy.random.default_rng(SEED)"


def label_prefixes(notebook: dict) -> Iterator[str]:
    for found in directives(markdown(notebook)):
        kind = found["name"].removeprefix("prf:")
        label = found["options"].get("label")
        if kind in PREFIXES and label and not label.startswith(PREFIXES[kind]):
            yield f"the label {label} of a {kind} must start with {PREFIXES[kind][0]}"
    for label in EQUATION_LABEL.findall(markdown(notebook)):
        if not label.startswith("eq-"):
            yield f"the label {label} of an equation must start with eq-"


def labels(notebook: dict) -> list[str]:
    """Return all labels of the notebook: statements, exercises, equations, figures, glue keys."""
    found = [
        d["options"]["label"] for d in directives(markdown(notebook)) if "label" in d["options"]
    ]
    found += EQUATION_LABEL.findall(markdown(notebook))
    for cell in cells(notebook, "code"):
        name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
        found += [name] if name else []
    return found


NOTEBOOK_RULES = (
    stripped,
    kernel,
    cell_ids,
    one_title,
    figures,
    mathematics,
    seeds,
    label_prefixes,
)
# No page shows the figures of a model solution, and students get the metadata of its cell: a
# caption or an alt text there would tell them the result.
MASTER_RULES = tuple(rule for rule in NOTEBOOK_RULES if rule is not figures)


# -------------------------------------------------------------------- rules of every chapter


def skeleton(notebook: dict) -> Iterator[str]:
    present = iter(headings(notebook, 2))
    for heading in HEADINGS:
        if heading not in present:  # searching an iterator also checks the order
            yield f"the heading '## {heading}' is missing or out of order; see book/_template"
            return


def opening(notebook: dict) -> Iterator[str]:
    before = re.split(r"^## ", markdown(notebook), maxsplit=1, flags=re.MULTILINE)[0]
    if "you will be able to" not in before:
        yield "its opening must say what 'you will be able to' do"
    for label in ("Reading time:", "Run time:", "Prerequisites:"):
        if f"**{label}**" not in before:
            yield f"its opening must have a line '**{label}** ...'"
    if "backmatter/execution.md" not in before:
        yield "its opening must link to the table of run times, ../backmatter/execution.md"


def exercises(notebook: dict) -> Iterator[str]:
    found = list(directives(markdown(notebook)))
    posed = {
        d["options"].get("label", "(no label)"): f"{d['title']} {d['body'][:100]}".lower()
        for d in found
        if d["name"] in ("exercise", "exercise-start")
    }
    solved = {d["title"] for d in found if d["name"] in ("solution", "solution-start")}
    folded = {
        d["title"]
        for d in found
        if d["name"] in ("solution", "solution-start")
        and "dropdown" in d["options"].get("class", "")
    }
    if len(posed) < 6:
        yield f"has {len(posed)} exercises; at least six are needed"
    for label in sorted(set(posed) - solved):
        yield f"the exercise {label} has no solution"
    for label in sorted(solved - folded):
        yield f"the solution of {label} is not folded; give it ':class: dropdown'"
    for level in (1, 2, 3):
        if not any(f"level {level}" in words for words in posed.values()):
            yield f"no exercise says 'level {level}'"
    for means in ("pencil", "computer"):
        if not any(means in words for words in posed.values()):
            yield f"no exercise says '{means}'"


CHAPTER_RULES = (skeleton, opening, exercises)
