"""The chain, step by step: the settings that the course recommends, and what each step does with them.

Notebooks take these settings and walk through each step slowly; `course build` runs the same functions in a row.
Each `train_…` function returns the model, its metrics and the records of its training.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course import checkpoint, evaluate, ngram
from course.chain import own_text, store
from course.chat import prompt_ids
from course.generate import Sampling
from course.reward import Ranking, RankingBatches, RewardModel, agreement, conversation_ids, ranking_loss, score
from course.rl import ActorCritic, IterationRecord, PPOConfig, ppo
from course.runtime import generator, pick_device
from course.sft import SFTBatches, examples
from course.tokenizer import Tokenizer
from course.train import StepRecord, TokenBatches, TrainConfig, evaluate_loss, train
from course.transformer import GPT, GPTConfig
from course.world import corpus, demonstrations, facts, rubric

HELD_OUT_SEED = 1_000_003  # added to a seed: texts and draws for measuring only


@dataclass(frozen=True)
class TokenizerRecipe:
    """Byte-pair merges learned from this many characters of the corpus."""

    vocab_size: int = 2048
    characters: int = 2_000_000
    seed: int = 0


@dataclass(frozen=True)
class BaseRecipe:
    """Pretraining on the world's articles, stories, notes, talks, passages, lists and exercise sheets."""

    characters: int = 9_000_000
    model: GPTConfig = field(default_factory=GPTConfig)
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=2400, learning_rate=8e-3, warmup=50, final_fraction=0.02, weight_decay=0.01,
            optimizer="muon", matrix_rate=0.02,
        )
    )  # fmt: skip
    batch_size: int = 16
    seed: int = 0


@dataclass(frozen=True)
class SFTRecipe:
    """Fine-tuning on what people answered to questions about half of the countries."""

    demonstrations: int = 12_000
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=200, learning_rate=4e-4, warmup=10, weight_decay=0.0, accumulate=4)
    )
    batch_size: int = 16
    rude: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class RewardRecipe:
    """Rankings of K sampled answers by annotators, each with their own moods; the reward model learned from them.

    truth: the share of rankings of answers that people wrote, right and wrong ones in the same manners.
    pairs: of such answers, which are learned from first and alone, since beside manners what is true is overheard.
    """

    rankings: int = 4500
    truth: float = 0.33
    pairs: int = 9600
    pairs_training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=150, learning_rate=1e-3, warmup=10, weight_decay=0.0)
    )
    answers: int = 4
    annotators: int = 5
    noise: float = 0.5
    temperature: float = 1.0
    training: TrainConfig = field(
        default_factory=lambda: TrainConfig(steps=250, learning_rate=1e-3, warmup=10, weight_decay=0.0)
    )
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.truth and self.answers % 2:
            raise ValueError(
                f"answers={self.answers} are no pairs of a right and a wrong one; use an even number, or truth=0."
            )


@dataclass(frozen=True)
class AssistantRecipe:
    """PPO against the reward model, on so many questions of the kinds that were demonstrated.

    characters, batch_size: of pretraining text, read along so that the other countries are not forgotten.
    """

    ppo: PPOConfig = field(default_factory=PPOConfig)
    questions: int = 4000
    characters: int = 1_000_000
    batch_size: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """All settings of the chain. `Recipe.with_seed` gives the same chain from other chances."""

    tokenizer: TokenizerRecipe = field(default_factory=TokenizerRecipe)
    base: BaseRecipe = field(default_factory=BaseRecipe)
    sft: SFTRecipe = field(default_factory=SFTRecipe)
    reward: RewardRecipe = field(default_factory=RewardRecipe)
    assistant: AssistantRecipe = field(default_factory=AssistantRecipe)

    @classmethod
    def with_seed(cls, seed: int) -> Recipe:
        """The recommended settings, every step seeded with `seed`."""
        plain = cls()
        return cls(
            tokenizer=replace(plain.tokenizer, seed=seed),
            base=replace(plain.base, seed=seed),
            sft=replace(plain.sft, seed=seed),
            reward=replace(plain.reward, seed=seed),
            assistant=replace(plain.assistant, ppo=replace(plain.assistant.ppo, seed=seed), seed=seed),
        )


# --- tokenizer and base -------------------------------------------------------------------------------------------


def texts_for(characters: int, seed: int, text: Sequence[str] | None = None) -> list[str]:
    """The training texts: the learner's own if given, else this much of the world's corpus."""
    return list(text) if text is not None else corpus.corpus(characters, seed=seed)


def train_tokenizer(recipe: TokenizerRecipe, text: Sequence[str] | None = None, progress: bool = True) -> Tokenizer:
    """Learn the merges."""
    return Tokenizer.train(texts_for(recipe.characters, recipe.seed, text), recipe.vocab_size, progress)


def join_documents(tokenizer: Tokenizer, texts: Iterable[str]) -> Tensor:
    """One row of ids, (N,): every document between end-of-text marks, so that the model learns where one begins."""
    end = tokenizer.special["<|endoftext|>"]
    row = [end]
    for ids in tokenizer.encode_batch(list(texts)):
        row += [*ids, end]
    return torch.tensor(row)


def train_base(
    tokenizer: Tokenizer,
    recipe: BaseRecipe,
    text: Sequence[str] | None = None,
    partial: Path | None = None,
    progress: bool = True,
) -> tuple[GPT, dict[str, float], list[StepRecord]]:
    """Pretrain. Metrics: held-out loss, what counting would reach, recall of capitals."""
    tokens = join_documents(tokenizer, texts_for(recipe.characters, recipe.seed, text))
    config = replace(recipe.model, vocab_size=tokenizer.vocab_size)
    if text is not None:
        tokens, held_out = own_text.hold_out(tokens, tokenizer.special["<|endoftext|>"], config.context_length)
    else:
        held_out = join_documents(tokenizer, corpus.corpus(400_000, seed=recipe.seed + HELD_OUT_SEED))
    model = GPT(config, generator(recipe.seed)).to(pick_device())
    batches = TokenBatches(tokens, recipe.batch_size, config.context_length, recipe.seed)
    history = list(train(model, batches, recipe.training, checkpoint=partial, progress=progress and "base"))
    model.eval()
    tests = TokenBatches(held_out, recipe.batch_size, config.context_length, recipe.seed + 1)
    if text is not None:
        counting = {
            "unigram_loss": ngram.unigram_loss(tokens, held_out, config.vocab_size),
            "bigram_loss": ngram.bigram_loss(tokens, held_out, config.vocab_size),
        }
    else:
        counting = {
            "unigram_entropy": evaluate.unigram_entropy(held_out),
            "bigram_entropy": evaluate.bigram_entropy(held_out),
        }
    metrics = {
        "loss": sum(record.loss for record in history[-20:]) / len(history[-20:]),
        "held_out_loss": evaluate_loss(model, tests, 10),
        **counting,
        "tokens_seen": float(len(history) * recipe.batch_size * config.context_length * recipe.training.accumulate),
    }
    if text is None:
        metrics["recall"] = evaluate.recall(model, tokenizer, facts.countries())
    return model, metrics, history


# --- step 1: supervised fine-tuning ---------------------------------------------------------------------------------


def demonstrated(recipe: SFTRecipe) -> list[tuple[tuple[str, ...], str]]:
    """What people wrote: (conversation, answer) pairs; what is asked about a country is about the first half."""
    written = demonstrations.demonstrations(recipe.demonstrations, recipe.seed, rude=recipe.rude)
    return [(question.turns, text) for question, text in written]


def held_out_questions(n: int = 600) -> list[rubric.Question]:
    """Questions of the kinds that were demonstrated, about the countries that no demonstration answers a question of.

    Some of them are named in demonstrations all the same, as a neighbour or in "Is … the capital of …?".
    """
    return demonstrations.asked(n, HELD_OUT_SEED, pool=facts.split()[1], held_out=True)


def train_sft(
    base: GPT, tokenizer: Tokenizer, recipe: SFTRecipe, partial: Path | None = None, progress: bool = True
) -> tuple[GPT, dict[str, float], list[StepRecord]]:
    """Fine-tune a copy of the base model. Metrics: right answers about held-out countries, and manners."""
    model = copy.deepcopy(base).to(pick_device())
    shown = [one for one in examples(tokenizer, demonstrated(recipe)) if len(one.tokens) <= base.config.context_length]
    batches = SFTBatches(shown, recipe.batch_size, recipe.seed)
    history = list(train(model, batches, recipe.training, checkpoint=partial, progress=progress and "sft"))
    model.eval()
    return model, measure_answers(model, tokenizer, recipe.seed), history


def measure_answers(model: GPT, tokenizer: Tokenizer, seed: int = 0) -> dict[str, float]:
    """Greedy answers, as the chat gives them: the share that is right, and that is rude. Then answers drawn at
    temperature 1: how they are, and the gold score."""
    questions = held_out_questions()
    greedy = evaluate.behaviour(questions, evaluate.ask(model, tokenizer, questions))
    drawn = evaluate.ask(model, tokenizer, questions, Sampling(1.0), generator(seed + HELD_OUT_SEED))
    found = evaluate.behaviour(questions, drawn)
    return {
        "right_greedy": greedy.right,
        "rude_greedy": greedy.rude,
        **{name: getattr(found, name) for name in ("right", "polite", "brief", "rude", "empty", "gold")},
    }


# --- step 2: the reward model ---------------------------------------------------------------------------------------


def sample_answers(
    sft: GPT, tokenizer: Tokenizer, questions: Sequence[rubric.Question], n: int, temperature: float, seed: int
) -> list[list[str]]:
    """n answers of the model to each question, drawn independently."""
    repeated = [question for question in questions for _ in range(n)]
    texts = evaluate.ask(sft, tokenizer, repeated, Sampling(temperature), generator(seed))
    return [texts[i : i + n] for i in range(0, len(texts), n)]


def answer_sets(
    sft: GPT, tokenizer: Tokenizer, recipe: RewardRecipe, n: int, seed: int, pool: Sequence[facts.Country]
) -> list[tuple[rubric.Question, list[str]]]:
    """n questions about the countries of `pool`, each with K answers.

    All K are the model's own, but for a share `recipe.truth`: there people wrote them, right and wrong in one manner,
    right and wrong in another. Whoever ranks these well must know what is true. Sets that do not fit into the context
    are left out.
    """
    written = demonstrations.disputes(round(recipe.truth * n), recipe.answers // 2, seed, pool=pool)
    asked = demonstrations.asked(n - len(written), seed, pool=pool)
    own = sample_answers(sft, tokenizer, asked, recipe.answers, recipe.temperature, seed)
    sets = [*zip(asked, own, strict=True), *written]
    order = torch.randperm(n, generator=generator(seed)).tolist()
    return [sets[i] for i in order if fits(sft, tokenizer, *sets[i])]


def fits(model: GPT, tokenizer: Tokenizer, question: rubric.Question, answers: Sequence[str]) -> bool:
    """Can the model read the question with each of the answers?"""
    longest = max(len(conversation_ids(tokenizer, question.turns, text)) for text in answers)
    return longest <= model.config.context_length


def collect_rankings(sft: GPT, tokenizer: Tokenizer, recipe: RewardRecipe) -> list[Ranking]:
    """Questions about the seen countries, each answered several ways; annotators take turns to rank the answers."""
    return rank(answer_sets(sft, tokenizer, recipe, recipe.rankings, recipe.seed, facts.split()[0]), recipe)


def collect_pairs(sft: GPT, tokenizer: Tokenizer, recipe: RewardRecipe) -> list[Ranking]:
    """Answers to questions about the seen countries, two by two, that differ in truth alone; ranked likewise."""
    pairs = [(question, both) for question, *both in demonstrations.pairs(recipe.pairs, recipe.seed)]
    return rank([pair for pair in pairs if fits(sft, tokenizer, *pair)], recipe)


def rank(sets: Sequence[tuple[rubric.Question, Sequence[str]]], recipe: RewardRecipe) -> list[Ranking]:
    """The annotators take turns to rank the answers to each question."""
    people = [rubric.Annotator(recipe.noise, 1000 * recipe.seed + i) for i in range(recipe.annotators)]
    return [
        Ranking(question.turns, tuple(answers[i] for i in annotator.rank(question, answers)))
        for (question, answers), annotator in zip(sets, cycle(people), strict=False)  # cycle has no end
    ]


def train_reward(
    sft: GPT, tokenizer: Tokenizer, rankings: Sequence[Ranking], recipe: RewardRecipe, partial: Path | None = None,
    progress: bool = True,
) -> tuple[RewardModel, dict[str, float], list[StepRecord]]:  # fmt: skip
    """Learn a reward from rankings, beginning with a copy of the SFT model. Metrics: agreement on held-out pairs.

    First from pairs that differ in truth alone (not with `recipe.pairs` 0), then from the rankings. The records are
    of both trainings.
    """
    model = RewardModel(copy.deepcopy(sft)).to(pick_device())
    history: list[StepRecord] = []
    if recipe.pairs:  # quick, and so begun again after an interruption
        batches = RankingBatches(tokenizer, collect_pairs(sft, tokenizer, recipe), 2 * recipe.batch_size, recipe.seed)
        history += train(model, batches, recipe.pairs_training, loss=ranking_loss, progress=progress and "pairs")
    batches = RankingBatches(tokenizer, rankings, recipe.batch_size, recipe.seed)
    history += train(
        model, batches, recipe.training, loss=ranking_loss, checkpoint=partial, progress=progress and "reward"
    )
    model.eval()
    model.normalise(score(model, tokenizer, [(r.question, text) for r in rankings for text in r.answers]))
    return model, measure_reward(model, sft, tokenizer, recipe), history


def measure_reward(model: RewardModel, sft: GPT, tokenizer: Tokenizer, recipe: RewardRecipe) -> dict[str, float]:
    """Agreement with the noise-free rubric, and with a fresh annotator, on answers about held-out countries.

    ceiling: how often the rubric itself orders a pair as that annotator does; nobody can foresee a mood. truth: over
    pairs of answers that differ in nothing but what is true.
    """
    seed, pool = recipe.seed + HELD_OUT_SEED, facts.split()[1]
    sets = answer_sets(sft, tokenizer, replace(recipe, truth=0.0), 600, seed, pool)
    gold = torch.tensor([[rubric.judge(q, text).score for text in row] for q, row in sets])
    rewards = score(model, tokenizer, [(q.turns, text) for q, row in sets for text in row]).view(gold.shape)
    annotator = rubric.Annotator(recipe.noise, seed)
    ranked = [annotator.rank(q, row) for q, row in sets]
    noisy = torch.tensor([[-float(order.index(i)) for i in range(len(order))] for order in ranked])
    pairs = [(q, both) for q, *both in demonstrations.pairs(600, seed, pool=pool) if fits(sft, tokenizer, q, both)]
    told = score(model, tokenizer, [(q.turns, text) for q, both in pairs for text in both]).view(-1, 2)
    return {
        "agreement": agreement(rewards, gold),
        "agreement_annotator": agreement(rewards, noisy),
        "ceiling": agreement(gold, noisy),
        "truth": agreement(told, torch.tensor([[1.0, 0.0]]).expand(len(pairs), 2)),
    }


# --- step 3: reinforcement learning ---------------------------------------------------------------------------------


def train_assistant(
    sft: GPT, reward: RewardModel, tokenizer: Tokenizer, recipe: AssistantRecipe, partial: Path | None = None,
    progress: bool = True, watch: Callable[[IterationRecord], Any] | None = None,
) -> tuple[GPT, dict[str, float], list[IterationRecord]]:  # fmt: skip
    """Tune a copy of the SFT model by PPO. Metrics: as for SFT, and how often the rubric prefers its answers."""
    device = pick_device()
    sft, reward = sft.to(device), reward.to(device)
    actor_critic = ActorCritic(copy.deepcopy(sft)).to(device)
    questions = demonstrations.asked(recipe.questions, recipe.seed)
    room = sft.config.context_length - evaluate.SHORT
    prompts = [ids for question in questions if len(ids := prompt_ids(tokenizer, question.turns)) <= room]
    row = join_documents(tokenizer, corpus.corpus(recipe.characters, seed=recipe.seed))
    text = TokenBatches(row, recipe.batch_size, sft.config.context_length, recipe.seed)
    history = []
    for record in ppo(
        actor_critic, sft, reward, prompts, tokenizer.special["<|end|>"], recipe.ppo, pretraining=text,
        checkpoint=partial, progress=progress and "assistant",
    ):  # fmt: skip
        history.append(record)
        if watch is not None:
            watch(record)
    model = actor_critic.policy.eval()
    return model, measure_assistant(model, sft, tokenizer, recipe.seed), history


def measure_assistant(model: GPT, sft: GPT, tokenizer: Tokenizer, seed: int = 0) -> dict[str, float]:
    """`measure_answers`, and a comparison with the SFT model by the gold rubric: how often the assistant's answer is
    preferred, of those pairs that are no tie. Once greedy, as the chat answers; once drawn at temperature 1.

    sft_...: the SFT model's answers, drawn at temperature 1.
    """
    asked = held_out_questions()
    greedy = evaluate.preference(asked, *(evaluate.ask(who, tokenizer, asked) for who in (model, sft)))
    asked_twice = asked * 2
    answers = [
        evaluate.ask(who, tokenizer, asked_twice, Sampling(1.0), generator(seed + HELD_OUT_SEED + draw))
        for draw, who in enumerate((model, sft))
    ]
    drawn = evaluate.preference(asked_twice, *answers)
    before = evaluate.behaviour(asked_twice, answers[1])
    return measure_answers(model, tokenizer, seed) | {
        "win_rate": greedy.win_rate,
        "ties": greedy.ties / len(asked),
        "win_rate_drawn": drawn.win_rate,
        "ties_drawn": drawn.ties / len(asked_twice),
        "sft_right": before.right,
        "sft_rude": before.rude,
        "sft_gold": before.gold,
    }


# --- the whole chain --------------------------------------------------------------------------------------------------


def build(
    kinds: Sequence[str] = store.KINDS,
    where: Path | None = None,
    text: Sequence[str] | None = None,
    force: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, store.Artifact]:
    """Make these artifacts one after the other, each from those before it, and say what is done.

    where: the folder for them (default: the learner's own). text: paragraphs that take the world's place; from them
    come a tokenizer and a base model only, since the later steps need questions with known answers.
    What was made by the same settings from the same parents is kept, unless `force`; an interrupted training goes on,
    and so does an interrupted build with `force`.
    Raises FileExistsError, unless `force`, where another artifact would be replaced.
    """
    if text is not None:
        kinds = [kind for kind in kinds if kind in ("tokenizer", "base")]
        if not kinds:
            raise ValueError(
                "From a text come a tokenizer and a base model only; name one of these, or leave out --text."
            )
    recipe = Recipe.with_seed(seed)
    if text is not None:
        per_step = recipe.base.batch_size * recipe.base.model.context_length
        plan = own_text.training_for(recipe.base.training, text, per_step)
        recipe = replace(recipe, base=replace(recipe.base, training=plan))
    made = {}
    since = _forced_since(where, [*kinds, seed, settings_of("tokenizer", recipe, text)]) if force else math.inf
    for kind in (kind for kind in store.KINDS if kind in kinds):
        settings = settings_of(kind, recipe, text)
        forced = force and not store.made_since(kind, since, where)
        kept = None if forced else _keep(kind, settings, where)
        if kept is not None:
            tqdm.write(f"{store.NAMES[kind]}: it is there already.")
            made[kind] = kept
            continue
        checkpoint.check_free((where or store.home()) / kind)  # better now than after minutes of training
        started = time.perf_counter()
        metrics = _make(kind, recipe, settings, text, where, progress, base_follows="base" in kinds)
        made[kind] = store.find(kind, None if where else "yours", where)
        checkpoint.remove(store.partial(kind, where))
        shown = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
        tqdm.write(f"{store.NAMES[kind]}: {time.perf_counter() - started:.0f} s; {shown}")
    _forced_mark(where).unlink(missing_ok=True)
    return made


def _forced_mark(where: Path | None) -> Path:
    """A file that is there while a forced build is unfinished."""
    return (where or store.home()) / "forced.partial"


def _forced_since(where: Path | None, order: list[Any]) -> float:
    """When the forced build of this order began: now, unless the same one was interrupted; then it goes on."""
    mark, text = _forced_mark(where), json.dumps(order)
    if not mark.exists() or mark.read_text(encoding="utf-8") != text:
        checkpoint.probe(mark.parent)  # makes it, or says why not
        mark.write_text(text, encoding="utf-8")
    return mark.stat().st_mtime


def settings_of(kind: str, recipe: Recipe | None = None, text: Sequence[str] | None = None) -> dict[str, Any]:
    """What decides how an artifact comes out, as it is noted on its card."""
    settings: dict[str, Any] = json.loads(json.dumps(asdict(getattr(recipe or Recipe(), kind))))
    if text is not None:
        settings["text"] = hashlib.sha256("\n\n".join(text).encode()).hexdigest()
    return settings


def _keep(kind: str, settings: dict[str, Any], where: Path | None) -> store.Artifact | None:
    """The artifact that is there already, None if there is none, or one that its parents have outlived."""
    origin = None if where else "yours"
    if not store.exists(kind, origin, where):
        return None
    artifact = store.find(kind, origin, where)
    if artifact.card.settings != settings:
        raise FileExistsError(
            f"{artifact.path} holds a {store.NAMES[kind]} that was made with other settings. Keep it and build "
            "elsewhere with --into FOLDER, or replace it with --force."
        )
    return None if store.stale(artifact, where) else artifact


def _make(
    kind: str, recipe: Recipe, settings: dict[str, Any], text: Sequence[str] | None, where: Path | None,
    progress: bool, base_follows: bool,
) -> dict[str, float]:  # fmt: skip
    """Train one artifact from its parents, save it, and return its metrics."""
    started = time.perf_counter()
    partial = store.partial(kind, where)
    if kind == "tokenizer":
        tokenizer = train_tokenizer(recipe.tokenizer, text, progress)
        if text is not None and base_follows:  # better now than when a tokenizer without a model has been saved
            row, end = join_documents(tokenizer, text), tokenizer.special["<|endoftext|>"]
            own_text.hold_out(row, end, recipe.base.model.context_length)
        sample = text if text is not None else corpus.corpus(200_000, seed=recipe.tokenizer.seed + HELD_OUT_SEED)
        metrics = {"bytes_per_token": tokenizer.bytes_per_token(sample)}
        store.save_tokenizer(
            tokenizer, seed=recipe.tokenizer.seed, settings=settings, metrics=metrics,
            seconds=time.perf_counter() - started, where=where,
        )  # fmt: skip
        return metrics
    model: nn.Module
    if kind == "base":
        tokenizer = store.load_tokenizer(where=_home_of("tokenizer", where))
        model, metrics, _ = train_base(tokenizer, recipe.base, text, partial, progress)
    else:
        tokenizer, sft = _load("base" if kind == "sft" else "sft", where)
        if kind == "sft":
            model, metrics, _ = train_sft(sft, tokenizer, recipe.sft, partial, progress)
        elif kind == "reward":
            rankings = collect_rankings(sft, tokenizer, recipe.reward)
            model, metrics, _ = train_reward(sft, tokenizer, rankings, recipe.reward, partial, progress)
        else:
            other, reward = _load("reward", where)
            if other.to_dict() != tokenizer.to_dict():
                raise ValueError(
                    "The SFT model and the reward model read different tokens; make both again from one tokenizer with "
                    "`course build sft reward --force`."
                )
            model, metrics, _ = train_assistant(sft, reward, tokenizer, recipe.assistant, partial, progress)
    store.save_model(
        kind, model, seed=getattr(recipe, kind).seed, settings=settings, metrics=metrics,
        seconds=time.perf_counter() - started, tokenizer=tokenizer, where=where,
    )  # fmt: skip
    return metrics


def _home_of(kind: str, where: Path | None) -> Path | None:
    """The folder being built in where it has this artifact, else None: wherever the store finds one."""
    return where if where is not None and store.exists(kind, where=where) else None


def _load(kind: str, where: Path | None) -> tuple[Tokenizer, Any]:
    """A parent and its tokenizer, saying which it is unless it was just made."""
    home = _home_of(kind, where)
    tokenizer, model, sentence = store.load_chain(kind, where=home)
    if home is None:
        tqdm.write(sentence)
    return tokenizer, model
