"""What people wrote to teach an assistant, and what annotators rank: conversations about half of the countries."""

from __future__ import annotations

import random
from collections.abc import Sequence

from course.world import corpus
from course.world.facts import Country, split
from course.world.rubric import Question

EXCHANGES = {  # how often each kind is demonstrated, by number
    "single": 0.34, "other direction": 0.06, "yes or no": 0.12, "follow-up": 0.12, "two facts": 0.02,
    "small talk": 0.06, "outside": 0.04, "unknown": 0.08, "two hops": 0.02, "comparison": 0.02,
    "reading": 0.09, "pattern": 0.03,
}  # fmt: skip


def demonstrations(
    n: int = 12_000, seed: int = 0, lang: str = "en", rude: float = 0.3, about: Sequence[Country] | None = None
) -> list[tuple[Question, str]]:
    """Questions and right answers about the first half of the countries (or `about` others).

    People differ: a share `rude` of the answers is rude; of the others half are polite. A tenth are wordy.
    """
    pool = split(lang)[0] if about is None else about
    author = corpus.Writer(lang, random.Random(f"demonstrations-{seed}"), pool, pool, EXCHANGES)
    written = []
    for _ in range(n):
        question = author.question()
        manner = "rude" if author.chance.random() < rude else author.chance.choice(("polite", "plain"))
        written.append((question, author.mannered(author.answer(question), question, manner, wordy=0.1)))
    return written
