"""The report and the learners' pages in a real browser: sorted, filtered, printed, in both themes, by keyboard."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]
look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)

from contrast import CONTRASTS  # noqa: E402
from playwright.sync_api import expect  # noqa: E402
from pupils import HOSTILE, POSSIBLE, SET, alike, crowd, handed_in, results, roster  # noqa: E402

from course.grading import report  # noqa: E402
from course.grading.book import Book  # noqa: E402

pytestmark = pytest.mark.skipif(
    look.browser_here() is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)
NAMES = "() => [...document.querySelectorAll('#learners tbody th a bdi')].map(e => e.textContent)"
COLUMN = "n => [...document.querySelectorAll('#learners tbody tr')].map(row => row.cells[n].textContent)"
CLIPPED = """() => [...document.querySelectorAll("table, .wide, svg, p, li, th, td")]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
                 || getComputedStyle(e).overflowX !== "visible" && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class of 130 with everything that a report can hold, hostile names among them."""
    folder = tmp_path_factory.mktemp("out")
    submissions, judged = crowd(120)
    for i, name in enumerate(HOSTILE):
        submissions.append(handed_in(f"h{i}", name=name, file=f"{name}.ipynb", remarks=[name], late=i == 0))
        judged += results(f"h{i}", "m?!" + "." * (len(SET) - 3))
    submissions += [handed_in("ace", name="Ace"), handed_in("bad", error="It is empty.")]
    judged += results("ace", "+" * len(SET))
    intake = roster("absent")
    intake.nobody.append((HOSTILE[0], HOSTILE[1]))
    similar = [alike(["s00001", "h0"], SET[0].id, "equal but for names")]
    report.write(folder, submissions, judged, HOSTILE[0], intake=intake, alike=similar, deductions={"s00003": 1.5})
    return folder


@pytest.fixture
def opened(browser: Any, out: Path) -> Iterator[Any]:
    """Opens a page; afterwards nothing was complained of in the console, and nothing was asked for but files here."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_(name: str = "report.html", width: int = 1280, height: int = 720, **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda line: complaints.append(line.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((out / name).as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints
    assert asked and all(url.startswith(out.as_uri()) for url in asked)


def sort(page: Any, column: int) -> Any:
    return page.locator("#learners thead th").nth(column)


def test_hostile_names_are_shown_as_text_and_do_nothing(opened):
    page = opened()
    assert page.title().startswith(HOSTILE[0]) and page.locator("h1").inner_text().startswith(HOSTILE[0])
    page.fill("#text", "h0")
    assert page.evaluate(NAMES) == [HOSTILE[0]]
    page.fill("#text", "onerror")
    assert page.evaluate(NAMES) == [HOSTILE[1]]
    assert page.locator("img, h1 script, table script, b:not(.cards b)").count() == 0


def test_a_click_sorts_upwards_and_downwards(opened):
    page = opened()
    head = sort(page, 1)
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    points = [float(text.split()[0]) for text in page.evaluate(COLUMN, 1)]
    assert points == sorted(points) and len(points) == 100
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    points = [float(text.split()[0]) for text in page.evaluate(COLUMN, 1)]
    assert points[0] == POSSIBLE and points == sorted(points, reverse=True)
    sort(page, 2).locator("button").click()
    sort(page, 2).locator("button").click()
    assert page.evaluate(COLUMN, 2)[:2] == ["−1.5", ""]
    sort(page, 0).locator("button").click()
    assert head.get_attribute("aria-sort") == "none" and sort(page, 0).get_attribute("aria-sort") == "ascending"
    names = [name for name in page.evaluate(NAMES) if name.startswith("Learner A.")]
    numbers = [int(name.split()[-1]) for name in names]
    assert numbers == sorted(numbers) and len(numbers) > 5  # as numbers: 9 before 10


def test_the_keyboard_alone_sorts_filters_and_opens(opened):
    page = opened()
    page.locator("#text").focus()
    page.keyboard.type("learner")
    assert "of 120 learners" in page.inner_text("#shown")
    page.keyboard.press("Tab")
    page.keyboard.type("all")  # the entry that begins so
    assert page.eval_on_selector("#state", "e => e.value") == "full"
    page.keyboard.type("who")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#learners thead') !== null"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where one is must be seen"
    page.keyboard.press("Enter")
    assert sort(page, 0).get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert sort(page, 0).get_attribute("aria-sort") == "descending"
    page.locator("#learners tbody a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/feedback/*.html")


def test_the_filters_find_whom_they_name(opened):
    page = opened()
    assert page.inner_text("#shown") == "1 to 100 of 131 learners"
    page.click("#next")
    assert page.inner_text("#shown") == "101 to 131 of 131 learners" and page.is_disabled("#next")
    page.select_option("#state", "nothing")
    assert page.evaluate(NAMES) == ["Name of absent"]
    page.select_option("#state", "full")
    assert "Ace" in page.evaluate(NAMES) and set(page.evaluate(COLUMN, 1)) == {str(POSSIBLE)}
    page.select_option("#state", "unjudged")
    assert page.inner_text("#shown") == f"{len(HOSTILE)} of 131 learners"
    assert set(page.evaluate(COLUMN, 4)) == {"?"}
    page.select_option("#state", "")
    button = page.locator("button.who[data-letter=a]").first
    says = button.evaluate("e => e.closest('li').textContent")
    button.click()
    count = int(re.search(r"a\s+(\d+) ×", says)[1])  # type: ignore[index]
    assert page.inner_text("#shown") == f"{count} of 131 learners" and len(page.evaluate(NAMES)) == count
    assert page.evaluate("document.activeElement.id") == "everybody"
    page.click("#mistake")
    assert page.inner_text("#shown") == "1 to 100 of 131 learners"


def test_exercises_sort_by_what_was_hard(opened):
    page = opened()
    page.locator("#exercises thead button").nth(4).click()
    shares = page.evaluate(
        "() => [...document.querySelectorAll('#exercises td[data-name=right]')].map(e => e.innerText)"
    )
    assert [int(share.rstrip("%")) for share in shares] == sorted(int(share.rstrip("%")) for share in shares)
    assert "hardest" in page.locator("#exercises tbody tr").first.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_both_themes(opened, scheme):
    for name in ("report.html", "feedback/s00000.html"):
        page = opened(name, color_scheme=scheme)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 10 and contrasts[0][0] >= 4.5, contrasts[:5]


@pytest.mark.parametrize("width", [320, 820, 1280, 1920])
def test_nothing_is_cut_off_from_a_telephone_to_a_projector(opened, width):
    for name in ("report.html", "feedback/s00000.html"):
        page = opened(name, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width >= 1280:
        page = opened(width=width)
        assert page.evaluate(CLIPPED) == []


def test_the_print_holds_the_whole_table_and_none_of_it_is_clipped(opened):
    page = opened(width=1000)
    page.select_option("#state", "")
    page.emulate_media(media="print")
    expect(page.locator("#learners tbody tr")).to_have_count(131)
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 without its margins, in CSS pixels
    assert page.evaluate(CLIPPED) == []
    assert not page.is_visible("#text") and not page.is_visible("button.who >> nth=0")
    assert page.locator(".plain").first.is_visible(), "who made a mistake stands there in print"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")
    page.emulate_media(media="screen")
    expect(page.locator("#learners tbody tr")).to_have_count(100)


def test_without_a_script_all_is_there_to_read(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#learners tbody tr").count() == 131
    assert page.locator("#learners tbody tr").last.is_visible()
    assert page.locator("#help").is_visible() and page.locator("#exercises").is_visible()
    assert not page.locator("#text").is_visible(), "what does nothing is not shown"


def test_a_thousand_learners_open_at_once(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report.page(Book(*crowd(1000)), "Week 2"), encoding="utf-8")
    page = browser.new_page()
    started = time.perf_counter()
    page.goto(path.as_uri())
    expect(page.locator("#learners tbody tr")).to_have_count(100)
    took = time.perf_counter() - started
    page.close()
    assert took < 3
