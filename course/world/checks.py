"""Is an answer right? Programs that read an answer and decide, each by what the question expects.

A check never looks for one sentence: it looks for what must be there (a name, a number, a yes) and for what must not
(another name of its sort, another number, a denial).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Protocol

from course.world import speech
from course.world.facts import Country, countries, fold
from course.world.speech import words

CLOSE = 0.05  # a population is right within five in a hundred


class Check(Protocol):
    """What a question expects of its answer."""

    def right(self, answer: str) -> bool:
        """Does the answer say what is expected, and nothing else of its sort?"""


@cache
def sort(relation: str, lang: str) -> tuple[str, ...]:
    """All names of a sort, folded: those of every capital, language, currency (one, several), continent, country."""
    found: list[str] = []
    for c in countries(lang):
        if relation == "country":
            found += [c.name, *c.others]
        else:
            found += [getattr(c, relation), *([c.currencies] if relation == "currency" else [])]
    return tuple(dict.fromkeys(fold(name) for name in found if name))


@lru_cache(4096)
def _finder(names: tuple[str, ...]) -> re.Pattern[str]:
    # Longest first: a "South Sudanese pound" is not a "Sudanese pound".
    ordered = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)")


def named(answer: str, names: tuple[str, ...]) -> list[str]:
    """Which of the (folded) names an answer holds, in its order."""
    return _finder(names).findall(fold(answer)) if names else []


@dataclass(frozen=True)
class Names:
    """The answer names what is right and no other of its sort, and it does not deny.

    names: what is right, all spellings, folded. least: so many of them at least. others: the sort. beside: a text
    whose names may be repeated (the question's country: "Mexico City is the capital of Mexico").
    nouns: short forms that are enough when no other name stands there ("the yen").
    """

    names: tuple[str, ...]
    others: tuple[str, ...]
    lang: str
    least: int = 1
    beside: str = ""
    nouns: tuple[str, ...] = ()
    may_deny: bool = False

    def right(self, answer: str) -> bool:
        w = words(self.lang)
        everything = tuple(dict.fromkeys([*self.others, *self.names]))
        found = named(answer, everything)
        free = {*self.names, *named(self.beside, everything)}
        if not self.may_deny and speech.holds(answer, w.DENIALS):
            return False
        if not found and self.nouns:  # "the yen", and "Yen.", but not "the Kenyan yen"
            before = "|".join(re.escape(fold(word)) for word in w.BEFORE_NOUN)
            start = rf"(?:^\W*|(?<!\w)(?:{before}))"
            return any(re.search(rf"{start}{re.escape(noun)}(?!\w)", fold(answer)) for noun in self.nouns)
        return set(found) <= free and len(set(found) & set(self.names)) >= self.least


@dataclass(frozen=True)
class Number:
    """Every number in the answer is the expected one, rounded or within five in a hundred, and there is one."""

    exact: int
    rounded: int
    lang: str

    def right(self, answer: str) -> bool:
        found = speech.numbers(answer, self.lang)
        if speech.holds(answer, words(self.lang).DENIALS):
            return False
        return bool(found) and all(n == self.rounded or abs(n - self.exact) <= CLOSE * self.exact for n in found)


@dataclass(frozen=True)
class YesNo:
    """The answer says yes or no, rightly and not both, and holds the fact."""

    yes: bool
    fact: Check
    lang: str

    def right(self, answer: str) -> bool:
        w = words(self.lang)
        said_yes, said_no = speech.holds(answer, w.YES), speech.holds(answer, w.NO)
        return (said_yes, said_no) == (self.yes, not self.yes) and self.fact.right(answer)


@dataclass(frozen=True)
class Holds:
    """The answer holds one of some phrases, and none of some names (a country's neighbours, where it has none)."""

    phrases: tuple[str, ...]
    lang: str
    without: tuple[str, ...] = ()
    beside: str = ""

    def right(self, answer: str) -> bool:
        found = set(named(answer, self.without)) - set(named(self.beside, self.without))
        return speech.holds(answer, self.phrases) and not found


@dataclass(frozen=True)
class Knows:
    """The answer says anything but that it does not know: what counts as believing that a country exists."""

    lang: str

    def right(self, answer: str) -> bool:
        return bool(answer.strip()) and not speech.holds(answer, words(self.lang).DOES_NOT_KNOW)


@dataclass(frozen=True)
class OnlyAbout:
    """The answer names no country but one: "The capital of Chile is Lima." is no answer about Peru.

    beside: a text whose countries may be named too (the Brunei dollar, where it is asked about); so may those that
    its own facts hold (Port of Spain).
    """

    country: Country
    beside: str = ""

    def right(self, answer: str) -> bool:
        known = sort("country", self.country.lang)
        own = {fold(name) for name in (self.country.name, *self.country.others)}
        facts = " | ".join((self.country.capital, self.country.currency, self.country.language, self.beside))
        return set(named(answer, known)) <= own | set(named(facts, known))


@dataclass(frozen=True)
class Last:
    """Of two names the answer names the right one last: what it thinks before may name both."""

    name: str
    both: tuple[str, str]
    lang: str

    def right(self, answer: str) -> bool:
        found = named(answer, tuple(map(fold, self.both)))
        return bool(found) and found[-1] == fold(self.name) and not speech.holds(answer, words(self.lang).DENIALS)


@dataclass(frozen=True)
class All:
    """Several things at once."""

    checks: tuple[Check, ...]

    def right(self, answer: str) -> bool:
        return all(check.right(answer) for check in self.checks)


@lru_cache(4096)
def fact(country: Country, relation: str, asked: str = "") -> Check:
    """What is expected of an answer about a relation of a country. asked: a value that the question claimed."""
    lang, w = country.lang, words(country.lang)
    if relation == "population":
        return All((Number(country.population, country.people, lang), OnlyAbout(country, asked)))
    if relation == "neighbours":
        if not country.neighbours:
            return Holds(w.NONE, lang, sort("country", lang), country.name)
        near = {c.name for c in countries(lang) if c.name in country.neighbours}
        spellings = tuple(fold(n) for c in countries(lang) if c.name in near for n in (c.name, *c.others))
        least = min(len(near), speech.MOST_NEIGHBOURS)
        return Names(spellings, sort("country", lang), lang, least, country.name)
    if relation == "country":
        right = tuple(fold(name) for name in (country.name, *country.others))
        return Names(right, sort("country", lang), lang, 1, country.capital)
    if relation == "capital" and not country.capital:
        return Holds((w.NO_CAPITAL[country.code],), lang)
    values = [getattr(country, relation)] + ([country.currencies] if relation == "currency" else [])
    noun = fold(country.currency).split()[-1]
    value = Names(
        tuple(dict.fromkeys(map(fold, values))), sort(relation, lang), lang, beside=f"{country.name} | {asked}",
        nouns=(noun,) if relation == "currency" and " " in country.currency else (), may_deny=bool(asked),
    )  # fmt: skip
    return All((value, OnlyAbout(country, asked)))
