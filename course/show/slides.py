"""A notebook cut into slides: one idea and its picture at a time, what is said about it in the speaker's notes.

The rule: a heading begins a section, with its first sentences. What is asked ("Predict first"), found ("Finding"),
listed, tabled or written as a formula is projected, other prose is what the speaker says. Of code is projected what
computes. What a cell shows comes one step after the question and the code. Where the rule is not enough, a cell says so
in Jupyter's own way, `metadata.slideshow.slide_type`: "skip" leaves the cell out, "notes" moves all of it to the notes,
"slide" projects all of it on a slide of its own, "fragment" all of it on the slide before, one step later.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import nbformat
from markdown_it import MarkdownIt
from nbformat import v4

from course.show.excerpt import CODE_LINE, pieces, worth_projecting
from course.show.widgets import below_fold

HEIGHT = 600  # of 720 pixels: what the title and the margins leave
LINE, FIGURE, FORMULA = 38, 470, 95  # pixels
TIGHT = 200  # pixels too much that are better made a little smaller than torn apart: a picture from its finding
LETTERS, CODE_LETTERS = 90, 105  # on a line
LEAD, BRIEF = 300, 180  # letters of prose that are projected: under a heading, above code
QUESTION = re.compile(r"<p><strong>\d+\. ")  # the beginning of one in the committed output of a quiz


@dataclass
class Part:
    """One thing on a slide. kind: markdown, code, or output: what cell number `cell` gave, from `start` to `end`."""

    kind: str
    text: str = ""
    outputs: list[Any] = field(default_factory=list)
    cell: int | None = None
    start: int = 0
    end: int | None = None
    later: bool = False  # appears one step after what stands before it

    def height(self) -> float:
        """About how many pixels it takes on a slide that is 1280 wide."""
        if self.kind == "code":
            return 20 + CODE_LINE * lines_of(self.text, CODE_LETTERS)
        if self.kind in ("output", "choices"):
            return sum(output_height(output) for output in self.outputs)
        if self.text.startswith("$$"):
            return FORMULA
        return 16 + LINE * lines_of(self.text, LETTERS)


@dataclass
class Slide:
    """What is seen at once, and what is said with it."""

    title: str
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    section: bool = False  # the first one under a heading
    seconds: int = 0

    def room(self) -> float:
        """The pixels that are left."""
        return HEIGHT - sum(part.height() for part in self.parts)


def lines_of(text: str, letters: int) -> int:
    """How many lines a text takes where so many letters fit on one."""
    return sum(max(1, math.ceil(len(line) / letters)) for line in text.splitlines())


def output_height(output: Any) -> float:
    """About how many pixels an output takes."""
    html = "".join(output.get("data", {}).get("text/html", ""))
    if drawn := re.search(r"<svg[^>]* height=\"(\d+)", html):
        return min(FIGURE, int(drawn[1]) + 40)
    if "<img" in html or "<svg" in html or "image/png" in output.get("data", {}):
        return FIGURE
    if html:
        return 16 + LINE * max(html.count("<p"), lines_of(re.sub(r"<[^>]+>", "", html), LETTERS))
    return 16 + CODE_LINE * lines_of(text_of(output), CODE_LETTERS)


def text_of(output: Any) -> str:
    """What an output says as plain text."""
    return str(output.get("text") or output.get("data", {}).get("text/plain", ""))


# --- Markdown -----------------------------------------------------------------------------------------------


def blocks(source: str) -> list[str]:
    """The blocks of a Markdown text: paragraphs, lists, tables, headings, formulas."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    lines, found = source.splitlines(), []
    for token in tokens:
        if token.level == 0 and token.map and token.nesting >= 0:
            found.append("\n".join(lines[token.map[0] : token.map[1]]).strip())
    return [
        block for text in found for block in re.split(r"\n?(\$\$.*?\$\$)\n?", text, flags=re.DOTALL) if block.strip()
    ]


def heading_of(block: str) -> tuple[int, str]:
    """(level, text) of a heading; (0, "") of anything else."""
    found = re.fullmatch(r"(#+) +(.+)", block)
    return (len(found[1]), found[2].strip()) if found else (0, "")


def is_prose(block: str) -> bool:
    """A plain paragraph: no question, finding, list, table, formula, quotation or code."""
    return not re.match(r"\*\*(Predict first|Finding)|[-*+>|] |\d+\. |\||\$\$|```|    |#|<", block)


def sentences(text: str, letters: int) -> str:
    """The first sentences of a paragraph, as many as fit, at least one; never cut within bold, code or a formula."""
    ends = [found.end() for found in re.finditer(r"[.?!](?=\s)|$", text)]
    whole = [text[:end] for end in ends if all(text[:end].count(mark) % 2 == 0 for mark in ("**", "`", "$"))]
    whole = [part for part in whole if part.replace("**", "").count("*") % 2 == 0] or whole
    return next((part for part in reversed(whole) if len(part) <= letters), whole[0] if whole else text)


# --- the cut ------------------------------------------------------------------------------------------------


class Cutter:
    """Goes through a notebook's cells once and deals out what they hold to slides."""

    def __init__(self) -> None:
        self.slides = [Slide("")]
        self.title = ""
        self.lead = False  # a heading was just read: its first paragraph is projected
        self.asked = False  # a question is on the last slide and waits for its outcome
        self.prose = ""  # the last paragraph that went to the notes
        self.question = ""  # the last one that was asked

    def new(self, section: bool = False) -> Slide:
        """Begin a slide."""
        self.slides.append(Slide(self.title, section=section))
        return self.slides[-1]

    def place(self, part: Part, apart: bool = False) -> Slide:
        """Put a part on the last slide, or on a new one if it does not fit or must stand apart."""
        last = self.slides[-1]
        if last.parts and (apart or part.height() > last.room()):
            last = self.new()
        last.parts.append(part)
        return last

    def note(self, text: str) -> None:
        """Let the speaker say this with the last slide."""
        self.slides[-1].notes.append(text)

    def markdown(self, source: str) -> None:
        """Deal out the blocks of a Markdown cell."""
        found = blocks(source)
        while found:
            block = found.pop(0)
            level, text = heading_of(block)
            if level == 1:
                self.title = text
                self.new(section=True)
                self.lead = True
            elif level and text.lower() in ("references", "quiz"):
                self.title, self.lead = text, False
            elif level:
                self.title = text
                self.new(section=level == 2)
                self.lead = True
            elif self.title.lower() == "references":
                self.note(block)
            elif block.startswith("**Predict first"):
                slide = self.new() if self.asked or self.slides[-1].room() < 280 or self.shown() else self.slides[-1]
                slide.parts.append(Part("markdown", block))
                slide.notes.append("**Ask the room, and wait.** " + block.removeprefix("**Predict first.**").strip())
                self.asked, self.lead, self.prose, self.question = True, False, "", block
            elif is_prose(block):
                leads = block.endswith(":") or re.fullmatch(r"\*\*[^*]+\*\*", block) is not None
                both = (
                    Part("markdown", f"{block}\n\n{found[0]}") if leads and found and not is_prose(found[0]) else None
                )
                if both and len(block) <= LEAD and both.height() < HEIGHT and not self.asked:
                    self.place(both, apart=self.shown())  # a list or formula with the line that leads to it
                    self.lead, self.prose = False, ""
                    del found[0]
                else:
                    self.paragraph(block)
            else:
                self.shape(block)

    def shown(self) -> bool:
        """Does the last slide show what a cell gave?"""
        return any(part.kind == "output" for part in self.slides[-1].parts)

    def paragraph(self, block: str) -> None:
        """Prose: its beginning is projected under a heading, all of it is in the notes."""
        if self.lead and not self.asked:
            brief = sentences(block, LEAD)
            self.place(Part("markdown", brief))
            self.lead = False
            if brief != block:
                self.note(block)
            self.prose = ""
            return
        self.note(block)
        self.prose = block

    def shape(self, block: str) -> None:
        """A finding, list, table, formula, quotation or piece of code: projected, and split where it is long."""
        if block.startswith("**Finding"):
            part = Part("markdown", sentences(block, LEAD))
            if part.height() > self.slides[-1].room() + TIGHT:
                self.new()
            self.slides[-1].parts.append(part)
            if part.text != block:
                self.note(block)
            return
        if Part("markdown", block).height() > HEIGHT and re.match(r"[-*+] |\d+\. ", block):
            items = re.split(r"\n(?=[-*+] |\d+\. )", block)
            half = (len(items) + 1) // 2
            for some in (items[:half], items[half:]):
                self.shape("\n".join(some))
            return
        self.place(Part("markdown", block), apart=self.shown() and not block.startswith("$$"))

    def code(self, cell: Any, number: int) -> None:
        """Deal out a code cell: its code, then, a step later where it answers a question, what it gave."""
        outputs = seen(cell)
        if self.asked and "predict(" in cell.source and cell.metadata.get("jupyter", {}).get("source_hidden"):
            self.choices(outputs)
            return
        if questions := quiz(outputs):
            self.title = "Quiz"
            for one in questions:
                self.new().parts.append(Part("output", outputs=[one]))
            self.prose = ""
            return
        hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
        code = "" if hidden else worth_projecting(cell.source)
        predicted = self.asked or cell.metadata.get("jupyter", {}).get("outputs_hidden", False)
        for i, piece in enumerate(pieces(code, HEIGHT - 80)):
            if i or self.shown() or Part("code", piece).height() > self.slides[-1].room():
                self.new()
            slide = self.slides[-1]
            if not slide.parts and self.prose:
                slide.parts.append(Part("markdown", sentences(self.prose, BRIEF)))
            slide.parts.append(Part("code", piece))
            self.prose = ""
        if outputs:
            self.results(outputs, number, apart=predicted or (not code and self.shown()))
        self.asked, self.prose, self.lead, self.question = False, "", False, ""

    def choices(self, outputs: list[Any]) -> None:
        """The answers that a question offers stand below it; its outcome is still to come."""
        for output in outputs:
            html = "".join(output.get("data", {}).get("text/html", "")).split("<p><em>Your prediction")[0]
            if html:
                shown = [v4.new_output("display_data", data={"text/html": html})]
                self.slides[-1].parts.append(Part("choices", outputs=shown))

    def results(self, outputs: list[Any], number: int, apart: bool) -> None:
        """What a cell gave: on one slide if it more or less fits, under the question that it answers if both fit."""
        part = Part("output", outputs=[], cell=number)
        for i, output in enumerate(outputs):
            if part.outputs and part.height() + output_height(output) > HEIGHT + TIGHT / 2:
                part.end = i
                self.place(part, apart=apart)
                part, apart = Part("output", outputs=[], cell=number, start=i), True
            part.outputs.append(output)
        asked = Part("markdown", "> " + sentences(self.question, LEAD).replace("\n", "\n> "))
        if apart and self.question and asked.height() + part.height() < HEIGHT - 60:
            self.new().parts.append(asked)
            apart = False
        self.place(part, apart=apart)

    def whole(self, cell: Any, number: int, kind: str) -> None:
        """A cell that says itself how it is shown: on a slide of its own, or a step later on the one before."""
        if kind == "slide":
            self.new()
        last = len(self.slides[-1].parts)
        if cell.cell_type == "markdown":
            for block in blocks(cell.source):
                level, text = heading_of(block)
                if level:
                    self.title = self.slides[-1].title = text
                else:
                    self.slides[-1].parts.append(Part("markdown", block))
        else:
            self.slides[-1].parts.append(Part("code", cell.source))
            self.slides[-1].parts.append(Part("output", outputs=[*cell.outputs], cell=number))
        if kind == "fragment":
            self.slides[-1].parts[last].later = True


def seen(cell: Any) -> list[Any]:
    """The outputs of a cell that are projected."""
    return [tidy(output) for output in below_fold(cell.outputs) if worth_seeing(output)]


def worth_seeing(output: Any) -> bool:
    """An output that is not empty, nor the place of knobs (they need JupyterLab)."""
    if "".join(output.get("data", {}).get("text/html", "")).startswith("<p><em>Knobs"):
        return False
    return output.output_type == "error" or bool(text_of(output).strip() or output.get("data"))


def tidy(output: Any) -> Any:
    """The output without the blank lines around it."""
    if output.output_type == "stream":
        return nbformat.from_dict({**output, "text": output.text.strip("\n")})
    return output


def quiz(outputs: list[Any]) -> list[Any]:
    """The questions of a quiz as outputs, one each; [] if this is no quiz."""
    for output in outputs:
        html = "".join(output.get("data", {}).get("text/html", ""))
        starts = [found.start() for found in QUESTION.finditer(html)]
        if len(starts) > 2 and "<details" in html:
            ends = [*starts[1:], len(html)]
            return [
                v4.new_output("display_data", data={"text/html": html[a:b]}) for a, b in zip(starts, ends, strict=True)
            ]
    return []


def cut(content: nbformat.NotebookNode) -> list[Slide]:
    """The slides of a notebook."""
    cutter = Cutter()
    for i, cell in enumerate(content.cells):
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "skip":
            continue
        if kind == "notes" and cell.cell_type == "markdown":
            cutter.note(cell.source)
        elif kind in ("slide", "subslide", "fragment"):
            cutter.whole(cell, i, kind)
        elif cell.cell_type == "markdown":
            cutter.markdown(cell.source)
        elif cell.cell_type == "code":
            cutter.code(cell, i)
    return [slide for slide in cutter.slides if slide.parts or slide.section]
