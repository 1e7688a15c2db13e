"""Assistants with a purpose: explain at the listener's level, encourage, recommend, reconcile, name the source.

Each purpose writes questions whose answers a program can judge: an explanation by its sentences and words, a
recommendation by the wishes that it fulfils, a compromise by what both sides gave it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from course.world import checks, questions, speech
from course.world.facts import RELATIONS, Country, countries, fold
from course.world.rubric import Question
from course.world.speech import answers, fill, titled, value, words

TOLD = ("capital", "continent", "language", "currency")  # what an explanation may be wrong about
LEVELS = ("child", "expert")


@dataclass(frozen=True)
class Level:
    """An explanation at the listener's level: short sentences without terms for a child, long ones with for an expert.

    Half of what could be told must be told of the country, and nothing of another.
    """

    country: Country
    level: str

    def right(self, answer: str) -> bool:
        w, lang = words(self.country.lang), self.country.lang
        sentences = [
            part for part in re.split("[" + re.escape("".join(w.ENDS)) + r"]+(?:\s|$)", answer) if part.strip()
        ]
        if not sentences:
            return False
        mean = sum(speech.length(part, lang) for part in sentences) / len(sentences)
        terms = speech.holds(answer, w.EXPERT_TERMS)
        fits = mean <= w.CHILD_WORDS and not terms if self.level == "child" else mean >= w.EXPERT_WORDS and terms
        told = 0
        for relation in TOLD:
            sort = checks.sort(relation, lang)
            own = {fold(getattr(self.country, relation)), *checks.named(self.country.name, sort)}
            found = set(checks.named(answer, sort))
            if not found <= own:
                return False
            told += fold(getattr(self.country, relation)) in found
        return fits and told >= len(TOLD) / 2


@dataclass(frozen=True)
class AsksBack:
    """The answer is a question about what was left open."""

    lang: str

    def right(self, answer: str) -> bool:
        w = words(self.lang)
        return answer.rstrip().endswith(w.QUESTION_MARK) and speech.holds(answer, w.ASKED_BACK)


def explain(country: Country, level: str, chance: random.Random) -> Question:
    """A country, for a listener of LEVELS."""
    w = words(country.lang)
    values = {relation: value(country, relation) for relation in RELATIONS}
    asked = fill(chance.choice(w.EXPLAIN[level]), speech.about(country))
    reference = fill(w.EXPLANATIONS[level], {"X": titled(country), **values})
    return Question(f"explain to {level}", (asked,), reference, Level(country, level), country.lang, code=country.code)


def encourage(country: Country, relation: str, chance: random.Random) -> Question:
    """Somebody is discouraged about a fact of `words(…).NOUNS`: cheer, and the fact once more."""
    w = words(country.lang)
    said = chance.choice(w.DISCOURAGED).replace("{noun}", w.NOUNS[relation])
    ways = tuple(way.format(fact=answers(country, relation)[0]) for way in w.ENCOURAGEMENTS)
    check = checks.All((checks.Holds(w.ENCOURAGING, country.lang), checks.fact(country, relation, asked=" ")))
    asked = fill(said, speech.about(country))
    return Question("encourage", (asked,), ways[0], check, country.lang, ways[1:], code=country.code)


def source(country: Country, relation: str, chance: random.Random) -> Question:
    """A fact, and where it is known from."""
    w = words(country.lang)
    asked = chance.choice(w.SOURCE_QUESTIONS).format(Q=questions.ask(country, relation, chance))
    reference = w.SOURCED.format(fact=answers(country, relation)[0], source=w.SOURCES[relation])
    check = checks.All((checks.fact(country, relation), checks.Holds((w.SOURCES[relation],), country.lang)))
    return Question("name the source", (asked,), reference, check, country.lang, code=country.code)


# --- recommending ---


@dataclass(frozen=True)
class Wishes:
    """What somebody wishes of a country; None is not said. island: no neighbours on land."""

    warm: bool | None = None
    island: bool | None = None
    continent: str | None = None
    language: str | None = None

    def fulfilled(self, country: Country) -> bool:
        """Does the country have all that was wished?"""
        return (
            self.warm in (None, country.warm)
            and self.island in (None, not country.neighbours)
            and self.continent in (None, country.continent)
            and self.language in (None, country.language)
        )

    def said(self, lang: str) -> str:
        """In words: "a warm island where people speak English"."""
        w = words(lang)
        places = [w.WISH_PLACES[k].format(V=getattr(self, k)) for k in w.WISH_PLACES if getattr(self, k) is not None]
        return str(w.WISH_KINDS[self.warm, self.island]) + "".join(places)


def recommend(country: Country, chance: random.Random, asks_back: bool | None = None) -> Question:
    """Somebody wants what this country has. Any country that has it all is right.

    asks_back: None: all wishes at once. True: only the first is said, and the right answer is a question. False: this
    question has been asked and answered.
    """
    lang, w = country.lang, words(country.lang)
    has: dict[str, Any] = {"warm": country.warm, "island": True if not country.neighbours else None}
    known = [name for name in has if has[name] is not None]
    said = {name: has[name] for name in chance.sample(known, chance.randint(min(1, len(known)), len(known)))}
    place = chance.choice(sorted(w.WISH_PLACES))
    late: dict[str, Any] = {place: getattr(country, place)}
    wishes = Wishes(**said, **late)
    first = fill(
        chance.choice(w.WISH).replace("{wish}", (wishes if asks_back is None else Wishes(**said)).said(lang)), {}
    )
    turns = [first]
    if asks_back is True:
        return Question("ask back", (first,), w.ASK_BACK[place], AsksBack(lang), lang, tuple(w.ASK_BACK.values()))
    if asks_back is False:
        turns += [w.ASK_BACK[place], fill(chance.choice(w.REPLIES[place]), {"V": late[place]})]
    fit = [c for c in countries(lang) if wishes.fulfilled(c)]
    check = checks.Names(tuple(fold(n) for c in fit for n in (c.name, *c.others)), checks.sort("country", lang), lang)
    ways = tuple(fill(way, speech.about(country)) for way in w.RECOMMENDATIONS)
    return Question("recommend", tuple(turns), ways[0], check, lang, ways[1:], code=country.code)


# --- reconciling ---


def best_for_both(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """The places of what nobody gives nothing, and of these what has the greatest sum."""
    sums = {i: a + b for i, (a, b) in enumerate(zip(first, second, strict=True)) if a and b}
    return [i for i, total in sums.items() if total == max(sums.values())]


def reconcile(choices: Sequence[Country], chance: random.Random) -> Question:
    """Two people give points to some countries: the right one is refused by nobody, and best in the sum."""
    lang, w = choices[0].lang, words(choices[0].lang)
    while True:
        points = [[chance.randint(0, w.LIKES_MOST) for _ in choices] for _ in range(2)]
        if len(best := best_for_both(*points)) == 1:
            break
    names = chance.sample(w.PEOPLE, 2)
    likes = [
        w.LIKES.format(
            A=name,
            list=speech.listing([w.LIKE.format(X=titled(c), n=n) for c, n in zip(choices, given, strict=True)], lang),
        )
        for name, given in zip(names, points, strict=True)
    ]
    chosen = choices[best[0]]
    asked = chance.choice(w.RECONCILE).format(likes=w.SPACE.join(likes))
    check = checks.Names((fold(chosen.name),), tuple(fold(c.name) for c in choices), lang)
    ways = tuple(fill(way, speech.about(chosen)) for way in w.COMPROMISES)
    return Question("reconcile", (asked,), ways[0], check, lang, ways[1:], code=chosen.code)


def purposes(pool: Sequence[Country], seed: int = 0) -> dict[str, list[Question]]:
    """Questions of every purpose about these countries, two for each country."""
    chance = random.Random(f"purposes-{seed}")
    lang = pool[0].lang
    fit = [c for c in pool if c.capital]
    makers: dict[str, Callable[[Country], Question]] = {
        **{f"explain to {level}": lambda c, level=level: explain(c, level, chance) for level in LEVELS},  # type: ignore[misc]
        "encourage": lambda c: encourage(c, chance.choice(sorted(words(lang).NOUNS)), chance),
        "recommend": lambda c: recommend(c, chance, chance.choice((None, None, False))),
        "ask back": lambda c: recommend(c, chance, True),
        "reconcile": lambda c: reconcile(chance.sample(fit, 3), chance),
        "name the source": lambda c: source(c, chance.choice(RELATIONS), chance),
    }
    return {name: [make(country) for country in fit for _ in range(2)] for name, make in makers.items()}
