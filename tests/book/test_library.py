"""The library keeps its layers, and every public name is documented and used."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import contents
import pytest
import rules
from contents import ROOT

import curse_lib

# A module imports only from modules before it, and the last two are the only ones for display.
LAYERS = (
    "_checks",
    "_progress",
    "_updates",
    "kernels",
    "norms",
    "models",
    "functionals",
    "identification",
    "certificates",
    "hankel",
    "reduction",
    "approximation",
    "complexity",
    "stability",
    "loss",
    "flow",
    "training",
    "lorenz96",
    "sweep",
    "figures",
    "ledger",
)
MODULES = {p.stem: p for p in (ROOT / "curse_lib").glob("*.py") if p.stem != "__init__"}
NAMES = sorted(curse_lib.__all__)
API_PAGE = ROOT / "_build" / "html" / "book" / "backmatter" / "api.html"
QUOTED = re.compile(r"`+([^`]+)`+")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_arrow_runs_back_up(module):
    assert module in LAYERS, f"say in {Path(__file__).name} between which layers {module} stands"
    allowed = LAYERS[: LAYERS.index(module)]
    for name in imported(MODULES[module]):
        if name.startswith("curse_lib"):
            assert name.removeprefix("curse_lib.") in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"figures", "ledger"}))
def test_core_needs_numpy_and_scipy_alone(module):
    outside = {name.split(".")[0] for name in imported(MODULES[module])}
    outside -= {"numpy", "scipy", "curse_lib", "__future__"} | set(sys.stdlib_module_names)
    assert outside == {"hankel": {"mpmath"}, "_progress": {"tqdm"}}.get(module, set())


def test_interval_arithmetic_is_imported_by_those_who_ask_for_it_alone():
    code = "import sys, curse_lib; sys.exit('mpmath' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def constant_docs() -> dict[str, str]:
    """Return {name: the string below its assignment} for the constants of all modules."""
    found = {}
    for path in MODULES.values():
        body = ast.parse(path.read_text("utf-8")).body
        for node, after in zip(body, body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and is_text:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {t.id: after.value.value for t in targets if isinstance(t, ast.Name)}
    return found


CONSTANTS = constant_docs()


def doc_of(name: str) -> str:
    thing = getattr(curse_lib, name)
    if callable(thing) or isinstance(thing, type):
        return thing.__doc__ or ""
    return CONSTANTS.get(name, "")


def uses(doc: str) -> list[str]:
    """Return what stands in backticks in the paragraph 'Used in:' of a docstring."""
    match = re.search(r"^[ \t]*Used in:(.*?)(?:\n[ \t]*\n|\Z)", doc, re.MULTILINE | re.DOTALL)
    return QUOTED.findall(match[1]) if match else []


def mentions(path: Path, name: str) -> bool:
    if path.suffix == ".ipynb":
        cells = contents.read(path)["cells"]
        text = "\n".join(rules.text(cell) for cell in cells if cell["cell_type"] == "code")
    else:
        text = path.read_text("utf-8")
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def problems(name: str, doc: str) -> list[str]:
    """Return what is wrong with the 'Used in:' of a public name."""
    named = uses(doc)
    paths = [ROOT / item for item in named if "/" in item]
    missing = [contents.name(path) for path in paths if not path.exists()]
    if missing:
        return [f"its 'Used in:' names {', '.join(missing)}, which is not there"]
    if any(mentions(path, name) for path in paths):
        return []
    # The type of a result: some other public function of the same module returns it.
    for other in (item for item in named if item in NAMES and item != name):
        module = importlib.import_module(getattr(curse_lib, other).__module__)
        if mentions(Path(module.__file__), name) and uses(doc_of(other)):
            return []
    if paths:
        return [f"no file of its 'Used in:' holds the name: {', '.join(map(contents.name, paths))}"]
    return ["its docstring needs 'Used in:' with the file, in backticks, that uses it"]


def test_public_names_exist():
    assert sorted(set(NAMES)) == NAMES
    assert not [name for name in NAMES if not hasattr(curse_lib, name)]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_public_names_of_the_modules_are_re_exported(module):
    exported = getattr(importlib.import_module(f"curse_lib.{module}"), "__all__", [])
    assert not set(exported) - set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_public_name_is_documented_and_used(name):
    assert doc_of(name).strip(), f"{name} has no docstring"
    assert not problems(name, doc_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_in_the_docstring(name):
    thing = getattr(curse_lib, name)
    if not callable(thing) or (isinstance(thing, type) and "Parameters" not in thing.__doc__):
        return  # a constant, or the type of a result that nobody makes by hand
    absent = [
        parameter
        for parameter in inspect.signature(thing).parameters
        if not parameter.startswith("_")
        and parameter not in ("args", "kwargs")
        and not re.search(rf"(^|[\s,`*]){re.escape(parameter)}\b", thing.__doc__)
    ]
    assert not absent


def test_public_names_are_on_the_api_page():
    if not API_PAGE.exists():
        pytest.skip("the book is not built; run make book")
    page = API_PAGE.read_text("utf-8")
    absent = [n for n in NAMES if not re.search(rf'id="curse_lib\.(\w+\.)?{n}"', page)]
    assert not absent, f"missing on the API page: {absent}"


def test_rules_notice():
    assert problems("PowerLaw", "No use.\n")
    assert problems("PowerLaw", "Used in: `book/nowhere.ipynb`.\n")
    assert problems("PowerLaw", "Used in: `CHANGELOG.md`.\n")
    assert not problems("PowerLaw", "Used in:\n`tests/book/test_library.py`.\n")
