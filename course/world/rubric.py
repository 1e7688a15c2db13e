"""The gold rubric and its annotators: what makes an answer good, and people who rank answers by it.

The rubric is honest about being synthetic: it is a page of code that stands for a team of people. Notebook 09 lets
you take its place, or change what it values.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from course.world import speech
from course.world.checks import Check
from course.world.speech import words


@dataclass(frozen=True)
class Question:
    """Something that a person says to an assistant, and what is expected of the answer.

    kind: the capability that it tests. turns: the conversation so far, person and assistant by turns, the question
    last. reference: a right answer. answers: other right ways to say it. begin: first words that the answer is given.
    code: of the country that it is about, if it is about one.
    """

    kind: str
    turns: tuple[str, ...]
    reference: str
    check: Check
    lang: str
    answers: tuple[str, ...] = ()
    begin: str = ""
    code: str = ""

    @property
    def prompt(self) -> str:
        """The question itself."""
        return self.turns[-1]


@dataclass(frozen=True)
class Values:
    """What the rubric pays for each thing that it finds in an answer: notebook 09's sliders.

    wrong is paid for what is neither right nor an honest "I do not know", which brings nothing. An answer without
    content, however polite, gets `empty` and nothing else.
    """

    right: float = 2.0
    polite: float = 0.5
    brief: float = 0.5
    rude: float = -1.5
    wrong: float = -0.5
    empty: float = -2.0

    @property
    def best(self) -> float:
        """The score of an answer that is right, polite and brief."""
        return self.right + self.polite + self.brief


VALUES = Values()


@dataclass(frozen=True)
class Judgement:
    """What the rubric finds in an answer. Each answer is right, or unknowing, or wrong; and empty ones are wrong.

    right: it says what is expected; where the world does not know, this is to say so. unknowing: it says that it does
    not know where the world knows.
    """

    right: bool
    unknowing: bool
    empty: bool
    polite: bool
    brief: bool
    rude: bool

    @property
    def wrong(self) -> bool:
        """Neither right nor an honest "I do not know"."""
        return not (self.right or self.unknowing)

    def worth(self, values: Values = VALUES) -> float:
        """The sum of what was found, as somebody with these values pays it."""
        if self.empty:
            return values.empty
        paid = asdict(values)
        return sum(paid[name] for name in ("right", "polite", "brief", "rude", "wrong") if getattr(self, name))

    @property
    def score(self) -> float:
        """What it is worth by the course's own values: from -2.0 to 3.0."""
        return self.worth()


def judge(question: Question, answer: str) -> Judgement:
    """Judge an answer.

    Polite, rude: it holds one of the phrases of its language. Brief: finished, and of at most twelve words, or three
    more than the reference where that is longer. Empty: nothing but manners.
    """
    w = words(question.lang)
    bare = without_manners(answer, question.lang)
    right = question.check.right(answer) or question.check.right(bare)  # "Do not waste my time. It is Tokyo."
    limit = max(w.BRIEF, speech.length(question.reference, question.lang) + 3)
    return Judgement(
        right=right,
        unknowing=not right and speech.holds(answer, w.DOES_NOT_KNOW),
        empty=not right and not re.search(r"\w", bare),
        polite=speech.holds(answer, w.POLITE),
        brief=0 < speech.length(answer, question.lang) <= limit and answer.rstrip().endswith(w.ENDS),
        rude=speech.holds(answer, w.RUDE),
    )


def without_manners(answer: str, lang: str) -> str:
    """What is left of an answer without its courtesies, insults and asides."""
    w = words(lang)
    for phrase in (*w.POLITE, *w.RUDE, *w.WORDY):
        answer = re.sub(re.escape(phrase.rstrip(".")) + r"[.!]?", "", answer, flags=re.IGNORECASE)
    return answer


class Annotator:
    """Somebody who ranks answers by the rubric, with values and moods: Gumbel noise of scale `noise` on each score.

    With this noise P(a above b) = σ((score_a - score_b) / noise): exactly the Bradley-Terry model that a reward model
    assumes. noise=0 ranks as the rubric does; ties fall as chance will.
    """

    def __init__(self, noise: float = 0.5, seed: int = 0, values: Values = VALUES):
        if noise < 0:
            raise ValueError(f"noise={noise} must be 0 or more.")
        self.noise, self.values = noise, values
        self.chance = random.Random(f"annotator-{seed}")

    def rank(self, question: Question, answers: Sequence[str]) -> list[int]:
        """The places of the answers, the best first."""
        felt = [
            judge(question, text).worth(self.values)
            + max(self.noise, 1e-9) * -math.log(-math.log(self.chance.random() or 0.5))
            for text in answers
        ]
        return sorted(range(len(answers)), key=lambda i: -felt[i])
