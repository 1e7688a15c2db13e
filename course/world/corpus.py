"""What a model reads before anybody asks it anything: articles, stories, notes, talks, passages and lists.

The texts speak about all countries. Only what takes more than one fact (two hops, comparisons) is shown for the first
half alone, so that notebook 11 can find out who thinks. No text carries the chat's marks: to become an assistant is
what the demonstrations are for.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from course.world import invented, questions, speech
from course.world.facts import RELATIONS, Country, countries, one_way, split
from course.world.questions import numbers_of_people
from course.world.rubric import Question
from course.world.speech import about, answers, fill, value, words

# The mixture of documents, by characters, and that of a talk's exchanges, by number.
SHARES = {"article": 0.2, "story": 0.05, "note": 0.1, "talk": 0.31, "passage": 0.18, "list": 0.06, "sheet": 0.1}
EXCHANGES = {
    "single": 0.32, "other direction": 0.1, "yes or no": 0.18, "follow-up": 0.1, "two facts": 0.02,
    "small talk": 0.05, "outside": 0.05, "unknown": 0.07, "two hops": 0.04, "comparison": 0.06, "number": 0.01,
}  # fmt: skip
FORMS = {"plain": 0.45, "loose": 0.3, "hasty": 0.15, "typing error": 0.1}
WEIGHTS = {"capital": 2, "language": 1.5, "currency": 1.5, "continent": 1.5, "population": 2.5, "neighbours": 2.5}
THINKING = {"two hops": 0.2, "comparison": 0.7}  # how often what takes several facts is thought through


@dataclass(frozen=True)
class Document:
    """A text of the corpus, and what kind it is."""

    kind: str
    text: str


@dataclass
class Writer:
    """Somebody who writes texts: a language, a stream of chance, and the countries in a shuffled order.

    pool: the countries that the texts speak about. first: those that two hops and comparisons may be about.
    """

    lang: str
    chance: random.Random
    pool: Sequence[Country]
    first: Sequence[Country]
    exchanges: dict[str, float] = field(default_factory=lambda: EXCHANGES)
    held_out: bool = False
    deck: list[Country] = field(default_factory=list)

    def country(self, fits: Callable[[Country], bool] = lambda country: True) -> Country:
        """The next country that fits; all others come before one comes again."""
        for _ in range(2 * len(self.pool)):
            if not self.deck:
                self.deck = list(self.pool)
                self.chance.shuffle(self.deck)
            if fits(found := self.deck.pop()):
                return found
        raise ValueError("No country fits; give the writer more countries.")

    def both_ways(self, country: Country) -> bool:
        """May the capital be named before the country?"""
        return bool(country.capital) and country.code not in one_way(self.lang)

    def pick(self, weights: dict[str, float]) -> str:
        """One of the names, as often as its weight says."""
        return self.chance.choices(list(weights), list(weights.values()))[0]

    def question(self, kind: str = "") -> Question:
        """A question with its answer, of a kind of `exchanges` (by its share if none is named)."""
        chance, lang = self.chance, self.lang
        kind = kind or self.pick(self.exchanges)
        if kind == "single":
            return questions.single(self.country(), self.pick(WEIGHTS), chance, self.pick(FORMS))
        if kind == "other direction":
            return questions.other_direction(self.country(self.both_ways), chance)
        if kind == "yes or no":
            relation = chance.choice(questions.YES_NO_RELATIONS)
            fits = self.both_ways if relation == "capital" else (lambda country: True)
            return questions.yes_no(self.country(fits), relation, chance, chance.random() < 0.5)
        if kind == "follow-up":
            return questions.follow_up(self.country(), chance, self.pool)
        if kind == "two facts":
            return questions.both(self.country(lambda c: bool(c.capital)), chance)
        if kind == "small talk":
            return questions.small_talk(chance.choice(list(words(lang).SMALL_TALK)), chance, lang)
        if kind == "outside":
            if self.held_out or chance.random() < 0.4:
                return questions.outside(chance.choice(invented.strangers(kind, lang, self.held_out)), chance, lang)
            return questions.outside(questions.anything(chance, lang), chance, lang)
        if kind == "unknown":
            name = invented.stranger(chance.choice(invented.KINDS), chance, lang, self.held_out)
            return invented.unknown(name, chance, lang)
        if kind == "two hops":
            about_whom = chance.choice([c for c in self.first if self.both_ways(c)])
            relation = chance.choice(list(words(lang).TWO_HOPS))
            return questions.two_hops(about_whom, relation, chance, chance.random() < THINKING[kind])
        if kind == "comparison":
            return questions.comparison(*self.pair(), chance, chance.random() < THINKING[kind])
        if kind == "number":
            return questions.larger_number(chance, lang)
        if kind == "reading":
            return invented.reading(chance, lang, said=chance.random() < 0.75)
        if kind == "reading, yes or no":
            return invented.reading_yes_no(chance, lang, yes=chance.random() < 0.5)
        if kind == "pattern":
            return self.pattern(3 + chance.randrange(2))
        raise ValueError(f'There are no questions of kind "{kind}".')

    def pair(self) -> tuple[Country, Country]:
        """Two countries of the first half with different populations."""
        while True:
            a, b = self.chance.sample(self.first, 2)
            if a.people != b.people:
                return a, b

    def pattern(self, shots: int) -> Question:
        """A list that goes on, of so many pairs and one more."""
        relation = self.chance.choice(invented.PATTERN_RELATIONS)
        turned = relation == "capital" and self.chance.random() < 0.3
        fits = self.both_ways if turned else (lambda c: bool(c.capital) or relation != "capital")
        chosen = [self.country(fits) for _ in range(shots + 1)]
        return invented.pattern(chosen[:-1], chosen[-1], relation, self.chance, turned)

    def answer(self, question: Question) -> str:
        """What somebody answers: the reference more often than not, else another right way."""
        others = question.answers
        return self.chance.choice(others) if others and self.chance.random() < 0.25 else question.reference

    # --- documents ---

    def sentence(self, country: Country, relation: str, ways: Sequence[str], whole: bool) -> str:
        """A fact in one of several ways. whole: it must name the country."""
        fit = [way for way in ways if "{X}" in way or not whole]
        if relation == "capital" and country.code in one_way(self.lang):
            fit = [way for way in fit if "{X}" not in way or way.index("{X}") < way.index("{V}")]
        return fill(self.chance.choice(fit), about(country, relation))

    def article(self) -> str:
        """Several facts of one country, in any order."""
        w, country = words(self.lang), self.country()
        told: list[str] = []
        for relation in self.chance.sample(RELATIONS, self.chance.randint(4, len(RELATIONS))):
            if (relation == "capital" and not country.capital) or (relation == "neighbours" and not country.neighbours):
                told.append(answers(country, relation)[0])
            else:
                told.append(self.sentence(country, relation, w.ARTICLE_SENTENCES[relation], whole=not told))
        return w.SPACE.join(told)

    def story(self) -> str:
        """Two people, a country and two of its facts."""
        w, country = words(self.lang), self.country(lambda c: bool(c.capital))
        a, b = self.chance.sample(w.PEOPLE, 2)
        middles = [
            self.sentence(country, relation, [way.replace("{A}", a) for way in w.STORY_MIDDLES[relation]], whole=False)
            for relation in self.chance.sample(list(w.STORY_MIDDLES), 2)
        ]
        opening, event, ending = (
            fill(self.chance.choice(ways).replace("{A}", a).replace("{B}", b), about(country))
            for ways in (w.STORY_OPENINGS, w.STORY_EVENTS, w.STORY_ENDINGS)
        )
        return w.SPACE.join((opening, middles[0], event, middles[1], ending))

    def note(self) -> str:
        """Single facts about several countries, in both directions where both are told."""
        lines = []
        for _ in range(self.chance.randint(3, 6)):
            country, relation = self.country(), self.pick(WEIGHTS)
            if relation == "capital" and self.both_ways(country) and self.chance.random() < 0.5:
                lines.append(fill(words(self.lang).REVERSE_ANSWERS[0], about(country)))
            else:
                lines.append(answers(country, relation)[0])
        return words(self.lang).SPACE.join(lines)

    def talk(self, kinds: Sequence[str] = ("",)) -> str:
        """Two people: one asks, one answers, in the manner that is theirs."""
        a, b = self.chance.sample(words(self.lang).PEOPLE, 2)
        manner = self.pick({"plain": 0.55, "polite": 0.3, "rude": 0.15})
        lines = []
        for _ in range(self.chance.randint(2, 4) if kinds == ("",) else 1):
            question = self.question(self.chance.choice(kinds))
            reply = self.mannered(self.answer(question), question, manner, wordy=0.05)
            for i, said in enumerate((*question.turns, reply)):
                lines.append(words(self.lang).SPEAKER.format(A=a if i % 2 == 0 else b, text=said))
        return "\n".join(lines)

    def passage(self) -> str:
        """A text about an invented country, and what somebody reads out of it; one in six is the text alone."""
        if self.chance.random() < 1 / 6:
            return words(self.lang).SPACE.join(invented.passage(self.chance, self.lang)[2])
        return self.talk(("reading", "reading", "reading, yes or no"))

    def list_(self) -> str:
        """Pairs by one pattern, to the end."""
        question = self.pattern(self.chance.randint(3, 7))
        return question.prompt + words(self.lang).SPACE + question.reference

    def sheet(self) -> str:
        """Exercises of a school book: what is the same, which is more, numbers in their order; each many times over."""
        exercises = (self.same, self.more, self.rising, self.compared)
        return "\n".join(self.chance.choices(exercises, (0.35, 0.25, 0.1, 0.3))[0]())

    def same(self) -> list[str]:
        """Is it this? It is that: a few values, again and again, so that nothing is new but whether they are equal."""
        w, chance, relation = words(self.lang), self.chance, self.chance.choice(questions.YES_NO_RELATIONS)
        fits = [self.country(lambda c: bool(c.capital)) for _ in range(chance.choice((2, 3, 3, 4)))]
        known = [value(country, relation) for country in fits]
        lines = []
        for _ in range(chance.randint(4, 8)):
            so = chance.choice(known)
            asked = so if chance.random() < 0.3 else chance.choice(known)
            answer = questions.so_it_is(w.IT_IS.format(V=so), asked, so == asked, self.lang)
            lines.append(w.SAME.format(asked=asked, answer=answer))
        return lines

    def more(self) -> list[str]:
        """Which of two numbers is more?"""
        pairs = [questions.larger_number(self.chance, self.lang) for _ in range(self.chance.randint(3, 6))]
        return [words(self.lang).SPACE.join((question.prompt, question.reference)) for question in pairs]

    def compared(self) -> list[str]:
        """Which of two invented countries has more people: the numbers are there, and who has which is all there is."""
        chance, lang = self.chance, self.lang
        lines = []
        for _ in range(chance.randint(2, 3)):
            names, numbers = [invented.invent(chance, lang) for _ in "ab"], chance.sample(numbers_of_people(), 2)
            lines.append(questions.thought(names, numbers, lang))
        return lines

    def rising(self) -> list[str]:
        """Numbers from the smallest to the largest."""
        w, chance = words(self.lang), self.chance
        rising = sorted(chance.sample(numbers_of_people(), chance.randint(4, 9)))
        return [w.RISING.format(list=w.COMMA.join(speech.number(n, self.lang) for n in rising))]

    def mannered(self, reply: str, question: Question, manner: str, wordy: float) -> str:
        """An answer as a polite, plain or rude person says it; small talk and lists are taken as they are."""
        w = words(self.lang)
        if question.kind in ("small talk", "pattern"):
            return reply
        parts = [reply]
        if self.chance.random() < wordy:
            parts.append(self.chance.choice(w.WORDY))
        if manner != "plain":
            openings, closings = (
                (w.RUDE_OPENINGS, w.RUDE_CLOSINGS) if manner == "rude" else (w.POLITE_OPENINGS, w.POLITE_CLOSINGS)
            )
            if self.chance.random() < 0.7:
                parts.insert(0, self.chance.choice(openings))
            else:
                parts.append(self.chance.choice(closings))
        return str(w.SPACE.join(parts))


def writer(lang: str = "en", seed: int = 0, name: str = "documents") -> Writer:
    """A writer about all countries, with a stream of chance of this name."""
    return Writer(lang, random.Random(f"{name}-{seed}"), countries(lang), split(lang)[0])


def documents(lang: str = "en", seed: int = 0, shares: dict[str, float] = SHARES) -> Iterator[Document]:
    """Documents without end, the same for the same seed; each kind keeps its share of the characters."""
    author = writer(lang, seed)
    ways = {
        "article": author.article, "story": author.story, "note": author.note, "talk": author.talk,
        "passage": author.passage, "list": author.list_, "sheet": author.sheet,
    }  # fmt: skip
    written = dict.fromkeys(shares, 0)
    while True:
        kind = min(shares, key=lambda kind: written[kind] / shares[kind])  # the one that is furthest behind
        text = ways[kind]()
        written[kind] += len(text)
        yield Document(kind, text)


def corpus(n_characters: int, lang: str = "en", seed: int = 0, shares: dict[str, float] = SHARES) -> list[str]:
    """The first documents that together have at least so many characters."""
    texts: list[str] = []
    total = 0
    for document in documents(lang, seed, shares):
        if total >= n_characters:
            return texts
        texts.append(document.text)
        total += len(document.text)
    raise AssertionError("documents() never ends")


def text_file(path: str | Path) -> list[str]:
    """The paragraphs of a text file that takes the world's place. Each error is a sentence that says what to do."""
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of one text file.")
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}; check its name, and the folder you are in ({Path.cwd()}).")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.start} is 0x{error.object[error.start]:02x}); save it as UTF-8 "
            "in your editor, and take plain text, not a Word or PDF file."
        ) from None
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    if not paragraphs:
        raise ValueError(f"{path} is empty; give a file with some pages of text.")
    return paragraphs
