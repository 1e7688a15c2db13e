"""How long the sections of a lecture take, and what the teachers' guide plans and asks in them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat

from course.show.slides import Part, Slide

TEACHING = Path(__file__).parents[2] / "docs" / "teaching.md"
WORDS_PER_CODE_LINE = 6  # how long a line of code takes, beside a line of text


def time_them(slides: list[Slide], content: nbformat.NotebookNode, number: str) -> None:
    """Deal out the minutes in the first cell by the length of what is said and shown; note those of each section.

    number: the notebook's, such as "02", by which the teachers' guide names it.
    """
    found = re.search(r"(\d+) minutes", content.cells[0].source)
    total = 60 * int(found[1]) if found else 0
    weights = [20 + sum(weight_of(part) for part in slide.parts) + words("\n".join(slide.notes)) for slide in slides]
    for slide, weight in zip(slides, weights, strict=True):
        slide.seconds = round(total * weight / sum(weights))
    firsts = [i for i, slide in enumerate(slides) if slide.section] + [len(slides)]
    for first, end in pairwise(firsts):
        minutes = sum(slide.seconds for slide in slides[first:end]) / 60
        section = re.match(r"(\d+)\. ", slides[first].title)
        told = [f"**About {max(1, round(minutes))} of {total // 60} minutes**, read and tried as a whole."]
        if section:
            told += plans(number, int(section[1]))
        slides[first].notes[:0] = told


def words(text: str) -> int:
    """The number of words."""
    return len(text.split())


def weight_of(part: Part) -> int:
    """How long a part takes, in words."""
    if part.kind == "code":
        return WORDS_PER_CODE_LINE * len(part.text.splitlines())
    return words(part.text) if part.kind == "markdown" else 40


def plans(number: str, section: int) -> list[str]:
    """What the teachers' guide plans for a section: minutes, with which others, and the question for the room."""
    found, course, question = [], "", False
    for line in TEACHING.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("## "):
            course, question = line[3:], False
        elif line.startswith("| minutes"):
            question = "question" in cells[-1]
        elif line.startswith("| week"):
            course = ""
        elif course and cells[0].isdigit() and section in sections(cells[1]).get(number, ()):
            ask = f" Ask: *{cells[2]}*" if question else ""
            found.append(f"*{course}:* {cells[0]} minutes for {cells[1]}.{ask}")
    return found


def sections(text: str) -> dict[str, Any]:
    """The sections that a line of the guide names: "00; 01 § 1–3, § 5" -> {"00": all of them, "01": {1, 2, 3, 5}}."""
    found: dict[str, Any] = {}
    notebook = ""
    for name, first, last in re.findall(r"\b(\d\d)\b|§ (\d+)(?:–(\d+))?", text):
        if name:
            notebook = name
            found[name] = range(100)
        elif notebook:
            if isinstance(found[notebook], range):
                found[notebook] = set()
            found[notebook] |= set(range(int(first), int(last or first) + 1))
    return found
