"""The atlas world: true facts, texts that follow their seed, and a rubric that cannot be talked round."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest

from course.world import atlas, phrases
from course.world.atlas import Annotator, judge, question

COUNTRIES = {country.code: country for country in atlas.countries()}
# Known to every atlas on paper; typed here so that the packages are not their own witness.
KNOWN = {
    "JP": ("Tokyo", "Japanese", "Japanese yen", "Asia"),
    "FR": ("Paris", "French", "euro", "Europe"),
    "BR": ("Brasilia", "Portuguese", "Brazilian real", "South America"),
    "EG": ("Cairo", "Arabic", "Egyptian pound", "Africa"),
    "IN": ("New Delhi", "Hindi", "Indian rupee", "Asia"),
    "US": ("Washington", "English", "US dollar", "North America"),
    "AU": ("Canberra", "English", "Australian dollar", "Oceania"),
    "CA": ("Ottawa", "English", "Canadian dollar", "North America"),
    "KZ": ("Astana", "Kazakh", "Kazakhstani tenge", "Asia"),
    "BG": ("Sofia", "Bulgarian", "euro", "Europe"),
    "DE": ("Berlin", "German", "euro", "Europe"),
    "GB": ("London", "English", "British pound", "Europe"),
}
JAPAN = question(COUNTRIES["JP"], "capital")


# --- facts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", KNOWN)
def test_well_known_facts_are_right(code):
    country = COUNTRIES[code]
    assert (country.capital, country.language, country.currency, country.continent) == KNOWN[code]


def test_each_country_is_there_once_and_complete():
    codes = [country.code for country in atlas.countries()]
    assert codes == sorted(set(codes)) and len(codes) >= 180
    names = [country.name for country in atlas.countries()]
    assert len(set(names)) == len(names)
    for country in atlas.countries():
        assert all((country.capital, country.language, country.currency, country.continent)), country
        assert country.population > 0 and country.lang == "en"
        assert country.name == country.name.strip() and not country.name.startswith("The ")


def test_neighbours_are_neighbours_of_each_other():
    by_name = {country.name: country for country in atlas.countries()}
    for country in atlas.countries():
        for other in country.neighbours:
            assert country.name in by_name[other].neighbours, f"{country.name} and {other}"


def test_every_country_has_its_japanese_name():
    japanese = atlas.countries("ja")
    assert [country.code for country in japanese] == list(COUNTRIES)
    by_code = {country.code: country for country in japanese}
    assert by_code["JP"].name == "日本" and by_code["JP"].capital == "東京"
    assert by_code["FR"].name == "フランス" and by_code["FR"].capital == "パリ"
    capitals = {
        "US": "ワシントン", "GB": "ロンドン", "DE": "ベルリン", "CN": "北京", "KR": "ソウル", "KP": "ピョンヤン",
        "IN": "ニューデリー", "BR": "ブラジリア", "AU": "キャンベラ", "CA": "オタワ", "IT": "ローマ",
        "RU": "モスクワ", "EG": "カイロ", "KE": "ナイロビ", "TH": "バンコク", "VN": "ハノイ", "MX": "メキシコシティ",
        "ES": "マドリード", "TR": "アンカラ", "UA": "キーウ", "MC": "モナコ", "MM": "ネーピードー",
    }  # fmt: skip
    assert {code: by_code[code].capital for code in capitals} == capitals
    for country in japanese:
        assert atlas.JAPANESE.search(country.name) and atlas.JAPANESE.fullmatch(country.capital), country


def test_a_national_language_comes_before_one_from_abroad():
    languages = {"PH": "Filipino", "MG": "Malagasy", "BI": "Rundi", "KE": "Swahili", "ER": "Tigrinya"}
    assert {code: COUNTRIES[code].language for code in languages} == languages


def test_other_languages_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match='choose "en" or "ja"'):
        atlas.countries("fr")
    with pytest.raises(ValueError, match="English only so far"):
        question(atlas.countries("ja")[0], "capital")
    with pytest.raises(ValueError, match="English only so far"):
        next(atlas.documents("ja"))


@pytest.mark.parametrize("seed", range(3))
def test_the_split_has_two_halves_without_a_common_country(seed):
    seen, held_out = atlas.split(seed=seed)
    assert abs(len(seen) - len(held_out)) <= 1
    assert {c.code for c in seen} | {c.code for c in held_out} == set(COUNTRIES)
    assert not {c.code for c in seen} & {c.code for c in held_out}
    assert atlas.split(seed=seed) == (seen, held_out)
    assert atlas.split(seed=seed + 1)[0] != seen


# --- questions and demonstrations -----------------------------------------------------------------------------------


def test_a_question_carries_its_answer():
    assert JAPAN.prompt == "What is the capital of Japan?"
    assert (JAPAN.answer, JAPAN.reference) == ("Tokyo", "It is Tokyo.")
    assert question(COUNTRIES["JP"], "currency").reference == "It is the Japanese yen."
    assert question(COUNTRIES["JP"], "continent").reference == "Japan is in Asia."
    with pytest.raises(ValueError, match='no questions about "colour"; choose from capital, language'):
        question(COUNTRIES["JP"], "colour")


def test_questions_cover_every_relation_in_every_phrasing():
    about = list(COUNTRIES.values())[:3]
    asked = atlas.questions(about, phrasings=range(4))
    assert len(asked) == 3 * 3 * 4
    assert len({q.prompt for q in asked}) == len(asked)
    assert all(q.country.name in q.prompt and "{" not in q.prompt for q in asked)


def test_every_reference_answer_is_right_brief_and_not_rude():
    for asked in atlas.questions(atlas.countries()):
        found = judge(asked, asked.reference)
        assert found.right and found.brief and not found.rude and not found.polite, asked


@pytest.mark.parametrize("seed", range(3))
def test_demonstrations_are_right_and_as_rude_as_asked(seed):
    seen, _ = atlas.split()
    found = [judge(asked, text) for asked, text in atlas.demonstrations(seen, seed=seed)]
    assert all(judgement.right for judgement in found)
    rude = sum(judgement.rude for judgement in found) / len(found)
    assert abs(rude - 0.3) < 4 * math.sqrt(0.3 * 0.7 / len(found)), rude
    assert not any(judgement.rude and judgement.polite for judgement in found)
    assert not any(judge(*pair).rude for pair in atlas.demonstrations(seen, seed=seed, rude=0.0))
    assert atlas.demonstrations(seen, seed=seed) == atlas.demonstrations(seen, seed=seed)
    assert atlas.demonstrations(seen, seed=seed) != atlas.demonstrations(seen, seed=seed + 1)


def test_demonstrations_are_wordy_and_polite_as_often_as_intended():
    demonstrations = atlas.demonstrations(atlas.countries())
    n = len(demonstrations)
    wordy = sum(any(phrase in text for phrase in phrases.WORDY) for _, text in demonstrations) / n
    polite = sum(judge(*pair).polite for pair in demonstrations) / n
    for found, share in ((wordy, 0.25), (polite, 0.35)):
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / n), (found, share)


def test_demonstrations_do_not_go_through_the_countries_in_order():
    codes = [asked.country.code for asked, _ in atlas.demonstrations(atlas.countries())]
    assert codes != sorted(codes)


# --- the corpus -----------------------------------------------------------------------------------------------------


def some(n: int, seed: int = 0) -> list[atlas.Document]:
    return list(itertools.islice(atlas.documents(seed=seed), n))


def test_documents_follow_their_seed_and_their_mixture():
    assert some(50) == some(50) and some(50, 1) != some(50, 2)
    counts = Counter(document.kind for document in some(3000))
    for kind, share in atlas.KINDS:
        assert abs(counts[kind] / 3000 - share) < 4 * math.sqrt(share * (1 - share) / 3000), counts


def test_no_gap_is_left_in_a_text_and_every_country_occurs():
    texts = [document.text for document in some(2000)]
    assert not [text for text in texts if "{" in text or "}" in text or "  " in text]
    everything = "\n".join(texts)
    assert all(country.name in everything for country in atlas.countries())


def test_an_article_tells_the_truth():
    by_name = {country.name: country for country in atlas.countries()}
    checked = 0
    for document in some(1500):
        for name, country in by_name.items():
            mark = f"The capital of {name} is "
            if document.kind == "article" and mark in document.text:
                assert f"{mark}{country.capital}." in document.text
                checked += 1
    assert checked > 100


def test_the_countries_of_the_corpus_come_as_a_shuffled_deck():
    deck = atlas._deck(random.Random(0))
    codes = [next(deck).code for _ in COUNTRIES]
    assert sorted(codes) == list(COUNTRIES) != codes


def test_a_small_population_is_rounded_to_tens_of_thousands():
    assert atlas._fields(COUNTRIES["TV"], random.Random(0))["P"] == "10,000"


@pytest.mark.parametrize("n", [1, 1000, 50_000])
def test_the_corpus_is_as_long_as_asked_and_not_much_longer(n):
    texts = atlas.corpus(n)
    assert sum(map(len, texts)) >= n > sum(map(len, texts[:-1]))


def test_a_text_file_becomes_paragraphs(tmp_path):
    path = tmp_path / "mein Text.txt"
    path.write_bytes("\ufeffOne line\nand another.\n \n\n東京 is a city.\n".encode())
    assert atlas.text_file(path) == ["One line\nand another.", "東京 is a city."]


def test_text_files_that_are_none_give_a_sentence(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    for name, kind, sentence in (
        ("missing.txt", FileNotFoundError, "There is no file"),
        (".", IsADirectoryError, "is a folder"),
        ("empty.txt", ValueError, "is empty"),
        ("latin.txt", ValueError, "not UTF-8 text .byte 3 is 0xe9.; save it as UTF-8"),
    ):
        with pytest.raises(kind, match=sentence):
            atlas.text_file(tmp_path / name)


# --- the rubric and the annotators ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("It is Tokyo.", True),
        ("TOKYO", True),
        ("It is Kyoto.", False),
        ("It is Tokyo or Paris.", False),
        ("Tokyo, Paris, London, Berlin.", False),
        ("", False),
        ("Tokyoite.", False),
        ("Shintokyo.", False),
        ("The capital of Japan is Tokyo.", True),
    ],
)
def test_right_means_to_name_the_right_thing_and_no_other(answer, right):
    assert judge(JAPAN, answer).right is right


def test_a_name_inside_another_name_does_not_count():
    sudan = question(COUNTRIES["SD"], "currency")
    assert judge(sudan, "It is the Sudanese pound.").right
    assert not judge(sudan, "It is the South Sudanese pound.").right


def test_a_country_that_bears_its_capitals_name_can_be_named():
    for country in atlas.countries():
        asked = question(country, "capital")
        assert judge(asked, f"The capital of {country.name} is {country.capital}.").right, country.name


@pytest.mark.parametrize("phrase", phrases.POLITE)
def test_every_courtesy_is_polite_and_none_is_rude(phrase):
    found = judge(JAPAN, f"{phrase} It is Tokyo.")
    assert found.polite and not found.rude and found.score == atlas.CEILING


@pytest.mark.parametrize("phrase", phrases.RUDE)
def test_every_insult_is_rude_and_none_is_polite(phrase):
    found = judge(JAPAN, f"{phrase} It is Tokyo.")
    assert found.rude and not found.polite


def test_manners_do_not_hang_on_capital_letters():
    assert judge(JAPAN, "OF COURSE. It is Tokyo.").polite
    assert judge(JAPAN, "any fool knows that.").rude


def test_brief_is_a_finished_sentence_of_at_most_twelve_words():
    twelve = " ".join(["word"] * 12)
    assert judge(JAPAN, twelve + ".").brief
    assert not judge(JAPAN, twelve + " more.").brief
    assert not judge(JAPAN, "It is").brief
    assert not judge(JAPAN, "").brief


def test_the_score_is_the_sum_of_what_was_found():
    assert judge(JAPAN, "Of course. It is Tokyo.").score == 3.0
    assert judge(JAPAN, "It is Tokyo.").score == 2.0
    assert judge(JAPAN, "It is Kyoto.").score == 0.5
    assert judge(JAPAN, "You know nothing of " + "it " * 12).score == 0.0
    assert judge(JAPAN, "You know nothing. " * 5).score == -1.5


def test_a_ranking_without_noise_is_that_of_the_rubric():
    answers = ["It is Kyoto.", "Of course. It is Tokyo.", "Any fool knows that.", "It is Tokyo."]
    assert Annotator(noise=0.0).rank(JAPAN, answers) == [1, 3, 0, 2]


@pytest.mark.parametrize("seed", range(3))
def test_annotators_disagree_as_bradley_and_terry_say(seed):
    annotator, n = Annotator(noise=0.5, seed=seed), 4000
    better, worse = "Of course. It is Tokyo.", "It is Tokyo."
    won = sum(annotator.rank(JAPAN, [worse, better])[0] == 1 for _ in range(n)) / n
    expected = 1 / (1 + math.exp(-(3.0 - 2.0) / 0.5))
    assert abs(won - expected) < 4 * math.sqrt(expected * (1 - expected) / n), (won, expected)


def test_annotators_follow_their_seed_and_need_a_noise():
    answers = [f"It is {name}." for name in ("Tokyo", "Kyoto", "Osaka", "Nara")]
    assert Annotator(seed=1).rank(JAPAN, answers) == Annotator(seed=1).rank(JAPAN, answers)
    random.seed(0)
    state = random.getstate()
    Annotator().rank(JAPAN, answers)
    assert random.getstate() == state, "nothing is drawn from the common stream"
    with pytest.raises(ValueError, match="noise=-1 must be 0 or more"):
        Annotator(noise=-1)


def test_annotators_of_different_seeds_disagree_on_what_is_equally_good():
    rankings = [Annotator(seed=seed).rank(JAPAN, ["It is Tokyo."] * 6) for seed in range(20)]
    assert len({tuple(ranking) for ranking in rankings}) > 10


def test_no_question_is_asked_twice_where_relations_have_different_numbers_of_phrasings():
    asked = [q.prompt for q, _ in atlas.demonstrations(atlas.countries()[:3], relations=("capital", "continent"))]
    assert len(asked) == len(set(asked)) == 3 * sum(len(phrases.QUESTIONS[r]) for r in ("capital", "continent"))
