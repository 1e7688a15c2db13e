"""The exercises of notebook 10: policy gradients, the KL leash, whose tokens earned the reward, and PPO's objective."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from course import rl
from course.practice.exercise import Exercise, Mistake, between, whole


def episodes(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (4, 8, 6):
        rewards = torch.randn(B, generator=chance) * 2 + 3
        yield {"log_probs": -5 * torch.rand(B, generator=chance) - 0.5, "rewards": rewards}


def wide_episodes(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (2, whole(chance, 3, 9), whole(chance, 10, 50)):
        rewards = torch.randn(B, generator=chance) * between(chance, 1, 3) + between(chance, 2, 4)
        yield {"log_probs": -5 * torch.rand(B, generator=chance) - 0.5, "rewards": rewards}


def reinforce(log_probs: Tensor, rewards: Tensor) -> Tensor:
    return rl.reinforce_loss(log_probs, rewards - rewards.mean())


def answers_mask(chance: torch.Generator, B: int, T: int) -> Tensor:
    """Each row: a prompt, an answer of at least two tokens, padding of at least one; none in the last of many rows."""
    mask = torch.zeros(B, T, dtype=torch.bool)
    for row in range(B):
        start = int(torch.randint(1, 3, (), generator=chance))
        end = int(torch.randint(start + 2, T, (), generator=chance))
        mask[row, start : T if row and row == B - 1 else end] = True
    return mask


def wide_masks(chance: torch.Generator) -> Iterator[Tensor]:
    """One row, some rows, and rows in which the answer may begin and end anywhere: in the middle, at both borders."""
    T = whole(chance, 6, 14)
    yield answers_mask(chance, 1, T)
    yield answers_mask(chance, whole(chance, 2, 5), T)
    starts = [1, 0, *(whole(chance, 0, T - 2) for _ in range(whole(chance, 1, 3)))]
    ends = [T - 1, T, *(whole(chance, start + 2, T) for start in starts[2:])]
    place = torch.arange(T)
    yield torch.stack([(start <= place) & (place < end) for start, end in zip(starts, ends, strict=True)])


def log_prob_pair(chance: torch.Generator, B: int, T: int, spread: float = 0.4) -> tuple[Tensor, Tensor]:
    first = -3 * torch.rand(B, T, generator=chance) - 0.2
    step = spread * (0.25 + torch.rand(B, T, generator=chance))
    sign = 1 - 2.0 * torch.randint(0, 2, (B, T), generator=chance)
    return first, first + sign * step


def leash_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, beta in ((1, 6, 0.1), (3, 8, 0.5), (2, 7, 0.25)):
        yield a_leash(chance, answers_mask(chance, B, T), beta)


def wide_leash_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        yield a_leash(chance, mask, between(chance, 0.05, 0.6))


def a_leash(chance: torch.Generator, mask: Tensor, beta: float) -> dict[str, Any]:
    log_probs, reference = log_prob_pair(chance, len(mask), mask.size(1), 1.0)
    return {
        "score": torch.randn(len(mask), generator=chance) + 2,
        "log_probs": log_probs,
        "reference_log_probs": reference,
        "mask": mask,
        "beta": beta,
    }


def leashed(score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float) -> Tensor:
    return rl.token_rewards(score, log_probs, reference_log_probs, mask, beta)


def score_everywhere(
    score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float
) -> Tensor:
    return (score[:, None] - beta * (log_probs - reference_log_probs)) * mask


def score_instead(score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float) -> Tensor:
    rewards = -beta * (log_probs - reference_log_probs) * mask
    rewards[torch.arange(len(mask)), (torch.arange(mask.size(1)) * mask).argmax(dim=1)] = score
    return rewards


def score_too_early(score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float) -> Tensor:
    rewards = -beta * (log_probs - reference_log_probs) * mask
    rewards[torch.arange(len(mask)), mask.sum(dim=1) - 1] += score
    return rewards


def score_in_the_last_column(
    score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float
) -> Tensor:
    rewards = -beta * (log_probs - reference_log_probs) * mask
    rewards[:, -1] += score
    return rewards


def penalty_everywhere(
    score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, beta: float
) -> Tensor:
    outside = -beta * (log_probs - reference_log_probs) * ~mask
    return leashed(score, log_probs, reference_log_probs, mask, beta) + outside


def gae_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, gamma, lam in ((1, 5, 0.9, 0.8), (3, 7, 0.95, 0.7), (2, 6, 0.8, 0.9)):
        yield some_values(chance, answers_mask(chance, B, T), gamma, lam)


def wide_gae_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        case = some_values(chance, mask, between(chance, 0.7, 0.97), between(chance, 0.6, 0.95))
        case["rewards"][mask.cumsum(1) == 2] = 0.0  # not every token of an answer earns something
        yield case


def some_values(chance: torch.Generator, mask: Tensor, gamma: float, lam: float) -> dict[str, Any]:
    return {
        "rewards": (1 + torch.rand(mask.shape, generator=chance)) * mask,
        "values": 1 + torch.rand(mask.shape, generator=chance),
        "mask": mask,
        "gamma": gamma,
        "lam": lam,
    }


def by_gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return rl.gae(rewards, values, mask, gamma, lam)[0]


def one_step(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return by_gae(rewards, values, mask, gamma, 0.0)


def monte_carlo(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return by_gae(rewards, values, mask, gamma, 1.0)


def returns_instead(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    return rl.gae(rewards, values, mask, gamma, lam)[1]


def forgets_gamma(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """A_t = δ_t + λ A_{t+1}, with γ in δ only."""
    return _gae_by_hand(rewards, values, mask, gamma, lam)


def values_leak(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """The value behind the answer's end is used as if the answer went on."""
    following = torch.cat((values[:, 1:], torch.zeros_like(values[:, :1])), dim=1)
    delta = rewards + gamma * following - values
    advantages, advantage = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.size(1))):
        advantage = (delta[:, t] + gamma * lam * advantage) * mask[:, t]
        advantages[:, t] = advantage
    return advantages


def _gae_by_hand(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, factor: float) -> Tensor:
    values = values * mask
    following = torch.cat((values[:, 1:], torch.zeros_like(values[:, :1])), dim=1)
    delta = rewards + gamma * following - values
    advantages, advantage = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.size(1))):
        advantage = (delta[:, t] + factor * advantage) * mask[:, t]
        advantages[:, t] = advantage
    return advantages


def objective_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, clip in ((2, 7, 0.2), (3, 8, 0.1), (4, 6, 0.3)):
        yield a_batch(chance, answers_mask(chance, B, T), clip)


def wide_objective_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        yield a_batch(chance, mask, between(chance, 0.08, 0.35))


def a_batch(chance: torch.Generator, mask: Tensor, clip: float) -> dict[str, Any]:
    old, new = log_prob_pair(chance, len(mask), mask.size(1), 1.2)
    advantages = torch.randn(mask.shape, generator=chance) + 0.3
    # One token of each sort that the clip decides, in the first row's answer: (ρ above, A < 0), (ρ above, A > 0).
    first, second = mask[0].nonzero()[:2, 0].tolist()
    new[0, first], advantages[0, first] = old[0, first] + 0.9, -2.0
    new[0, second], advantages[0, second] = old[0, second] + 0.9, 2.5
    return {"log_probs": new, "old_log_probs": old, "advantages": advantages, "mask": mask, "clip": clip}


def objective(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float, how: str = ""
) -> Tensor:
    """The negative of PPO's clipped objective; `how` names a mistake."""
    ratio = (log_probs - old_log_probs).exp()
    plain, clipped = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    if how == "max":
        return -rl.masked_mean(torch.maximum(plain, clipped), mask)
    if how == "unclipped":
        return -rl.masked_mean(plain, mask)
    if how == "clipped alone":
        return -rl.masked_mean(clipped, mask)
    if how == "all":
        return -torch.minimum(plain, clipped).mean()
    return rl.ppo_policy_loss(log_probs, old_log_probs, advantages, mask, clip)


def curve_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, peak in ((12, 4), (30, 11), (20, 7)):
        steps = torch.arange(n).float()
        gold = 2.5 - 0.02 * (steps - peak) ** 2 + 0.005 * torch.rand(n, generator=chance)
        kl = 0.8 * steps + 0.2 * torch.rand(n, generator=chance)
        kl[1] = 50.0  # it jumps once, early
        proxy = 0.3 * steps + 0.4 * (-1) ** steps + 0.02 * torch.rand(n, generator=chance)  # restless, yet rising
        for budget in (kl[peak - 2].item(), 100.0):  # the first is spent exactly
            yield {"proxy": proxy.tolist(), "gold": gold.tolist(), "kl": kl.tolist(), "budget": budget}


def wide_curve_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    n = whole(chance, 8, 90)
    for best in (0, n - 1, whole(chance, 1, n // 2 - 1) * 2, whole(chance, 1, n // 2 - 1) * 2 - 1):
        steps = torch.arange(n)
        gold = 1 + torch.rand(n, generator=chance)
        kl = 0.1 * steps + 5 * torch.rand(n, generator=chance)
        budget = kl.mean()
        kl[best] = budget if best < n - 1 else 0.7 * budget  # often just what one is willing to spend
        tempting = (best + whole(chance, 1, n - 1)) % n  # better still, and too far away
        gold[best], gold[tempting], kl[tempting] = 2.1, 2.5, budget + 0.5
        gold -= 4 * (best % 2)  # scores may be negative
        proxy = 0.1 * steps + 3 * torch.rand(n, generator=chance)
        yield {"proxy": proxy.tolist(), "gold": gold.tolist(), "kl": kl.tolist(), "budget": budget.item()}


def when_to_stop(proxy: list[float], gold: list[float], kl: list[float], budget: float) -> int:
    allowed = [step for step, spent in enumerate(kl) if spent <= budget]
    return max(allowed, key=lambda step: gold[step])


def kl_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T in ((1, 6), (3, 8), (2, 7)):
        yield a_distance(chance, answers_mask(chance, B, T))


def wide_kl_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for mask in wide_masks(chance):
        yield a_distance(chance, mask)


def a_distance(chance: torch.Generator, mask: Tensor) -> dict[str, Any]:
    reference, log_probs = log_prob_pair(chance, len(mask), mask.size(1), 0.8)
    log_probs[0] = reference[0] - 0.5  # a row in which log π - log π_ref is negative everywhere
    return {"log_probs": log_probs, "reference_log_probs": reference, "mask": mask}


def kl_of(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor) -> Tensor:
    return rl.kl_estimate(log_probs, reference_log_probs, mask)


EXERCISES = (
    Exercise(
        id="10-reinforce",
        title="The plainest policy gradient",
        entry="reinforce_loss",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "What is better than expected? Here the mean reward of the whole batch is what was to be expected.",
            "advantage = reward − mean reward; an answer with a positive advantage should become likelier.",
            "A loss is made small, so it carries a minus: -(log_probs * (rewards - rewards.mean())).mean()",
        ),
        cases=episodes,
        wide=wide_episodes,
        reference=reinforce,
        mistakes=(
            Mistake(
                "The sign: with this loss good answers become less likely.",
                lambda log_probs, rewards: -reinforce(log_probs, rewards),
            ),
            Mistake(
                "The baseline is missing: every answer with a positive reward is pushed up, good or not so good.",
                lambda log_probs, rewards: -(log_probs * rewards).mean(),
            ),
            Mistake(
                "This is the sum; the mean does not depend on the number of answers.",
                lambda log_probs, rewards: reinforce(log_probs, rewards) * len(rewards),
            ),
            Mistake(
                "The advantages are divided by their deviation, too; only the mean is taken away here.",
                lambda log_probs, rewards: reinforce(log_probs, rewards / rewards.std()),
            ),
            Mistake(
                "The gradient needs log π, not π: you took the exponential.",
                lambda log_probs, rewards: reinforce(log_probs.exp(), rewards),
            ),
            Mistake(
                "The baseline is added; subtract the mean reward.",
                lambda log_probs, rewards: rl.reinforce_loss(log_probs, rewards + rewards.mean()),
            ),
        ),
    ),
    Exercise(
        id="10-kl-leash",
        title="The leash",
        entry="leashed_rewards",
        points=3,
        level="medium",
        minutes=20,
        hints=(
            "Two things are added: a penalty at every token of the answer, and the score at its last token.",
            "The penalty of a token: -beta * (log_probs - reference_log_probs), and 0 outside the answer.",
            "The last token of each row's answer: the largest t with mask[row, t]. For example "
            "(torch.arange(T) * mask).argmax(dim=1).",
        ),
        cases=leash_cases,
        wide=wide_leash_cases,
        reference=leashed,
        mistakes=(
            Mistake(
                "The leash pulls the wrong way: it rewards distance from the reference. −β (log π − log π_ref).",
                lambda score, log_probs, reference_log_probs, mask, beta: leashed(
                    score, log_probs, reference_log_probs, mask, -beta
                ),
            ),
            Mistake(
                "The score stands at every token; it is earned once, at the answer's last token.", score_everywhere
            ),
            Mistake("At the last token the score has replaced the penalty; add it to the penalty.", score_instead),
            Mistake(
                "The last token is counted from the answer's beginning; the prompt stands before it.", score_too_early
            ),
            Mistake("The score stands in the last column, which is padding in most rows.", score_in_the_last_column),
            Mistake(
                "There is no leash: the penalty −β (log π − log π_ref) is missing.",
                lambda score, log_probs, reference_log_probs, mask, beta: leashed(
                    score, log_probs, reference_log_probs, mask, 0.0
                ),
            ),
            Mistake(
                "Prompt and padding are penalised too; only the answer's tokens are the policy's doing.",
                penalty_everywhere,
            ),
        ),
    ),
    Exercise(
        id="10-gae",
        title="Whose tokens earned it?",
        entry="advantages_by_gae",
        points=4,
        level="hard",
        minutes=30,
        hints=(
            "Go backwards: the last token's advantage first, then the one before it.",
            "δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γ λ A_{t+1}. Behind the answer's end both V and A are 0.",
            "values = values * mask; then a loop over t from T − 1 down to 0 with two variables, next_value and "
            "advantage; multiply each advantage by mask[:, t].",
        ),
        cases=gae_cases,
        wide=wide_gae_cases,
        reference=by_gae,
        mistakes=(
            Mistake("λ is missing: this is only the one-step error δ_t.", one_step),
            Mistake("λ is not used: this is the whole return minus the value, as with λ = 1.", monte_carlo),
            Mistake("These are the returns; the advantage is the return minus the value.", returns_instead),
            Mistake("In A_t = δ_t + γ λ A_{t+1} the γ is missing.", forgets_gamma),
            Mistake(
                "The value behind the end of the answer leaks in; there it is 0: multiply the values by the mask.",
                values_leak,
            ),
        ),
    ),
    Exercise(
        id="10-ppo-objective",
        title="Not too far in one step",
        entry="ppo_loss",
        points=4,
        level="hard",
        minutes=25,
        hints=(
            "The ratio of new to old probability: ρ = (log_probs - old_log_probs).exp().",
            "Two candidates: ρ A, and clip(ρ, 1 − ε, 1 + ε) A. Take the smaller: the pessimist's choice.",
            "Average over the answer's tokens only, (x * mask).sum() / mask.sum(), and take the negative.",
        ),
        cases=objective_cases,
        wide=wide_objective_cases,
        reference=objective,
        mistakes=(
            Mistake(
                "The larger of the two is taken; the smaller one it must be: min.",
                lambda **c: objective(**c, how="max"),
            ),
            Mistake(
                "Nothing is clipped: one batch may throw the policy anywhere.",
                lambda **c: objective(**c, how="unclipped"),
            ),
            Mistake(
                "Only the clipped term is used; then a token that went too far the wrong way cannot come back: min.",
                lambda **c: objective(**c, how="clipped alone"),
            ),
            Mistake("The sign: a loss is the negative of what should grow.", lambda **c: -objective(**c)),
            Mistake(
                "Prompt and padding are in the mean; divide by the number of the answers' tokens.",
                lambda **c: objective(**c, how="all"),
            ),
        ),
    ),
    Exercise(
        id="10-when-to-stop",
        title="Read the plot of over-optimisation",
        entry="when_to_stop",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "The proxy stays high even where the answers are bad; that is the trap. Which curve says how good they "
            "really are?",
            "Leave out the steps whose KL is above the budget; of the others take that with the highest gold score.",
            "max((step for step in range(len(gold)) if kl[step] <= budget), key=lambda step: gold[step])",
        ),
        cases=curve_cases,
        wide=wide_curve_cases,
        reference=when_to_stop,
        mistakes=(
            Mistake(
                "You trust the proxy: it is high where the answers are bad, too. Look at gold.",
                lambda proxy, gold, kl, budget: when_to_stop(gold, proxy, kl, budget),
            ),
            Mistake(
                "The budget is not kept: the KL of this step is above it.",
                lambda proxy, gold, kl, budget: when_to_stop(proxy, gold, kl, 1e9),
            ),
            Mistake(
                "This is the last step within the budget, not the best one.",
                lambda proxy, gold, kl, budget: max(step for step, spent in enumerate(kl) if spent <= budget),
            ),
            Mistake(
                "This is the gold score itself; the number of its step is asked for.",
                lambda **c: c["gold"][when_to_stop(**c)],
            ),
            Mistake(
                "You take the lowest gold score; the highest is the best.",
                lambda proxy, gold, kl, budget: when_to_stop(proxy, [-g for g in gold], kl, budget),
            ),
        ),
    ),
    Exercise(
        id="10-negative-kl",
        title="A distance below zero",
        entry="repaired_kl",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "The mean of log π − log π_ref over many answers is the KL; of a single answer it is often below 0.",
            "Schulman's estimate is never negative: with r = π_ref / π it is r − 1 − log r; its mean is right.",
            "log_r = reference_log_probs - log_probs; ((log_r.exp() - 1 - log_r) * mask).sum(dim=1)",
        ),
        cases=kl_cases,
        wide=wide_kl_cases,
        reference=kl_of,
        mistakes=(
            Mistake(
                "This still is log π − log π_ref, which is negative for some answers.",
                lambda log_probs, reference_log_probs, mask: ((log_probs - reference_log_probs) * mask).sum(dim=1),
            ),
            Mistake(
                "The absolute value is never negative, but its mean is not the KL: it is too large.",
                lambda log_probs, reference_log_probs, mask: ((log_probs - reference_log_probs).abs() * mask).sum(
                    dim=1
                ),
            ),
            Mistake(
                "Cutting off at 0 is never negative, but its mean is not the KL: it is too large.",
                lambda log_probs, reference_log_probs, mask: (
                    ((log_probs - reference_log_probs) * mask).sum(dim=1).clamp(min=0)
                ),
            ),
            Mistake(
                "The ratio is the wrong way round: r = π_ref / π.",
                lambda log_probs, reference_log_probs, mask: kl_of(reference_log_probs, log_probs, mask),
            ),
            Mistake(
                "Prompt and padding count too: multiply by the mask.",
                lambda log_probs, reference_log_probs, mask: kl_of(
                    log_probs, reference_log_probs, torch.ones_like(mask)
                ),
            ),
            Mistake(
                "This is the mean over all places; the KL of an answer is the sum over its tokens.",
                lambda log_probs, reference_log_probs, mask: kl_of(log_probs, reference_log_probs, mask) / mask.size(1),
            ),
        ),
    ),
)
