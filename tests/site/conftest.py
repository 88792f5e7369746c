"""The built site, a local server for it, and one browser for all of these tests.

`BOOK_SITE` names another folder than `_build/html`, for a site built elsewhere. Where there is no
build or no browser these tests skip and say so; with `CI` set they fail instead.
"""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build" / "html"))
TOC = SITE.parents[1] / "_toc.yml"
# No first-run pages, updates or background requests of the browser's own.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def _toc_pages() -> list[str]:
    """Every page of the table of contents, in order."""

    def below(entry: dict) -> Iterator[str]:
        if page := entry.get("file") or entry.get("root"):
            yield page
        for group in ("parts", "subtrees", "chapters", "entries", "sections"):
            for child in entry.get(group, []):
                yield from below(child)

    return list(below(yaml.safe_load(TOC.read_text("utf-8"))))


def _missing(what: str, remedy: str) -> None:
    message = f"{what}; {remedy}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page_name" in metafunc.fixturenames:
        metafunc.parametrize("page_name", _toc_pages())


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site."""
    if not (SITE / "index.html").exists():
        _missing(f"there is no site in {SITE}", "run make book first")
    return SITE


@pytest.fixture(scope="session")
def toc_pages() -> list[str]:
    return _toc_pages()


@pytest.fixture(scope="session")
def browser():
    """Chromium, started once."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    executable = os.environ.get("CHROMIUM") or next(found, None)
    if executable is None:
        _missing("there is no Chromium on the path", "install it or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/favicon.ico":  # asked for by the browser, not by the page
            self.send_response(204)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """The site served on a free port of this machine."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
