"""The web edition: built without a warning and without a network; every link leads somewhere; nothing is fetched."""

from __future__ import annotations

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

from contrast import CONTRASTS  # noqa: E402

FETCHED = {"src", "srcset", "data", "poster", "background", "action"}  # what a browser fetches, or sends to, by itself
NOTEBOOKS = [path for folder in ("notebooks", "exercises") for path in sorted((ROOT / folder).glob("[0-9]*.ipynb"))]


class Page(HTMLParser):
    """What a page links to, what it fetches, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name == "href":
                (self.links if tag in ("a", "area") else self.fetched).append(value)
            elif value and name in FETCHED:
                self.fetched.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once, within three minutes."""
    into = tmp_path_factory.mktemp("site")
    start = time.perf_counter()
    command = [sys.executable, str(ROOT / "tools" / "website.py"), "--into", str(into)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.perf_counter() - start < 180
    return into


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def target(page: Page, link: str, site: Path) -> tuple[Path, str]:
    """The file and the anchor that a link within the site leads to."""
    parts = urlsplit(link)
    path = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    return path, unquote(parts.fragment)


def test_every_link_within_the_site_leads_somewhere(pages, site):
    wrong = []
    for page in pages.values():
        for link in page.links + page.fetched:
            if re.match(r"(https?|mailto|data):", link):
                continue
            path, anchor = target(page, link, site)
            if not path.is_file():
                wrong.append(f"{page.path.relative_to(site)}: {link}")
            elif anchor and path in pages and anchor not in pages[path].anchors:
                wrong.append(f"{page.path.relative_to(site)}: {link} (no such place)")
    assert wrong == []


def test_no_page_fetches_anything_from_another_host(pages, site):
    for page in pages.values():
        assert [link for link in page.fetched if re.match(r"(\w+:)?//", link)] == [], page.path
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert re.findall(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^)"']+""", text) == [], style


def test_every_notebook_is_there_and_no_solution(pages, site):
    for path in NOTEBOOKS:
        html = (site / path.parent.name / f"{path.stem}.html").read_text(encoding="utf-8")
        content = nbformat.read(path, as_version=4)
        first = re.search(r"^# (.+)$", content.cells[0].source, re.MULTILINE)
        assert first is not None and f"<title>{first[1]} - " in html
        images = sum("<img" in "".join(o.get("data", {}).get("text/html", "")) for c in content.cells
                     for o in c.get("outputs", []))  # fmt: skip
        assert html.count("data:image/png;base64,") >= images
    assert not [path for path in pages if "solutions" in path.parts]
    assert (site / "exercises" / "02_attention.html").read_text(encoding="utf-8").count("YOUR CODE HERE") >= 3
    assert "BEGIN SOLUTION" not in "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))


def test_what_is_folded_in_jupyterlab_is_folded_in_the_site(site):
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        folded = sum(
            bool(c.get("outputs")) and c.metadata.get("jupyter", {}).get("outputs_hidden", False) for c in cells
        )
        html = (site / path.parent.name / f"{path.stem}.html").read_text(encoding="utf-8")
        assert html.count("Your prediction first; then open what came out.") == folded, path.stem
        assert not re.search(r"<details[^>]* open", html)


def test_the_library_is_there_from_its_docstrings(site):
    html = (site / "api" / "course.attention.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", html)
    assert "Scaled dot-product attention" in text and "arXiv:1706.03762" in text
    for path in [*(ROOT / "course").glob("[a-z]*.py"), *(ROOT / "course" / "world").glob("[a-z]*.py")]:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert path.stem == "cli" or (site / "api" / f"{name}.html").exists(), name


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The site on a server of this machine: search reads the pages that it finds."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_reader_finds_folds_and_reads_on_every_screen(address, width, scheme):
    look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
    if look.browser_here() is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium on this machine")
    with look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{address}/search.html?q=softmax")
        page.wait_for_selector("#search-results li a")
        assert page.locator("#search-results li a", has_text="Attention").count() >= 1
        page.goto(f"{address}/notebooks/02_attention.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == (scheme == "dark")
        folded = page.locator("details", has_text="Your prediction first").first
        inside = folded.locator("pre").first
        assert not inside.is_visible()
        folded.locator("summary").click()
        assert inside.is_visible()
        box = page.locator("math[display=block]").first.bounding_box()
        assert box is not None and box["height"] > 10
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRASTS)[0][0] >= 4.5, page.evaluate(CONTRASTS)[:5]
        browser.close()
        assert wrong == [] and [url for url in asked if not url.startswith((address, "data:"))] == []
