"""What is measured of a model: how well it predicts, what it knows, how it behaves, which of two is preferred.

In the atlas world every answer can be judged exactly (`course.world.atlas.judge`), so each stage of the chain has
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

from course.chat import answer
from course.generate import GREEDY, Sampling, generate
from course.tokenizer import Tokenizer
from course.transformer import GPT
from course.world.atlas import Country, Question, judge


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
    prompts = [f"The capital of {country.name} is" for country in countries]
    return sum(
        text.strip().startswith(country.capital)
        for text, country in zip(complete(model, tokenizer, prompts), countries, strict=True)
    ) / len(countries)


@dataclass(frozen=True)
class Behaviour:
    """How a set of answers was: the shares that were right, polite, brief, rude, and the rubric's mean score."""

    right: float
    polite: float
    brief: float
    rude: float
    gold: float
    n: int


def behaviour(questions: Sequence[Question], answers: Sequence[str]) -> Behaviour:
    """Judge each answer by the gold rubric and average."""
    if not questions:
        raise ValueError("There are no answers to judge: the list of questions is empty.")
    found = [judge(question, text) for question, text in zip(questions, answers, strict=True)]
    share = {name: sum(getattr(j, name) for j in found) / len(found) for name in ("right", "polite", "brief", "rude")}
    return Behaviour(**share, gold=sum(j.score for j in found) / len(found), n=len(found))


def accuracy(questions: Sequence[Question], answers: Sequence[str]) -> dict[str, float]:
    """The share of right answers, for each relation asked about."""
    right: dict[str, list[bool]] = {}
    for question, text in zip(questions, answers, strict=True):
        right.setdefault(question.relation, []).append(judge(question, text).right)
    return {relation: sum(found) / len(found) for relation, found in right.items()}


def ask(
    model: GPT,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    sampling: Sampling = GREEDY,
    generator: torch.Generator | None = None,
    max_new_tokens: int = 32,
) -> list[str]:
    """The model's answers to atlas questions."""
    return answer(model, tokenizer, [q.prompt for q in questions], sampling, max_new_tokens, generator)


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
