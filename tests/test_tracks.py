"""The generalist's track: what only engineers need is marked, and nothing that all read builds on it."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from course.show.export import FOR_ALL, FOR_ENGINEERS, page, track

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def for_engineers(notebook: Any) -> list[bool]:
    """Which cells are marked."""
    return [track(cell) == "engineer" for cell in notebook.cells]


def names_of(node: ast.AST) -> tuple[set[str], set[str]]:
    """(names that a statement takes from outside of it, names that it gives to what follows)."""
    taken: set[str] = set()
    given: set[str] = set()
    own: set[str] = set()  # of a function, or of a comprehension
    scopes = (ast.FunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if isinstance(node, scopes):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            arguments = node.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
            own |= {one.arg for one in every if one}
        if isinstance(node, ast.FunctionDef):
            given.add(node.name)
        for child in ast.iter_child_nodes(node):
            inner_taken, inner_given = names_of(child)
            taken |= inner_taken
            own |= inner_given
        return taken - own, given
    if isinstance(node, ast.Name):
        return ({node.id}, set()) if isinstance(node.ctx, ast.Load) else (set(), {node.id})
    if isinstance(node, ast.ExceptHandler) and node.name:
        given.add(node.name)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set(), {(one.asname or one.name).split(".")[0] for one in node.names}
    for child in ast.iter_child_nodes(node):
        inner_taken, inner_given = names_of(child)
        taken |= inner_taken
        given |= inner_given
    if isinstance(node, ast.ClassDef):
        return taken - given, {node.name}
    if isinstance(node, ast.For | ast.With | ast.Try | ast.If | ast.While):
        taken -= given
    return taken, given


def of_cell(source: str) -> tuple[set[str], set[str]]:
    """The same for a cell: a name that a statement before has given is not taken from outside.

    A function is called later, so it may also take what comes after it.
    """
    taken: set[str] = set()
    given: set[str] = set()
    later: set[str] = set()
    for statement in ast.parse(source).body:
        its_taken, its_given = names_of(statement)
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            later |= its_taken
        else:
            taken |= its_taken - given
        given |= its_given
    return (taken | later - given) - {*dir(builtins)}, given


def borrowed(notebook: Any) -> Iterator[str]:
    """What cells for all take from cells for engineers, as sentences."""
    last: dict[str, tuple[int, bool]] = {}  # name -> the cell that gave it last, and whether it is for engineers
    for number, (cell, engineers) in enumerate(zip(notebook.cells, for_engineers(notebook), strict=True)):
        if cell.cell_type != "code":
            continue
        taken, given = of_cell(cell.source)
        for name in sorted(taken):
            assert name in last, f"cell {number} uses {name}, which no cell gives"
            if not engineers and last[name][1]:
                yield f"cell {number} uses {name} of cell {last[name][0]}"
        last |= {name: (number, engineers) for name in given}


def test_the_names_of_a_cell_are_found():
    assert of_cell("a = b\nc = [d for d in e if f(d)]\nlambda g: g + h") == ({"b", "e", "f", "h"}, {"a", "c"})
    assert of_cell("for i in range(3):\n    j = i + k\nprint(j)\nm = m + 1") == ({"k", "m"}, {"i", "j", "m"})
    assert of_cell("def f(x, *, y=z):\n    w = x\n    return w + v\n\n\nf(1)") == ({"z", "v"}, {"f"})
    assert of_cell("class A(B):\n    c: D = 1\n    def e(self): return c, A") == ({"B", "D"}, {"A"})
    assert of_cell("import a.b as c, d.e\n(n := 3)") == (set(), {"c", "d", "n"})


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    """A notebook of the course."""
    return nbformat.read(request.param, as_version=4)


def test_what_is_for_all_builds_on_nothing_that_is_for_engineers(notebook):
    assert list(borrowed(notebook)) == []


def test_a_cell_that_builds_on_what_is_for_engineers_would_be_found():
    cells = [nbformat.v4.new_code_cell("a = 1", metadata={"course": {"track": "engineer"}})]
    cells.append(nbformat.v4.new_code_cell("print(a)"))
    assert list(borrowed(nbformat.v4.new_notebook(cells=cells))) == ["cell 1 uses a of cell 0"]


def test_each_part_for_engineers_says_so_at_its_head_and_its_end_is_seen(notebook):
    welcome = "ChatGPT really work" in notebook.cells[0].source  # it is for all, and tells of the two ways
    cells, marked = notebook.cells, for_engineers(notebook)
    begins = [i for i in range(1, len(cells)) if marked[i] and not marked[i - 1]]
    ends = [i for i in range(1, len(cells)) if not marked[i] and marked[i - 1]]
    assert (begins or welcome) and not marked[0] and not marked[-1]
    for i in begins:
        head = cells[i].source.split("\n")[0]
        assert head.startswith(FOR_ENGINEERS) or (head.startswith("#") and head.endswith("(for engineers)")), head
    for i in ends:
        assert cells[i].source.startswith(("#", FOR_ALL)), f"cell {i} is for all again: {cells[i].source[:50]!r}"


def test_what_looks_like_a_part_for_engineers_is_marked(notebook):
    for i, (cell, marked) in enumerate(zip(notebook.cells, for_engineers(notebook), strict=True)):
        signs = "(for engineers)\n" in cell.source + "\n" or FOR_ENGINEERS in cell.source
        assert marked or cell.cell_type == "code" or not signs, f"cell {i} says it is for engineers, and has no mark"


def test_it_says_how_the_parts_are_marked(notebook):
    told = [i for i, cell in enumerate(notebook.cells) if "marked *for engineers*" in cell.source]
    assert told and (told == [0] or not any(for_engineers(notebook))), "in the first cell"


def test_generalists_are_asked_and_shown_the_greater_part(notebook):
    marked = for_engineers(notebook)
    assert sum(marked) < 0.5 * len(marked)


def test_a_page_for_generalists_leaves_out_what_is_for_engineers(tmp_path):
    mark = {"course": {"track": "engineer"}}
    cells = [nbformat.v4.new_markdown_cell("# Title\n\nRead me."), nbformat.v4.new_code_cell("kept = 1")]
    cells += [nbformat.v4.new_markdown_cell(f"{FOR_ENGINEERS} Deep.", metadata=mark)]
    cells += [nbformat.v4.new_code_cell("zebra = 2", metadata=mark), nbformat.v4.new_markdown_cell(f"{FOR_ALL} Go on.")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "one.ipynb")
    whole, short = (page(tmp_path / "one.ipynb", reader=reader) for reader in ("all", "generalist"))
    for said in ("Read me.", "kept", "Go on."):
        assert said in whole and said in short
    for said in ("Deep.", "zebra", "For engineers", "For all again"):
        assert said in whole and said not in short
