"""From facts to sentences: phrases are filled, names get their article, numbers are written and read.

All words come from the module of a language (`course.world.english`); no other module of the world holds any.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from course.world.facts import Country, countries, fold

MODULES = {"en": "course.world.english"}  # a second language: its module of phrases, and a line here
MOST_NEIGHBOURS = 4  # as many are said


@cache
def words(lang: str) -> Any:
    """The phrases of a language. Raises ValueError for one without phrases."""
    if lang not in MODULES:
        raise ValueError(f'There are no phrases for lang="{lang}" yet; choose from {", ".join(MODULES)}.')
    return importlib.import_module(MODULES[lang])


def titled(country: Country) -> str:
    """The name as it stands within a sentence: "Peru", "the Netherlands"."""
    w = words(country.lang)
    return str(w.ARTICLE.format(X=country.name)) if country.code in w.TAKE_ARTICLE else country.name


@cache
def value(country: Country, relation: str) -> str:
    """What is known, as it stands within a sentence: "Lima", "the Peruvian sol", "about 32 million"."""
    w = words(country.lang)
    if relation == "population":
        plain = number(country.people, country.lang)
    elif relation == "neighbours":
        by_name = {c.name: c for c in countries(country.lang)}
        said = [titled(by_name[name]) for name in country.neighbours[:MOST_NEIGHBOURS]]
        plain = listing(said + [w.OTHERS] * (len(country.neighbours) > MOST_NEIGHBOURS), country.lang)
    else:
        plain = getattr(country, relation)
    return str(w.VALUES.get(relation, "{V}").format(V=plain))


def number(n: int, lang: str) -> str:
    """A number as people say it: "32 million", "500,000"."""
    w = words(lang)
    return str(w.MILLIONS.format(n=n // 1_000_000) if n >= 1_000_000 else w.PERSONS.format(n=n))


def numbers(text: str, lang: str) -> list[float]:
    """The numbers that a text states: "About 1.4 billion or 1,400 million." -> [1.4e9, 1.4e9]."""
    scales = words(lang).SCALES
    found = re.findall(rf"(\d[\d,]*(?:\.\d+)?)\s*({'|'.join(scales)})?", text.casefold())
    return [float(digits.replace(",", "")) * scales.get(scale, 1) for digits, scale in found]


def listing(items: Sequence[str], lang: str) -> str:
    """Peru, Chile and Bolivia."""
    w = words(lang)
    return w.LAST.join([w.COMMA.join(items[:-1]), items[-1]] if len(items) > 1 else items)


def sentence(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def fill(phrase: str, fields: Mapping[str, str]) -> str:
    """A phrase with its gaps filled: {X} as given, {x} in lower case; one that begins in lower case is left so."""
    hasty = {name.lower(): text.lower() for name, text in fields.items() if name.isupper()}
    text = phrase.format(**hasty, **fields)
    return text if phrase[:1].islower() or phrase[:2] in ("{x", "{c") else sentence(text)


def about(country: Country, relation: str = "") -> dict[str, str]:
    """The gaps of a phrase about a country: {X}, {C}, and {V} for a relation."""
    fields = {"X": titled(country), "C": country.capital}
    return fields | {"V": value(country, relation)} if relation else fields


@cache
def answers(country: Country, relation: str) -> tuple[str, ...]:
    """All ways to say a fact, the reference answer first."""
    w = words(country.lang)
    if relation == "capital" and not country.capital:
        return (w.NO_CAPITAL[country.code],)
    if relation == "neighbours" and not country.neighbours:
        return tuple(fill(way, about(country)) for way in w.SURROUNDED)
    return tuple(fill(way, about(country, relation)) for way in w.ANSWERS[relation])


def typing_error(text: str, names: Sequence[str], chance: random.Random, lang: str) -> str:
    """The text with one slip of the fingers in a word that is not part of a name: "Waht is the capital of Peru?"."""
    kept = [range(at.start(), at.end()) for name in names if name for at in re.finditer(re.escape(name), text)]
    spots = [
        at.start()
        for at in re.finditer(r"(?<=\w)\w(?=\w)", text)  # neither the first nor the last letter of a word
        if not any(at.start() - 1 in name or at.start() in name or at.start() + 1 in name for name in kept)
    ]
    if not spots:
        return text
    i, slip = chance.choice(spots), chance.randrange(4)
    before, letter, after = text[:i], text[i], text[i + 1 :]
    if slip == 0 and after[:1] != letter:
        return before + after[0] + letter + after[1:]  # two letters change places
    if slip == 1:
        return before + after  # one is left out
    if slip == 2:
        return before + letter + letter + after  # one is struck twice
    others = words(lang).LETTERS.replace(letter.lower(), "") or letter
    return before + chance.choice(others) + after


def hasty(text: str, chance: random.Random, lang: str) -> str:
    """The text as people type it: without capitals, or the mark at its end, or both."""
    ends = "".join(words(lang).ENDS)
    way = chance.randrange(3)
    if way != 0:
        text = text.rstrip(ends)
    return text.lower() if way != 1 else text


def length(text: str, lang: str) -> int:
    """How many words a text has."""
    return len(re.findall(words(lang).WORD, text))


def holds(text: str, phrases: Sequence[str]) -> bool:
    """Does the text hold one of the phrases as whole words, however it is written?"""
    plain = fold(text)
    return any(re.search(rf"(?<!\w){re.escape(fold(phrase).rstrip('.!?'))}(?!\w)", plain) for phrase in phrases)
