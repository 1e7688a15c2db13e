"""The gate in JupyterLab, in a real browser: no answer is to be seen before the prediction, and a click opens it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from course.practice.predict import FIRST

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
pytestmark = pytest.mark.skipif(
    look.browser_here() is None and "CI" not in os.environ, reason="there is no Chromium on this machine"
)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ASKED = """guess = predict("01 trial", ["heads", "tails"], right="tails")"""
CELLS = ["from course.practice.predict import predict", ASKED, "print('It fell so: tails')\nguess.tell()"]
FOLDS = """() => [...document.querySelectorAll('.jp-CodeCell')]
    .filter(cell => cell.querySelector('.jp-OutputPlaceholder'))
    .map(cell => cell.querySelector('.jp-Cell-outputWrapper').innerText.trim())"""


@pytest.fixture(scope="module")
def open_notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A function that opens a notebook of the course, or a trial of three cells, and gives its page."""
    root = tmp_path_factory.mktemp("lab")
    for path in NOTEBOOKS:
        (root / path.name).write_bytes(path.read_bytes())
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), root / "trial.ipynb")
    with look.jupyterlab(root) as address, look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)

        def open_it(name: str) -> Any:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address.format(name))
            page.wait_for_function(look.IDLE, timeout=120_000)
            return page

        yield open_it
        browser.close()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_folded_answer_is_visible_before_the_prediction_and_a_click_opens_it(open_notebook, path):
    cells = nbformat.read(path, as_version=4).cells
    folded = sum(bool(cell.metadata.get("jupyter", {}).get("outputs_hidden")) for cell in cells)
    page = open_notebook(path.name)
    page.wait_for_function(f"({FOLDS})().length >= {folded}", timeout=30_000)
    texts = page.evaluate(FOLDS)
    assert len(texts) == folded > 0
    assert {text.rstrip("….\n ") for text in texts} == {FIRST.rstrip(".")}
    sources = page.locator(".jp-InputPlaceholder").all_inner_texts()
    asks = [text for text in sources if "predict" in text]
    assert len(asks) == sum("**Predict first" in cell.source for cell in cells)
    assert {text.rstrip("….\n ") for text in asks} == {"guess = predict("}
    page.locator(".jp-OutputPlaceholder").first.click()
    page.wait_for_function(f"({FOLDS})().length == {folded - 1}")
    page.close()


def test_the_result_is_covered_until_the_answer_is_clicked(open_notebook):
    page = open_notebook("trial.ipynb")
    page.evaluate("() => window.jupyterapp.commands.execute('runmenu:run-all')")
    page.wait_for_selector(".course-card", timeout=120_000)
    page.wait_for_selector("text=It fell so", state="attached", timeout=60_000)
    assert not page.locator("text=It fell so: tails").last.is_visible(), "covered, though it has run"
    page.get_by_role("button", name="heads").click()
    page.locator(".jp-OutputArea-output", has_text="It fell so").wait_for(state="visible")
    page.wait_for_selector("text=You said: heads. What came out: tails.")
    page.close()
