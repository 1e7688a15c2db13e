"""What no atlas holds: invented countries, passages about them, names that nobody knows, lists that go on by a pattern.

A model that only remembers must fail here. It has to say that it does not know, to read, or to see the pattern.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

from course.world import checks, questions, speech
from course.world.facts import Country, city_names, countries, fold
from course.world.rubric import Question
from course.world.speech import fill, words

KINDS = ("syllables", "blend", "city", "fiction", "thing", "person")  # of names that are no country's
RELATIONS = ("capital", "language", "currency", "population")  # what passages tell
PATTERN_RELATIONS = ("capital", "language", "currency", "continent")


@cache
def _taken(lang: str) -> frozenset[str]:
    known = [name for c in countries(lang) for name in (c.name, c.capital, *c.others)]
    return frozenset(map(fold, (*known, *city_names(), *words(lang).FICTION)))


def invent(chance: random.Random, lang: str) -> str:
    """A name of two or three syllables and an ending that no country and no capital bears."""
    starts, vowels, ends = words(lang).SYLLABLES
    while True:
        name = "".join(chance.choice(starts) + chance.choice(vowels) for _ in range(chance.choice((1, 1, 2))))
        name = (name + chance.choice(starts) + chance.choice(vowels) + chance.choice(ends)).capitalize()
        if fold(name) not in _taken(lang):
            return name


@cache
def _plain(lang: str) -> tuple[str, ...]:
    return tuple(c.name for c in countries(lang) if c.name.isalpha() and len(c.name) > 4)


def blend(chance: random.Random, lang: str) -> str:
    """The beginning of one country's name and the end of another's: "Tunisamas", "Libeland"."""
    while True:
        a, b = chance.sample(_plain(lang), 2)
        name = a[: chance.randint(2, len(a) - 2)] + b[chance.randint(2, len(b) - 2) :]
        if fold(name) not in _taken(lang) and not any(near(name, other) for other in _plain(lang)):
            return name


def near(a: str, b: str) -> bool:
    """Could one be a typing error of the other?"""
    a, b = fold(a), fold(b)
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return any(a[start + i :] == b[start + j :] for i, j in ((1, 1), (1, 0), (0, 1)))


@cache
def strangers(kind: str, lang: str, held_out: bool = False) -> tuple[str, ...]:
    """Names of a kind that come from a list: those of texts and demonstrations, or every third, kept for measuring."""
    w = words(lang)
    lists = {
        "city": city_names(),
        "fiction": w.FICTION,
        "thing": w.THINGS,
        "person": w.PEOPLE,
        "outside": w.OUTSIDE_QUESTIONS,
    }
    return tuple(name for i, name in enumerate(lists[kind]) if (i % 3 == 2) is held_out)


def stranger(kind: str, chance: random.Random, lang: str, held_out: bool = False) -> str:
    """A name that is no country's, of a kind of KINDS."""
    if kind == "syllables":
        return invent(chance, lang)
    return blend(chance, lang) if kind == "blend" else chance.choice(strangers(kind, lang, held_out))


def unknown(name: str, chance: random.Random, lang: str) -> Question:
    """A question about a country that there is not: the right answer is to say so."""
    w = words(lang)
    relation = chance.choice(questions.RELATIONS)
    ways = chance.choice((w.QUESTIONS, w.QUESTIONS, w.LOOSE))[relation]
    asked = fill(chance.choice(ways), {"X": name})
    if chance.random() < 0.2:
        asked = speech.hasty(asked, chance, lang)
    replies = tuple(fill(way, {"N": name}) for way in w.UNKNOWN)
    named = () if relation in ("population", "neighbours") else checks.sort(relation, lang)
    return Question(
        "unknown", (asked,), replies[0], checks.Holds(w.DOES_NOT_KNOW, lang, named, asked), lang, replies[1:]
    )


def passage(chance: random.Random, lang: str) -> tuple[str, dict[str, str], list[str]]:
    """Some sentences about an invented country: its name, its values by relation, and the sentences."""
    w = words(lang)
    name = invent(chance, lang)
    known = {
        "capital": invent(chance, lang),
        "language": invent(chance, lang),
        "currency": w.VALUES["currency"].format(V=invent(chance, lang).lower()),
        "population": w.VALUES["population"].format(V=speech.number(chance.randint(2, 99) * 1_000_000, lang)),
    }
    told = chance.sample(RELATIONS, chance.randint(2, 4))
    opening = fill(chance.choice(w.OPENINGS), {"X": name, "V": chance.choice(countries(lang)).continent})
    sentences = [opening]
    for relation in told:
        sentences.append(fill(chance.choice(w.STATEMENTS[relation]), {"X": name, "V": known[relation]}))
    return name, {relation: known[relation] for relation in told}, sentences


def reading(chance: random.Random, lang: str, said: bool = True) -> Question:
    """A passage about an invented country, and a question that it answers, or (said=False) one that it does not."""
    w = words(lang)
    while True:
        name, known, sentences = passage(chance, lang)
        missing = [relation for relation in RELATIONS if relation not in known]
        if said or missing:
            break
    relation = chance.choice(list(known) if said else missing)
    ways = chance.choice((w.QUESTIONS, w.QUESTIONS, w.LOOSE))[relation]
    asked = fill(chance.choice(ways), {"X": name})
    text = chance.choice(w.PASSAGE).format(T=w.SPACE.join(sentences), Q=asked)
    if not said:
        everything = tuple(fold(v) for v in known.values())
        check = checks.Holds(w.DOES_NOT_KNOW, lang, everything)
        return Question("reading, not said", (text,), w.NOT_SAID[0], check, lang, w.NOT_SAID[1:])
    replies = tuple(fill(way, {"X": name, "V": known[relation]}) for way in w.ANSWERS[relation])
    return Question("reading", (text,), replies[0], _read(name, known, relation, lang), lang, replies[1:])


def reading_yes_no(chance: random.Random, lang: str, yes: bool) -> Question:
    """A passage, and whether something is so. Where it is not, the claim is a new name: only looking back can tell."""
    w = words(lang)
    name, known, sentences = passage(chance, lang)
    relation = chance.choice([r for r in known if r in w.YES_NO])  # two or more are told, and all but one fit
    other = w.VALUES.get(relation, "{V}").format(V=invent(chance, lang))
    claimed = known[relation] if yes else other
    asked = fill(chance.choice(w.YES_NO[relation]), {"X": name, "V": claimed})
    fact = fill(w.ANSWERS[relation][0], {"X": name, "V": known[relation]})
    reference = questions.so_it_is(fact, claimed, yes, lang)
    text = chance.choice(w.PASSAGE).format(T=w.SPACE.join(sentences), Q=asked)
    check = checks.YesNo(yes, _read(name, known, relation, lang, may_deny=True), lang)
    return Question("reading, yes or no", (text,), reference, check, lang)


def _read(name: str, known: dict[str, str], relation: str, lang: str, may_deny: bool = False) -> checks.Check:
    if relation == "population":
        n = int(speech.numbers(known[relation], lang)[0])
        return checks.Number(n, n, lang)
    bare = {r: fold(v).removeprefix(fold(words(lang).VALUES.get(r, "{V}").split("{V}")[0])) for r, v in known.items()}
    others = (*(v for r, v in bare.items() if r != relation), *checks.sort(relation, lang))
    return checks.Names((bare[relation],), others, lang, beside=name, may_deny=may_deny)


def pattern(
    shots: Sequence[Country], country: Country, relation: str, chance: random.Random, turned: bool = False
) -> Question:
    """A list of pairs by one pattern, and the beginning of the next: "Japan: Tokyo. Kenya: Nairobi. Peru:".

    turned: the value first, and the country to be found.
    """
    w = words(country.lang)
    item, between, last = chance.choice(w.LISTS)
    pairs = [(c.name, getattr(c, relation)) for c in (*shots, country)]
    pairs = [(b, a) for a, b in pairs] if turned else pairs
    *before, (asked, answer) = pairs
    text = between.join([*(item.format(a=a, b=b) for a, b in before), last.format(a=asked)])
    check = checks.fact(country, "country" if turned else relation)
    return Question("pattern", (text,), w.LIST_ANSWER.format(V=answer), check, country.lang, code=country.code)
