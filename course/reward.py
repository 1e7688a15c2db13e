"""Step 2 of ChatGPT: people rank several answers, and a reward model learns to rank as they do.

The reward model is the tuned GPT with its head exchanged: instead of a score for every next token, one number for
the whole answer, read at its last token. Bradley and Terry (1952) say how rewards explain a choice:
P(a preferred to b) = σ(r_a - r_b). A ranking of K answers holds K(K-1)/2 such choices.
Ouyang et al. 2022, section 3.5, arXiv:2203.02155; Stiennon et al. 2020, arXiv:2009.01325.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.chat import answer_ids, prompt_ids
from course.sft import pad_right, shuffled_indices
from course.tokenizer import Tokenizer
from course.transformer import GPT


@dataclass(frozen=True)
class Ranking:
    """A question, or a conversation with the question last, and K answers to it, the best first, as somebody ranked."""

    question: str | Sequence[str]
    answers: tuple[str, ...]


class RewardModel(nn.Module):
    """A GPT's body and one number at the last token. Its own copy of the weights is trained, not the policy's.

    `shift` and `scale` bring the rewards of the training answers to mean 0 and deviation 1 (see `normalise`): pairs
    fix only differences, and the reinforcement learner wants to know what zero and one mean.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, gpt: GPT):
        super().__init__()
        self.gpt = gpt
        self.config = gpt.config
        self.head = nn.Linear(gpt.config.d_model, 1, bias=False)
        nn.init.zeros_(self.head.weight)  # before training, all answers are equally good
        self.register_buffer("shift", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """tokens: (B, T), padded on the right   lengths: (B,), tokens that count. Returns rewards (B,)."""
        hidden = self.gpt.hidden(tokens)  # (B, T, D); causal: padding changes nothing before it
        last = hidden[torch.arange(len(tokens), device=tokens.device), lengths - 1]  # (B, D)
        return (self.head(last).squeeze(-1).float() - self.shift) / self.scale

    def by_length(self, tokens: Tensor, lengths: Tensor, parts: int = 4) -> Tensor:
        """What `forward` gives, from `parts` groups of rows of like length, so that less padding is computed."""
        groups = lengths.argsort().chunk(parts)
        rewards = [self(tokens[rows, : int(lengths[rows].max())], lengths[rows]) for rows in groups]
        return torch.cat(rewards)[torch.cat(groups).argsort()]  # in the order that they came in

    @torch.no_grad()
    def normalise(self, rewards: Tensor) -> None:
        """Choose shift and scale so that `rewards`, given by this model, would have had mean 0 and deviation 1."""
        raw = rewards.to(self.scale.device) * self.scale + self.shift
        if raw.device.type != "meta" and not (len(raw) > 1 and raw.std() > 0):
            raise ValueError(
                f"The {len(raw)} rewards are all the same: there is nothing to scale. Train the model first."
            )
        self.shift.copy_(raw.mean())
        self.scale.copy_(raw.std())


def bradley_terry_loss(rewards: Tensor) -> Tensor:
    """-log σ(r_better - r_worse), averaged over all pairs of each ranking and over the rankings.

    rewards: (B, K), the best answer's first. Returns a scalar. All pairs of one ranking stand in one batch, as in
    Ouyang et al.: spread over batches they would be seen K - 1 times each and soon be learned by heart.
    """
    better, worse = torch.triu_indices(rewards.size(-1), rewards.size(-1), offset=1, device=rewards.device)
    return -F.logsigmoid(rewards[:, better] - rewards[:, worse]).mean()


def ranking_loss(model: RewardModel, tokens: Tensor, lengths: Tensor) -> Tensor:
    """The Bradley-Terry loss of a batch of rankings. tokens: (B, K, T)   lengths: (B, K). Returns a scalar."""
    rewards = model.by_length(tokens.flatten(0, 1), lengths.flatten())  # (B · K,)
    return bradley_terry_loss(rewards.view(lengths.shape))


class RankingBatches:
    """batches[step] is tokens (batch_size, K, T) and lengths (batch_size, K), each row's best answer first."""

    def __init__(self, tokenizer: Tokenizer, rankings: Sequence[Ranking], batch_size: int = 16, seed: int = 0):
        if len(rankings) < batch_size:
            raise ValueError(
                f"{len(rankings)} rankings do not fill one batch of {batch_size}; use a smaller batch_size."
            )
        if len({len(ranking.answers) for ranking in rankings}) != 1:
            raise ValueError("The rankings hold different numbers of answers; give every question the same number.")
        if rankings and len(rankings[0].answers) < 2:
            raise ValueError("A ranking of one answer holds no pair to learn from; give two or more answers to each.")
        self.rows = [
            [tuple(conversation_ids(tokenizer, ranking.question, answer)) for answer in ranking.answers]
            for ranking in rankings
        ]
        self.batch_size, self.seed = batch_size, seed

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        chosen = [self.rows[i] for i in shuffled_indices(len(self.rows), self.batch_size, step, self.seed)]
        flat = [ids for row in chosen for ids in row]
        K = len(chosen[0])
        tokens = pad_right(flat, 0)
        lengths = torch.tensor([len(ids) for ids in flat])
        return tokens.view(len(chosen), K, -1), lengths.view(len(chosen), K)

    @property
    def fingerprint(self) -> str:
        """Changes when the data changes (see `TokenBatches.fingerprint`)."""
        return f"{zlib.crc32(repr(self.rows).encode()):08x}-{self.batch_size}-{self.seed}"


def conversation_ids(tokenizer: Tokenizer, question: str | Sequence[str], answer: str) -> list[int]:
    """<|user|> question<|assistant|> answer<|end|> : what a reward model reads."""
    return prompt_ids(tokenizer, question) + answer_ids(tokenizer, answer)


@torch.no_grad()
def score(
    model: RewardModel, tokenizer: Tokenizer, pairs: Sequence[tuple[str | Sequence[str], str]], batch_size: int = 256
) -> Tensor:
    """The rewards of (question, answer) pairs: (N,), on the CPU. A question may be a conversation."""
    device = model.head.weight.device
    rewards = []
    for start in range(0, len(pairs), batch_size):
        rows = [conversation_ids(tokenizer, question, answer) for question, answer in pairs[start : start + batch_size]]
        lengths = torch.tensor([len(row) for row in rows], device=device)
        rewards.append(model.by_length(pad_right(rows, 0).to(device), lengths).cpu())
    return torch.cat(rewards) if rewards else torch.zeros(0)


def agreement(rewards: Tensor, gold: Tensor) -> float:
    """The share of pairs within rows that `rewards` orders as `gold` does; pairs that gold leaves tied do not count.

    rewards, gold: (N, K). A pair tied by `rewards` alone counts half. Raises ValueError when gold ties all pairs.
    """
    better, worse = torch.triu_indices(gold.size(1), gold.size(1), offset=1)
    wanted = (gold[:, better] - gold[:, worse]).sign()
    given = (rewards[:, better] - rewards[:, worse]).sign()
    counts = wanted != 0
    if not counts.any():
        raise ValueError("The gold scores tie every pair: there is no order to agree with.")
    return (1 + (wanted * given)[counts].double().mean().item()) / 2
