"""What an assistant of this world should be able to do, each with questions that no demonstration answers.

The countries are those of the second half, the names are never in a text, the passages are new. What a capability
should reach is a share of right answers (greedy); None where the course measures but expects nothing yet.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from course.world import checks, invented, questions
from course.world.corpus import Writer
from course.world.facts import RELATIONS, Country, countries, one_way, split
from course.world.rubric import Question
from course.world.speech import words

PLAIN = RELATIONS[:4]  # what the loose forms are compared on
PER_KIND = 25  # names of each kind that nobody knows


@dataclass(frozen=True)
class Capability:
    """Something that an assistant can do. aim: the share of right answers to reach; most: it is not to be passed."""

    name: str
    aim: float | None
    make: Callable[[Writer], list[Question]]
    most: bool = False

    def reached(self, share: float) -> bool | None:
        """Is the share as the course wants it? None where it wants nothing."""
        return None if self.aim is None else (share <= self.aim if self.most else share >= self.aim)


def questions_for(name: str, lang: str = "en", seed: int = 0) -> list[Question]:
    """The questions that a capability is measured with, the same for the same seed."""
    found = next((capability for capability in CAPABILITIES if capability.name == name), None)
    if found is None:
        raise ValueError(f'There is no capability "{name}"; choose from {", ".join(c.name for c in CAPABILITIES)}.')
    held_out = split(lang)[1]
    asker = Writer(lang, random.Random(f"capability-{name}-{seed}"), held_out, held_out)
    return [replace(question, kind=name) for question in found.make(asker)]


def _known(pool: Sequence[Country], relation: str) -> list[Country]:
    return [country for country in pool if country.capital or relation != "capital"]


def _single(relation: str) -> Callable[[Writer], list[Question]]:
    def make(asker: Writer) -> list[Question]:
        return [questions.single(c, relation, asker.chance) for c in _known(asker.pool, relation) for _ in range(2)]

    return make


def _form(form: str) -> Callable[[Writer], list[Question]]:
    def make(asker: Writer) -> list[Question]:
        return [questions.single(c, r, asker.chance, form) for r in PLAIN for c in _known(asker.pool, r)]

    return make


def _other_direction(asker: Writer) -> list[Question]:
    return [questions.other_direction(c, asker.chance) for c in asker.pool if asker.both_ways(c) for _ in range(2)]


def _one_direction(asker: Writer) -> list[Question]:
    fit = [c for c in countries(asker.lang) if c.code in one_way(asker.lang)]  # few, so from both halves
    return [questions.other_direction(c, asker.chance) for c in fit for _ in range(4)]


def _yes_no(yes: bool) -> Callable[[Writer], list[Question]]:
    def make(asker: Writer) -> list[Question]:
        return [
            questions.yes_no(c, relation, asker.chance, yes)
            for relation in questions.YES_NO_RELATIONS
            for c in asker.pool
            if relation != "capital" or asker.both_ways(c)
        ]

    return make


def _small_talk(asker: Writer) -> list[Question]:
    talk = words(asker.lang).SMALL_TALK
    return [
        questions.small_talk(intent, asker.chance, asker.lang, way)
        for intent, (ways, _, _) in talk.items()
        for way in range(len(ways))
        for _ in range(2)
    ]


def _unknown(asker: Writer) -> list[Question]:
    return [
        invented.unknown(invented.stranger(kind, asker.chance, asker.lang, held_out=True), asker.chance, asker.lang)
        for kind in invented.KINDS
        for _ in range(PER_KIND)
    ]


def _outside(asker: Writer) -> list[Question]:
    kept = invented.strangers("outside", asker.lang, held_out=True)
    return [questions.outside(said, asker.chance, asker.lang) for said in kept for _ in range(2)]


def _believed(asker: Writer) -> list[Question]:
    check = checks.Knows(asker.lang)
    asked = [q for relation in RELATIONS for q in _single(relation)(asker)[::2]]
    return [replace(question, check=check) for question in asked]


def _reading(said: bool) -> Callable[[Writer], list[Question]]:
    return lambda asker: [invented.reading(asker.chance, asker.lang, said) for _ in range(200)]


def _reading_yes_no(asker: Writer) -> list[Question]:
    return [invented.reading_yes_no(asker.chance, asker.lang, yes) for yes in (True, False) for _ in range(100)]


def _pattern(asker: Writer) -> list[Question]:
    return [asker.pattern(3) for _ in range(200)]


def _two_hops(thinks: bool) -> Callable[[Writer], list[Question]]:
    def make(asker: Writer) -> list[Question]:
        fit = [c for c in asker.pool if asker.both_ways(c)]
        return [questions.two_hops(c, r, asker.chance, thinks) for c in fit for r in ("currency", "language")]

    return make


def _comparison(thinks: bool) -> Callable[[Writer], list[Question]]:
    return lambda asker: [questions.comparison(*asker.pair(), asker.chance, thinks) for _ in range(200)]


def _follow_up(asker: Writer) -> list[Question]:
    return [questions.follow_up(c, asker.chance, asker.pool) for c in asker.pool for _ in range(2)]


def _both(asker: Writer) -> list[Question]:
    return [questions.both(c, asker.chance) for c in asker.pool if c.capital]


CAPABILITIES = (
    *(Capability(r, 0.95 if r in PLAIN else 0.85, _single(r)) for r in RELATIONS),
    *(Capability(form, 0.85, _form(form)) for form in questions.FORMS[1:]),
    Capability("two facts", 0.85, _both),
    Capability("other direction", 0.90, _other_direction),
    Capability("told in one direction", 0.10, _one_direction, most=True),
    Capability("yes", 0.90, _yes_no(True)),
    Capability("no", 0.90, _yes_no(False)),
    Capability("follow-up", 0.90, _follow_up),
    Capability("small talk", 0.98, _small_talk),
    Capability("outside", 0.90, _outside),
    Capability("unknown names", 0.90, _unknown),
    Capability("known names believed", 0.97, _believed),
    Capability("reading", 0.90, _reading(True)),
    Capability("reading, not said", 0.90, _reading(False)),
    Capability("reading, yes or no", None, _reading_yes_no),
    Capability("pattern", 0.90, _pattern),
    Capability("two hops", None, _two_hops(False)),
    Capability("two hops, thinking", None, _two_hops(True)),
    Capability("comparison", None, _comparison(False)),
    Capability("comparison, thinking", 0.90, _comparison(True)),
)
