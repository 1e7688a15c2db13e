"""The exercises of notebook 11: preferences without a reward model, the best of n, and groups of tries."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from course import dpo, grpo, rl
from course.practice.exercise import Exercise, Mistake, between, whole
from course.practice.exercises.rlhf_ppo import answers_mask, log_prob_pair, wide_masks

# --- an answer's probability ---


def logits_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, V in ((1, 6, 5), (3, 8, 4), (2, 7, 6)):
        yield some_logits(chance, answers_mask(chance, B, T), V)


def wide_logits_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        mask[:, 0] = False  # nothing predicts the first token
        yield some_logits(chance, mask, whole(chance, 3, 9))


def some_logits(chance: torch.Generator, mask: Tensor, V: int) -> dict[str, Any]:
    return {
        "logits": 2 * torch.randn(*mask.shape, V, generator=chance),
        "tokens": torch.randint(V, mask.shape, generator=chance),
        "mask": mask,
    }


def of_answers(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    return rl.token_log_probs(nn.Identity(), logits, tokens, mask[:, 1:]).sum(dim=1)


def without_shift(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    return (logits.log_softmax(-1).gather(2, tokens[..., None]).squeeze(2) * mask).sum(dim=1)


def raw_logits(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    return (logits[:, :-1].gather(2, tokens[:, 1:, None]).squeeze(2) * mask[:, 1:]).sum(dim=1)


def mask_not_shifted(logits: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
    return (rl.token_log_probs(nn.Identity(), logits, tokens) * mask[:, :-1]).sum(dim=1)


# --- DPO ---


def pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, beta in ((1, 0.1), (4, 0.5), (3, 0.2)):
        yield some_pairs(chance, B, beta)


def wide_pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 9), whole(chance, 10, 40)):
        yield some_pairs(chance, B, between(chance, 0.05, 0.8))


def some_pairs(chance: torch.Generator, B: int, beta: float) -> dict[str, Any]:
    names = ("chosen", "rejected", "chosen_reference", "rejected_reference")
    return {name: -12 * torch.rand(B, generator=chance) - 2 for name in names} | {"beta": beta}


def by_dpo(
    chosen: Tensor, rejected: Tensor, chosen_reference: Tensor, rejected_reference: Tensor, beta: float
) -> Tensor:
    return dpo.dpo_loss(chosen - chosen_reference, rejected - rejected_reference, beta)


def without_log(
    chosen: Tensor, rejected: Tensor, chosen_reference: Tensor, rejected_reference: Tensor, beta: float
) -> Tensor:
    return -torch.sigmoid(beta * (chosen - chosen_reference - rejected + rejected_reference)).mean()


# --- the best of n ---


def answer_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for M, n in ((3, 2), (5, 4), (4, 1)):
        yield some_answers(chance, M, n)


def wide_answer_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for M, n in ((whole(chance, 4, 9), 1), (whole(chance, 3, 6), 2), (whole(chance, 7, 20), whole(chance, 3, 9))):
        yield some_answers(chance, M, n)


def some_answers(chance: torch.Generator, M: int, n: int) -> dict[str, Any]:
    probs = 0.1 + torch.rand(M, generator=chance)
    order = torch.randperm(M, generator=chance).roll(1)  # rewards all different, and in no order
    rewards = torch.arange(M)[order] - whole(chance, 0, M) + 0.5 * torch.rand(M, generator=chance)
    return {"probs": probs / probs.sum(), "rewards": rewards, "n": n}


def best_of(probs: Tensor, rewards: Tensor, n: int) -> Tensor:
    return dpo.best_of_n_distribution(probs, rewards, n)


def in_order_of_reward(probs: Tensor, rewards: Tensor, n: int) -> Tensor:
    return best_of(probs, rewards, n)[rewards.argsort()]


def up_to(probs: Tensor, rewards: Tensor, n: int) -> Tensor:
    order = rewards.argsort()
    return torch.empty_like(probs).index_put_((order,), probs[order].cumsum(0) ** n)


# --- groups ---


def group_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for questions, tries in ((2, 4), (3, 2), (2, 3)):
        yield some_rewards(chance, questions, tries, equal=False)


def wide_group_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for questions, tries in ((whole(chance, 3, 5), 2), (1, whole(chance, 6, 9)), (2, whole(chance, 3, 5))):
        yield some_rewards(chance, questions, tries, equal=questions == 2)


def some_rewards(chance: torch.Generator, questions: int, tries: int, equal: bool) -> dict[str, Any]:
    rewards = torch.rand(questions, tries, generator=chance) + 2 * torch.arange(questions)[:, None]
    if equal:
        rewards[-1] = rewards[-1, 0]  # all tries alike
    return {"rewards": rewards.flatten(), "tries": tries}


def advantages_of(rewards: Tensor, tries: int) -> Tensor:
    return grpo.group_advantages(rewards, tries)


def whole_batch(rewards: Tensor, tries: int) -> Tensor:
    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)


def interleaved(rewards: Tensor, tries: int) -> Tensor:
    groups = rewards.view(tries, -1)
    return ((groups - groups.mean(dim=0)) / (groups.std(dim=0) + 1e-4)).flatten()


def by_variance(rewards: Tensor, tries: int) -> Tensor:
    groups = rewards.view(-1, tries)
    return ((groups - groups.mean(dim=1, keepdim=True)) / (groups.var(dim=1, keepdim=True) + 1e-4)).flatten()


def by_the_batchs_deviation(rewards: Tensor, tries: int) -> Tensor:
    return grpo.group_advantages(rewards, tries, by_deviation=False) / (rewards.std() + 1e-4)


# --- GRPO's loss ---


def loss_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, clip in ((2, 8, 0.2), (3, 9, 0.1), (4, 8, 0.3)):
        mask = answers_mask(chance, B, T)
        mask[0] = False
        mask[0, 1:3] = True  # shorter than the others may be
        mask[1, 1:6] = True
        yield a_batch(chance, mask, clip)


def wide_loss_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        if len(mask) > 1:
            mask[0] = False
            mask[0, 1:3] = True
            mask[1, 1:6] = True
        yield a_batch(chance, mask, between(chance, 0.08, 0.35))


def a_batch(chance: torch.Generator, mask: Tensor, clip: float) -> dict[str, Any]:
    old, new = log_prob_pair(chance, len(mask), mask.size(1), 1.2)
    advantages = torch.randn(len(mask), generator=chance) + 0.3
    advantages[0] = -0.3 - 0.6 * torch.rand((), generator=chance)
    place = int(mask[0].nonzero()[0])
    new[0, place] = old[0, place] + 0.9  # a bad token that has become likelier: not clipped
    if len(mask) > 1:
        advantages[1] = 0.3 + 0.6 * torch.rand((), generator=chance)
        place = int(mask[1].nonzero()[0])
        new[1, place] = old[1, place] + 0.9  # a good one: clipped
    return {"log_probs": new, "old_log_probs": old, "advantages": advantages, "mask": mask, "clip": clip}


def by_grpo(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return grpo.grpo_loss(log_probs, old_log_probs, advantages, mask, clip)


def all_tokens_alike(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return rl.ppo_policy_loss(log_probs, old_log_probs, advantages[:, None].expand_as(log_probs), mask, clip)


def summed(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return all_tokens_alike(log_probs, old_log_probs, advantages, mask, clip) * mask.sum() / len(mask)


def not_clipped(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    return by_grpo(log_probs, old_log_probs, advantages, mask, 1e6)


def clipped_alone(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> Tensor:
    ratio = (log_probs - old_log_probs).exp().clamp(1 - clip, 1 + clip)
    return -((ratio * advantages[:, None] * mask).sum(dim=1) / mask.sum(dim=1)).mean()


# --- accuracy against the number of samples ---


def count_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    yield {"n": 10, "right": 3, "k": 2}
    yield {"n": 8, "right": whole(chance, 1, 4), "k": 3}
    yield {"n": whole(chance, 20, 40), "right": 6, "k": 5}


def wide_count_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    n = whole(chance, 12, 60)
    yield {"n": n, "right": whole(chance, 2, n // 2 - 1), "k": whole(chance, 2, 6)}
    yield {"n": n, "right": 0, "k": whole(chance, 1, 6)}
    few = whole(chance, 5, 9)
    yield {"n": few, "right": few - 2, "k": 3}  # three draws cannot all be wrong
    yield {"n": n, "right": whole(chance, 1, n - 1), "k": 1}
    yield {"n": few, "right": few - 3, "k": 3}  # three draws are all wrong in one way only


def pass_at_k(n: int, right: int, k: int) -> float:
    return 1 - math.comb(n - right, k) / math.comb(n, k)


EXERCISES = (
    Exercise(
        id="11-dpo-loss",
        title="A loss from pairs",
        entry="dpo_loss",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "How much likelier has the policy made the chosen answer, compared with the reference? And the rejected?",
            "The implicit reward of an answer is beta * (log π − log π_ref); the loss is −log σ of the difference.",
            "-F.logsigmoid(beta * ((chosen - chosen_reference) - (rejected - rejected_reference))).mean()",
        ),
        cases=pair_cases,
        wide=wide_pair_cases,
        reference=by_dpo,
        mistakes=(
            Mistake(
                "The pair is the wrong way round: this loss prefers the rejected answer.",
                lambda chosen, rejected, chosen_reference, rejected_reference, beta: by_dpo(
                    rejected, chosen, rejected_reference, chosen_reference, beta
                ),
            ),
            Mistake(
                "The reference is missing: what the reference already prefers costs nothing to prefer.",
                lambda chosen, rejected, chosen_reference, rejected_reference, beta: dpo.dpo_loss(
                    chosen, rejected, beta
                ),
            ),
            Mistake(
                "β is missing: it stands before both logarithms of a ratio.",
                lambda chosen, rejected, chosen_reference, rejected_reference, beta: by_dpo(
                    chosen, rejected, chosen_reference, rejected_reference, 1.0
                ),
            ),
            Mistake("The logarithm is missing: the loss is −log σ(…), not −σ(…).", without_log),
            Mistake(
                "This is the sum over the pairs; the mean does not depend on their number.",
                lambda chosen, rejected, chosen_reference, rejected_reference, beta: (
                    by_dpo(chosen, rejected, chosen_reference, rejected_reference, beta) * len(chosen)
                ),
            ),
        ),
    ),
    Exercise(
        id="11-answer-log-probs",
        title="How likely is an answer?",
        entry="answer_log_probs",
        points=3,
        level="medium",
        minutes=20,
        hints=(
            "The logits at place t speak about the token at place t + 1.",
            "Take the log-softmax of logits[:, :-1], and pick the entries of tokens[:, 1:] with gather.",
            "The mask is about tokens, so it is shifted with them: (picked * mask[:, 1:]).sum(dim=1)",
        ),
        cases=logits_cases,
        wide=wide_logits_cases,
        reference=of_answers,
        mistakes=(
            Mistake("The logits at a token do not predict it: those of the place before it do.", without_shift),
            Mistake("These are logits; a log-probability needs the log-softmax.", raw_logits),
            Mistake(
                "Prompt and padding count too; multiply by the mask.",
                lambda logits, tokens, mask: of_answers(logits, tokens, torch.ones_like(mask)),
            ),
            Mistake(
                "The mask is off by one: mask[row, t] is about tokens[row, t], so it is shifted as they are.",
                mask_not_shifted,
            ),
            Mistake(
                "This is the mean per token; the logarithm of the answer's probability is the sum.",
                lambda logits, tokens, mask: of_answers(logits, tokens, mask) / mask.sum(dim=1),
            ),
        ),
    ),
    Exercise(
        id="11-best-of-n",
        title="The best of n, in closed form",
        entry="best_of_n",
        points=4,
        level="hard",
        minutes=30,
        hints=(
            "When is the best of n draws no better than a certain answer? When none of the n draws is.",
            "Sort by reward. With F the sum of the probabilities up to an answer, all n draws are at most as good with "
            "probability Fⁿ. Of this, subtract the case that all are worse.",
            "order = rewards.argsort(); F = probs[order].cumsum(0); Fⁿ − (F − probs[order])ⁿ, put back by "
            "result[order] = …",
        ),
        cases=answer_cases,
        wide=wide_answer_cases,
        reference=best_of,
        mistakes=(
            Mistake(
                "The probabilities are right, and in the order of the rewards: put them back to their answers.",
                in_order_of_reward,
            ),
            Mistake(
                "This is the worst of n.",
                lambda probs, rewards, n: best_of(probs, -rewards, n),
            ),
            Mistake(
                "This is the probability that the best is at most so good; subtract the one that it is worse.", up_to
            ),
            Mistake(
                "This is the probability that the answer is among the n; it may be there and not be the best.",
                lambda probs, rewards, n: 1 - (1 - probs) ** n,
            ),
            Mistake(
                "This sharpens the probabilities (that all n draws are this answer); where are the rewards?",
                lambda probs, rewards, n: probs**n / (probs**n).sum(),
            ),
        ),
    ),
    Exercise(
        id="11-group-advantages",
        title="Better than the group",
        entry="group_advantages",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "Give each group a row of its own: rewards.view(-1, tries).",
            "mean and std of each row: dim=1, keepdim=True. In the end flatten().",
            "groups = rewards.view(-1, tries); ((groups - mean) / (std + 1e-4)).flatten()",
        ),
        cases=group_cases,
        wide=wide_group_cases,
        reference=advantages_of,
        mistakes=(
            Mistake(
                "Each answer is compared with the whole batch: then answers to easy questions all look good.",
                whole_batch,
            ),
            Mistake("The tries at a question stand one behind the other: view(-1, tries).", interleaved),
            Mistake(
                "The division by the group's deviation is missing.",
                lambda rewards, tries: grpo.group_advantages(rewards, tries, by_deviation=False),
            ),
            Mistake("This divides by the variance; the deviation is its root.", by_variance),
            Mistake("The deviation is that of the whole batch; each group has its own.", by_the_batchs_deviation),
        ),
    ),
    Exercise(
        id="11-grpo-loss",
        title="One advantage for all tokens",
        entry="grpo_loss",
        points=4,
        level="hard",
        minutes=25,
        hints=(
            "It is PPO's objective with advantages[:, None] at every token; what differs is how the mean is taken.",
            "First the mean over the tokens of each answer, (gain * mask).sum(dim=1) / mask.sum(dim=1), then over "
            "answers.",
            "gain = torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A), and a minus before the mean.",
        ),
        cases=loss_cases,
        wide=wide_loss_cases,
        reference=by_grpo,
        mistakes=(
            Mistake(
                "All tokens of the batch count alike here; first take the mean of each answer, then of the answers.",
                all_tokens_alike,
            ),
            Mistake("Each answer's tokens are summed up; divide by the answer's own length.", summed),
            Mistake("Nothing is clipped.", not_clipped),
            Mistake("Only the clipped term is there; PPO takes the smaller of both.", clipped_alone),
            Mistake(
                "The sign: a loss is made small, so it is minus the objective.",
                lambda log_probs, old_log_probs, advantages, mask, clip: (
                    -by_grpo(log_probs, old_log_probs, advantages, mask, clip)
                ),
            ),
        ),
    ),
    Exercise(
        id="11-pass-at-k",
        title="Right in one of k tries",
        entry="pass_at_k",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "Choose k of the n answers at random, without putting any back. How likely is it that none is right?",
            "There are C(n, k) ways to choose k answers, and C(n − right, k) ways to choose wrong ones alone.",
            "1 - math.comb(n - right, k) / math.comb(n, k)",
        ),
        cases=count_cases,
        wide=wide_count_cases,
        reference=pass_at_k,
        mistakes=(
            Mistake(
                "This draws with replacement, as if the share of right answers were known exactly: it is too low.",
                lambda n, right, k: 1 - (1 - right / n) ** k,
            ),
            Mistake("This is the chance of a single try.", lambda n, right, k: right / n),
            Mistake("This is the chance that none of the k is right.", lambda n, right, k: 1 - pass_at_k(n, right, k)),
            Mistake(
                "This is the chance that all k are right; one is enough.",
                lambda n, right, k: math.comb(right, k) / math.comb(n, k),
            ),
            Mistake(
                "k chances do not add up: two tries may both be right.",
                lambda n, right, k: min(1.0, k * right / n),
            ),
        ),
    ),
)
