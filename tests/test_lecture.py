"""Notebooks as slide shows: cut by rule, nothing asked of another host, nothing beyond the screen, a kernel behind."""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

from course import cli
from course.show import excerpt, export, lecture, minutes, slides

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
sys.path.insert(0, str(ROOT / "tools"))
v4 = nbformat.v4
STORED = [v4.new_output("stream", text="stored\n")]
FOLDED = {"jupyter": {"outputs_hidden": True}}
SLIDES = "[...document.querySelectorAll('.slides > section > section')]"
HERE = "section.present > section.present"
TITLE = "# 77 · Tiny\n\n**Time** 10 minutes to work through.\n\n**You will be able to**\n- multiply."
QUESTION = "## 1. One\n\nIt is short. Said first.\n\nSaid, too.\n\n**Predict first.** What is 6 × 7?\n- A: 42\n- B: 13"


def tiny(*cells: Any) -> nbformat.NotebookNode:
    return v4.new_notebook(cells=[v4.new_markdown_cell(TITLE), *cells])


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook with a question, its outcome, and a cell that fails."""
    content = tiny(
        v4.new_code_cell("import math\nimport os\nimport sys\nx = 6"),
        v4.new_markdown_cell(QUESTION),
        v4.new_code_cell("y = x * 7\nprint(y)\nassert y == 42", outputs=STORED, metadata=FOLDED),
        v4.new_markdown_cell("**Finding.** It is 42.\n\n## 2. Two\n\nMore."),
        v4.new_code_cell("1 / 0", outputs=STORED),
    )
    nbformat.write(content, tmp_path / "77_tiny.ipynb")
    return tmp_path / "77_tiny.ipynb"


def test_a_question_stands_before_its_outcome_and_a_finding_beside_it(notebook):
    first, question, outcome, second = slides.cut(nbformat.read(notebook, 4))
    assert first.parts[-1].text == "**You will be able to**\n\n- multiply.", "a line that leads to a list stays with it"
    assert [part.kind for part in question.parts] == ["markdown", "markdown", "markdown", "code"]
    assert question.parts[0].text == "It is short. Said first." and "Said, too." in question.notes
    assert any(note.startswith("**Ask the room") and "6 × 7" in note for note in question.notes)
    assert question.parts[-1].text == "y = x * 7", "what prints and checks is not projected"
    assert [part.kind for part in outcome.parts] == ["markdown", "output", "markdown"]
    assert outcome.parts[0].text.startswith("> **Predict first.**") and outcome.parts[2].text.startswith("**Finding.**")
    assert [part.kind for part in second.parts] == ["markdown", "code", "output"], "nothing to predict: one slide"


def test_a_cell_says_itself_how_it_is_shown():
    def cell(kind: str, text: str) -> Any:
        return v4.new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})

    found = slides.cut(
        tiny(cell("skip", "gone"), cell("notes", "said"), cell("slide", "whole. And more."), cell("fragment", "later"))
    )
    assert not [slide for slide in found if any("gone" in part.text for part in slide.parts)]
    assert "said" in found[0].notes
    assert [(part.text, part.later) for part in found[1].parts] == [("whole. And more.", False), ("later", True)]


def test_the_answers_that_a_question_offers_stand_below_it():
    offered = v4.new_output(
        "display_data", data={"text/html": "<ul><li>42</li></ul><p><em>Your prediction first.</em>"}
    )
    guess = v4.new_code_cell("guess = predict('x', ['42'])", outputs=[offered])
    guess.metadata["jupyter"] = {"source_hidden": True}
    outcome = v4.new_code_cell("y = 6 * 7\nguess.tell()", outputs=STORED, metadata=FOLDED)
    _, question, after = slides.cut(tiny(v4.new_markdown_cell(QUESTION), guess, outcome))
    assert [part.kind for part in question.parts] == ["markdown", "markdown", "markdown", "choices", "code"]
    assert question.parts[3].outputs[0].data["text/html"] == "<ul><li>42</li></ul>"
    assert question.parts[4].text == "y = 6 * 7" and after.parts[-1].outputs[0].text == "stored"


def test_two_pictures_of_a_cell_stand_on_two_slides_and_know_which_they_are():
    pictures = [v4.new_output("display_data", data={"text/html": "<img src='data:,'>"})] * 2
    found = slides.cut(tiny(v4.new_code_cell("draw()", outputs=pictures)))
    parts = [part for slide in found for part in slide.parts if part.kind == "output"]
    assert [(part.cell, part.start, part.end) for part in parts] == [(1, 0, 1), (1, 1, None)]
    assert len({id(slide) for slide in found for part in slide.parts if part.kind == "output"}) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outcome_stands_on_the_slide_of_its_question(path):
    content = nbformat.read(path, 4)
    found = slides.cut(content)
    shown = {part.cell: slide for slide in found for part in slide.parts if part.kind == "output"}
    for number, cell in enumerate(content.cells):
        if cell.metadata.get("jupyter", {}).get("outputs_hidden") and number in shown:
            slide = shown[number]
            assert not [part for part in slide.parts if part.text.startswith("**Predict first")], slide.title
            assert not [part for part in slide.parts if part.kind == "code"], slide.title
    for slide in found:
        for part in slide.parts:
            if part.kind == "code":
                assert not re.search(r"^(import|from|assert|print\()", part.text, re.MULTILINE), part.text
    minutes.time_them(found, content, path.stem[:2])
    told = int(re.search(r"(\d+) minutes", content.cells[0].source)[1])  # type: ignore[index]
    assert abs(sum(slide.seconds for slide in found) - 60 * told) < len(found)
    assert sum("**Ask the room" in "\n".join(slide.notes) for slide in found) >= 1


def test_code_worth_projecting_is_what_computes():
    code = "import a\nx = f(1)\npicture = plots.bars(x)\n\n\ndef paint(axes):\n    axes.plot(x)\n\n\n"
    code += "for i in x:\n    y = i\n    print(y)\n"
    assert excerpt.worth_projecting(code + "plots.draw(paint)") == "x = f(1)\n\nfor i in x:\n    y = i"
    assert excerpt.worth_projecting("assert True\nprint(1)") == ""
    assert ["\n".join(["x = 1"] * n) for n in (10, 12)] == [*excerpt.pieces("\n".join(["x = 1"] * 22), 290)]


def test_sentences_are_never_cut_within_bold_or_code():
    text = "**One. Two.** Three `a. b` four. Five."
    assert slides.sentences(text, 5) == "**One. Two.** Three `a. b` four."
    assert slides.sentences("One. Two. Three.", 10) == "One. Two."


def test_the_teachers_guide_is_read_as_it_is_written():
    assert minutes.sections("01 § 1, § 5–6; 04 § 12") == {"01": {1, 5, 6}, "04": {12}}
    assert 7 in minutes.sections("00; 01 § 1–3")["00"]
    assert any("Ask:" in plan for plan in minutes.plans("04", 9)), "the guide asks a question there"


# --- in the browser -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
    if look.browser_here() is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium on this machine")
    with look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 1280 by 720 on which nothing goes wrong and which asks no other host for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
    page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
    yield page
    page.close()
    assert wrong == []


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    return page


def test_no_slide_of_the_course_is_larger_than_the_screen(page, tmp_path):
    for path in lecture.write([], tmp_path):
        assert path.stat().st_size < 8e6, "to be sent by mail"
        opened(page, path.as_uri())
        for zoom, high, wide, title in page.evaluate(
            SLIDES + ".map(s => [Number(s.dataset.zoom), s.scrollHeight, s.scrollWidth, s.children[0].textContent])"
        ):
            assert high <= 720 and wide <= 1280, f"{path.stem}: {title}"
            assert zoom >= 0.65, f"{path.stem}: {title}: its text is too small for the back row"
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.wait_for_timeout(300)  # the slides of the quiz fit themselves anew
        assert page.evaluate(SLIDES + ".every((slide) => slide.scrollHeight <= 720)"), path.stem
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_the_keys_of_a_presenter_go_on_and_back(page, notebook, tmp_path):
    (tmp_path / "show.html").write_text(lecture.deck(notebook), encoding="utf-8")
    opened(page, (tmp_path / "show.html").as_uri())
    page.keyboard.press("PageDown")
    assert "6 × 7" in page.inner_text(HERE) and "stored" not in page.inner_text(HERE)
    assert not page.get_by_text("stored").first.is_visible(), "the outcome appears on the next step only"
    page.keyboard.press("PageDown")
    assert "stored" in page.inner_text(HERE) and "It is 42" in page.inner_text(HERE)
    page.keyboard.press("PageUp")
    assert "stored" not in page.inner_text(HERE)
    assert not page.is_visible("#run"), "there is no kernel behind a file"


def test_the_speakers_view_has_minutes_and_the_question(page, notebook, tmp_path):
    (tmp_path / "show.html").write_text(lecture.deck(notebook), encoding="utf-8")
    opened(page, (tmp_path / "show.html").as_uri())
    page.keyboard.press("PageDown")
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.wait_for_selector("text=Ask the room, and wait.", timeout=30_000)
    assert "of 10 minutes" in popup.value.inner_text("body")
    popup.value.close()


def test_a_cell_runs_in_place_and_an_error_is_shown(page, notebook):
    show = lecture.Show(notebook)
    try:
        opened(page, show.address)
        page.keyboard.press("PageDown")
        page.keyboard.press("r")  # at the question: the outcome, one step on
        page.wait_for_selector("[data-ran]", timeout=60_000)
        assert "42" in page.inner_text(HERE) and "stored" not in page.inner_text(HERE)
        page.keyboard.press("PageDown")
        page.keyboard.press("r")
        page.wait_for_selector("text=ZeroDivisionError", timeout=60_000)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(show.address.rsplit("/", 2)[0] + "/guess/", timeout=5)
        show.kernel.run = lambda number: 1 / 0  # type: ignore[method-assign, assignment]
        opened(page, show.address)
        page.keyboard.press("PageDown")
        page.keyboard.press("r")
        page.wait_for_selector("text=No kernel: the stored output stays")
        page.keyboard.press("PageDown")
        assert "stored" in page.inner_text(HERE)
    finally:
        show.close()


# --- the command --------------------------------------------------------------------------------------------


def test_the_handout_is_printed_with_what_is_said(browser, notebook, tmp_path):
    assert lecture.handout(notebook, tmp_path).read_bytes().startswith(b"%PDF")
    html = lecture.deck(notebook, handout=True)
    assert "Ask the room" in html and "<script" not in html


def test_without_a_browser_the_handout_waits_for_one(monkeypatch, tmp_path):
    monkeypatch.setattr(lecture, "chromium", lambda: None)
    found = CliRunner().invoke(cli.main, ["lecture", "00", "--pdf", "--into", str(tmp_path)])
    assert found.exit_code == 1 and "choose Print, Save as PDF" in found.output
    assert (tmp_path / "00_welcome_handout.html").exists()


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(lecture.importlib.util, "find_spec", lambda name: None)
    found = CliRunner().invoke(cli.main, ["lecture", "00", "--into", str(tmp_path)])
    assert found.exit_code == 1 and "requirements-site.lock" in found.output
    found = CliRunner().invoke(cli.main, ["lecture", "77"])
    assert found.exit_code == 1 and '"77" is no notebook of the course' in found.output


def test_a_file_of_the_users_is_not_replaced(tmp_path):
    (tmp_path / "00_welcome_slides.html").write_text("mine")
    found = CliRunner().invoke(cli.main, ["lecture", "00", "--into", str(tmp_path)])
    assert found.exit_code == 1 and "is no page of the course" in found.output
    assert export.OURS in lecture.deck(NOTEBOOKS[0])
