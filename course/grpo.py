"""Group relative policy optimisation: several tries at each question, judged by a program, compared with one another.

Where an answer can be checked, no reward model is needed ("verifiable rewards"); and where a question is tried several
times, no value function: what is to be expected is the mean of the group. What remains of PPO is the clipped ratio.
Shao et al. 2024, arXiv:2402.03300 (GRPO); Lambert et al. 2024, arXiv:2411.15124 (verifiable rewards); DeepSeek-AI 2025,
arXiv:2501.12948 (R1, which learned to think in this way); Liu et al. 2025, arXiv:2503.20783 (Dr. GRPO).

Letters in shapes: B answers in a batch, T tokens of prompt and answer; what belongs to a token is (B, T - 1), as in
`course.rl`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course import loop
from course.optimizer import adamw, set_rate
from course.rl import against_own_tries, kl_estimate, masked_mean, ppo_policy_loss, rollout, token_log_probs
from course.runtime import generator
from course.train import PRECISIONS, precision_for
from course.transformer import GPT

# Judges answers: which prompts were asked, and the ids that were answered to each -> a reward for each, (B,).
Judge = Callable[[Sequence[int], Sequence[list[int]]], Tensor]


def group_advantages(rewards: Tensor, tries: int, by_deviation: bool = True) -> Tensor:
    """How much better each answer was than the group's mean, in deviations of the group: (B,).

    rewards: (B,), the tries at a question one behind the other. A group whose rewards are all equal teaches nothing: 0.
    by_deviation: divide by the deviation (Shao et al. 2024, section 4.1.2); Dr. GRPO does not, since it makes questions
    count more that nearly all tries solve, or nearly none.
    """
    advantages = against_own_tries(rewards, tries)
    if not by_deviation:
        return advantages
    deviation = rewards.view(-1, tries).std(dim=1).repeat_interleave(tries)
    return advantages / (deviation + 1e-4)


def grpo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float = 0.2,
    longest: int | None = None,
) -> Tensor:
    """PPO's clipped loss with one advantage for all tokens of an answer: the mean of each answer, then of the answers.

    advantages: (B,)   the others: (B, T - 1). Shao et al. 2024, equation 3, without its KL (see `kl_estimate`).
    longest: divide each answer's sum by this number instead of its own length (Dr. GRPO): else a wrong answer is blamed
    less per token the longer it is.
    """
    spread = advantages[:, None].expand_as(log_probs)
    lengths = mask.sum(dim=1, keepdim=True)
    weights = mask.to(log_probs.dtype) / lengths  # (B, T - 1): the tokens of an answer sum to 1
    if longest is None:
        return ppo_policy_loss(log_probs, old_log_probs, spread, weights, clip)
    return ppo_policy_loss(log_probs, old_log_probs, spread, mask, clip) * lengths.sum() / (len(mask) * longest)


@dataclass(frozen=True)
class GRPOConfig:
    """How to learn from tries. An iteration: `questions` are drawn, and each is tried `tries` times.

    epochs: how often each batch is learned from. kl_coefficient: the leash; with a program as judge none is needed.
    doctor: as Dr. GRPO has it, without division by deviation and length. anneal: let the rate fall along a line to 0.
    """

    iterations: int = 30
    questions: int = 8
    tries: int = 8
    max_new_tokens: int = 40
    temperature: float = 1.0
    learning_rate: float = 1e-4
    anneal: bool = True
    epochs: int = 2
    clip: float = 0.2
    kl_coefficient: float = 0.0
    doctor: bool = False
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.questions < 1 or self.epochs < 1 or self.max_new_tokens < 1:
            raise ValueError("GRPO needs 1 iteration, 1 question, 1 epoch and 1 new token at the least.")
        if self.tries < 2:
            raise ValueError(f"tries={self.tries}: an answer is compared with others to its question; use 2 or more.")
        if not self.temperature > 0 or not self.clip > 0 or not self.learning_rate > 0:
            raise ValueError(
                f"temperature={self.temperature}, clip={self.clip}, learning_rate={self.learning_rate} must be above 0."
            )
        if self.kl_coefficient < 0:
            raise ValueError(f"kl_coefficient={self.kl_coefficient} would reward drifting away; use 0 or more.")
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision="{self.precision}" is unknown; choose one of {", ".join(PRECISIONS)}.')


@dataclass(frozen=True)
class GroupRecord:
    """What one iteration showed. reward: the mean. idle: the share of groups whose rewards were all equal.

    entropy: nats per token. length: tokens per answer. prompts: which were asked. answers: their ids. replayed: from
    before a resumption.
    """

    iteration: int
    reward: float
    idle: float
    entropy: float
    length: float
    loss: float
    seconds: float
    prompts: list[int]
    answers: list[list[int]]
    replayed: bool = False

    def summary(self) -> str:
        """For the bar."""
        return f"reward {self.reward:.2f}, {self.length:.0f} tokens"


def grpo(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    judge: Judge,
    end_token: int,
    config: GRPOConfig = GRPOConfig(),
    *,
    reference: GPT | None = None,
    checkpoint: Path | None = None,
    save_seconds: float = 20.0,
    progress: bool | str = True,
) -> Iterator[GroupRecord]:
    """Tune `policy` where it is, yielding a record after each iteration.

    An iteration: try, judge, compare within each group, take a few clipped steps. An answer that did not end earns 0,
    whatever the judge says. reference: where the leash is fastened; needed when `kl_coefficient` is not 0.
    checkpoint: as for `course.train.train`; `judge` must then be the same as before. Raises ValueError without a
    reference where one is needed.
    """
    if config.kl_coefficient and reference is None:
        raise ValueError(f"kl_coefficient={config.kl_coefficient} needs a reference model; pass one, or use 0.")
    device = policy.token_embedding.weight.device
    dtype = precision_for(device, config.precision)
    autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    optimizer = adamw(list(policy.parameters()), config.learning_rate, weight_decay=0.0)
    longest = config.max_new_tokens if config.doctor else None

    def log_probs_of(model: GPT, tokens: Tensor, mask: Tensor) -> Tensor:
        with autocast:
            return token_log_probs(model.head, model.hidden(tokens), tokens, mask, config.temperature)

    def iteration(number: int) -> GroupRecord:
        started = time.perf_counter()
        set_rate(optimizer, config.learning_rate * (1 - config.anneal * number / config.iterations))
        chance = generator(config.seed * 1_000_003 + number)
        drawn = torch.randint(len(prompts), (config.questions,), generator=chance)
        asked: list[int] = drawn.repeat_interleave(config.tries).tolist()
        tried = rollout(
            policy, [prompts[i] for i in asked], end_token, config.max_new_tokens, config.temperature, chance
        )  # fmt: skip
        tokens, mask = tried.tokens, tried.mask
        rewards = judge(asked, tried.answers).to(device, torch.float32) * tried.finished
        advantages = group_advantages(rewards, config.tries, by_deviation=not config.doctor)
        with torch.no_grad():
            old_log_probs = log_probs_of(policy, tokens, mask)
            reference_log_probs = old_log_probs if reference is None else log_probs_of(reference, tokens, mask)
        losses = []
        for _ in range(config.epochs):
            log_probs = log_probs_of(policy, tokens, mask)
            loss = grpo_loss(log_probs, old_log_probs, advantages, mask, config.clip, longest)
            if config.kl_coefficient:
                weights = mask / mask.sum(dim=1, keepdim=True)
                loss = loss + config.kl_coefficient * kl_estimate(log_probs, reference_log_probs, weights).mean()
            if not loss.isfinite():
                raise FloatingPointError(
                    f"The loss became {loss.item()} in iteration {number}; try a third of the learning rate."
                )
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
        groups = rewards.view(-1, config.tries)
        return GroupRecord(
            iteration=number,
            reward=rewards.mean().item(),
            idle=(groups == groups[:, :1]).all(dim=1).float().mean().item(),
            entropy=-masked_mean(old_log_probs, mask).item(),
            length=mask.sum(dim=1).float().mean().item(),
            loss=sum(losses) / len(losses),
            seconds=time.perf_counter() - started,
            prompts=asked,
            answers=tried.answers,
        )

    identity = {
        "config": asdict(config),
        "precision": str(dtype),
        "prompts": [list(prompt) for prompt in prompts],
        "end_token": end_token,
        "judge": getattr(judge, "__qualname__", type(judge).__qualname__),
        "start": loop.weights_fingerprint(policy, *([] if reference is None else [reference])),
    }
    yield from loop.run(
        iteration, config.iterations, GroupRecord, policy, optimizer, identity,
        checkpoint=checkpoint, save_seconds=save_seconds, progress="GRPO" if progress is True else progress,
    )  # fmt: skip
