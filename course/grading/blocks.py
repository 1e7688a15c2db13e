"""A notebook's cells made ready: whose id each has, what is Python in it, and the halves of a split cell as one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from course.grading.notebook import MAX_SOURCE, Cell
from course.grading.source import Plain, Python, parse, plain
from course.practice import exercises

MAX_READ = 400_000  # characters of all cells that are read as Python
STATEMENT = 30  # characters that take as long as the names of a statement
REACH = 3  # neighbours on each side that may be parts of one cell
CHECK = "-check"  # the id of a check cell is that of its exercise with this behind it
DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)
FORMER: dict[str, str] = {}  # ids in earlier versions of the course -> today's


@dataclass
class Block:
    """A cell, or the halves of one. exercise: whose id it has. check: whose check it is. python: None if it is none.

    begun: the functions that it begins to define where it is no Python.
    """

    cell: Cell
    numbers: tuple[int, ...]
    exercise: str = ""
    check: str = ""
    plain: Plain = field(default_factory=lambda: Plain(""))
    python: Python | None = None
    begun: frozenset[str] = frozenset()

    @property
    def number(self) -> int:
        """As people count."""
        return self.cell.number

    @property
    def is_code(self) -> bool:
        """Is it a code cell, in Python as far as one can see, and of a length that is read?"""
        return self.cell.kind == "code" and not self.plain.foreign and len(self.cell.text) <= MAX_SOURCE


def owner(mark: str) -> tuple[str, str]:
    """(the exercise whose answer has this id, the exercise whose check has it), "" where there is none.

    Capitals, spaces around and low lines do not matter.
    """
    name = mark[:100].strip().lower().replace("_", "-")
    name = FORMER.get(name, name)
    known = exercises.everything()
    behind = name.removesuffix(CHECK) if name.endswith(CHECK) else ""
    return (name if name in known else ""), (behind if behind in known else "")


class Blocks:
    """The blocks of a notebook, in their order. The work is bounded: equal texts are read once, and not too many."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self.left = MAX_READ
        self.parsed: dict[str, Python | None] = {}
        self.all = []
        for cell in cells:
            exercise, check = owner(cell.mark)
            self.all.append(Block(cell, (cell.number,), exercise, check))
        for block in sorted(self.all, key=lambda block: not block.exercise):  # what counts is read first
            self._read(block)
        self._join_halves()

    @property
    def exhausted(self) -> bool:
        """Was there more to read than is read?"""
        return self.left <= 0

    def parse(self, text: str) -> Python | None:
        """The text as Python, as long as there is not too much."""
        if len(text) > MAX_SOURCE:
            return None
        if text not in self.parsed:
            if self.exhausted:
                return None
            found = self.parsed[text] = parse(text)
            self.left -= len(text) + STATEMENT * len(found.statements if found else ())
        return self.parsed[text]

    def _read(self, block: Block) -> None:
        text = block.cell.text
        block.plain = Plain(text)
        if not block.is_code:
            return
        block.python = self.parse(text)
        if block.python is None and not self.exhausted:
            self.left -= len(text)
            block.plain = plain(text)
            if block.is_code and block.plain.text != text:
                block.python = self.parse(block.plain.text)
        if block.python is None:
            block.begun = frozenset(DEFINITION.findall(text))

    def _join_halves(self) -> None:
        joined: list[Block] = []
        for block in self.all:
            whole = self._whole(joined[-1], block) if joined else None
            joined[-1:] = [*joined[-1:], block] if whole is None else [whole]
        self.all = joined

    def _whole(self, first: Block, second: Block) -> Block | None:
        """Both as one block, where they are Python only together: a cell that was split inside a function."""
        owners = {block.exercise for block in (first, second)} - {""}
        if not (first.is_code and second.is_code) or len(owners) > 1 or first.check or second.check:
            return None
        line = next((line for line in second.cell.text.split("\n") if line.strip()), "")
        goes_on = line[:1] in (" ", "\t") if first.python else bool(line)
        waiting = first.python and "NotImplementedError" in "".join(s.text for s in first.python.statements[-1:])
        if not goes_on or (waiting and first.cell.mark != second.cell.mark) or len(first.numbers) > REACH:
            return None
        text = f"{first.cell.text}\n{second.cell.text}"
        cell = Cell(first.number, "code", first.cell.mark or second.cell.mark, text)
        whole = Block(cell, first.numbers + second.numbers, "".join(owners))
        self._read(whole)
        return whole if whole.python else None

    def in_text(self, block: Block) -> list[Block]:
        """What may be code in a cell that is not a code cell: all of it, or what is fenced in it.

        Fences count where the cell has an exercise's id, or holds nothing else: a given text with code in it is
        nobody's answer.
        """
        text = block.cell.text
        if len(text) > MAX_SOURCE:
            return []
        fenced, prose = _fenced(text)
        texts = [text, fenced] if fenced and (block.exercise or not prose) else [text]
        read = [(code, self.parse(code)) for code in texts]
        return [Block(block.cell, block.numbers, block.exercise, "", Plain(code), python) for code, python in read]

    def beside(self, block: Block, exercise: str) -> list[Block]:
        """The neighbours that may be parts of this exercise's cell: code without another's id or function."""
        place = next(place for place, other in enumerate(self.all) if other.number == block.number)
        found = []
        for neighbours in (self.all[place - 1 :: -1] if place else [], self.all[place + 1 :]):
            filled = 0
            for other in neighbours:
                foreign = other.exercise not in ("", exercise) or other.check or _defines_another(other, block)
                if not other.is_code or foreign or filled == REACH:
                    break
                found.append(other)
                filled += bool(other.cell.text.strip())
        return found


def _fenced(text: str) -> tuple[str, str]:
    """(the code between fences of Python, or of no language that is named; the prose around)."""
    code: list[str] = []
    prose: list[str] = []
    fence = language = ""
    for line in text.split("\n"):
        mark = line.strip()[:3]
        if fence:
            if mark == fence:
                fence = ""
            elif language in ("", "python", "python3", "py", "ipython3"):
                code.append(line)
        elif mark in ("```", "~~~"):
            fence, language = mark, line.strip().strip("`~").strip().lower()
        elif line.strip():
            prose.append(line)
    return "\n".join(code), "\n".join(prose)


@cache
def _entries() -> frozenset[str]:
    return frozenset(exercise.entry for exercise in exercises.everything().values())


def _defines_another(other: Block, block: Block) -> bool:
    """Does it define a function that an exercise asks for, which this block does not?"""
    mine = block.python.bound if block.python else frozenset[str]()
    return other.python is not None and not _entries().isdisjoint(other.python.bound - mine)
