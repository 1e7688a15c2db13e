"""Pictures that move, in a real browser: they compute what the library computes, at once, by keys and by dragging."""

from __future__ import annotations

import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]
look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
pytestmark = pytest.mark.skipif(
    look.browser_here() is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)

from contrast import CONTRASTS  # noqa: E402
from pieces import KEY, KEYS, MAKERS, PRICES, QUERY, RHYME, logits, page, piece  # noqa: E402

from course.attention import rotary_angles, rotate  # noqa: E402
from course.generate import Sampling, next_token_distribution  # noqa: E402
from course.show import export, lecture  # noqa: E402
from course.tokenizer import Tokenizer, learn_merges, split  # noqa: E402

NUMBERS = "() => document.querySelector('.course-live').numbers"
TOLERANCE = 1e-5  # the page computes in float64, the library in float32
CLOCK = """() => {
    [window.times, window.seen] = [[], []];
    const note = () => {
        const start = performance.now();
        requestAnimationFrame(() => setTimeout(() => {
            times.push(performance.now() - start);
            seen.push(JSON.stringify(document.querySelector(".course-live").numbers));
        }));
    };
    for (const kind of ["keydown", "pointermove", "click"]) document.addEventListener(kind, note, true);
}"""
SEEN = """() => [...document.querySelectorAll(".course-live")].map(({ shadowRoot: root }) => {
    const svg = root.querySelector("svg"), frame = svg.getBoundingClientRect();
    const outside = [...svg.querySelectorAll("text")].filter((text) => {  // what does not fit into the drawing
        const box = text.getBoundingClientRect();
        return box.left < frame.left - 12 || box.right > frame.right + 12;
    });
    return {
        contrasts: (CONTRASTS)(root), outside: outside.map((text) => text.textContent),
        smallest: Math.min(...[...root.querySelectorAll("*")].map((one) => parseFloat(getComputedStyle(one).fontSize))),
        named: [...root.querySelectorAll("input, select, textarea")].every((one) => one.labels.length || one.ariaLabel),
    };
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab on which nothing goes wrong."""
    tab = browser.new_page(viewport={"width": 820, "height": 700})
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    yield tab
    tab.close()
    assert wrong == []


def shown(tab: Any, name: str) -> Any:
    tab.set_content(f"<!doctype html><meta charset=utf-8><body>{page(name)}")
    tab.wait_for_function("() => document.querySelector('.course-live').numbers")
    return tab


def turn(tab: Any, label: str, value: Any) -> None:
    """Set a knob as its user would leave it."""
    control = tab.get_by_label(label)
    if isinstance(value, bool):
        control.set_checked(value)
    else:
        control.evaluate(
            "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', { bubbles: true })); }",
            value,
        )


# --- what it computes ---


def test_the_clock_computes_the_librarys_rotation(tab):
    shown(tab, "clock")
    q, k = (torch.tensor(row, dtype=torch.float64).view(1, 1, 1, 8) for row in (QUERY, KEY))
    for m, n in ((7, 2), (0, 0), (60, 3), (1, 59)):
        turn(tab, "query at place", m)
        turn(tab, "key at place", n)
        ours = (rotate(q, *rotary_angles(torch.tensor([m]), 8)) * rotate(k, *rotary_angles(torch.tensor([n]), 8))).sum()
        assert tab.evaluate(NUMBERS)["score"] == pytest.approx(ours.item(), abs=TOLERANCE)


def test_the_clock_keeps_the_distance_and_with_it_the_score(tab):
    shown(tab, "clock")
    before = tab.evaluate(NUMBERS)
    turn(tab, "keep the distance", True)
    for m in (20, 60, 0):
        turn(tab, "query at place", m)
        after = tab.evaluate(NUMBERS)
        assert after["m"] - after["n"] == 5 and after["n"] >= 0
        assert after["score"] == pytest.approx(before["score"], abs=1e-9)


def test_the_soft_dictionary_computes_a_softmax_wherever_the_wish_is_dragged(tab):
    shown(tab, "dictionary")
    handle = tab.get_by_role("slider", name="the wish").bounding_box()
    tab.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    tab.mouse.down()
    for dx, dy in ((40, -60), (90, -120), (-120, 20)):
        tab.mouse.move(handle["x"] + handle["width"] / 2 + dx, handle["y"] + handle["height"] / 2 + dy)
        found = tab.evaluate(NUMBERS)
        scores = torch.tensor(list(KEYS.values()), dtype=torch.float64) @ torch.tensor(
            found["wish"], dtype=torch.float64
        )
        assert found["wish"] != [2, 0] and found["weights"] == pytest.approx(scores.softmax(0).tolist(), abs=TOLERANCE)
        prices = torch.tensor(list(PRICES.values()), dtype=torch.float64)
        assert found["answer"] == pytest.approx((scores.softmax(0) @ prices).item(), abs=1e-3)


@pytest.mark.parametrize("text", [0, 1])
def test_roulette_draws_from_the_librarys_distribution(tab, text):
    shown(tab, "roulette")
    turn(tab, "text", text)
    scores = list(logits().values())[text]
    for temperature, k, p in ((1.0, 100, 1.0), (0.1, 100, 1.0), (2.5, 7, 1.0), (0.7, 100, 0.9), (1.3, 20, 0.35)):
        for label, value in (("temperature", temperature), ("top-k", k), ("top-p", p)):
            turn(tab, label, value)
        found = tab.evaluate(NUMBERS)
        theirs = next_token_distribution(scores, Sampling(temperature, k if k < 100 else None, p))
        ours = torch.zeros(300).index_put_(
            (torch.tensor(found["ids"]),), torch.tensor(found["probs"], dtype=torch.float32)
        )
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)
    tab.get_by_role("button", name="Throw 100").click()
    assert tab.evaluate(NUMBERS)["throws"] == 100


@pytest.mark.parametrize("text", [RHYME, "aaaa aaaa bab bab", "東京タワーは東京にあるタワーです。2,023 2,023", "x"])
def test_next_merge_learns_the_librarys_merges(tab, text):
    shown(tab, "merges")
    tab.get_by_label("your text").fill(text)
    turn(tab, "merges done", 200)
    merges = learn_merges(Counter(split(text)), 200)
    found = tab.evaluate(NUMBERS)
    assert found["merges"] == [list(pair) for pair in merges]
    assert found["ids"] == Tokenizer(merges).encode(text)


def test_frames_show_what_the_library_computed_for_that_setting(tab):
    shown(tab, "bars")
    turn(tab, "beta", 2)
    turn(tab, "plain", False)
    assert tab.evaluate(NUMBERS)["series"] == [[0.5, 0.5], [0.2, 0.8]]
    assert tab.locator("h4").inner_text() == "β = 4.0"


def test_scrub_and_stages_show_that_step_and_that_question(tab):
    shown(tab, "scrub")
    turn(tab, "iteration", 2)
    assert tab.evaluate(NUMBERS)["at"] == 4 and tab.get_by_text("Of course!").is_visible()
    shown(tab, "stages")
    tab.get_by_role("button", name="Next").click()
    assert tab.evaluate(NUMBERS)["answers"] == ["So?", "Now."]


def test_a_click_on_another_token_goes_on_from_there_and_back(tab):
    shown(tab, "tree")
    before = tab.evaluate(NUMBERS)
    choices = tab.locator(".live > div >> button:not([disabled])")
    tab.locator("[data-place='0']").hover()
    choices.filter(has_not_text=before["text"][0]).last.click()
    after = tab.evaluate(NUMBERS)
    assert after["text"][0] != before["text"][0] and after["probability"] < before["probability"]
    tab.get_by_role("button", name="From the start").click()
    assert tab.evaluate(NUMBERS) == before


def test_clicks_teach_the_weights_that_bradley_and_terry_would_learn(tab):
    shown(tab, "taste")
    for side in (1, 0, 1):
        tab.locator(f"[data-side='{side}']").click()
    pairs, found = piece("taste").data["pairs"], tab.evaluate(NUMBERS)
    won = torch.tensor([pair["marks"] for pair in pairs], dtype=torch.float64) * torch.tensor([[-1.0], [1.0], [-1.0]])
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = -torch.nn.functional.logsigmoid(won @ weights).sum() + 0.05 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert found["weights"] == pytest.approx(weights.tolist(), abs=1e-4)
    tab.get_by_role("button", name="Undo").click()
    assert len(tab.evaluate(NUMBERS)["clicks"]) == 2


def test_a_head_that_is_switched_off_changes_what_comes_next(tab):
    shown(tab, "arcs")
    turn(tab, "head 1", False)
    assert tab.evaluate(NUMBERS)["next"] == [list(pair) for pair in piece("arcs").data["next"][0][2]]


# --- how quickly, for whom, and where ---


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("stages", "tree", "taste")])
def test_a_key_turns_the_picture_within_50_milliseconds(tab, name):
    shown(tab, name)
    tab.evaluate(CLOCK)
    control = {"bars": "select", "dictionary": ".handle", "glass": ".handle"}.get(name, "input[type=range]")
    tab.locator(control).last.focus() if name == "dictionary" else tab.locator(control).first.focus()
    for number in range(50):
        tab.keyboard.press("ArrowLeft" if number % 2 else "ArrowRight")
        tab.wait_for_function(f"() => times.length > {number}")
    assert tab.evaluate("seen.filter((one, i) => i && one !== seen[i - 1]).length") >= 45
    assert statistics.median(tab.evaluate("times")) <= 50


def test_a_drag_turns_the_picture_within_50_milliseconds(tab):
    shown(tab, "dictionary")
    handle = tab.get_by_role("slider", name="the wish").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.evaluate(CLOCK)
    for number in range(50):
        tab.mouse.move(x + 40 + 3 * (number % 7), y - 2 * number)
        tab.wait_for_function(f"() => times.length > {number}")
    assert tab.evaluate(NUMBERS)["wish"][1] > 1
    assert statistics.median(tab.evaluate("times")) <= 50


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (820, True), (320, False)])  # 320: 1280 at a zoom of 400%
def test_every_piece_can_be_read_in_both_themes_and_on_every_width(tab, width, dark):
    tab.set_viewport_size({"width": width, "height": 700})
    ground = "#111" if dark else "#fff"
    everything = "".join(map(page, MAKERS))
    tab.set_content(f"<!doctype html><meta charset=utf-8><body style='margin:8px; background:{ground}'>{everything}")
    tab.wait_for_function("() => [...document.querySelectorAll('.course-live')].every((one) => one.numbers)")
    assert tab.locator(".live.dark").count() == (len(MAKERS) if dark else 0)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for name, seen in zip(MAKERS, tab.evaluate(SEEN.replace("CONTRASTS", CONTRASTS)), strict=True):
        assert seen["contrasts"][0][0] >= 4.5, (name, seen["contrasts"][:3])
        assert seen["smallest"] >= 14, name
        assert seen["outside"] == [], name
        assert seen["named"], f"a control of {name} has no label"


def test_it_works_in_an_exported_page_and_on_a_slide_where_keys_turn_it_and_not_the_slide(tab, tmp_path):
    shows = [nbformat.v4.new_output("display_data", data={"text/html": page(name)}) for name in ("clock", "curves")]
    cells = [nbformat.v4.new_markdown_cell("# Title\n\nRead me."), nbformat.v4.new_code_cell("a = 1", outputs=shows)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    (tmp_path / "page.html").write_text(export.page(tmp_path / "one.ipynb"), encoding="utf-8")
    (tmp_path / "show.html").write_text(lecture.deck(tmp_path / "one.ipynb"), encoding="utf-8")
    for name in ("page", "show"):
        tab.goto((tmp_path / f"{name}.html").as_uri())
        tab.wait_for_selector("html[data-ready]" if name == "show" else ".course-live")
        while name == "show" and not tab.locator(".present .course-live").first.is_visible():
            tab.keyboard.press("PageDown")
        where = tab.url
        before = tab.evaluate(NUMBERS)
        tab.get_by_label("query at place").focus()
        tab.keyboard.press("ArrowRight")
        assert tab.evaluate(NUMBERS)["m"] == before["m"] + 1 and tab.url == where
        assert tab.locator(".course-live").count() == 2
