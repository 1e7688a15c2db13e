"""What an answer's cell lacks, and may have: the other half of a split cell, imports, and nothing else.

The rule that learners are told is that an answer stands in its own cell. Two things are fairer than the rule:

- A cell that was split is still one cell. Its parts lie beside each other, and no other exercise's id is on them. Of
  such a neighbour exactly those statements are added that define what the answer uses.
- An import holds for the whole notebook, wherever it stands. The imports that an answer uses are added to it.

Helpers that are defined further away are not added: `check` tells learners so. Lines at the top of a cell that the
answer does not need, such as `check(f)` and `plt.plot(f(x))`, are passed over where they use what is not there.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec

from course.grading.source import Python, Statement, parse, without
from course.practice.exercise import PRELUDE

MOST_IMPORTS = 20  # that an answer is given
USUAL = sys.stdlib_module_names | {"numpy", "torch"}  # what answers compute with; other packages mostly draw
ELSEWHERE = frozenset(("course", ".", "__main__"))  # packages that the sandbox never has


def _given() -> frozenset[str]:
    prelude = parse(PRELUDE)
    assert prelude is not None
    built_in = frozenset(dir(builtins)) - {"display", "get_ipython"}  # these are there in a notebook alone
    return built_in.union({"__name__"}, *(statement.binds for statement in prelude.statements))


GIVEN = _given()  # the names that every answer has


@dataclass
class Rescued:
    """An answer with what it lacked: from which cell came which names; the lines left out; what is lacking still."""

    source: str
    parts: list[tuple[int, list[str]]] = field(default_factory=list)
    imports: list[tuple[int, list[str]]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def rescue(
    answer: Python,
    number: int,
    entry: str,
    earlier: Iterable[str],
    neighbours: list[tuple[int, Python]],
    imports: list[tuple[int, Statement]],
) -> Rescued:
    """The answer that defines `entry`, made whole.

    number: its cell. earlier: functions of other answers that run before this one. neighbours: what may be a part of
    the same cell. imports: those of all cells. Both with the numbers of their cells.
    """
    there = GIVEN.union(earlier)
    bound = answer.bound
    strange = any(statement.modules - USUAL for statement in answer.statements)
    if not strange and (_uses(answer.statements) | {entry}) <= bound | there:  # nearly always
        return Rescued(answer.text)
    beside = [(n, s) for n, part in neighbours for s in part.statements if _may_be_part(s)]
    imports = [(n, s) for n, s in imports if n != number]
    usual = _names(s for _, s in imports if s.modules <= USUAL)
    kept, dropped = _drop(answer, entry, there | _names(s for _, s in beside) | usual)
    near = needed((_uses(kept) | {entry}) - bound - there, beside)
    lacking = (_uses(kept) | _uses(s for _, s in near)) - bound - there - _names(s for _, s in near)
    wanted = {s.text: (n, s) for n, s in imports if s.kind == "import" and s.binds & lacking}  # the same one once
    brought = [(n, s) for n, s in list(wanted.values())[:MOST_IMPORTS] if _works(s)]
    lacking -= _names(s for _, s in brought)
    if lacking:
        rest = {s.text: (n, s) for n, s in imports if s.kind != "import"}
        brought += [(n, s) for n, s in list(rest.values())[:MOST_IMPORTS] if _works(s)]
    before = [s.text for _, s in brought] + [s.text for n, s in near if n < number]
    behind = [s.text for n, s in near if n > number]
    source = _assemble(without(answer, dropped), answer, before, behind)
    return Rescued(source, _by_cell(near), _by_cell(brought), [s.text for s in dropped], sorted(lacking))


def needed(names: Iterable[str], statements: list[tuple[int, Statement]]) -> list[tuple[int, Statement]]:
    """The statements that bind these names and, in turn, what those use; in their order."""
    binding: dict[str, list[int]] = {}
    for index, (_, statement) in enumerate(statements):
        for name in statement.binds:
            binding.setdefault(name, []).append(index)
    chosen: set[int] = set()
    waiting = list(names)
    while waiting:
        for index in binding.pop(waiting.pop(), []):
            if index not in chosen:
                chosen.add(index)
                waiting += statements[index][1].uses
    return [statements[index] for index in sorted(chosen)]


def _drop(answer: Python, entry: str, there: frozenset[str]) -> tuple[list[Statement], list[Statement]]:
    """(what stays, what is passed over): lines that `entry` does not need, and that would only raise an error here.

    They use names that are not there when they are run, or come out of packages that answers do not compute with.
    """
    wanted = {s.start for _, s in needed([entry], [(0, s) for s in answer.statements])}
    kept: list[Statement] = []
    dropped: list[Statement] = []
    bound = set(there)
    for statement in answer.statements:
        strange = statement.kind in ("import", "star") and not statement.modules <= USUAL
        tries = statement.kind == "other" and not statement.uses <= bound | statement.binds
        if statement.start not in wanted and (strange or tries):
            dropped.append(statement)
        else:
            kept.append(statement)
            bound |= statement.binds
    return kept, dropped


def _assemble(text: str, answer: Python, before: list[str], behind: list[str]) -> str:
    """The text between what is added; imports from the future stay first."""
    lines = text.split("\n")
    first = max((s.end[0] + 1 for s in answer.statements if s.kind == "future"), default=0)
    before = sorted(before, key=lambda line: "__future__" not in line)
    return "\n".join([*lines[:first], *before, *lines[first:], *behind])


def _may_be_part(statement: Statement) -> bool:
    return statement.kind not in ("star", "future") and statement.modules.isdisjoint(ELSEWHERE)


def _works(statement: Statement) -> bool:
    """Is it an import of packages that the sandbox has, too?"""
    return statement.kind == "future" or all(map(_is_there, statement.modules))


@lru_cache(1000)
def _is_there(package: str) -> bool:
    if package in USUAL:
        return True
    try:
        return package not in ELSEWHERE and find_spec(package) is not None
    except (ImportError, ValueError, OSError):
        return False


def _names(statements: Iterable[Statement]) -> frozenset[str]:
    return frozenset[str]().union(*(statement.binds for statement in statements))


def _uses(statements: Iterable[Statement]) -> frozenset[str]:
    return frozenset[str]().union(*(statement.uses for statement in statements))


def _by_cell(added: list[tuple[int, Statement]]) -> list[tuple[int, list[str]]]:
    """Which names came out of which cell."""
    cells: dict[int, list[str]] = {}
    for number, statement in added:
        shown = sorted(statement.binds) if statement.kind in ("def", "import", "other") else [statement.text]
        cells.setdefault(number, []).extend(name for name in shown if name not in cells.get(number, []))
    return list(cells.items())
