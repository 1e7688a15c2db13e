"""The recipe: what is made again, what is kept, what goes on after an interruption; and the shipped models' figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from course import evaluate
from course.chain import recipe, store
from course.chain.recipe import AssistantRecipe, BaseRecipe, Recipe, RewardRecipe, SFTRecipe, TokenizerRecipe, build
from course.rl import PPOConfig
from course.train import TrainConfig
from course.transformer import GPTConfig
from course.world import demonstrations, facts


def short(steps: int, **how: Any) -> TrainConfig:
    return TrainConfig(steps=steps, learning_rate=1e-3, warmup=2, precision="float32", **how)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe that takes seconds, in place of the recommended one."""
    few = demonstrations.asked(6, pool=facts.split()[1])
    monkeypatch.setattr(recipe, "held_out_questions", lambda: few)
    monkeypatch.setattr(evaluate, "recall", lambda *ignored: 0.0)
    monkeypatch.setattr(recipe, "measure_reward", lambda *ignored: {"agreement": 0.5})  # all answers are equally bad
    settings = Recipe(
        tokenizer=TokenizerRecipe(vocab_size=300, characters=20_000),
        base=BaseRecipe(
            characters=120_000,
            model=GPTConfig(vocab_size=300, context_length=256, n_layer=1, n_head=2, d_model=16),
            training=short(6),
            batch_size=4,
        ),
        sft=SFTRecipe(demonstrations=60, training=short(4), batch_size=4),
        reward=RewardRecipe(rankings=8, answers=4, pairs=8, training=short(4), pairs_training=short(1), batch_size=4),
        assistant=AssistantRecipe(
            PPOConfig(iterations=2, rollouts=4, max_new_tokens=4, precision="float32"),
            questions=40,
            characters=20_000,
        ),
    )

    def with_seed(cls: type[Recipe], seed: int) -> Recipe:
        parts = {kind: replace(getattr(settings, kind), seed=seed) for kind in store.KINDS[:-1]}
        ppo = replace(settings.assistant.ppo, seed=seed)
        return Recipe(**parts, assistant=replace(settings.assistant, ppo=ppo, seed=seed))

    monkeypatch.setattr(Recipe, "with_seed", classmethod(with_seed))
    return settings


def weights(kind: str, where: Path) -> dict[str, torch.Tensor]:
    return dict(store.load_chain(kind, where=where)[1].state_dict())


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# --- building -------------------------------------------------------------------------------------------------------


def test_the_chain_is_built_kept_and_the_same_for_the_same_seed(tiny, tmp_path, capsys):
    made = build(where=tmp_path / "a", progress=False)
    assert list(made) == list(store.KINDS)
    for kind, artifact in made.items():
        assert artifact.card.kind == kind and artifact.card.metrics
    first = capsys.readouterr()
    assert "it is there already" not in first.out + first.err
    build(where=tmp_path / "a", progress=False)
    second = capsys.readouterr()
    assert (second.out + second.err).count("it is there already") == 5
    build(where=tmp_path / "b", progress=False)
    for kind in store.KINDS[1:]:
        assert equal(weights(kind, tmp_path / "a"), weights(kind, tmp_path / "b")), kind
    build(where=tmp_path / "c", seed=1, kinds=("tokenizer", "base"), progress=False)
    assert not equal(weights("base", tmp_path / "a"), weights("base", tmp_path / "c"))


def test_other_settings_are_refused_until_forced(tiny, tmp_path):
    build(("tokenizer", "base"), where=tmp_path, progress=False)
    before = weights("base", tmp_path)
    with pytest.raises(FileExistsError, match=r"other settings.*--into FOLDER.*--force"):
        build(("base",), where=tmp_path, seed=1, progress=False)
    assert equal(before, weights("base", tmp_path)), "nothing was touched"
    build(("base",), where=tmp_path, seed=1, force=True, progress=False)
    assert not equal(before, weights("base", tmp_path))


def test_a_new_parent_makes_its_children_again(tiny, tmp_path, capsys):
    build(("tokenizer", "base", "sft"), where=tmp_path, progress=False)
    before = weights("sft", tmp_path)
    build(("base",), where=tmp_path, seed=1, force=True, progress=False)
    capsys.readouterr()
    build(("sft",), where=tmp_path, progress=False)
    said = capsys.readouterr()
    assert "SFT model: it is there already" not in said.out + said.err
    assert not equal(before, weights("sft", tmp_path))


@pytest.mark.parametrize("kind", ["base", "sft", "reward", "assistant"])
def test_an_interrupted_training_goes_on_to_the_same_weights(tiny, tmp_path, monkeypatch, kind):
    earlier = store.KINDS[: store.KINDS.index(kind)]
    build((*earlier, kind), where=tmp_path / "whole", progress=False)
    build(earlier, where=tmp_path / "broken", progress=False)
    name = "ppo" if kind == "assistant" else "train"
    original = getattr(recipe, name)

    def interrupted(*arguments: Any, **how: Any) -> Iterator[Any]:
        if name == "train":
            how["save_seconds"] = 0.0
        for number, record in enumerate(original(*arguments, **how)):
            yield record
            if number == 2 or kind == "assistant":
                raise KeyboardInterrupt

    monkeypatch.setattr(recipe, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        build((kind,), where=tmp_path / "broken", progress=False)
    assert not store.exists(kind, where=tmp_path / "broken"), "no half artifact"
    monkeypatch.setattr(recipe, name, original)
    build((kind,), where=tmp_path / "broken", progress=False)
    assert equal(weights(kind, tmp_path / "whole"), weights(kind, tmp_path / "broken"))
    assert not store.partial(kind, tmp_path / "broken").exists()


def test_a_text_of_ones_own_gives_a_tokenizer_and_a_base_model(tiny, tmp_path):
    text = [f"The {word} said to the other {word} that it was late." for word in ("owl", "fox", "bear")] * 60
    made = build(where=tmp_path, text=text, progress=False)
    assert list(made) == ["tokenizer", "base"]
    card = made["base"].card
    assert "recall" not in card.metrics, "there are no questions about it"
    assert 0 < card.metrics["bigram_loss"] < card.metrics["unigram_loss"]
    assert card.settings["text"] == recipe.settings_of("base", text=text)["text"]
    assert card.settings["training"]["steps"] == 11, "of four times 256 tokens each: the text is read four times"
    with pytest.raises(FileExistsError):
        build(where=tmp_path, text=[*text, "One more."], progress=False)
    with pytest.raises(ValueError, match="tokenizer and a base model only"):
        build(("sft",), where=tmp_path, text=text, progress=False)


def test_a_text_that_is_too_short_is_refused_with_what_it_needs(tiny, tmp_path):
    with pytest.raises(ValueError, match=r"The text has \d+ tokens; training and testing need at least 516"):
        build(where=tmp_path, text=["A short text. " * 4], progress=False)
    assert not store.exists("tokenizer", where=tmp_path), "half a chain was left behind"


def test_a_forced_build_that_was_interrupted_keeps_what_it_had_made(tiny, tmp_path, monkeypatch, capsys):
    build(("tokenizer", "base"), where=tmp_path, progress=False)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(recipe, "train_base", interrupted)
        build(("tokenizer", "base"), where=tmp_path, force=True, progress=False)
    capsys.readouterr()
    build(("tokenizer", "base"), where=tmp_path, force=True, progress=False)
    said = capsys.readouterr().out
    assert "tokenizer: it is there already" in said and "base model: it is there already" not in said
    build(("tokenizer", "base"), where=tmp_path, force=True, progress=False)
    assert "it is there already" not in capsys.readouterr().out, "a finished forced build is over"


def test_a_place_that_is_taken_is_noticed_before_the_training(tiny, tmp_path, monkeypatch):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "notes.txt").touch()
    monkeypatch.setattr(recipe, "train_tokenizer", lambda *_: pytest.fail("trained first"))
    with pytest.raises(FileExistsError, match="not the course's"):
        build(("tokenizer",), where=tmp_path, progress=False)


# --- steps ----------------------------------------------------------------------------------------------------------


def test_no_question_of_the_test_is_about_a_country_of_the_demonstrations():
    seen = {country.code for country in facts.split()[0]}
    asked = recipe.held_out_questions()
    assert not seen & {question.code for question in asked} and sum(bool(question.code) for question in asked) > 300
    shown = {turns for turns, _ in recipe.demonstrated(SFTRecipe())}
    again = [question.kind for question in asked if question.turns in shown]
    assert set(again) == {"small talk"}, "there are only so many ways to say hello"


def test_rankings_hang_on_the_seed_alone_and_leave_the_held_out_countries_alone():
    tokenizer, sft, _ = store.load_chain("sft", where=store.shipped_home())
    settings = RewardRecipe(rankings=12)
    first = recipe.collect_rankings(sft, tokenizer, settings)
    alone = recipe.collect_rankings(sft, tokenizer, replace(settings, annotators=1))
    assert first != alone, "several annotators take turns, each with moods of their own"
    assert first == recipe.collect_rankings(sft, tokenizer, settings)
    assert first != recipe.collect_rankings(sft, tokenizer, replace(settings, seed=1))
    assert all(len(ranking.answers) == 4 for ranking in first)
    held_out = {country.name for country in facts.split()[1]} | {country.capital for country in facts.split()[1]}
    about = [ranking.question[-1] for ranking in first]
    assert not any(name and f" {name}?" in text for name in held_out for text in about)


# --- the shipped chain ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cards() -> dict[str, store.Card]:
    return {kind: store.find(kind, "shipped").card for kind in store.KINDS}


@pytest.mark.parametrize("kind", store.KINDS)
def test_the_shipped_artifacts_were_made_by_the_recommended_settings(cards, kind):
    assert cards[kind].settings == recipe.settings_of(kind), "run `make artifacts`"


def test_the_shipped_chain_keeps_what_it_reached(cards):
    """What the course aims at stands in the README, with what is missed; here, that no new build falls behind.

    Agreement with the rubric (aim 0.92) and the preference for drawn answers (0.85) are missed: their bounds are lower.
    """
    base, sft, reward, assistant = (cards[kind].metrics for kind in store.KINDS[1:])
    assert base["recall"] >= 0.95
    assert base["held_out_loss"] < base["bigram_entropy"] < base["unigram_entropy"]
    assert sft["right_greedy"] >= 0.80
    assert reward["agreement"] >= 0.80 and reward["truth"] >= 0.80
    assert assistant["win_rate"] >= 0.85 and assistant["rude_greedy"] <= 0.01 and assistant["empty"] <= 0.01
    assert assistant["win_rate_drawn"] >= 0.72 and assistant["rude"] <= 0.05
    assert assistant["right"] >= assistant["sft_right"] and assistant["right_greedy"] >= sft["right_greedy"]


def test_what_the_cards_say_can_be_measured_again(cards):
    tokenizer, base, _ = store.load_chain("base", where=store.shipped_home())
    recall = evaluate.recall(base, tokenizer, facts.countries())
    assert recall == pytest.approx(cards["base"].metrics["recall"], abs=0.011), "two countries, for half precision"
