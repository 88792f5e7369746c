"""Package, lock, conda environment, licences and versions agree with each other."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml
from contents import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LOCK = (ROOT / "constraints.txt").read_text("utf-8")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
PYTHONS = [
    match[1]
    for line in PROJECT["classifiers"]
    if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
]
SYSTEMS = {"linux": "Linux", "darwin": "Darwin"}


def environment(python: str, platform: str, machine: str) -> dict[str, str]:
    """Return what markers look at, for one kind of machine."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "sys_platform": platform,
        "platform_system": SYSTEMS[platform],
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def locked(python: str, platform: str, machine: str) -> dict[str, str]:
    """Return {package: version} that the lock gives on one kind of machine."""
    here, versions = environment(python, platform, machine), {}
    for line in LOCK.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate(here):
            continue
        name = canonicalize_name(requirement.name)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert name not in versions, f"{name} is locked twice for {python} on {platform}"
        versions[name] = pin.version
    return versions


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(line) for line in sum(extras, PROJECT["dependencies"])]


def test_lock_covers_the_tested_pythons():
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    for python in PYTHONS:
        assert python in SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
@pytest.mark.parametrize("platform", SYSTEMS)
def test_lock_meets_every_range(python, platform, machine):
    here, versions = environment(python, platform, machine), locked(python, platform, machine)
    for requirement in requirements():
        if requirement.marker and not requirement.marker.evaluate(here):
            continue
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{name} is not in constraints.txt; run make lock"
        assert versions[name] in requirement.specifier, (
            f"constraints.txt has {name} {versions[name]}, pyproject.toml asks for "
            f"{requirement.specifier}; run make lock"
        )


def test_lock_names_no_host_and_no_path():
    for line in LOCK.splitlines():
        if not line.startswith("#"):
            assert re.match(r"[a-z0-9.-]+==[\w.!+]+( ; .+)?$", line), line
            assert "://" not in line


def test_every_range_has_an_upper_end():
    for requirement in requirements():
        operators = {pin.operator for pin in requirement.specifier}
        assert operators & {"<", "=="}, f"{requirement} admits versions that nobody has seen"


def test_conda_environment_agrees():
    *conda, last = CONDA["dependencies"]
    (python,) = [Requirement(line) for line in conda if line.startswith("python")]
    assert all(version in python.specifier for version in PYTHONS)
    minimum = SpecifierSet(PROJECT["requires-python"])
    assert str(minimum) in str(python.specifier)
    assert "3.14" not in python.specifier  # the lock was never tried there
    assert "pip" in conda
    made = re.search(r"PIP_INSTALL\) -e '(\.\[.+?\])'", (ROOT / "Makefile").read_text("utf-8"))[1]
    assert made == ".[book,test,teach]"
    assert last == {"pip": ["--constraint constraints.txt", f"-e {made}"]}
    # Everything else comes from pyproject.toml, so that nothing is said twice.
    assert len(conda) == 2


def test_extras_are_those_of_the_documentation():
    assert sorted(PROJECT["optional-dependencies"]) == ["bench", "book", "teach", "test"]


def test_workflows_test_the_same_pythons():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]
    matrix = jobs["book"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos"}


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")))
def test_workflows_ask_for_little_and_pin_actions(path):
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"actions/[\w-]+@v\d+", action)


def test_workflows_and_documents_call_make_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    files = [*(ROOT / ".github/workflows").glob("*.yml"), ROOT / "README.md", ROOT / ".ci/run"]
    for path in [*files, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        text = path.read_text("utf-8")
        called = re.findall(r"(?:^|run: |`)make ([a-z]+)", text, re.MULTILINE)
        assert set(called) <= targets, f"{path.name} calls a target that is not in the Makefile"


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert newest, "CHANGELOG.md needs a section such as '## [0.1.0] - 2026-11-21'"
    assert PROJECT["version"] == citation["version"] == newest[1]
    assert citation["date-released"] == newest[2]


def test_authors_and_licences_are_the_same_everywhere():
    author = "The Curse of Memory contributors"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["authors"] == [{"name": author}]
    assert citation["authors"] == [{"name": author}]
    assert config["author"] == author
    assert author in licence
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    for text in ("MIT License", "Permission is hereby granted, free of charge", "CC-BY-4.0"):
        assert text in licence
    assert "creativecommons.org/licenses/by/4.0" in licence
    assert "CC BY 4.0" in config["html"]["extra_footer"]


def test_buttons_hang_on_one_setting():
    import address

    def options(url):
        config = type("Config", (), {"html_theme_options": {"repository_url": url}})()
        address.set_buttons(None, config)
        return config.html_theme_options

    off, on = options(""), options("https://example.org/book")
    assert not any(off[button] for button in address.BUTTONS)
    assert off["launch_buttons"] == {}
    assert all(on[button] for button in address.BUTTONS)
    assert on["launch_buttons"]["binderhub_url"]
