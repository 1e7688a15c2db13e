"""What of a cell's code is worth projecting: what computes, without imports, checks, printing and drawing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

CODE_LINE = 27  # pixels
SHOWS = re.compile(
    r"(print|predict|\w+\.tell|display|explore|plots\.\w+|diagrams\.\w+|torch\.testing\.\w+|\w*[Ww]idgets?\.\w+)\b"
)


def worth_projecting(source: str) -> str:
    """A cell's code without imports, checks, and what only prints or draws. "" if nothing is left that computes."""
    if source.lstrip().startswith(("%", "!")):
        return source
    body, lines = ast.parse(source).body, source.splitlines()
    if sum(isinstance(node, ast.Import | ast.ImportFrom) for node in body) > 2:
        return ""  # the cell that sets everything up
    kept = [node for node in body if not only_shows(node)]
    for node in [*kept]:  # a function that only what is left out calls, such as one that paints
        if isinstance(node, ast.FunctionDef):
            users = [other for other in body if other is not node and uses(ast.unparse(other), node.name)]
            if users and all(only_shows(user) for user in users):
                kept.remove(node)
    if all(isinstance(node, ast.Assign | ast.AnnAssign) and is_literal(node.value) for node in kept) and kept != body:
        return ""  # bare settings mean nothing without what they set
    gone = {
        line for node in kept for inner in left_out(node) for line in range(inner.lineno, (inner.end_lineno or 0) + 1)
    }
    found: list[str] = []
    last = 0
    for node in kept:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) - 1
        while first > last and lines[first - 1].startswith("#"):
            first -= 1
        gap = [""] if found and first > last and not lines[first - 1].strip() else []
        last = node.end_lineno or 0
        found += gap + [lines[i] for i in range(first, last) if i + 1 not in gone]
    return "\n".join(found)


def only_shows(node: ast.stmt) -> bool:
    """Does this statement import, check, print or draw, and nothing else?"""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.Pass):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Name | ast.Constant):
        return True
    if isinstance(node, ast.Expr | ast.Assign) and isinstance(node.value, ast.Call):
        return bool(SHOWS.match(ast.unparse(node.value.func)))
    return isinstance(node, ast.For | ast.If | ast.With) and all(map(only_shows, node.body))


def left_out(node: ast.stmt) -> Iterator[ast.stmt]:
    """The statements within a loop or a block that only show something."""
    if isinstance(node, ast.For | ast.If | ast.With):
        for inner in node.body:
            if only_shows(inner):
                yield inner
            else:
                yield from left_out(inner)


def is_literal(node: ast.expr | None) -> bool:
    """A number, a text, or a tuple of such."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and all(map(is_literal, node.elts)))


def uses(code: str, name: str) -> bool:
    """Does the name occur in the code?"""
    return re.search(rf"\b{name}\b", code) is not None


def pieces(code: str, room: float) -> Iterator[str]:
    """Code in pieces that fit, cut between statements where there is such a place, else between lines."""
    most = max(6, int((room - 20) // CODE_LINE))
    lines = code.splitlines()
    while len(lines) > most + 3:  # a few lines more are a little smaller instead
        starts = [i for i in range(4, most + 1) if lines[i] and not lines[i][0].isspace() and lines[i][0] not in ")]}"]
        cut = starts[-1] if starts else most
        yield "\n".join(lines[:cut]).rstrip()
        lines = lines[cut:]
    if any(line.strip() for line in lines):
        yield "\n".join(lines)
