"""The course in JupyterLab, in a real browser: by keyboard, under axe-core, on a narrow and a wide screen."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
pytestmark = pytest.mark.skipif(
    look.browser_here() is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)

from axe_playwright_python.base import AXE_SCRIPT  # noqa: E402

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
KNOBS = """import ipywidgets as widgets
from IPython.display import display
display(widgets.IntSlider(description="slider"), widgets.Dropdown(options=["a", "b", "c"], description="menu"),
        widgets.RadioButtons(options=["one", "two"], description="radio"), widgets.Button(description="button"),
        widgets.Checkbox(description="box"), widgets.Text(description="text"))
from course.show import live
live.soft_dictionary({"a": (2, 0), "b": (0, 2)}, {"a": 1, "b": 2}, (1, 0), ("x", "y"))"""
OURS = """from types import SimpleNamespace
from course.practice.check import check
from course.practice.predict import predict
from course.practice.progress import Panel
from course.practice.quiz import Question, Quiz
from course.show.widgets import Html, chat_box, explore, rank_by_clicking, typed
import torch

def causal_mask(T):
    return torch.ones(T, T, dtype=torch.bool).triu()

wrong = check(causal_mask)
def causal_mask(T):
    return torch.ones(T, T, dtype=torch.bool).tril()
display(wrong, check(causal_mask), Panel("02"))
explore(lambda **knobs: Html(str(knobs), str(knobs)), slope=(0.0, 1.0, 0.1, 0.5), number=(1, 9, 1, 4),
        what=["this", "that"], on=True)
typed(lambda text: Html(text, text), "a text")
ballot = rank_by_clicking([("Which?", ("It is Tokyo. " * 8, "It is Kyoto.", "No idea."))])
ballot.choose(1)
display(ballot)
predict("02 one", ["an answer that is rather long, as some of them are", "another"], right="another")
predict("02 two", (0, 100, 1), unit="%")
talk = SimpleNamespace(stream=lambda question: ["It is ", "Tokyo."], tokenizer=None)
import course.chat
course.chat.unfamiliar = lambda tokenizer, question: ""
display(chat_box(talk), Quiz(Question("Why?", "Therefore.", "It is so.", {"Never.": "It is not so."})))"""
KEYS = ["d", "d", "a", "b", "x", "c", "v", "m", "y", "r", "j", "k", "z", "1", "ArrowUp", "ArrowDown", "Shift+M"]
STATE = """() => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    return [notebook.widgets.map(cell => cell.model.type), notebook.activeCellIndex];
}"""
OPEN = """async path => {
    const app = window.jupyterapp;
    [...app.shell.widgets("main")].forEach(old => old.dispose());  // close() would ask whether to save
    const opened = await app.commands.execute("docmanager:open", {path, kernel: {name: "", shouldStart: false}});
    await opened.context.ready;
    await app.commands.execute("notebook:show-all-cell-outputs");
}"""
RENDERED = """() => {
    const shown = window.jupyterapp.shell.currentWidget;
    const cells = shown?.content?.widgets ?? [];
    return cells.length > 0 && cells.every(cell => cell.isPlaceholder ? !cell.isPlaceholder() : true)
        && [...shown.node.querySelectorAll("img")].every(image => image.complete);
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(page, folder): a JupyterLab with copies of the notebooks, and two that are run."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    before, after = nbformat.v4.new_markdown_cell("before"), nbformat.v4.new_markdown_cell("after")
    for name, sources in {"knobs": [KNOBS], "ours": [OURS]}.items():
        cells = [before, *map(nbformat.v4.new_code_cell, sources), after]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / f"{name}.ipynb")
    with look.jupyterlab(root) as address, look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address.format("knobs.ipynb"))
        page.wait_for_function(look.IDLE, timeout=120_000)
        page.evaluate(AXE_SCRIPT)
        yield page, root
        browser.close()


@pytest.fixture(scope="module")
def page(lab: Any) -> Any:
    """A notebook with one knob of each kind between two other cells, run and waiting."""
    page, _ = lab
    run_all(page, "knobs.ipynb")
    page.wait_for_selector(".jp-OutputArea input[type=text]", timeout=60_000)
    page.wait_for_selector(".course-live .handle", timeout=60_000)
    return page


def run_all(page: Any, path: str) -> None:
    """Open a notebook with a kernel and run its cells."""
    page.evaluate(
        """async path => {
            const app = window.jupyterapp;
            [...app.shell.widgets("main")].forEach(old => old.dispose());
            const opened = await app.commands.execute("docmanager:open", {path, kernel: {name: "python3"}});
            await opened.context.ready;
        }""",
        path,
    )
    page.wait_for_function(look.IDLE, timeout=60_000)
    page.evaluate("() => { window.jupyterapp.commands.execute('runmenu:run-all'); }")


CONTROLS = {
    "slider": ".jp-OutputArea .noUi-handle",
    "menu": ".jp-OutputArea select",
    "radio": ".jp-OutputArea input[type=radio]",
    "button": ".jp-OutputArea button.jupyter-button",
    "box": ".jp-OutputArea input[type=checkbox]",
    "text": ".jp-OutputArea input[type=text]",
    "handle": ".course-live .handle",
}


@pytest.mark.parametrize("control", CONTROLS)
def test_no_key_at_a_knob_touches_a_cell(page, control):
    page.locator(".jp-MarkdownCell").first.click()
    page.keyboard.press("Escape")
    page.locator(CONTROLS[control]).first.focus()
    before = page.evaluate(STATE)
    for key in KEYS:
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.evaluate(STATE) == before
    assert before[0] == ["markdown", "code", "markdown"]


def test_the_same_keys_still_work_on_a_cell(page):
    page.locator(".jp-MarkdownCell").last.click()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert len(page.evaluate(STATE)[0]) == 4
    page.keyboard.press("d")
    page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.evaluate(STATE)[0] == ["markdown", "code", "markdown"]


def test_a_learner_sees_no_teachers_buttons(page):
    assert importlib.util.find_spec("nbgrader") is not None, "the tests install it"
    said = page.evaluate("() => [...document.querySelectorAll('.lm-MenuBar-itemLabel')].map(e => e.textContent)")
    assert "File" in said and not [label for label in said if "nbgrader" in label.lower()]
    assert page.locator(".jp-NotebookPanel-toolbar", has_text="Validate").count() == 0


def test_no_key_acts_on_a_cell_after_a_slider_was_dragged(page):
    slider = page.locator(CONTROLS["slider"]).first
    slider.hover()  # which brings it into the window
    was, handle = slider.get_attribute("aria-valuenow"), slider.bounding_box()
    page.mouse.down()
    page.mouse.move(handle["x"] + 60, handle["y"] + 5, steps=3)
    page.mouse.up()
    assert slider.get_attribute("aria-valuenow") != was
    before = page.evaluate(STATE)
    for key in KEYS:
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    assert page.evaluate(STATE) == before


def test_the_terminal_of_a_server_without_one_knows_the_courses_command(lab):
    page, root = lab
    found = root / "found.txt"
    page.evaluate("async () => { window.shell = await window.jupyterapp.commands.execute('terminal:create-new'); }")
    page.wait_for_function("() => window.shell.content.session.connectionStatus === 'connected'")
    line = f"command -v course > '{found}'\r"
    page.evaluate("line => window.shell.content.session.send({type: 'stdin', content: [line]})", line)
    limit = time.monotonic() + 30
    while not (found.exists() and found.read_text()) and time.monotonic() < limit:
        page.wait_for_timeout(50)
    assert Path(found.read_text().strip()).parent == Path(sys.executable).parent


# --- what axe-core finds, and what stands beyond the window ---

# JupyterLab's own, which no notebook can change. Within an element that matches, axe is not asked at all:
SKIPPED = [".cm-editor", ".jp-Placeholder"]  # an editor has no name for a screen reader; the line of folded code
# and here one rule is broken by the element itself; what is in it is asked about:
THEIRS = {
    "aria-required-children": ".jp-WindowedPanel-viewport",  # a "feed" of cells that are no "articles"
    "button-name": ".jp-collapseHeadingButton",  # the triangle at a heading says nothing
    "aria-input-field-name": ".noUi-handle",  # ipywidgets names the slider beside its handle, not on it
}
# Contrast is not among it: JupyterLab's page has a body of height 0, whose text axe takes for invisible.
AXE = """async ([skipped, theirs]) => {
    const root = window.jupyterapp.shell.currentWidget.node.querySelector(".jp-Notebook");
    const context = {include: [root], exclude: skipped.map(selector => [selector])};
    const found = await axe.run(context, {resultTypes: ["violations"], selectors: false, elementRef: true});
    const ours = (id, node) => !theirs[id] || !node.element.matches(theirs[id]);
    const grave = found.violations.filter(({impact}) => impact === "serious" || impact === "critical");
    return grave.flatMap(({id, nodes}) => nodes.filter(node => ours(id, node)).map(
        node => `${id}: ${node.html.slice(0, 200)} (${node.failureSummary.slice(0, 200)})`));
}"""
BEYOND = """skipped => {
    const panel = window.jupyterapp.shell.currentWidget.node.querySelector(".jp-Notebook");
    const edge = document.documentElement.clientWidth;
    const scrolled = document.documentElement.scrollWidth > edge ? ["the page"] : [];
    const inside = [...panel.querySelectorAll(".jp-Cell *")].filter(
        e => e.checkVisibility() && !e.closest([...skipped, "mjx-assistive-mml"].join()));
    const wide = inside.filter(e => e.getBoundingClientRect().right > edge + 1
        || ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1);
    return [...scrolled, ...wide.map(e => `${e.scrollWidth} > ${e.clientWidth}: ${e.outerHTML.slice(0, 160)}`)];
}"""
STILL = """width => {  // as wide as the window, and with the same layout as the last two times
    const panel = window.jupyterapp.shell.currentWidget.node.querySelector(".jp-Notebook .jp-WindowedPanel-outer");
    const now = [panel.scrollHeight, panel.clientWidth, document.querySelectorAll("mjx-container").length].join();
    window.still = window.wasThere === now ? window.still + 1 : 0;
    window.wasThere = now;
    return window.still > 1 && document.querySelector("#main").getBoundingClientRect().right === width;
}"""


def wait_until_still(page: Any) -> None:
    """Formulas are drawn late, and a window that changes its width lays the notebook out anew."""
    page.evaluate("() => { window.still = 0; window.wasThere = null; }")
    page.wait_for_function(STILL, arg=page.viewport_size["width"], polling=100)


@pytest.fixture(scope="module", params=[*(f"notebooks/{name}.ipynb" for name in NOTEBOOKS), "ours.ipynb"])
def shown(lab: Any, request: Any) -> Any:
    """A notebook as it is committed, or one with all that we let a learner click on; open and drawn."""
    page, _ = lab
    page.set_viewport_size({"width": 1280, "height": 900})
    if request.param == "ours.ipynb":
        run_all(page, request.param)
        page.wait_for_selector(".course-chat input, .jp-OutputArea input[type=text]", timeout=60_000)
        page.wait_for_function(look.DONE, timeout=60_000)
    else:
        page.evaluate(OPEN, request.param)
    page.evaluate("""() => window.jupyterapp.shell.collapseLeft()""")
    page.wait_for_function(RENDERED)
    wait_until_still(page)
    return page


def test_axe_finds_nothing_in_a_notebook(shown):
    assert shown.evaluate(AXE, [SKIPPED, THEIRS]) == []


@pytest.mark.parametrize("width", [820, 1280, 1920])
def test_nothing_in_a_notebook_reaches_beyond_the_window(shown, width):
    shown.set_viewport_size({"width": width, "height": 900})
    wait_until_still(shown)
    assert shown.evaluate(BEYOND, SKIPPED) == []
