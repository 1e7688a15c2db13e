"""Questions to test oneself: one click on an answer opens what there is to say about it.

The page needs neither a kernel nor a network for that: each answer is a folded paragraph, so a quiz works in
JupyterLab, on a web page and in print preview alike. Where no HTML is shown, it is a list to read.

    Quiz(
        Question(
            "Why divide by the square root of d?",
            right="To keep the scores' size the same for every d.",
            because="The dot product of random vectors has a deviation of √d.",
            wrong={"To save time.": "One more division costs time."},
        ),
    )
"""

from __future__ import annotations

import html
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Question:
    """A question with one right answer. because: why it is right. wrong: each wrong answer and what is wrong with it.

    Raises ValueError when a part is missing, or there is no wrong answer to choose.
    """

    prompt: str
    right: str
    because: str
    wrong: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.wrong or self.right in self.wrong or len(self.wrong) >= len(LETTERS):
            raise ValueError(f'The question "{self.prompt}" needs one to seven wrong answers beside the right one.')
        if not all(text.strip() for text in (self.prompt, self.right, self.because, *self.wrong.values())):
            raise ValueError(f'The question "{self.prompt}" has an answer without an explanation; give one to each.')

    @property
    def options(self) -> list[tuple[str, bool, str]]:
        """The answers in the order shown, mixed by the question's own words: (text, is it right?, explanation)."""
        answers = [(self.right, True, self.because), *((text, False, why) for text, why in self.wrong.items())]
        random.Random(self.prompt).shuffle(answers)
        return answers


class Quiz:
    """Some questions, shown one below the other."""

    def __init__(self, *questions: Question):
        if not questions:
            raise ValueError("A quiz needs at least one question.")
        self.questions = questions

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._html(), "text/plain": self._text()}

    def _html(self) -> str:
        parts = ["<p><strong>Quiz.</strong> Click on the answer that you think is right.</p>"]
        for number, question in enumerate(self.questions, 1):
            parts.append(f"<p><strong>{number}. {html.escape(question.prompt)}</strong></p>")
            for letter, (text, right, why) in zip(LETTERS, question.options, strict=False):
                colour, verdict = ("#009E73", "✓ Right.") if right else ("#D55E00", "✗ Not this one.")
                parts.append(
                    f'<details style="margin: 0 0 0.4em 1.5em"><summary>{letter}. {html.escape(text)}</summary>'
                    f'<div style="border-left: 4px solid {colour}; padding-left: 0.7em; margin: 0.3em 1em">'
                    f"<strong>{verdict}</strong> {html.escape(why)}</div></details>"
                )
        return "\n".join(parts)

    def _text(self) -> str:
        lines = []
        for number, question in enumerate(self.questions, 1):
            lines.append(f"{number}. {question.prompt}")
            answers = list(zip(LETTERS, question.options, strict=False))
            lines += [f"   {letter}. {text}" for letter, (text, _, _) in answers]
            solution = next(letter for letter, (_, right, _) in answers if right)
            lines.append(f"   Answer: {solution}. {question.because}")
        return "\n".join(lines)
