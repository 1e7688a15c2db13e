"""Purposes of assistants: each judged by a program that accepts what serves the purpose, and nothing else."""

from __future__ import annotations

import itertools
import random

import pytest

from course.world.facts import countries, split
from course.world.purposes import Wishes, best_for_both, encourage, explain, purposes, recommend, reconcile, source
from course.world.rubric import judge

BY_CODE = {country.code: country for country in countries()}
PERU = BY_CODE["PE"]


def chance(seed: int = 0) -> random.Random:
    return random.Random(seed)


def test_every_reference_serves_its_purpose():
    for lot in split():
        for name, asked in purposes(lot).items():
            assert len(asked) >= 150, name
            for question in asked:
                assert not set("{}") & set("".join(question.turns) + question.reference)
                for text in (question.reference, *question.answers):
                    found = judge(question, text)
                    assert found.right and found.brief and not found.empty, (question, text)


@pytest.mark.parametrize("seed", range(2))
def test_purposes_follow_their_seed_and_their_countries(seed):
    first, second = split()
    assert purposes(first, seed) == purposes(first, seed) != purposes(first, seed + 1)
    codes = {question.code for asked in purposes(second).values() for question in asked} - {""}
    assert codes <= {c.code for c in second}


@pytest.mark.parametrize(
    ("level", "answer", "right"),
    [
        ("child", "Peru is a country. It is in South America. People speak Spanish.", True),
        ("child", "Peru is a sovereign country. It is in South America. People speak Spanish.", False),
        (
            "child",
            "Peru is a country that lies in South America and where people speak Spanish with each other.",
            False,
        ),
        ("child", "Peru is a country. It is in Africa. People speak Spanish.", False),
        ("child", "Peru is a country. It is nice.", False),
        ("child", "", False),
        (
            "expert",
            "A sovereign state of South America, Peru has Lima as its seat of government and speaks Spanish.",
            True,
        ),
        ("expert", "Peru is in South America. It speaks Spanish.", False),
        ("expert", "Peru is a large country in South America with Lima as its capital and Spanish all over.", False),
    ],
)
def test_an_explanation_is_judged_by_its_level_and_its_facts(level, answer, right):
    assert judge(explain(PERU, level, chance()), answer).right is right


def test_the_explanation_for_a_child_does_not_serve_an_expert_and_the_other_way_round():
    child, expert = explain(PERU, "child", chance()), explain(PERU, "expert", chance())
    assert not judge(expert, child.reference).right and not judge(child, expert.reference).right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Do not give up. It is Lima.", True),
        ("You are getting better. The capital of Peru is Quito.", False),
        ("The capital of Peru is Lima.", False),
        ("Do not give up.", False),
    ],
)
def test_encouragement_cheers_and_tells_the_fact(answer, right):
    assert judge(encourage(PERU, "capital", chance()), answer).right is right


def test_a_source_is_named_with_the_fact():
    asked = source(PERU, "language", chance())
    assert judge(asked, "Spanish, says Unicode CLDR.").right
    assert not judge(asked, "Spanish, says GeoNames.").right and not judge(asked, "French (Unicode CLDR).").right


# --- recommending ---


def test_any_country_that_fulfils_all_wishes_may_be_recommended_and_no_other():
    wishes = Wishes(warm=True, island=True, language="English")
    fit = {c.name for c in countries() if wishes.fulfilled(c)}
    assert {"Barbados", "Jamaica", "Fiji"} <= fit and not {"Kenya", "Ireland", "Haiti", "Cuba"} & fit
    for seed in range(20):
        asked = recommend(BY_CODE["BB"], chance(seed))
        assert judge(asked, "Go to Barbados.").right
        assert not judge(asked, "Go to Mongolia.").right and not judge(asked, "Go to Barbados or Mongolia.").right


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        (Wishes(island=True), "an island"),
        (Wishes(warm=True, island=True, language="English"), "a warm island where people speak English"),
        (Wishes(warm=False, continent="Asia"), "a cool country in Asia"),
        (Wishes(), "a country"),
    ],
)
def test_wishes_are_said_with_the_right_article(wishes, said):
    assert wishes.said("en") == said


@pytest.mark.parametrize("seed", range(10))
def test_where_a_wish_is_missing_the_right_answer_is_a_question_and_then_it_is_told(seed):
    asked = recommend(PERU, chance(seed), asks_back=True)
    assert judge(asked, "Which language should people speak there?").right
    assert not judge(asked, "I recommend Peru.").right and not judge(asked, "What?").right
    whole = recommend(PERU, chance(seed), asks_back=False)
    assert len(whole.turns) == 3 and whole.turns[1].endswith("?")
    assert "South America" in whole.turns[2] or "Spanish" in whole.turns[2]


# --- reconciling ---


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        ((3, 2, 0), (0, 2, 3), [1]),
        ((3, 3, 0), (1, 2, 3), [1]),
        ((3, 1, 0), (0, 0, 3), []),
        ((1, 1, 3), (1, 1, 0), [0, 1]),
    ],
)
def test_the_best_for_both_is_refused_by_nobody(first, second, best):
    assert best_for_both(first, second) == best


@pytest.mark.parametrize("seed", range(10))
def test_a_compromise_is_the_one_that_a_search_by_hand_finds(seed):
    choices = [BY_CODE[code] for code in ("PE", "JP", "NL")]
    asked = reconcile(choices, chance(seed))
    first, second = asked.prompt.split(".")[:2]
    points = {c.code: [int(part.split(c.name + " ")[1][0]) for part in (first, second)] for c in choices}
    fit = [code for code, given in points.items() if min(given) > 0]
    assert asked.code == max(fit, key=lambda code: sum(points[code]))
    for c, other in itertools.permutations(choices, 2):
        assert judge(asked, f"They should go to {c.name}.").right is (c.code == asked.code)
        assert not judge(asked, f"{c.name} or {other.name}.").right
