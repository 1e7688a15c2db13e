"""Questions about countries: single facts in many forms, the other direction, yes or no, and what follows.

Each function writes one question of its kind, with what is expected of the answer, from a country and a stream of
chance. The words are the language's (`course.world.speech`), the programs that judge are in `course.world.checks`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from course.world import checks, speech
from course.world.facts import RELATIONS, Country, countries
from course.world.rubric import Question
from course.world.speech import about, answers, fill, value, words

FORMS = ("plain", "loose", "hasty", "typing error")
YES_NO_RELATIONS = ("capital", "language", "currency", "continent")


def _question(kind: str, turns: Sequence[str], ways: Sequence[str], check: checks.Check, country: Country) -> Question:
    return Question(kind, tuple(turns), ways[0], check, country.lang, tuple(ways[1:]), code=country.code)


def ask(country: Country, relation: str, chance: random.Random, form: str = "plain") -> str:
    """A question for one fact, in one of its ways, in a form of FORMS."""
    w = words(country.lang)
    if form == "loose":
        return fill(chance.choice(w.LOOSE[relation]), about(country))
    text = fill(chance.choice(w.QUESTIONS[relation]), about(country))
    if form == "hasty":
        return speech.hasty(text, chance, country.lang)
    if form == "typing error":
        return speech.typing_error(text, [country.name], chance, country.lang)
    return text


def single(country: Country, relation: str, chance: random.Random, form: str = "plain") -> Question:
    """One fact. Raises ValueError for a relation or a form that there is not."""
    if relation not in RELATIONS or form not in FORMS:
        raise ValueError(f'There is no question of form "{form}" about "{relation}": {RELATIONS}, {FORMS}.')
    asked = ask(country, relation, chance, form)
    kind = relation if form == "plain" else form
    return _question(kind, [asked], answers(country, relation), checks.fact(country, relation), country)


def other_direction(country: Country, chance: random.Random) -> Question:
    """From the capital to the country."""
    w = words(country.lang)
    ways = tuple(fill(way, about(country)) for way in w.REVERSE_ANSWERS)
    asked = fill(chance.choice(w.REVERSE), about(country))
    return _question("other direction", [asked], ways, checks.fact(country, "country"), country)


def both(country: Country, chance: random.Random) -> Question:
    """Two facts in one question."""
    w = words(country.lang)
    a, b = chance.sample(tuple(w.NOUNS), 2)
    asked = speech.sentence(w.BOTH.format(X=speech.titled(country), a=w.NOUNS[a], b=w.NOUNS[b]))
    reference = w.SPACE.join((answers(country, a)[0], answers(country, b)[0]))
    check = checks.All((checks.fact(country, a), checks.fact(country, b)))
    return _question("two facts", [asked], (reference,), check, country)


def yes_no(country: Country, relation: str, chance: random.Random, yes: bool, other: Country | None = None) -> Question:
    """Is it so? The answer is what is so, and yes or no. other: whose value is asked for, if it is not so."""
    w = words(country.lang)
    claimed = country if yes else other or another(country, relation, chance)
    fields = about(country) | {"V": value(claimed, relation)}
    reference = so_it_is(answers(country, relation)[0], value(claimed, relation), yes, country.lang)
    expected = checks.fact(country, relation, asked=value(claimed, relation))
    asked = fill(chance.choice(w.YES_NO[relation]), fields)
    check = checks.YesNo(yes, expected, country.lang)
    return _question("yes" if yes else "no", [asked], [reference], check, country)


def so_it_is(fact: str, asked: str, yes: bool, lang: str) -> str:
    """A fact, and whether it is what was asked: "The capital of Peru is Lima, not Paris, so no." """
    w = words(lang)
    return str(w.SO_IT_IS[yes].format(fact=fact.rstrip("".join(w.ENDS)), asked=asked))


def another(country: Country, relation: str, chance: random.Random) -> Country:
    """A country with another value, from the same continent half of the time."""
    wrong = [c for c in countries(country.lang) if getattr(c, relation) not in ("", getattr(country, relation))]
    near = [c for c in wrong if c.continent == country.continent]
    return chance.choice(near if near and chance.random() < 0.5 else wrong)


def follow_up(country: Country, chance: random.Random, others: Sequence[Country]) -> Question:
    """A question that only what was said before makes whole: "And its currency?", or "And Peru?" about another one."""
    w = words(country.lang)
    relations = [r for r in RELATIONS if r != "capital" or country.capital]
    first, then = chance.sample(relations, 2)
    if chance.random() < 0.3:
        fit = [c for c in others if c != country and (c.capital or then != "capital")]
        before = chance.choice(fit)
        turns = [ask(before, then, chance, _form(chance)), answers(before, then)[0]]
        turns.append(fill(chance.choice(w.ANOTHER), about(country)))
    else:
        turns = [ask(country, first, chance, _form(chance)), answers(country, first)[0]]
        turns.append(chance.choice(w.FOLLOW_UPS[then]))
    return _question("follow-up", turns, answers(country, then)[:1], checks.fact(country, then), country)


def _form(chance: random.Random) -> str:
    return chance.choice(("plain", "plain", "loose", "hasty"))


def small_talk(intent: str, chance: random.Random, lang: str, way: int | None = None) -> Question:
    """What people say to an assistant that is no question about a country. way: which of the ways to say it."""
    w = words(lang)
    ways, replies, marks = w.SMALL_TALK[intent]
    said = chance.choice(ways) if way is None else ways[way]
    if said[-1:] not in w.ENDS:
        said += chance.choice(("", *w.ENDS[:2]))
    if chance.random() < 0.5:
        said = speech.hasty(said, chance, lang)
    return Question("small talk", (said,), replies[0], checks.Holds(marks, lang), lang, replies[1:])


def anything(chance: random.Random, lang: str) -> str:
    """A question about anything but countries, by a pattern: "How do I paint a table?"."""
    w = words(lang)
    gaps = {gap: chance.choice(fits) for gap, fits in w.OUTSIDE_WORDS.items()}
    return speech.sentence(chance.choice(w.OUTSIDE_PATTERNS).format(**gaps))


def outside(said: str, chance: random.Random, lang: str) -> Question:
    """A question about anything but countries: the honest answer is that this assistant does not know."""
    w = words(lang)
    said = speech.hasty(said, chance, lang) if chance.random() < 0.3 else said
    return Question("outside", (said,), w.OUTSIDE[0], checks.Holds(w.DOES_NOT_KNOW, lang), lang, w.OUTSIDE[1:])


def two_hops(country: Country, relation: str, chance: random.Random, thinks: bool) -> Question:
    """A fact of the country with a capital: answered at once, or by way of the country's name.

    Who thinks first needs nothing but single facts; who answers at once must know the pair by heart (notebook 11).
    """
    w = words(country.lang)
    asked = fill(chance.choice(w.TWO_HOPS[relation]), about(country))
    thought = w.SPACE.join((fill(w.BRIDGE, about(country)), answers(country, relation)[0]))
    at_once = answers(country, relation)[1]
    ways = (thought, at_once) if thinks else (at_once, thought)
    begin = fill(w.BRIDGE.split("{X}")[0], about(country)).rstrip() if thinks else ""
    kind = "two hops, thinking" if thinks else "two hops"
    question = _question(kind, [asked], ways, checks.fact(country, relation), country)
    return replace(question, begin=begin)


def comparison(a: Country, b: Country, chance: random.Random, thinks: bool) -> Question:
    """Which of two has more people: at once, or by saying both numbers first. Raises ValueError for a tie."""
    if a.people == b.people:
        raise ValueError(f"{a.name} and {b.name} have about equally many people; compare others.")
    w = words(a.lang)
    fields = {"X": speech.titled(a), "Y": speech.titled(b)}
    thinking = thought((speech.titled(a), speech.titled(b)), (a.people, b.people), a.lang)
    at_once = fill(w.MORE_ANSWER, about(a if a.people > b.people else b))
    before = w.ANSWERS["population"][0].split("{V}")[0] + w.VALUES["population"].split("{V}")[0]
    begin = fill(before, about(a)).rstrip() if thinks else ""  # "Peru has about"
    winner = a if a.people > b.people else b
    return Question(
        "comparison, thinking" if thinks else "comparison",
        (fill(chance.choice(w.MORE), fields),),
        thinking if thinks else at_once,
        checks.Last(winner.name, (a.name, b.name), a.lang),
        a.lang,
        begin=begin,
        code=winner.code,
    )


def thought(names: Sequence[str], people: Sequence[int], lang: str) -> str:
    """How many people each has, which number is more, and so whose it is."""
    w, most = words(lang), max(people)
    told = [
        fill(w.ANSWERS["population"][0], {"X": name, "V": w.VALUES["population"].format(V=speech.number(n, lang))})
        for name, n in zip(names, people, strict=True)
    ]
    winner = {"X": names[list(people).index(most)], "V": speech.number(most, lang)}
    return str(w.SPACE.join((*told, fill(w.MORE_AFTER_THINKING, winner))))


@cache
def numbers_of_people() -> tuple[int, ...]:
    """Round numbers, as populations are given."""
    return (*range(100_000, 1_000_000, 100_000), *range(1_000_000, 100_000_000, 1_000_000))


def larger_number(chance: random.Random, lang: str) -> Question:
    """Which of two numbers of people is larger."""
    w = words(lang)
    a, b = chance.sample(numbers_of_people(), 2)
    v, other = speech.number(a, lang), speech.number(b, lang)
    more = max(a, b)
    reference = w.LARGER_NUMBER_ANSWER.format(V=speech.number(more, lang))
    asked = w.LARGER_NUMBER.format(V=v, W=other)
    return Question("larger number", (asked,), reference, checks.Number(more, more, lang), lang)
