"""The files of the built site: links, network, and the claims ledger against the notebooks."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from jupyter_cache import get_cache

from curse_lib.ledger import CLAIM_MIME, VERDICTS

LEDGER = "book/backmatter/claims-ledger"
# What a stylesheet, or a style inside a page, loads.
LOADED_BY_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*([^"')\s;]+)""")


def is_remote(url: str) -> bool:
    parts = urlsplit(url.strip())
    return bool(parts.netloc) or parts.scheme not in ("", "data", "blob")


class Page(HTMLParser):
    """The links of a page, the addresses inside it, and what it may load."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.in_style = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        for name in ("href", "src"):
            if values.get(name):
                self.links.append(values[name])
        loading = {"src", "poster"} | ({"data"} if tag == "object" else set())
        loading |= {"href", "xlink:href"} if tag in ("link", "image", "use") else set()
        self.loaded += [values[name] for name in loading if values.get(name)]
        for name in ("srcset", "imagesrcset"):
            # An address, perhaps a width or density, a comma and a space.
            self.loaded += re.findall(r"(\S+)(?:\s[^,]*)?(?:,\s|$)", values.get(name) or "")
        self.loaded += LOADED_BY_STYLE.findall(values.get("style") or "")
        self.in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.loaded += LOADED_BY_STYLE.findall(data)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    files = (path for path in site.rglob("*.html") if "_static" not in path.parts)
    return {path.resolve(): Page(path.resolve()) for path in files}


@pytest.fixture(scope="module")
def claims(site: Path, toc_pages) -> dict[str, list[dict]]:
    """Page -> the claims in its executed notebook, from the cache of executions."""
    cache = get_cache(site.parent / ".jupyter_cache")
    found = {}
    for name in toc_pages:
        source = site.parents[1] / f"{name}.ipynb"
        if source.exists():
            _, notebook = cache.merge_match_into_notebook(nbformat.read(source, as_version=4))
            outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
            data = [output.get("data", {}) for output in outputs]
            found[name] = [bundle[CLAIM_MIME] for bundle in data if CLAIM_MIME in bundle]
    return found


def test_every_internal_link_resolves(pages):
    broken = []
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve()
            target = page.path if not parts.path else target
            fragment = unquote(parts.fragment)
            known = target in pages and (not fragment or fragment in pages[target].anchors)
            if not (known or (target not in pages and target.is_file())):
                broken.append(f"{page.path.name}: {link}")
    assert sorted(set(broken)) == []


def test_no_file_names_anything_remote_to_load(pages, site):
    """Also what a browser asks for only later: on scrolling, in dark mode, in print."""
    remote = [f"{p.path.name}: {url}" for p in pages.values() for url in p.loaded if is_remote(url)]
    for sheet in site.rglob("*.css"):
        found = LOADED_BY_STYLE.findall(sheet.read_text("utf-8"))
        remote += [f"{sheet.name}: {url}" for url in found if is_remote(url)]
    assert sorted(set(remote)) == []


@pytest.mark.parametrize(
    "intruder",
    [
        '<img src="https://192.0.2.1/x.png" loading="lazy" alt="x">',
        '<img src="x.png" srcset="x.png 1x, //192.0.2.1/x.png 2x" alt="x">',
        '<link rel="preconnect" href="https://192.0.2.1">',
        "<style>@media print { body { background: url('https://192.0.2.1/x.png') } }</style>",
        '<style>@import "https://192.0.2.1/x.css";</style>',
        '<p style="background: url(//192.0.2.1/x.png)">x</p>',
        '<svg><image href="https://192.0.2.1/x.png"/></svg>',
        '<iframe src="https://192.0.2.1/"></iframe>',
    ],
)
def test_a_remote_address_would_be_seen(tmp_path, intruder):
    page = tmp_path / "page.html"
    page.write_text(f'<p><a href="https://192.0.2.1/">x</a> <img src="x.png"></p>{intruder}')
    assert sum(map(is_remote, Page(page).loaded)) == 1


def test_every_page_of_the_contents_is_built(pages, site, toc_pages):
    missing = [name for name in toc_pages if (site / f"{name}.html").resolve() not in pages]
    assert missing == []


def test_claims_are_unique_and_have_an_allowed_verdict(claims):
    rows = [row for found in claims.values() for row in found]
    assert rows, "no executed notebook makes a claim"
    repeated = [key for key, count in Counter(row["key"] for row in rows).items() if count > 1]
    assert repeated == []
    assert {row["verdict"] for row in rows} <= set(VERDICTS)


def test_ledger_lists_every_claim_and_leads_to_its_card(pages, site, claims):
    ledger = pages[(site / f"{LEDGER}.html").resolve()]
    linked = Counter()
    for link in ledger.links:
        parts = urlsplit(link)
        if parts.fragment.startswith("claim-"):
            target = (ledger.path.parent / parts.path).resolve()
            linked[target, parts.fragment.removeprefix("claim-")] += 1
    made = Counter(
        ((site / f"{name}.html").resolve(), row["key"])
        for name, found in claims.items()
        for row in found
    )
    assert linked == made
    for target, key in made:
        assert f"claim-{key}" in pages[target].anchors


#: What the source states, and the claims that answer for it. A new part adds its lines here.
ANSWERED_BY = {
    "inputs": ["functionals-input-space"],
    "Definition 2.1, causal": ["functionals-causal"],
    "Definition 2.1, continuous linear": ["functionals-linear", "functionals-continuous"],
    "Definition 2.1, regular": ["functionals-regular", "functionals-regular-reading"],
    "Definition 2.1, time-homogeneous": ["functionals-homogeneous"],
    "the model": ["model-continuous-network", "model-discrete-origin", "model-hurwitz-hypothesis"],
    "Proposition 2.1": [
        f"proposition-2-1-{name}"
        for name in ("causal", "linear", "continuous", "regular", "homogeneous")
    ],
    "Theorem 3.1, representation": ["kernel-riesz"],
    "Theorem 3.1, norm": ["kernel-norm-approached"],
    "kernel from the step response": ["kernel-by-steps"],
    "Theorem 3.1, density": [
        f"theorem-3-1-{name}" for name in ("density", "tolerance", "worst-input")
    ],
    "Theorem 3.2": ["theorem-3-2-rate", "rates-constant-explicit", "rates-scale-invariant"],
    "the curse in approximation": ["curse-no-rate", "curse-count", "curse-uniform-measured"],
    "the curse in approximation, from both sides": [
        f"curse-{name}"
        for name in ("width-refined", "floor-holds", "geometric-theorem", "law", "slowest-rate")
    ],
    "inverse theorem": ["curse-stable-inverse", "curse-relative-cure"],
    "delay": ["delay-flat-spectrum", "delay-law", "delay-bracket", "fmri-smallest-width"],
    "Müntz and Szász": ["muentz-distance", "muentz-floor", "muentz-complete", "muentz-incomplete"],
    "Theorem 4.1": ["theorem-4-1-parameters", "theorem-4-1-loss", "theorem-4-1-exponent"],
    "plateaus, closed forms": ["landscape-closed-forms", "exact-ei-law", "plateau-floor"],
    "Figure 1": ["figure-1-a", "figure-1-b", "figure-1-c"],
    "Figure 1, our choices": [
        f"figure-1-{name}" for name in ("network", "targets", "rate", "lorenz")
    ],
    "memory function": ["kernel-memory-function"],
    "white noise": ["model-white-noise-scaling"],
}


@pytest.mark.parametrize("statement", ANSWERED_BY)
def test_the_ledger_answers_for_every_statement_of_the_source(claims, statement):
    made = {row["key"] for found in claims.values() for row in found}
    assert not set(ANSWERED_BY[statement]) - made
