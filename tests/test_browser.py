"""The course in JupyterLab, in a real browser: typing at a knob turns the knob, and touches no cell."""

from __future__ import annotations

import importlib.util
import os
import sys
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
KNOBS = """import ipywidgets as widgets
from IPython.display import display
display(widgets.IntSlider(description="slider"), widgets.Dropdown(options=["a", "b", "c"], description="menu"),
        widgets.RadioButtons(options=["one", "two"], description="radio"), widgets.Button(description="button"),
        widgets.Checkbox(description="box"), widgets.Text(description="text"))
from course.show import live
live.soft_dictionary({"a": (2, 0), "b": (0, 2)}, {"a": 1, "b": 2}, (1, 0), ("x", "y"))"""
KEYS = ["d", "d", "a", "b", "x", "c", "v", "m", "y", "r", "j", "k", "z", "1", "ArrowUp", "ArrowDown", "Shift+M"]
STATE = """() => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    return [notebook.widgets.map(cell => cell.model.type), notebook.activeCellIndex];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A notebook with one knob of each kind between two other cells, run and waiting."""
    root = tmp_path_factory.mktemp("lab")
    cells = [
        nbformat.v4.new_markdown_cell("before"),
        nbformat.v4.new_code_cell(KNOBS),
        nbformat.v4.new_markdown_cell("after"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "knobs.ipynb")
    with look.jupyterlab(root) as address, look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address.format("knobs.ipynb"))
        page.wait_for_function(look.IDLE, timeout=120_000)
        page.evaluate("() => window.jupyterapp.commands.execute('runmenu:run-all')")
        page.wait_for_selector(".jp-OutputArea input[type=text]", timeout=60_000)
        page.wait_for_selector(".course-live .handle", timeout=60_000)
        yield page
        browser.close()


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
