"""Notebooks as pages: whole in one file, nothing asked of another host, and no answer before the prediction."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

from course import cli
from course.show import export

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))
FETCHED = re.compile(  # what a browser fetches by itself; a link that somebody clicks is not among it
    r"""<(?:link|iframe|object|embed)\b|@import|\bsrc\s*=\s*(?!["']?data:)|\burl\(\s*(?!["']?(?:data:|\#))""",
    re.IGNORECASE,
)
FORMULA = "The softmax $p_i = e^{x_i}$ and\n\n$$\\sum_i p_i = 1$$\n\n\\begin{align}a &= b\\end{align}\n"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return export.export([], tmp_path_factory.mktemp("pages"))


def test_every_notebook_becomes_one_file_that_fetches_nothing(pages):
    assert [page.stem for page in pages] == [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert page.stat().st_size < 8e6, "to be sent by mail"
        assert FETCHED.findall(html) == [], page.stem
        assert f"<title>{export.heading(nbformat.read(ROOT / 'notebooks' / f'{page.stem}.ipynb', 4))}</title>" in html


def test_what_is_folded_in_jupyterlab_is_folded_in_the_page(pages):
    for page in pages:
        cells = nbformat.read(ROOT / "notebooks" / f"{page.stem}.ipynb", as_version=4).cells
        folded = sum(
            bool(c.get("outputs")) and c.metadata.get("jupyter", {}).get("outputs_hidden", False) for c in cells
        )
        assert page.read_text(encoding="utf-8").count('<details class="prediction">') == folded


def test_formulas_are_mathml(tmp_path):
    cells = [nbformat.v4.new_markdown_cell(FORMULA)]
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    html = export.page(path)
    assert re.findall(r'<math[^>]* display="(\w+)"', html) == ["inline", "block", "block"]
    assert "$" not in re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)


def test_no_formula_of_the_course_is_left_as_tex(pages):
    for page in pages:
        text = re.sub(r"<(style|pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"\\(?:frac|sum|text|pi|theta|sqrt|left|operatorname)\b.{0,30}", text) == [], page.stem


def test_links_lead_to_pages_that_are_there_and_to_nothing_else(tmp_path):
    first, all_of_them = (
        export.export(["00"], tmp_path / "one"),
        export.export(["00", "01_tokens.ipynb"], tmp_path / "two"),
    )
    assert 'href="01_tokens.html"' not in first[0].read_text(encoding="utf-8")
    html = all_of_them[0].read_text(encoding="utf-8")
    assert 'href="01_tokens.html"' in html and '.ipynb"' not in html


def test_a_notebook_that_is_none_is_named(tmp_path):
    found = CliRunner().invoke(cli.main, ["export", "02", "77", "--into", str(tmp_path)])
    assert found.exit_code == 1 and '"77" is no notebook of the course; there are 00_welcome, ' in found.output
    assert not list(tmp_path.iterdir())


def test_a_file_of_the_users_is_not_replaced(tmp_path):
    mine = tmp_path / "02_attention.html"
    mine.write_text("my notes")
    found = CliRunner().invoke(cli.main, ["export", "01", "02", "--into", str(tmp_path)])
    assert found.exit_code == 1 and "is no page of the course" in found.output
    assert mine.read_text() == "my notes" and list(tmp_path.iterdir()) == [mine]
    mine.unlink()
    for _ in range(2):  # a page may be written again
        found = CliRunner().invoke(cli.main, ["export", "02", "--into", str(tmp_path)])
        assert found.exit_code == 0 and "02_attention.html" in found.output


def test_a_page_opens_without_a_network_and_draws_its_formulas(pages):
    look = pytest.importorskip("look", reason="playwright is not installed", exc_type=ImportError)
    if look.browser_here() is None and "CI" not in os.environ:
        pytest.skip("there is no Chromium on this machine")
    with look.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=look.browser_here(), args=look.FLAGS)
        page = browser.new_page(viewport={"width": 820, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for path in pages:
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= 820, path.stem
            assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
            for formula in page.locator("math").all()[:5]:
                box = formula.bounding_box()
                assert box is None or box["height"] > 5, path.stem
            folded = page.locator("details.prediction").first
            if folded.count():
                inside = folded.locator(".jp-OutputArea").first
                assert not inside.is_visible()
                folded.locator("summary").click()
                assert inside.is_visible()
        browser.close()
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
