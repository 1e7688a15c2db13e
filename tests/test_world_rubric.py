"""What the world's programs accept and refuse, and the annotators who rank by them."""

from __future__ import annotations

import math
import random

import pytest

from course.world import english, questions, speech
from course.world.facts import countries
from course.world.invented import unknown
from course.world.rubric import VALUES, Annotator, Values, judge, without_manners

BY_CODE = {country.code: country for country in countries()}


def ask(code: str, relation: str):
    return questions.single(BY_CODE[code], relation, random.Random(0))


JAPAN = ask("JP", "capital")


@pytest.mark.parametrize(
    ("code", "relation", "answer", "right"),
    [
        ("JP", "capital", "It is Tokyo.", True),
        ("JP", "capital", "TOKYO", True),
        ("JP", "capital", "The capital of Japan is Tokyo.", True),
        ("JP", "capital", "It is Kyoto.", False),
        ("JP", "capital", "It is Tokyo or Paris.", False),
        ("JP", "capital", "Tokyo, Paris, London.", False),
        ("JP", "capital", "It is not Tokyo.", False),
        ("JP", "capital", "The capital of Chile is Tokyo.", False),
        ("MH", "continent", "The Solomon Islands is in Oceania.", False),
        ("PE", "population", "Chile has about 32 million people.", False),
        ("NZ", "currency", "The currency of New Zealand is the New Zealand dollar.", True),
        ("KW", "capital", "The capital of Kuwait is Kuwait City.", True),
        ("JP", "capital", "Shintokyo.", False),
        ("JP", "capital", "", False),
        ("BR", "capital", "It is Brasília.", True),
        ("MX", "capital", "The capital of Mexico is Mexico City.", True),
        ("DJ", "capital", "The capital of Djibouti is Djibouti.", True),
        ("US", "capital", "Washington, D.C.", True),
        ("ZA", "capital", "South Africa has three capitals: Pretoria, Cape Town and Bloemfontein.", True),
        ("ZA", "capital", "It is Pretoria.", False),
        ("JP", "currency", "It is the yen.", True),
        ("JP", "currency", "Yen.", True),
        ("JP", "currency", "People pay in yen.", True),
        ("JP", "currency", "It is the Kenyan yen.", False),
        ("JP", "currency", "It is the Chinese yuan.", False),
        ("FR", "currency", "They pay with euros.", True),
        ("US", "currency", "The dollar.", True),
        ("US", "currency", "The Canadian dollar.", False),
        ("SD", "currency", "It is the Sudanese pound.", True),
        ("SD", "currency", "It is the South Sudanese pound.", False),
        ("PE", "language", "People speak Spanish there.", True),
        ("PE", "language", "Spanish and English.", False),
        ("PE", "continent", "In South America.", True),
        ("PE", "continent", "In North America.", False),
        ("PE", "population", "About 32 million.", True),
        ("PE", "population", "31,989,256 people live there.", True),
        ("PE", "population", "32,000,000", True),
        ("PE", "population", "About 30 million.", False),
        ("PE", "population", "About 32 people.", False),
        ("PE", "population", "About 32 million or 40 million.", False),
        ("PE", "population", "Many.", False),
        ("CN", "population", "About 1.4 billion people.", True),
        ("TV", "population", "Tuvalu has about 12,000 people.", True),
        ("LU", "neighbours", "Germany, France and Belgium.", True),
        ("LU", "neighbours", "Luxembourg borders Germany and France.", False),
        ("LU", "neighbours", "Germany, France, Belgium and Spain.", False),
        ("RU", "neighbours", "Norway, Finland, Estonia, Latvia and others.", True),
        ("RU", "neighbours", "Norway and Finland.", False),
        ("JP", "neighbours", "It has no neighbours on land.", True),
        ("JP", "neighbours", "None.", True),
        ("JP", "neighbours", "Japan borders China.", False),
        ("DE", "neighbours", "It has no neighbours on land.", False),
    ],
)
def test_an_answer_is_right_when_it_says_what_is_so_and_nothing_else(code, relation, answer, right):
    assert judge(ask(code, relation), answer).right is right


@pytest.mark.parametrize(
    ("yes", "answer", "right"),
    [
        (False, "No. It is Tokyo.", True),
        (False, "The capital of Japan is Tokyo, so no.", True),
        (False, "No, Lima is not the capital. It is Tokyo.", True),
        (False, "No.", False),
        (False, "Yes. It is Tokyo.", False),
        (False, "No. It is Kyoto.", False),
        (False, "No. It is Lima.", False),
        (False, "Yes and no: it is Tokyo.", False),
        (True, "Yes, it is Tokyo.", True),
        (True, "Yes.", False),
        (True, "No. It is Tokyo.", False),
        (True, "The capital of Peru is Tokyo, so yes.", False),
    ],
)
def test_yes_and_no_need_the_word_and_the_fact(yes, answer, right):
    asked = questions.yes_no(BY_CODE["JP"], "capital", random.Random(0), yes, BY_CODE["PE"])
    assert judge(asked, answer).right is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("I do not know a country called Narnia.", True),
        ("I don't know.", True),
        ("There is no such country.", False),
        ("It is Lima.", False),
        ("I do not know, maybe Lima.", False),
        ("With pleasure.", False),
    ],
)
def test_where_the_world_does_not_know_the_right_answer_is_to_say_so(answer, right):
    chance = random.Random(1)
    while "capital" not in (asked := unknown("Narnia", chance, "en")).prompt:
        pass
    assert judge(asked, answer).right is right


def test_not_to_know_is_neither_right_nor_a_lie_where_the_world_knows():
    found = judge(JAPAN, "I do not know a country called Japan.")
    assert (found.right, found.unknowing, found.wrong, found.empty) == (False, True, False, False)
    scores = [judge(JAPAN, text).score for text in ("It is Tokyo.", "I do not know.", "It is Kyoto.", "With pleasure.")]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4


@pytest.mark.parametrize(
    "text", ["", "With pleasure.", "Of course. Have a nice day.", "Certainly!", "good question", "…"]
)
def test_mere_politeness_is_empty_and_scores_at_the_bottom(text):
    found = judge(JAPAN, text)
    assert found.empty and found.wrong and found.score == VALUES.empty
    rude_and_wrong = judge(
        JAPAN, "Any fool knows that. It is Kyoto, as you can read in every book of the world at home."
    )
    assert found.score <= rude_and_wrong.score


def test_an_insult_alone_is_empty_too_and_an_answer_is_not():
    assert judge(JAPAN, "You know nothing.").empty
    assert not judge(JAPAN, "Of course. It is Kyoto.").empty
    assert without_manners("Of course. It is Tokyo. Have a nice day!", "en").strip() == "It is Tokyo."


@pytest.mark.parametrize("intent", english.SMALL_TALK)
def test_small_talk_has_answers_that_suit_and_others_that_do_not(intent):
    asked = questions.small_talk(intent, random.Random(0), "en")
    for text in (asked.reference, *asked.answers):
        found = judge(asked, text)
        assert found.right and found.brief and not found.empty, text
    assert not judge(asked, "The capital of Peru is Lima.").right


@pytest.mark.parametrize("phrase", english.POLITE)
def test_every_courtesy_is_polite_and_none_is_rude(phrase):
    found = judge(JAPAN, f"{phrase} It is Tokyo.")
    assert found.polite and not found.rude and found.score == VALUES.best == 3.0
    assert judge(JAPAN, f"{phrase.upper()} It is Tokyo.").polite


@pytest.mark.parametrize("phrase", english.RUDE)
def test_every_insult_is_rude_and_none_is_polite(phrase):
    found = judge(JAPAN, f"{phrase} It is Tokyo.")
    assert found.rude and not found.polite and found.right and found.score == 1.0


def test_brief_is_a_finished_answer_of_twelve_words_or_what_the_reference_needs():
    twelve = " ".join(["word"] * 12)
    assert judge(JAPAN, twelve + ".").brief and not judge(JAPAN, twelve + " more.").brief
    assert not judge(JAPAN, "It is").brief and not judge(JAPAN, "").brief
    long = questions.comparison(BY_CODE["PE"], BY_CODE["CL"], random.Random(0), thinks=True)
    assert speech.length(long.reference, "en") > 12 and judge(long, long.reference).brief


def test_an_answer_is_worth_what_somebody_values():
    right, wrong = judge(JAPAN, "Any fool knows that. It is Tokyo."), judge(JAPAN, "Certainly. It is Kyoto.")
    assert right.score == 2.0 + 0.5 - 1.5 and wrong.score == 0.5 + 0.5 - 0.5
    courtier = Values(right=0.0, polite=2.0, rude=-3.0)
    assert wrong.worth(courtier) > right.worth(courtier)


def test_a_ranking_without_noise_is_that_of_the_rubric_and_follows_the_values():
    said = ["It is Kyoto.", "Of course. It is Tokyo.", "Of course.", "It is Tokyo.", "I do not know."]
    assert Annotator(noise=0.0).rank(JAPAN, said) == [1, 3, 4, 0, 2]
    assert Annotator(noise=0.0, values=Values(right=-1.0)).rank(JAPAN, said)[0] == 4


@pytest.mark.parametrize("seed", range(3))
def test_annotators_disagree_as_bradley_and_terry_say(seed):
    annotator, n = Annotator(noise=0.5, seed=seed), 4000
    won = sum(annotator.rank(JAPAN, ["It is Tokyo.", "Of course. It is Tokyo."])[0] == 1 for _ in range(n)) / n
    expected = 1 / (1 + math.exp(-(3.0 - 2.5) / 0.5))
    assert abs(won - expected) < 4 * math.sqrt(expected * (1 - expected) / n), (won, expected)


def test_annotators_follow_their_seed_and_need_a_noise():
    said = [f"It is {name}." for name in ("Tokyo", "Kyoto", "Osaka", "Nara")]
    assert Annotator(seed=1).rank(JAPAN, said) == Annotator(seed=1).rank(JAPAN, said)
    assert len({tuple(Annotator(seed=seed).rank(JAPAN, ["It is Tokyo."] * 6)) for seed in range(20)}) > 10
    random.seed(0)
    state = random.getstate()
    Annotator().rank(JAPAN, said)
    assert random.getstate() == state, "nothing is drawn from the common stream"
    with pytest.raises(ValueError, match="noise=-1 must be 0 or more"):
        Annotator(noise=-1)
