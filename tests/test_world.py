"""The grown world: true facts, sentences that read right, questions that carry what their answer must hold."""

from __future__ import annotations

import random
import re

import pytest

from course.world import capabilities, facts, invented, questions, speech
from course.world.facts import RELATIONS, countries, fold
from course.world.rubric import judge
from course.world.speech import answers, titled, value, words

BY_CODE = {country.code: country for country in countries()}
# Known to every atlas on paper; typed here so that the packages are not their own witness.
KNOWN = {
    "JP": ("Tokyo", "Japanese", "Japanese yen", "Asia"),
    "FR": ("Paris", "French", "euro", "Europe"),
    "BR": ("Brasilia", "Portuguese", "Brazilian real", "South America"),
    "EG": ("Cairo", "Arabic", "Egyptian pound", "Africa"),
    "KZ": ("Astana", "Kazakh", "Kazakhstani tenge", "Asia"),
    "BG": ("Sofia", "Bulgarian", "euro", "Europe"),
    "BJ": ("Porto-Novo", "French", "West African CFA franc", "Africa"),
    "BO": ("Sucre", "Spanish", "Bolivian boliviano", "South America"),
    "TZ": ("Dodoma", "Swahili", "Tanzanian shilling", "Africa"),
    "ZA": ("", "Zulu", "South African rand", "Africa"),
    "NZ": ("Wellington", "English", "New Zealand dollar", "Oceania"),
}


def chance(seed: int = 0) -> random.Random:
    return random.Random(seed)


# --- facts ---


@pytest.mark.parametrize("code", KNOWN)
def test_well_known_facts_are_right(code):
    country = BY_CODE[code]
    assert (country.capital, country.language, country.currency, country.continent) == KNOWN[code]


def test_all_193_members_of_the_united_nations_are_there_once():
    assert len(BY_CODE) == len(countries()) == 193
    assert [c.code for c in countries()] == sorted(BY_CODE)
    assert len({c.name for c in countries()}) == 193
    assert not {"TW", "XK", "PS", "VA", "HK"} & set(BY_CODE)


def test_only_the_members_without_one_undisputed_capital_have_none_and_something_is_said_of_each():
    without = {c.code for c in countries() if not c.capital}
    assert without == facts.NO_SINGLE_CAPITAL == set(words("en").NO_CAPITAL)
    for code in without:
        assert answers(BY_CODE[code], "capital") == (words("en").NO_CAPITAL[code],)
        assert BY_CODE[code].name in words("en").NO_CAPITAL[code]


def test_neighbours_are_neighbours_of_each_other():
    by_name = {country.name: country for country in countries()}
    for country in countries():
        for other in country.neighbours:
            assert country.name in by_name[other].neighbours, f"{country.name} and {other}"
    assert set(BY_CODE["LS"].neighbours) == {"South Africa"}
    assert set(BY_CODE["MZ"].neighbours) == {
        "South Africa", "Eswatini", "Zimbabwe", "Zambia", "Malawi", "Tanzania"
    }  # fmt: skip
    assert BY_CODE["JP"].neighbours == ()


@pytest.mark.parametrize(
    ("population", "said"),
    [
        (11_508, "10,000"), (77_006, "80,000"), (543_767, "500,000"), (1_267_972, "1 million"),
        (9_630_959, "10 million"), (31_989_256, "32 million"), (211_049_527, "210 million"),
        (1_411_778_724, "1,400 million"),
    ],
)  # fmt: skip
def test_a_population_is_said_as_people_say_it(population, said):
    from dataclasses import replace

    assert speech.number(replace(BY_CODE["PE"], population=population).people, "en") == said


def test_warm_is_what_lies_between_the_tropics_and_cool_what_is_far_from_them():
    warm = {code: BY_CODE[code].warm for code in ("BR", "KE", "SG", "JM", "EC", "FR", "JP", "AR", "NZ", "ZA", "MN")}
    assert [code for code, is_so in warm.items() if is_so is True] == ["BR", "KE", "SG", "JM", "EC"]
    assert [code for code, is_so in warm.items() if is_so is False] == ["FR", "NZ", "MN"]


def test_other_names_are_names_and_not_headings():
    others = {c.code: c.others for c in countries() if c.others}
    assert others["CI"] == ("Ivory Coast",) and BY_CODE["CI"].name == "Côte d'Ivoire"
    assert others["MM"] == ("Burma",) and others["TR"] == ("Türkiye",)
    assert not [name for names in others.values() for name in names if "-" in name.replace("Timor-", "") or "(" in name]


@pytest.mark.parametrize("lang", facts.LANGUAGES)
def test_every_fact_has_its_name_in_every_language(lang):
    assert [c.code for c in countries(lang)] == sorted(BY_CODE)
    for c in countries(lang):
        assert all((c.name, c.continent, c.language, c.currency, c.currencies, c.population)), c
        assert bool(c.capital) is bool(BY_CODE[c.code].capital)
        assert [BY_CODE[c.code].neighbours == ()] == [c.neighbours == ()]
    if lang == "ja":
        japanese = {c.code: c for c in countries("ja")}
        assert (japanese["JP"].name, japanese["JP"].capital, japanese["TZ"].capital) == ("日本", "東京", "ドドマ")


@pytest.mark.parametrize("seed", range(3))
def test_the_split_has_two_halves_without_a_common_country(seed):
    first, second = facts.split(seed=seed)
    assert abs(len(first) - len(second)) <= 1
    assert {c.code for c in (*first, *second)} == set(BY_CODE) and len(first) + len(second) == 193
    assert facts.split(seed=seed + 1)[0] != first


def test_one_way_countries_are_in_both_halves_and_do_not_give_themselves_away():
    chosen = facts.one_way()
    for half in facts.split():
        assert len([c for c in half if c.code in chosen]) == len(half) // 8
    assert not [code for code in chosen if not BY_CODE[code].capital or facts.tells(BY_CODE[code])]
    assert facts.tells(BY_CODE["SG"]) and facts.tells(BY_CODE["GT"]) and not facts.tells(BY_CODE["PE"])


def test_languages_without_names_or_phrases_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match='lang="fr" has no names in the world; choose from en, ja'):
        countries("fr")
    with pytest.raises(ValueError, match='no phrases for lang="ja" yet; choose from en'):
        words("ja")


# --- sentences ---


@pytest.mark.parametrize(
    ("code", "relation", "sentence"),
    [
        ("NL", "capital", "The capital of the Netherlands is Amsterdam."),
        ("NL", "continent", "The Netherlands is in Europe."),
        ("CI", "capital", "The capital of Côte d'Ivoire is Yamoussoukro."),
        ("PE", "currency", "The currency of Peru is the Peruvian sol."),
        ("FR", "currency", "The currency of France is the euro."),
        ("PE", "population", "Peru has about 32 million people."),
        ("TV", "population", "Tuvalu has about 10,000 people."),
        ("JP", "neighbours", "Japan has no neighbours on land."),
        ("DO", "neighbours", "The Dominican Republic borders Haiti."),
        ("MN", "neighbours", "Mongolia borders China and Russia."),
        ("LU", "neighbours", "Luxembourg borders Germany, Belgium and France."),
        ("RU", "neighbours", "Russia borders Georgia, China, Belarus, Ukraine and others."),
        ("GM", "capital", "The capital of the Gambia is Banjul."),
        ("ZA", "capital", "South Africa has three capitals: Pretoria, Cape Town and Bloemfontein."),
    ],
)
def test_a_reference_answer_reads_right(code, relation, sentence):
    assert answers(BY_CODE[code], relation)[0] == sentence


def test_countries_take_their_article_within_a_sentence_and_only_then():
    taken = {titled(c) for c in countries() if titled(c) != c.name}
    assert taken == {
        "the United Arab Emirates", "the Bahamas", "the Democratic Republic of the Congo",
        "the Central African Republic",
        "the Republic of the Congo", "the Dominican Republic", "the United Kingdom", "the Gambia", "the Comoros",
        "the Marshall Islands", "the Maldives", "the Netherlands", "the Philippines", "the Solomon Islands",
        "the Seychelles", "the United States",
    }  # fmt: skip


def test_numbers_are_read_as_they_are_written():
    assert speech.numbers("About 1.4 billion, 32 million or 10,000 people, not 7.", "en") == [1.4e9, 32e6, 1e4, 7]
    assert speech.numbers("None.", "en") == []
    for c in countries():
        assert speech.numbers(value(c, "population"), "en") == [c.people]


@pytest.mark.parametrize("seed", range(200))
def test_a_typing_error_is_one_slip_outside_the_name(seed):
    text = "What is the capital of Peru?"
    slipped = speech.typing_error(text, ["Peru"], chance(seed), "en")
    assert slipped != text and slipped.endswith(" Peru?") and slipped[0] == "W"
    assert abs(len(slipped) - len(text)) <= 1
    assert sum(a != b for a, b in zip(slipped.split(), text.split(), strict=True)) == 1


def test_hasty_people_leave_out_capitals_or_the_mark():
    seen = {speech.hasty("What is Peru?", chance(seed), "en") for seed in range(30)}
    assert seen == {"what is peru?", "What is Peru", "what is peru"}


# --- questions ---


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("form", questions.FORMS)
def test_every_single_fact_is_asked_in_every_form_and_its_answers_are_right_brief_and_plain(relation, form):
    for seed, country in enumerate(countries()):
        asked = questions.single(country, relation, chance(seed), form)
        assert fold(country.name) in fold(asked.prompt), asked
        assert not set("{}") & set(asked.prompt + asked.reference)
        for text in (asked.reference, *asked.answers):
            found = judge(asked, text)
            assert found.right and found.brief, (asked, text)
            assert not (found.rude or found.polite or found.empty or found.unknowing), (asked, text)


def test_forms_and_relations_that_there_are_not_give_a_sentence():
    with pytest.raises(ValueError, match='no question of form "plain" about "colour"'):
        questions.single(BY_CODE["PE"], "colour", chance())
    with pytest.raises(ValueError, match="about equally many people"):
        questions.comparison(BY_CODE["PE"], BY_CODE["PE"], chance(), True)
    with pytest.raises(ValueError, match='no capability "juggling"; choose from capital'):
        capabilities.questions_for("juggling")


def test_yes_and_no_carry_the_right_fact():
    japan = BY_CODE["JP"]
    asked = questions.yes_no(japan, "capital", chance(1), yes=True)
    assert "Tokyo" in asked.prompt.title() and asked.reference == "The capital of Japan is Tokyo indeed, so yes."
    asked = questions.yes_no(japan, "continent", chance(1), yes=False)
    claimed = next(c.continent for c in countries() if c.continent.lower() in asked.prompt.lower())
    assert asked.reference == f"Japan is in Asia, not {claimed}, so no." and claimed != "Asia"
    assert judge(asked, "No. Japan is in Asia.").right and not judge(asked, f"Japan is in {claimed}, so no.").right


@pytest.mark.parametrize("seed", range(20))
def test_a_follow_up_does_not_name_what_it_is_about_twice(seed):
    asked = questions.follow_up(BY_CODE["PE"], chance(seed), countries())
    assert len(asked.turns) == 3 and "Peru" in asked.reference
    assert ("peru" in asked.turns[0].lower()) is not ("peru" in asked.turns[2].lower())


@pytest.mark.parametrize("seed", range(5))
def test_a_comparison_thinks_both_numbers_before_it_answers(seed):
    asked = questions.comparison(BY_CODE["PE"], BY_CODE["CL"], chance(seed), thinks=True)
    assert (
        asked.reference == "Peru has about 32 million people. Chile has about 19 million people. "
        "32 million is more, so Peru has more people."
    )
    assert asked.reference.startswith(asked.begin) and asked.begin == "Peru has about"
    assert not judge(asked, "Chile has about 19 million people. Peru has 32. So Chile has more people.").right


def test_two_hops_go_over_the_country_and_begin_with_the_capital():
    asked = questions.two_hops(BY_CODE["JP"], "currency", chance(), thinks=True)
    assert asked.reference == "Tokyo is the capital of Japan. The currency of Japan is the Japanese yen."
    assert asked.begin == "Tokyo is the capital of" and "Japan" not in asked.prompt
    assert judge(asked, asked.answers[0]).right and asked.answers[0] == "It is the Japanese yen."


# --- what no atlas holds ---


@pytest.mark.parametrize("kind", invented.KINDS)
def test_invented_names_are_no_countries_and_no_slips_of_one(kind):
    known = {fold(n) for c in countries() for n in (c.name, *c.others)}
    names = {invented.stranger(kind, chance(seed), "en") for seed in range(60)}
    assert len(names) >= 10
    assert not {fold(name) for name in names} & known
    if kind == "blend":
        assert not [name for name in names if any(invented.near(name, c.name) for c in countries())]


def test_near_names_are_those_one_slip_away():
    assert invented.near("Peru", "Pery") and invented.near("Peru", "Per") and invented.near("Peru", "Peeru")
    assert not invented.near("Peru", "Pay") and not invented.near("Iran", "Mali")


@pytest.mark.parametrize("kind", ["city", "fiction", "thing", "person", "outside"])
def test_names_kept_for_measuring_are_in_no_text(kind):
    shown, kept = (set(invented.strangers(kind, "en", held_out)) for held_out in (False, True))
    assert shown and kept and not shown & kept


@pytest.mark.parametrize("seed", range(30))
def test_a_passage_holds_the_answer_to_its_question_or_does_not(seed):
    told = invented.reading(chance(seed), "en")
    assert judge(told, told.reference).right and not judge(told, "I do not know.").right
    assert fold(told.answers[-1].rstrip(".")) in fold(told.prompt)
    silent = invented.reading(chance(seed), "en", said=False)
    assert judge(silent, silent.reference).right and not judge(silent, told.reference).right


@pytest.mark.parametrize("seed", range(10))
def test_a_passage_can_be_asked_whether_something_is_so(seed):
    for yes in (True, False):
        asked = invented.reading_yes_no(chance(seed), "en", yes)
        for text in (asked.reference, *asked.answers):
            assert judge(asked, text).right
            turned = re.sub(r"\b(yes|no)\b", "no" if yes else "yes", text, flags=re.IGNORECASE)
            assert not judge(asked, turned).right
        other = invented.reading_yes_no(chance(seed), "en", not yes)
        assert not judge(asked, other.reference).right


@pytest.mark.parametrize("turned", [False, True])
def test_a_list_goes_on_by_its_pattern(turned):
    shots = [BY_CODE[code] for code in ("JP", "KE", "FR")]
    asked = invented.pattern(shots, BY_CODE["PE"], "capital", chance(), turned)
    for c in shots:
        assert c.name in asked.prompt and c.capital in asked.prompt
    assert asked.reference == ("Peru." if turned else "Lima.")
    assert judge(asked, asked.reference).right and not judge(asked, "Quito.").right
