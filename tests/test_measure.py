"""What a model can do, counted: one function for all capabilities of the world."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
import torch

from course import evaluate
from course.chat import prompt_ids, spoken, stop_tokens
from course.evaluate import Count, ask, measure
from course.generate import GREEDY, generate
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig
from course.world import capabilities, questions
from course.world.facts import countries
from course.world.rubric import Question

BYTES = Tokenizer([])
PERU, CHILE = (next(c for c in countries() if c.name == name) for name in ("Peru", "Chile"))


def model_for(context_length: int = 256) -> GPT:
    config = GPTConfig(vocab_size=260, context_length=context_length, n_layer=1, d_model=16, tie_embeddings=False)
    return GPT(config, torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(0, 10, 0.0, 0.278), (10, 10, 0.722, 1.0), (50, 100, 0.404, 0.596), (190, 200, 0.910, 0.973)],
)
def test_the_interval_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    """The bounds as R's binom.confint(right, n, methods = "wilson") gives them."""
    assert Count(right, n).interval == pytest.approx((low, high), abs=6e-4)
    assert Count(right, n).share == right / n


def test_questions_are_asked_each_in_its_conversation_and_with_its_first_words() -> None:
    model, chance = model_for(), random.Random(0)
    asked = [
        questions.follow_up(PERU, chance, [CHILE]),
        questions.single(PERU, "capital", chance),
        questions.comparison(PERU, CHILE, chance, thinks=True),
    ]
    alone = []
    for question in asked:
        prompt = prompt_ids(BYTES, question.turns) + (spoken(BYTES, question.begin) if question.begin else [])
        new = generate(model, [prompt], 12, GREEDY, stop_tokens(BYTES))[0]
        alone.append((question.begin + BYTES.decode(new)).strip())
    assert any(alone) and alone[2].startswith("Peru has about")
    assert ask(model, BYTES, asked, max_new_tokens=12) == alone
    assert ask(model, BYTES, asked, max_new_tokens=12, batch_size=2) == alone


def test_a_conversation_too_long_for_the_context_loses_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    def kept(model: GPT, prompts: list[list[int]], *how: object) -> list[list[int]]:
        seen.extend(prompts)
        return [list(b" Lima.") for _ in prompts]

    monkeypatch.setattr(evaluate, "generate", kept)
    asked = questions.follow_up(PERU, random.Random(0), [CHILE])
    assert ask(model_for(64), BYTES, [asked], max_new_tokens=24) == ["Lima."]
    assert seen == [prompt_ids(BYTES, asked.turns)[-40:]]


@pytest.mark.parametrize("knows", [True, False])
def test_each_capability_is_counted_by_its_own_questions(knows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that gives every reference is right in all, and one that says nothing in none."""

    def said(model: GPT, tokenizer: Tokenizer, asked: Sequence[Question]) -> list[str]:
        return [question.reference if knows else "" for question in asked]

    monkeypatch.setattr(evaluate, "ask", said)
    found = measure(model_for(), BYTES)
    assert list(found) == [capability.name for capability in capabilities.CAPABILITIES]
    for name, count in found.items():
        assert count == Count(count.n if knows else 0, len(capabilities.questions_for(name))), name
    few = measure(model_for(), BYTES, ["yes", "pattern"])
    assert list(few) == ["yes", "pattern"] and few["yes"] == found["yes"]
    other = capabilities.questions_for("pattern", seed=1)
    assert other != capabilities.questions_for("pattern") and len(other) == few["pattern"].n
