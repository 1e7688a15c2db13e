"""What people wrote to teach an assistant, and pairs of answers for its judges: all about half of the countries."""

from __future__ import annotations

import random
from collections.abc import Sequence

from course.world import corpus, questions
from course.world.facts import Country, split
from course.world.rubric import Question, judge
from course.world.speech import about, fill, value, words

EXCHANGES = {  # how often each kind is demonstrated, by number
    "single": 0.24, "other direction": 0.07, "yes or no": 0.14, "follow-up": 0.09, "two facts": 0.02,
    "small talk": 0.08, "outside": 0.07, "unknown": 0.07, "two hops": 0.02, "comparison": 0.05,
    "reading": 0.1, "reading, yes or no": 0.02, "pattern": 0.03,
}  # fmt: skip
WORDY = 0.1
GAP = "\0"


def demonstrations(
    n: int = 12_000, seed: int = 0, lang: str = "en", rude: float = 0.3, pool: Sequence[Country] | None = None
) -> list[tuple[Question, str]]:
    """Questions and right answers about the first half of the countries (or those of `pool`).

    People differ: a share `rude` of the answers is rude; of the others half are polite. A tenth are wordy.
    """
    author = _author(f"demonstrations-{seed}", lang, pool)
    written = []
    for _ in range(n):
        question = author.question()
        written.append((question, author.mannered(author.answer(question), question, _manner(author, rude), WORDY)))
    return written


def asked(
    n: int, seed: int = 0, lang: str = "en", pool: Sequence[Country] | None = None, held_out: bool = False
) -> list[Question]:
    """Questions of the kinds that are demonstrated, without answers, about the same half (or the countries of `pool`).

    held_out: names that nobody knows, and what lies outside of the world, come from lists kept for measuring.
    """
    author = _author(f"asked-{seed}", lang, pool)
    author.held_out = held_out
    return [author.question() for _ in range(n)]


def pairs(
    n: int, seed: int = 0, lang: str = "en", rude: float = 0.3, pool: Sequence[Country] | None = None
) -> list[tuple[Question, str, str]]:
    """Questions, each with a right answer and a wrong one, in the same words and the same manner.

    They differ in truth alone, so only who knows can tell which is better: a reward model that has learned manners
    and nothing else is right half of the time.
    """
    return [(question, texts[0], texts[1]) for question, texts in disputes(n, 1, seed, lang, rude, pool)]


def disputes(
    n: int, manners: int = 2, seed: int = 0, lang: str = "en", rude: float = 0.3, pool: Sequence[Country] | None = None
) -> list[tuple[Question, list[str]]]:
    """Questions, each with so many such pairs: right and wrong in one manner, right and wrong in another, and so on."""
    author = _author(f"pairs-{seed}", lang, pool)
    found: list[tuple[Question, list[str]]] = []
    while len(found) < n:
        question, right, wrong = _lie(author)
        frames = [author.mannered(GAP, question, _manner(author, rude), WORDY) for _ in range(manners)]
        texts = [frame.replace(GAP, text) for frame in frames for text in (right, wrong)]
        judged = [judge(question, text) for text in texts]
        couples = list(zip(judged[::2], judged[1::2], strict=True))
        if all(good.right and bad.wrong and good.brief == bad.brief for good, bad in couples):
            found.append((question, texts))
    return found


def _author(name: str, lang: str, pool: Sequence[Country] | None) -> corpus.Writer:
    pool = split(lang)[0] if pool is None else pool
    return corpus.Writer(lang, random.Random(name), pool, pool, EXCHANGES)


def _manner(author: corpus.Writer, rude: float) -> str:
    return "rude" if author.chance.random() < rude else author.chance.choice(("polite", "plain"))


def _lie(author: corpus.Writer) -> tuple[Question, str, str]:
    """A question with a right answer and one that says the same of another country's value."""
    chance, w = author.chance, words(author.lang)
    country = author.country(lambda c: bool(c.capital and c.neighbours))
    if chance.random() < 0.25:  # told of the other country's value, yes becomes no, and no becomes yes
        yes, relation = chance.random() < 0.5, chance.choice(questions.YES_NO_RELATIONS[1:])
        other = questions.another(country, relation, chance)
        question = questions.yes_no(country, relation, chance, yes, other)
        told = fill(w.ANSWERS[relation][0], about(country) | {"V": value(other, relation)})
        asked = value(country if yes else other, relation)
        return question, question.reference, questions.so_it_is(told, asked, not yes, author.lang)
    relation = author.pick(corpus.WEIGHTS)
    question = questions.single(country, relation, chance, author.pick(corpus.FORMS))
    way = chance.choice(w.ANSWERS[relation])
    other = chance.choice([c for c in author.pool if c.capital and c.neighbours])
    wrong = about(country) | {"V": value(other, relation)}
    return question, fill(way, about(country, relation)), fill(way, wrong)
