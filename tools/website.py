"""Build the web edition with Sphinx: `make site`. The pages land in `build/site`; open `index.html` there.

All notebooks with their outputs, the exercises without solutions, the library from its docstrings, and the teachers'
guides. What it needs is in requirements-site.lock. No network is used, and no page asks another host for anything.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from sphinx.cmd.build import build_main

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course.show.export import WIDGET  # noqa: E402
from course.show.widgets import below_fold  # noqa: E402

SITE = ROOT / "docs" / "site"
ROOMS = ("", "world", "chain", "practice", "show")  # grading is for teachers, who have a guide
LEFT_OUT = ("__init__", "cli")
PREDICT = {"code_prompt_show": "Your prediction first; then open what came out.", "code_prompt_hide": "Fold"}
QUIET = {"code_prompt_show": "Show the code", "code_prompt_hide": "Hide the code"}


def page_of(notebook: Path) -> nbformat.NotebookNode:
    """The notebook as the site shows it: without knobs that need a kernel, and folded as in JupyterLab."""
    content = nbformat.read(notebook, as_version=4)
    content.metadata.pop("widgets", None)
    for cell in content.cells:
        if "outputs" in cell:  # the site has a sentence of its own above a fold
            cell.outputs = below_fold(cell.outputs)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)  # the picture beside it stays
        folded = cell.metadata.get("jupyter", {})
        if folded.get("outputs_hidden") and cell.get("outputs"):
            fold(cell, "hide-output", PREDICT)
        elif folded.get("source_hidden"):
            fold(cell, "hide-input", QUIET)
    return content


def fold(cell: Any, tag: str, prompts: dict[str, str]) -> None:
    """Let MyST-NB fold a part of a cell, under these words."""
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]
    cell.metadata["mystnb"] = prompts


def modules() -> list[str]:
    """The modules of the library that the site documents, room by room."""
    found = [path for room in ROOMS for path in sorted((ROOT / "course" / room).glob("*.py"))]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found if path.stem not in LEFT_OUT]


def stage(source: Path) -> None:
    """Write what Sphinx reads into a folder."""
    names: dict[str, list[str]] = {"notebooks": [], "exercises": []}
    for folder, found in names.items():
        (source / folder).mkdir()
        for path in sorted((ROOT / folder).glob("[0-9]*.ipynb")):
            nbformat.write(page_of(path), source / folder / path.name)
            found.append(f"{folder}/{path.stem}")
    (source / "docs").mkdir()
    for path in sorted((ROOT / "docs").glob("*.md")):
        shutil.copy(path, source / "docs")
    shutil.copy(ROOT / "CONTRIBUTING.md", source)
    (source / "api").mkdir()
    for module in modules():
        text = f"# `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```\n"
        (source / "api" / f"{module}.md").write_text(text, encoding="utf-8")
    index = (SITE / "index.md").read_text(encoding="utf-8")
    for word, pages in (("NOTEBOOKS", names["notebooks"]), ("EXERCISES", names["exercises"])):
        index = index.replace(word, "\n".join(pages))
    index = index.replace("MODULES", "\n".join(f"api/{module}" for module in modules()))
    (source / "index.md").write_text(index, encoding="utf-8")
    for name in ("conf.py", "site.css"):
        shutil.copy(SITE / name, source)


def build(into: Path) -> int:
    """Build the site; returns Sphinx's exit code, which is not 0 after any warning."""
    with tempfile.TemporaryDirectory(prefix="course-site-") as folder:
        source = Path(folder) / "source"
        source.mkdir()
        stage(source)
        options = ["-b", "html", "--fail-on-warning", "--keep-going", "--quiet", "-d", f"{folder}/trees"]
        return int(build_main([*options, str(source), str(into)]))


def main() -> int:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "site", help="where the pages go")
    into = parser.parse_args().into.absolute()
    code = build(into)
    if code == 0:
        size = sum(path.stat().st_size for path in into.rglob("*") if path.is_file())
        print(f"The site is in {into} ({size / 1e6:.0f} MB): open index.html there.")
    return code


if __name__ == "__main__":
    sys.exit(main())
