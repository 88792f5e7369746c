"""The built site in a browser: no network, mathematics, phone, dark mode, accessibility.

Each page is opened twice, by http and from a file, and everything is looked at on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import matplotlib.pyplot as plt
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from curse_lib.figures import slider

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

# Serious findings of axe-core that are not ours to mend: (rule, a part of the element) -> why.
NOT_OURS = {
    ("aria-required-children", '<div role="list" class="citation-list">'): (
        "docutils writes the entries of a bibliography with a role that a list does not allow"
    ),
}

# Formulas that were not typeset or hold an error, and TeX in the running text.
MATHS = r"""() => {
    const formulas = [...document.querySelectorAll("article .math")];
    const walker = document.createTreeWalker(
        document.querySelector("article"), NodeFilter.SHOW_TEXT,
        n => n.parentElement.closest("pre, code, script, style, .math, noscript")
            ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT);
    const raw = [];
    while (walker.nextNode()) {
        const text = walker.currentNode.textContent;
        if (/\\[a-zA-Z(\[]|\$[^$\n]{1,80}\$/.test(text)) raw.push(text.trim());
    }
    return {
        count: formulas.length,
        bare: formulas.filter(f => !f.querySelector("mjx-container svg")).map(f => f.textContent),
        // An unknown macro is set as red text that still shows its backslash.
        wrong: formulas.filter(f => f.querySelector("[data-mml-node=merror], merror")
            || /\\[a-zA-Z]/.test(f.querySelector("mjx-assistive-mml")?.textContent))
            .map(f => f.textContent),
        raw,
    };
}"""

# Elements that stick out of the window although nothing around them scrolls, and inline formulas
# that are cut off.
OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = e => ["auto", "scroll"].includes(getComputedStyle(e).overflowX)
        && e.getBoundingClientRect().right <= width + 1;
    const name = e => `${e.tagName.toLowerCase()}.${e.className}: ${e.textContent.slice(0, 60)}`;
    const out = [];
    if (document.documentElement.scrollWidth > width) out.push("the page scrolls sideways");
    for (const e of document.querySelectorAll("article *")) {
        if (!(e instanceof HTMLElement) || e.closest("mjx-assistive-mml, .visually-hidden"))
            continue;
        const box = e.getBoundingClientRect();
        if (box.width > 0 && box.right > width + 1) {
            let a = e.parentElement;
            while (a && !scrolls(a)) a = a.parentElement;
            if (!a) out.push(name(e));
        }
        if (e.matches("span.math") && e.scrollWidth > e.clientWidth + 1
            && getComputedStyle(e).overflowX === "hidden") out.push("cut off: " + name(e));
    }
    return out;
}"""

# For each figure: is it shown as drawn, its darkest brightness, 0 .. 255, and that of its panel.
FIGURES = """() => [...document.querySelectorAll(".cell_output img")]
    .filter(image => image.offsetParent !== null)
    .map(image => {
        const [width, height] = [240, Math.round(240 * image.naturalHeight / image.naturalWidth)];
        const canvas = Object.assign(document.createElement("canvas"), {width, height});
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0, width, height);
        const data = context.getImageData(0, 0, width, height).data;
        // What is transparent would show the dark page: count it as dark.
        const grey = Array.from({length: width * height}, (_, k) => Math.min(data[4 * k + 3],
            (data[4 * k] + data[4 * k + 1] + data[4 * k + 2]) / 3));
        // The panel shows at the rim; a map of colours may fill the inside.
        const rim = grey.filter((_, k) => {
            const [x, y] = [k % width, Math.floor(k / width)];
            return Math.min(x, width - 1 - x) < 4 || Math.min(y, height - 1 - y) < 4;
        }).sort((a, b) => a - b);
        const style = getComputedStyle(image);
        return {
            asDrawn: style.filter === "none" && style.opacity === "1",
            darkest: Math.min(...grey),
            panel: rim[rim.length >> 1],
        };
    })"""

# Put a theme on, and mark one element of each combination of colours: axe-core takes ten
# milliseconds for the contrast of one element, and a page repeats itself a thousand times. A
# letter takes the place of each formula, whose colour is then checked as that of any text.
MARK_SAMPLES = """theme => {
    document.documentElement.dataset.theme = theme;
    for (const formula of document.querySelectorAll("mjx-container")) formula.innerHTML = "x";
    const behind = new Map([[null, ""]]);
    const seen = new Set();
    for (const e of document.querySelectorAll("body, body *")) {
        const style = getComputedStyle(e);
        const own = [style.backgroundColor, style.backgroundImage, style.opacity].join();
        behind.set(e, (behind.get(e.parentElement) ?? "") + own);
        delete e.dataset.sample;
        const text = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
        const key = [style.color, style.fontSize, style.fontWeight, behind.get(e)].join();
        if (!text || seen.has(key) || !e.checkVisibility({visibilityProperty: true})) continue;
        seen.add(key);
        e.dataset.sample = "";
    }
    return seen.size;
}"""

BODY_COLOURS = """() => {
    const style = getComputedStyle(document.body);
    return [style.color, style.backgroundColor];
}"""


@dataclass
class Log:
    """What the browser asked for and complained about while it showed a page."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self, site: Path) -> list[str]:
        """The requests that leave this machine or, for files, the site."""

        def at_home(url: str) -> bool:
            parts = urlsplit(url)
            if parts.scheme == "file":
                return Path(parts.path).resolve().is_relative_to(site.resolve())
            return parts.scheme in ("data", "blob") or parts.hostname == "127.0.0.1"

        return [url for url in self.requests if not at_home(url)]


@dataclass
class Visit:
    """All that is known of one page."""

    served: Log
    opened: Log
    maths: list[dict[str, Any]]
    images: list[str]
    axe: dict[str, list[str]]
    overflow: list[str]
    dark_contrast: float
    dark_figures: list[dict[str, Any]]


def watched_page(context) -> tuple[Any, Log]:
    """A page whose requests are recorded; those to other machines are not carried out."""
    page, log = context.new_page(), Log()
    page.on("request", lambda request: log.requests.append(request.url))
    page.on("websocket", lambda socket: log.requests.append(socket.url))
    page.on("pageerror", lambda error: log.complaints.append(str(error)))

    def listen(message) -> None:
        if message.type == "error":
            log.complaints.append(f"{message.text} ({message.location['url']})")

    page.on("console", listen)
    return page, log


def open_page(page, url: str) -> None:
    page.goto(url)
    page.evaluate("async () => { await window.MathJax?.startup?.promise; }")


def serious_findings(page, only: str = "", without: str = "", part: str = "") -> list[str]:
    """What axe-core calls serious or critical, each with the element that it concerns.

    One rule, or all without one; the whole page, or the elements that fit a selector.
    """
    # Without preload axe fetches no stylesheets of its own, so that all requests are the page's.
    options: dict[str, Any] = {"resultTypes": ["violations"], "preload": False}
    if only:
        options["runOnly"] = {"type": "rule", "values": [only]}
    if without:
        options["rules"] = {without: {"enabled": False}}
    violations = Axe().run(page, context=part or None, options=options).response["violations"]
    return [
        f"{v['id']}: {node['html'][:150]}"
        for v in violations
        for node in v["nodes"]
        if v["impact"] in ("serious", "critical")
        and not any(v["id"] == rule and text in node["html"] for rule, text in NOT_OURS)
    ]


def contrast_findings(page, theme: str) -> list[str]:
    """Text that is too faint in a theme."""
    assert page.evaluate(MARK_SAMPLES, theme) > 3
    return serious_findings(page, only="color-contrast", part="[data-sample]")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG) of a colour as the browser prints it, `rgb(r, g, b)`."""
    rgb = np.array([float(x) for x in colour[colour.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(scope="session")
def visit(browser, site: Path, address: str) -> Callable[[str], Visit]:
    """Visit a page of the site once, and remember."""
    known: dict[str, Visit] = {}
    context = browser.new_context(viewport=DESKTOP, color_scheme="light", reduced_motion="reduce")
    context.route(lambda url: Log([url]).foreign(site) != [], lambda route: route.abort())

    def look(name: str) -> Visit:
        page, opened = watched_page(context)
        open_page(page, (site / f"{name}.html").resolve().as_uri())
        maths = [page.evaluate(MATHS)]
        page.close()

        page, served = watched_page(context)
        open_page(page, f"{address}/{name}.html")
        maths.append(page.evaluate(MATHS))
        images = page.evaluate(
            "[...document.images].filter(i => !i.alt.trim()).map(i => i.outerHTML.slice(0, 200))"
        )
        page.set_viewport_size(PHONE)
        page.wait_for_timeout(500)  # the theme looks anew for scrolling boxes after 300 ms
        overflow = page.evaluate(OVERFLOW)
        axe = {"phone": serious_findings(page, only="scrollable-region-focusable")}
        page.set_viewport_size(DESKTOP)
        axe["light"] = contrast_findings(page, "light")
        axe["light"] += serious_findings(page, without="color-contrast")
        axe["dark"] = contrast_findings(page, "dark")
        dark_contrast = contrast(*page.evaluate(BODY_COLOURS))
        dark_figures = page.evaluate(FIGURES)
        page.close()
        return Visit(served, opened, maths, images, axe, overflow, dark_contrast, dark_figures)

    def once(name: str) -> Visit:
        if name not in known:
            known[name] = look(name)
        return known[name]

    yield once
    context.close()


def test_page_asks_no_other_host(visit, site, page_name):
    page = visit(page_name)
    assert page.served.requests and page.opened.requests
    assert page.served.foreign(site) == []
    assert page.opened.foreign(site) == []


@pytest.mark.parametrize(
    "intruder",
    [
        '<img src="http://192.0.2.1/x.png" alt="x">',
        '<script src="https://192.0.2.1/x.js"></script>',
        "<style>body { background: url(http://192.0.2.1/x.png) }</style>",
        '<script>fetch("https://192.0.2.1/x.json").catch(() => 0)</script>',
        '<img src="file:///elsewhere/x.png" alt="x">',
    ],
    ids=["image", "script", "style", "fetch", "file outside"],
)
def test_a_request_to_another_host_would_be_seen(browser, site, toc_pages, tmp_path, intruder):
    original = site / f"{toc_pages[0]}.html"
    base = f'<head><base href="{original.resolve().as_uri()}">'
    copy = tmp_path / "copy.html"
    text = original.read_text("utf-8").replace("<head>", base, 1)
    copy.write_text(text.replace("</body>", f"{intruder}</body>"), "utf-8")
    context = browser.new_context(offline=True)
    page, log = watched_page(context)
    page.goto(copy.as_uri())
    page.wait_for_load_state("networkidle")
    context.close()
    foreign = [url for url in log.foreign(site) if url != copy.as_uri()]
    assert len(foreign) == 1
    assert "192.0.2.1/x" in foreign[0] or "elsewhere" in foreign[0]


def test_page_has_no_console_error(visit, page_name):
    page = visit(page_name)
    assert page.served.complaints == []
    assert page.opened.complaints == []


def test_mathematics_is_typeset(visit, page_name):
    for maths in visit(page_name).maths:
        assert maths["bare"] == [], "formulas left as they were typed"
        assert maths["wrong"] == [], "formulas with an error"
        assert maths["raw"] == [], "TeX in the running text"


def test_some_page_has_mathematics(visit, toc_pages):
    assert any(maths["count"] for page in toc_pages for maths in visit(page).maths)


def test_page_fits_a_phone(visit, page_name):
    assert visit(page_name).overflow == []


def test_dark_mode_is_legible(visit, page_name):
    page = visit(page_name)
    assert page.dark_contrast >= 7
    assert page.axe["dark"] == []
    for figure in page.dark_figures:
        assert figure["asDrawn"], "a figure is dimmed or inverted"
        assert figure["darkest"] < 100, "the lines of a figure are not dark"
        assert figure["panel"] > 200, "the panel of a figure is not light"


def test_page_is_accessible(visit, page_name):
    page = visit(page_name)
    assert page.axe["light"] == []
    assert page.axe["phone"] == []


def test_images_have_alternative_text(visit, page_name):
    assert visit(page_name).images == []


def test_index_leads_to_the_opening_page(browser, address, site, toc_pages):
    for start in (f"{address}/index.html", (site / "index.html").resolve().as_uri()):
        page = browser.new_page()
        page.goto(start)
        page.wait_for_url(f"**/{toc_pages[0]}.html")
        page.close()


@pytest.mark.parametrize("way", ["http", "file"])
def test_search_works_offline(browser, address, site, way):
    start = address if way == "http" else site.resolve().as_uri()
    page = browser.new_page()
    page.goto(f"{start}/search.html?q=ledger")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
    assert any("claims-ledger" in link for link in links)
    page.close()


def check_slider(box) -> None:
    """Move a slider by keyboard from end to end; the frame, the value and the words follow."""
    frames, control = box.locator("img"), box.locator("input")
    labels = frames.evaluate_all("all => all.map(frame => frame.dataset.label)")
    assert len(labels) == int(control.get_attribute("max")) + 1
    control.press("Home")
    for k, label in enumerate(labels):
        shown = frames.evaluate_all("all => all.map(frame => frame.offsetParent !== null)")
        assert shown == [j == k for j in range(len(labels))]
        assert box.locator("output").inner_text() == label
        assert control.get_attribute("aria-valuetext") == label
        control.press("ArrowRight")


def test_sliders_of_the_page_move(browser, address, site, page_name):
    if 'class="slider"' not in (site / f"{page_name}.html").read_text("utf-8"):
        return
    page = browser.new_page()
    page.goto(f"{address}/{page_name}.html", wait_until="domcontentloaded")
    for box in page.locator("figure.slider").all():
        check_slider(box)
    page.close()


def small_slider():
    figures = []
    for k in range(3):
        figure, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, k])
        figures.append(figure)
    return slider(figures, ["a", "b", "c"], name="letter", alt="A line.", start=1)


def test_slider_works_from_a_file(browser, tmp_path):
    file = tmp_path / "slider.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'>{small_slider()._repr_html_()}")
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.locator("output").inner_text() == "b"
    check_slider(page.locator("figure.slider"))
    page.close()


def test_slider_shows_its_first_frame_without_scripts(browser, tmp_path):
    file = tmp_path / "slider.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'>{small_slider()._repr_html_()}")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert [frame.is_visible() for frame in page.locator("img").all()] == [False, True, False]
    assert not page.locator("input").is_visible()
    context.close()
