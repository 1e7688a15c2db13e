"""What is measured of a model: closed forms, counts by hand, answers written for the purpose."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import Any

import pytest
import torch

from course import evaluate
from course.evaluate import (
    Preference,
    accuracy,
    behaviour,
    bigram_entropy,
    complete,
    preference,
    recall,
    unigram_entropy,
)
from course.generate import Sampling, generate
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig
from course.world import facts, questions, rubric

BYTES = Tokenizer([])
JAPAN, FRANCE = (next(c for c in facts.countries() if c.name == name) for name in ("Japan", "France"))
QUESTIONS = [
    questions.single(country, relation, random.Random(0))
    for country in (JAPAN, FRANCE)
    for relation in ("capital", "language")
]
RIGHT = ["It is Tokyo.", "It is Japanese.", "It is Paris.", "It is French."]
WRONG = ["It is Paris.", "It is French.", "It is Tokyo.", "It is Japanese."]


def model_for(seed: int = 0) -> GPT:
    config = GPTConfig(vocab_size=260, context_length=64, n_layer=1, d_model=16, tie_embeddings=False)
    return GPT(config, torch.Generator().manual_seed(seed)).eval()


# --- entropies ---


@pytest.mark.parametrize("n", [1, 2, 8, 100])
def test_the_unigram_entropy_of_equally_frequent_tokens_is_their_numbers_logarithm(n: int) -> None:
    assert unigram_entropy(list(range(n)) * 3) == pytest.approx(math.log(n))


def test_the_unigram_entropy_is_that_of_the_frequencies() -> None:
    expected = -(0.5 * math.log(0.5) + 0.25 * math.log(0.25) * 2)
    assert unigram_entropy(torch.tensor([7, 7, 3, 9])) == pytest.approx(expected)


def test_a_row_that_repeats_has_no_bigram_entropy() -> None:
    assert bigram_entropy([1, 2, 3] * 50) == pytest.approx(0.0)
    assert unigram_entropy([1, 2, 3] * 50) == pytest.approx(math.log(3))


def test_after_one_token_the_next_is_as_uncertain_as_its_choices() -> None:
    """1 is followed by 2 or 3, each half of the times, and these always by 1: half of the steps cost ln 2."""
    assert bigram_entropy([1, 2, 1, 3] * 500 + [1]) == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_the_bigram_entropy_is_the_mean_cost_of_each_step(seed: int) -> None:
    row = torch.randint(5, (400,), generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = list(pairwise(row))
    cost = [-math.log(pairs.count((a, b)) / sum(first == a for first, _ in pairs)) for a, b in pairs]
    assert bigram_entropy(row) == pytest.approx(sum(cost) / len(cost))
    assert bigram_entropy(row) <= unigram_entropy(row) + 0.01  # a context can only help


# --- what a model knows ---


def test_a_text_is_continued_as_it_would_be_alone() -> None:
    model, prompts = model_for(), ["The capital", "x", "of Japan is"]
    expected = [BYTES.decode(generate(model, [BYTES.encode(prompt)], 9)[0]) for prompt in prompts]
    assert complete(model, BYTES, prompts, 9) == expected


def test_recall_is_the_share_of_capitals_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    said = {"Japan": " Tokyo. It is", "France": " London, not Paris", "Italy": "Rome"}

    def completed(model: GPT, tokenizer: Tokenizer, prompts: list[str], *how: Any) -> list[str]:
        asked.extend(prompts)
        return [next(text for name, text in said.items() if name in prompt) for prompt in prompts]

    monkeypatch.setattr(evaluate, "complete", completed)
    chosen = [country for country in facts.countries() if country.name in said]
    assert recall(model_for(), BYTES, chosen) == pytest.approx(2 / 3)
    assert sorted(asked) == [f"The capital of {name} is" for name in ("France", "Italy", "Japan")]


# --- how it behaves ---


def test_accuracy_is_counted_for_each_kind() -> None:
    answers = [RIGHT[0], WRONG[1], WRONG[2], WRONG[3]]
    assert accuracy(QUESTIONS, answers) == {"capital": 0.5, "language": 0.0}
    assert accuracy(QUESTIONS, RIGHT) == {"capital": 1.0, "language": 1.0}


def test_behaviour_is_the_mean_of_the_judgements() -> None:
    answers = ["Of course. It is Tokyo.", WRONG[1], "It is Paris", RIGHT[3]]
    found = behaviour(QUESTIONS, answers)
    judged = [rubric.judge(question, text) for question, text in zip(QUESTIONS, answers, strict=True)]
    assert (found.right, found.polite, found.brief, found.n) == (0.75, 0.25, 0.75, 4)
    assert found.rude == 0.0
    assert found.gold == pytest.approx(sum(judgement.score for judgement in judged) / 4)
    assert found.gold == pytest.approx((3.0 + 0.0 + 2.0 + 2.5) / 4)
    assert found.empty == 0.0
    with pytest.raises(ValueError, match="list of questions is empty"):
        behaviour([], [])


def test_answers_that_do_not_belong_to_the_questions_are_not_judged() -> None:
    for measure in (accuracy, behaviour):
        with pytest.raises(ValueError, match=r"shorter|longer"):
            measure(QUESTIONS, RIGHT[:2])


def test_preference_counts_wins_losses_and_ties_by_the_rubric() -> None:
    rivals = [WRONG[0], RIGHT[1], RIGHT[2], RIGHT[3]]
    answers = [RIGHT[0], WRONG[1], RIGHT[2], "Of course. It is French."]
    found = preference(QUESTIONS, answers, rivals)
    assert (found.wins, found.losses, found.ties) == (2, 1, 1)
    assert found.win_rate == pytest.approx(2 / 3)
    turned = preference(QUESTIONS, rivals, answers)
    assert (turned.wins, turned.losses, turned.ties) == (1, 2, 1)
    assert Preference(0, 0, 5).win_rate == 0.5


def test_questions_are_asked_as_the_chat_asks_them() -> None:
    from course.chat import answer

    model = model_for()
    expected = answer(model, BYTES, [question.prompt for question in QUESTIONS], max_new_tokens=6)
    assert evaluate.ask(model, BYTES, QUESTIONS, max_new_tokens=6) == expected
    assert any(expected)


def test_answers_to_questions_are_drawn_from_their_generator() -> None:
    model = model_for()
    one, same, other = (
        evaluate.ask(model, BYTES, QUESTIONS, Sampling(2.0), torch.Generator().manual_seed(seed), max_new_tokens=12)
        for seed in (0, 0, 1)
    )
    assert one == same != other
