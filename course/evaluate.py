"""What is measured of a model: how well it predicts, what it knows, how it behaves, which of two is preferred.

In the world every answer can be judged by a program (`course.world.rubric.judge`), so each stage of the chain has
numbers.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course.chat import prompt_ids, spoken, stop_tokens
from course.generate import GREEDY, Sampling, generate
from course.tokenizer import Tokenizer
from course.transformer import GPT
from course.world.capabilities import CAPABILITIES, questions_for
from course.world.facts import Country
from course.world.rubric import Question, judge
from course.world.speech import titled

SHORT = 24  # tokens, enough for an answer of one sentence


def unigram_entropy(tokens: Tensor | Sequence[int]) -> float:
    """Nats per token of the best prediction that ignores the context: always the tokens' overall frequencies."""
    counts = torch.bincount(torch.as_tensor(tokens)).double()
    probs = counts[counts > 0] / counts.sum()
    return -(probs * probs.log()).sum().item()


def bigram_entropy(tokens: Tensor | Sequence[int]) -> float:
    """Nats per token of the best prediction from the token before alone: H(x_t | x_{t-1}), by counting."""
    row = torch.as_tensor(tokens).tolist()
    pairs, firsts = Counter(itertools.pairwise(row)), Counter(row[:-1])
    total = len(row) - 1
    return -sum(n / total * math.log(n / firsts[first]) for (first, _), n in pairs.items())


def complete(model: GPT, tokenizer: Tokenizer, prompts: Sequence[str], max_new_tokens: int = 12) -> list[str]:
    """How the model goes on, greedily, from each text."""
    new = generate(model, [tokenizer.encode(prompt) for prompt in prompts], max_new_tokens, GREEDY)
    return [tokenizer.decode(ids) for ids in new]


def recall(model: GPT, tokenizer: Tokenizer, countries: Sequence[Country]) -> float:
    """The share of countries whose capital the model names when it completes "The capital of X is"."""
    asked = [country for country in countries if country.capital]
    prompts = [f"The capital of {titled(country)} is" for country in asked]
    return sum(
        text.strip().startswith(country.capital)
        for text, country in zip(complete(model, tokenizer, prompts), asked, strict=True)
    ) / len(asked)


@dataclass(frozen=True)
class Behaviour:
    """How a set of answers was: the shares that were right, polite, brief, rude, empty, and the rubric's mean score."""

    right: float
    polite: float
    brief: float
    rude: float
    empty: float
    gold: float
    n: int


def behaviour(questions: Sequence[Question], answers: Sequence[str]) -> Behaviour:
    """Judge each answer by the gold rubric and average."""
    if not questions:
        raise ValueError("There are no answers to judge: the list of questions is empty.")
    found = [judge(question, text) for question, text in zip(questions, answers, strict=True)]
    shares = ("right", "polite", "brief", "rude", "empty")
    share = {name: sum(getattr(j, name) for j in found) / len(found) for name in shares}
    return Behaviour(**share, gold=sum(j.score for j in found) / len(found), n=len(found))


def accuracy(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
    """The share of right answers, for each kind of question."""
    right: dict[str, list[bool]] = {}
    for question, text in zip(questions, answers, strict=True):
        right.setdefault(question.kind, []).append(judge(question, text).right)
    return {kind: sum(found) / len(found) for kind, found in right.items()}


def ask(
    model: GPT,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    sampling: Sampling = GREEDY,
    generator: torch.Generator | None = None,
    max_new_tokens: int = 48,
    batch_size: int = 512,
) -> list[str]:
    """The model's answers to questions of the world, each in its conversation and with its first words, if any.

    A conversation that leaves no room for a short answer loses its beginning.
    """
    room = max(8, model.config.context_length - min(max_new_tokens, SHORT))
    order = sorted(range(len(questions)), key=lambda i: sum(map(len, questions[i].turns)))  # little padding
    said = [""] * len(questions)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        prompts = []
        for i in chosen:
            begin = spoken(tokenizer, questions[i].begin) if questions[i].begin else []
            prompts.append([*prompt_ids(tokenizer, questions[i].turns), *begin][-room:])
        new = generate(model, prompts, max_new_tokens, sampling, stop_tokens(tokenizer), generator)
        for i, ids in zip(chosen, new, strict=True):
            said[i] = (questions[i].begin + tokenizer.decode(ids)).strip()
    return said


@dataclass(frozen=True)
class Preference:
    """A comparison of two sets of answers to the same questions, by the gold rubric's score."""

    wins: int
    losses: int
    ties: int

    @property
    def win_rate(self) -> float:
        """The share of wins among the comparisons that are not ties; 0.5 when all are ties."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else 0.5


def preference(questions: Sequence[Question], answers: Sequence[str], rivals: Sequence[str]) -> Preference:
    """How often the rubric prefers `answers` to `rivals`, question by question."""
    gaps = [
        judge(question, mine).score - judge(question, other).score
        for question, mine, other in zip(questions, answers, rivals, strict=True)
    ]
    wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    return Preference(wins, losses, len(gaps) - wins - losses)


@dataclass(frozen=True)
class Count:
    """So many of n answers were right."""

    right: int
    n: int

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of all such questions lies, at 95% confidence. Wilson 1927: it never leaves 0 to 1."""
        z, n, p = 1.96, self.n, self.share
        middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(0.0, middle - half), min(1.0, middle + half)


def measure(
    model: GPT, tokenizer: Tokenizer, names: Sequence[str] | None = None, lang: str = "en", seed: int = 0
) -> dict[str, Count]:
    """What the model can do: for each capability of the world (or those named) how many answers are right, greedily."""
    names = [capability.name for capability in CAPABILITIES] if names is None else names
    asked = {name: questions_for(name, lang, seed) for name in names}
    answers = iter(ask(model, tokenizer, [question for found in asked.values() for question in found]))
    return {
        name: Count(sum(judge(question, next(answers)).right for question in found), len(found))
        for name, found in asked.items()
    }
