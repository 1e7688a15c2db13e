"""Out of a submitted notebook come the answers: by the cells' ids and, where these are lost, by the functions.

The file is read as data: no cell is run, and its outputs, tags and other metadata are ignored. Whatever is wrong with
a file becomes a sentence about that file; it never stops the others.

An answer is looked for in the cell with the exercise's id. Where other cells define the function that is asked for,
too, or they alone, that definition counts which the notebook's own `check` would judge, were it run from top to bottom:
the last one before the last `check` of it. Where nothing is checked, the cell with the id counts. What an answer may
have from other cells is in `rescue`. Everything of this kind is remarked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from course.grading.blocks import Block, Blocks
from course.grading.notebook import MAX_SOURCE, Cell, cells_of, parse_file
from course.grading.remarks import Remarks, listed
from course.grading.rescue import needed, rescue
from course.grading.source import Python, only
from course.grading.submission import Submission
from course.grading.text import clean
from course.practice import exercises
from course.practice.exercise import Exercise

SET = re.compile(r"""^Panel\(["'](\w{1,40})["']\)|^# Exercises (\d\d)\b""", re.M)  # says which notebook it is
NO_ANSWERS = "No answer cell was found: no cell has an exercise's id, or defines a function that an exercise asks for."


@dataclass
class Found:
    """What a notebook holds: exercise id -> source, sentences on what is odd, and why it could not be read, or ""."""

    answers: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    error: str = ""


def read_notebook(raw: bytes) -> Found:
    """The answers in a notebook's file. Never raises, whatever the bytes are."""
    try:
        notebook = parse_file(raw)
    except ValueError as error:
        return Found(error=str(error))
    found, python = Reader(notebook.cells).read()
    found.remarks = [*notebook.remarks, *found.remarks]
    if notebook.language and not python:
        return Found(error=f"It is written in {notebook.language}; the answers must be Python.")
    if notebook.language:
        found.remarks.append(f"It says that it is written in {notebook.language}; its answers are Python.")
    if not found.answers:
        found.error = NO_ANSWERS
    return found


def take_answers(submission: Submission, cells: list[Any]) -> None:
    """Put the answers in these cells into the submission, and say what is odd about them."""
    found, _ = Reader(cells_of(cells)).read()
    submission.answers |= found.answers
    submission.remarks += found.remarks


class Reader:
    """Finds the answers in a notebook's cells."""

    def __init__(self, cells: tuple[Cell, ...]) -> None:
        self.blocks = Blocks(cells)
        self.remarks = Remarks()
        self.code = [block for block in self.blocks.all if block.python]
        texts = {block.python.text: block for block in reversed(self.code) if block.python}  # equal cells once
        self.imports = [
            (block.number, statement)
            for block in reversed(texts.values())
            for statement in (block.python.statements if block.python else ())
            if statement.kind in ("import", "star", "future")
        ]

    def read(self) -> tuple[Found, bool]:
        """The answers and the remarks; and whether any answer is Python."""
        answers: dict[str, str] = {}
        missing, used, python = [], set(), False
        here = {exercise.id for notebook in self.notebooks() for exercise in exercises.of(notebook)}
        for name, exercise in exercises.everything().items():
            own = [block for block in self.blocks.all if block.exercise == name]
            if not own and name not in here:
                continue
            block = self.choose(exercise, own)
            if block is not None:
                answers[name] = self.source(exercise, block)
                used.add(block.number)
                python = python or block.python is not None
            elif own:
                answers[name] = ""
            else:
                missing.append(name)
        if not answers:
            return Found(), False
        if missing:
            self.remarks.say("nothing", listed(missing))
            for block in self.blocks.all:
                if block.cell.mark and not block.exercise and not block.check and block.number not in used:
                    self.remarks.say("unknown", f"{clean(block.cell.mark, 40)} (cell {block.number}, passed over)")
        if self.blocks.exhausted:
            self.remarks.say("rest", "There is more code in it than is looked at.")
        return Found(answers, self.remarks.sentences()), python

    def notebooks(self) -> list[str]:
        """The exercise notebooks that this is: by its ids, else by what it says, else by the functions in it."""
        ids = {block.exercise or block.check for block in self.blocks.all} - {""}
        said: set[str] = set()
        for block in self.blocks.all:
            if len(block.cell.text) <= MAX_SOURCE:
                said.update(name or number for name, number in SET.findall(block.cell.text))
        here = [
            notebook
            for notebook in exercises.TOPICS
            if notebook in said or notebook[:2] in said or any(e.id in ids for e in exercises.of(notebook))
        ]
        if here:
            return here
        defined = frozenset[str]().union(*(block.python.bound for block in self.code if block.python))
        share = {
            notebook: sum(e.entry in defined for e in exercises.of(notebook)) / len(exercises.of(notebook))
            for notebook in exercises.TOPICS
        }
        best = max(share.values())
        return [notebook for notebook, part in share.items() if part and (part == best or part >= 0.5)]

    # --- which cell counts --------------------------------------------------------------------------------------------

    def choose(self, exercise: Exercise, own: list[Block]) -> Block | None:
        """The block that holds the answer, by the rule above; None if there is none."""
        entry = exercise.entry
        everywhere = [block for block in self.code if block.python and block.python.defines(entry)]
        defining = [block for block in everywhere if block.exercise in (exercise.id, "")]
        last_check = max((b.number for b in self.code if b.python and entry in b.python.checks), default=0)
        checked = [block for block in defining if block.number <= last_check]
        with_id = [block for block in defining if block.exercise]
        chosen = next((blocks[-1] for blocks in (checked, with_id, defining, everywhere) if blocks), None)
        if chosen is None:
            chosen = self._second_choice(exercise, own)
        for block in own:
            if block.plain.foreign:
                self.remarks.say("foreign", f"cell {block.number} ({exercise.id}, {clean(block.plain.foreign, 20)})")
            if len(block.cell.text) > MAX_SOURCE:
                self.remarks.say("long", f"cell {block.number} ({exercise.id})")
        if chosen is not None:
            self._remark_choice(exercise, chosen, own, defining)
        return chosen

    def _second_choice(self, exercise: Exercise, own: list[Block]) -> Block | None:
        """The answer where no code cell defines the function: in other cells, broken, or not begun."""
        entry = exercise.entry
        others = [block for block in self.blocks.all if not block.exercise]
        for block in [*own, *others]:
            if block.cell.kind != "code" and f"def {entry}" in block.cell.text:
                for found in self.blocks.in_text(block):
                    if found.python and found.python.defines(entry):
                        return found
        usable = [block for block in own if block.is_code]
        broken = [block for block in [*usable, *others] if block.is_code and entry in block.begun]
        written = [block for block in usable if block.cell.text.strip()]
        stubs = [block for block in self.code if not block.exercise and block.python and entry in block.python.bound]
        return next((blocks[0] for blocks in (broken, written, stubs, usable) if blocks), None)

    def _remark_choice(self, exercise: Exercise, chosen: Block, own: list[Block], defining: list[Block]) -> None:
        """Say which of several cells counts, and how a cell without the exercise's id was found."""
        name, mark = exercise.id, clean(chosen.cell.mark, 40)
        others = [block.number for block in own if block.number != chosen.number]
        again = [block.number for block in defining if block.number not in (chosen.number, *others)]
        if chosen.exercise == name:
            if others:
                which = "is a second cell" if len(others) == 1 else "are more cells"
                self.remarks.say(
                    "copies", f"{_cells(others)} {which} with the id {name}, and cell {chosen.number} counts"
                )
            if mark != name:
                self.remarks.say("unknown", f"{mark} (cell {chosen.number}, read as {name})")
        elif others:
            self.remarks.say("lost", f"{name} in cell {chosen.number}, in the place of {_cells(others).lower()}")
        elif mark and not chosen.check:
            self.remarks.say(
                "unknown", f"{mark} (cell {chosen.number}, read as {name} by its function {exercise.entry})"
            )
        else:
            self.remarks.say("lost", f"{name} in cell {chosen.number}")
        if again:
            defines = "defines" if len(again) == 1 else "define"
            self.remarks.say("copies", f"{_cells(again)} {defines} {exercise.entry}, too; cell {chosen.number} counts")

    # --- its source ---------------------------------------------------------------------------------------------------

    def source(self, exercise: Exercise, block: Block) -> str:
        """The chosen block's text as it is judged, with what it may have from other cells."""
        here = f"cell {block.number} ({exercise.id}"
        if len(block.numbers) > 1:
            self.remarks.say("halves", f"cells {listed(block.numbers, ' and ')} ({exercise.id})")
        if block.cell.kind != "code":
            self.remarks.say("text", f"{here}, {block.cell.kind})")
        for kind, commands in (("commands", block.plain.harmless), ("missing", block.plain.missing)):
            if commands:
                self.remarks.say(kind, f"{here}: {listed((clean(c, 40) for c in commands), ', ', 3)})")
        if block.python is None:
            return block.plain.text
        python = self._alone(exercise, block.python) if block.exercise != exercise.id else block.python
        earlier = [exercises.find(name).entry for name in exercise.uses]
        more = [b for b in self.code if b.exercise == exercise.id and b.number != block.number]
        parts = {b.python.text: b for b in [*more, *self.blocks.beside(block, exercise.id)] if b.python}
        numbered = sorted(parts.values(), key=lambda part: part.number)
        neighbours = [(b.number, b.python) for b in numbered if b.python]
        found = rescue(python, block.number, exercise.entry, earlier, neighbours, self.imports)
        for kind, added in (("parts", found.parts), ("imports", found.imports)):
            for number, names in added:
                self.remarks.say(kind, f"{listed((clean(n, 40) for n in names), ', ', 4)} of cell {number} for {here})")
        if found.dropped:
            self.remarks.say("tries", f"{here}: {listed((clean(text, 40) for text in found.dropped), ', ', 3)})")
        for name in found.lacking:
            places = [b.number for b in self.code if b.python and name in b.python.bound and b.number != block.number]
            if places:
                self.remarks.say("elsewhere", f"{here}: {clean(name, 40)} of cell {places[-1]})")
        return found.source

    def _alone(self, exercise: Exercise, python: Python) -> Python:
        """Of a cell that is not this exercise's own, and answers others, too: what this answer needs."""
        others = {other.entry for other in exercises.everything().values()} - {exercise.entry}
        if others.isdisjoint(python.bound):
            return python
        earlier = {exercises.find(name).entry for name in exercise.uses}
        usable = [(0, s) for s in python.statements if s.binds.isdisjoint(earlier)]
        return only(python, [s for _, s in needed([exercise.entry], usable)])


def _cells(numbers: list[int]) -> str:
    return f"Cell {numbers[0]}" if len(numbers) == 1 else f"Cells {listed(numbers)}"
