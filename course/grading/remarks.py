"""Sentences on what is odd in a notebook: one for each kind of oddity, short whatever the notebook holds."""

from __future__ import annotations

from collections.abc import Iterable

from course.grading.notebook import MAX_SOURCE

SHOWN = 8  # things in a sentence
# The kinds, in the order of their weight; each is one sentence on all the cells that it is true of.
SAYINGS = {
    "copies": "{}.",
    "lost": "Cells without their ids were found by the functions that they define: {}.",
    "unknown": "Ids that no exercise has: {}.",
    "halves": "Halves of one cell are read together: {}.",
    "parts": "What an answer uses was added from the cell beside it: {}.",
    "imports": "Imports were added from other cells: {}.",
    "text": "Answers were read from cells that are not code cells: {}.",
    "commands": "The notebook's own commands are passed over: {}.",
    "missing": "Commands that cannot be run here are passed over, and what they defined is missing: {}.",
    "foreign": "Cells that are something else than Python are no answers: {}.",
    "tries": "Lines that no answer needs, and that cannot be run here, are passed over: {}.",
    "elsewhere": "An answer stands in its own cell, and these use what another cell defines: {}.",
    "long": f"Answers of more than {MAX_SOURCE:,} characters are not judged: {{}}.",
    "nothing": "Nothing was found for {}: no cell has the id or defines the function.",
    "rest": "{}",
}


class Remarks:
    """Collects what is odd."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {kind: [] for kind in SAYINGS}

    def say(self, kind: str, part: str) -> None:
        """One more thing of a kind."""
        self.found[kind].append(part)

    def sentences(self) -> list[str]:
        """What was collected."""
        return [SAYINGS[kind].format(listed(parts, "; ")) for kind, parts in self.found.items() if parts]


def listed(parts: Iterable[object], between: str = ", ", most: int = SHOWN) -> str:
    """The first few, and how many more there are."""
    shown = [str(part) for part in parts]
    more = f"{between}and {len(shown) - most:,} more" if len(shown) > most else ""
    return between.join(shown[:most]) + more
