"""A notebook as one HTML file: to read on any device, to send, to show where there is no Python and no network.

nbconvert does the work. What it would fetch from other hosts when the page opens is inside or not needed: formulas are
MathML, which browsers draw themselves, pictures are part of the page, and of a control the picture stays that was
committed with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from course import checkpoint
from course.show.widgets import below_fold

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
TEMPLATE = Path(__file__).parent / "templates" / "page.html.j2"
OURS = 'content="course export"'  # the template's mark
WIDGET = "application/vnd.jupyter.widget-view+json"
FOR_ENGINEERS, FOR_ALL = "*For engineers.*", "*For all again.*"  # where such a part has no heading, and after it
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*\.ipynb)(#[^)]*)?\)")


class MathRenderer(IPythonRenderer):
    """Markdown's renderer with formulas as MathML instead of TeX for a program that is elsewhere."""

    def inline_math(self, body: str) -> str:
        """$…$."""
        return convert(body)

    def block_math(self, body: str) -> str:
        """$$…$$."""
        return convert(body.strip(), display="block")

    def latex_environment(self, name: str, body: str) -> str:
        r"""\begin{…}…\end{…}, without numbers."""
        name = name.rstrip("*") + "*"
        return convert(rf"\begin{{{name}}}{body}\end{{{name}}}", display="block")


class MathMarkdown:
    """What an exporter needs to turn Markdown into HTML with MathML."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """The filter that turns a cell's Markdown into HTML."""
        return MarkdownWithMath(renderer=MathRenderer(escape=False, exclude_anchor_links=True)).render(source)


class PageExporter(MathMarkdown, HTMLExporter):  # type: ignore[misc]  # nbconvert has no types
    """nbconvert's page, with our template and our formulas."""


def named(names: Iterable[str]) -> list[Path]:
    """The notebooks of these numbers or names ("02", "02_attention"); all of them without any.

    Raises ValueError for a name that is none, with those that there are.
    """
    there = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
    wanted = [name.removesuffix(".ipynb") for name in names]
    found = [path for path in there if not wanted or {path.stem, path.stem.split("_")[0]} & {*wanted}]
    for name in wanted:
        if not any(name in (path.stem, path.stem.split("_")[0]) for path in found):
            raise ValueError(f'"{name}" is no notebook of the course; there are {", ".join(p.stem for p in there)}.')
    return found


def page(notebook: Path, beside: Iterable[str] = (), reader: str = "all") -> str:
    """The HTML of a notebook, with the outputs that are stored in it.

    reader: "generalist" leaves out what is marked for engineers.
    beside: the stems of the notebooks that are exported into the same folder; a link to one of them leads to its page,
    any other notebook's name stays as text.
    """
    content = nbformat.read(notebook, as_version=4)
    pages = {*beside}

    def to_page(link: re.Match[str]) -> str:
        stem = Path(link[2]).stem
        return f"[{link[1]}]({stem}.html{link[3] or ''})" if stem in pages and "/" not in link[2] else link[1]

    if reader == "generalist":
        content.cells = [cell for cell in content.cells if track(cell) != "engineer"]
    for cell in content.cells:
        if cell.cell_type == "markdown":
            if reader == "generalist":
                cell.source = cell.source.removeprefix(FOR_ALL).lstrip()
            cell.source = LINK.sub(to_page, cell.source)
        if "outputs" in cell:  # the page has a sentence of its own above a fold
            cell.outputs = below_fold(cell.outputs)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # the picture beside it stays
    content.metadata.pop("widgets", None)
    content.metadata["title"] = heading(content) or notebook.stem
    exporter = PageExporter(raw_template=TEMPLATE.read_text(encoding="utf-8"))
    html, _ = exporter.from_notebook_node(content)
    return str(html)


def track(cell: nbformat.NotebookNode) -> str:
    """Whom a cell is for, as its metadata say: "engineer" where only engineers need it, else "all"."""
    mark = cell.metadata.get("course")
    return str(mark["track"]) if isinstance(mark, dict) and "track" in mark else "all"


def heading(content: nbformat.NotebookNode) -> str | None:
    """The notebook's first heading."""
    for cell in content.cells:
        found = re.search(r"^# (.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if found:
            return found[1].strip()
    return None


def export(names: Iterable[str], into: Path, reader: str = "all") -> list[Path]:
    """Write the pages of these notebooks (of all, without names) into a folder, which is made if need be.

    reader: as in `page`.

    Raises FileExistsError, before anything is written, where a page's name is that of a file which is not such a page.
    """
    notebooks = named(names)
    checkpoint.probe(into)
    made = [into / f"{notebook.stem}.html" for notebook in notebooks]
    only_ours(made)
    for notebook, path in zip(notebooks, made, strict=True):
        path.write_text(page(notebook, {one.stem for one in notebooks}, reader), encoding="utf-8")
    return made


def only_ours(paths: Iterable[Path]) -> None:
    """Raise FileExistsError where one of these is a file that the course did not write."""
    for path in paths:
        if path.exists() and not (path.is_file() and OURS in path.read_text(encoding="utf-8", errors="replace")):
            raise FileExistsError(f"{path} is no page of the course; name another folder with --into.")
