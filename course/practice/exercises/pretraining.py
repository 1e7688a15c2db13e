"""The exercises of notebook 04: what is predicted, what a loss can be compared with, and a step of training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course import evaluate
from course.practice.exercise import Exercise, Mistake, between, different, whole
from course.train import TrainConfig
from course.train import learning_rate_at as library_rate


def some_tokens(chance: torch.Generator, n: int, vocab_size: int = 50) -> Tensor:
    """A row in which neighbours always differ, so that a shift is always seen."""
    steps = torch.randint(1, vocab_size, (n,), generator=chance)
    return steps.cumsum(0) % vocab_size


def window_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, length in ((12, 4), (30, 8), (9, 1)):
        start = int(torch.randint(2, n - length - 2, (), generator=chance))
        yield {"tokens": some_tokens(chance, n), "start": start, "length": length}


def wide_window_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for length in (1, whole(chance, 2, 20), whole(chance, 21, 60)):
        start = whole(chance, 2, 80)
        tokens = some_tokens(chance, start + length + whole(chance, 2, 40), 60_000)
        yield {"tokens": tokens, "start": start, "length": length}


def inputs_and_targets(tokens: Tensor, start: int, length: int) -> list[Tensor]:
    return [tokens[start : start + length], tokens[start + 1 : start + length + 1]]


def token_rows(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, size in ((40, 4), (200, 12), (120, 7)):
        likely = torch.rand(size, generator=chance) ** 2 + 0.02
        row = torch.multinomial(likely, n, replacement=True, generator=chance)
        row[row == 2] = 3  # a token that does not occur
        row[-3:] = torch.tensor([0, 0, 1])
        yield {"tokens": row}


def wide_token_rows(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for size in (whole(chance, 3, 6), whole(chance, 5, 12), whole(chance, 8, 20)):
        likely = torch.rand(size, generator=chance) ** 2 + 0.02
        row = torch.multinomial(likely, whole(chance, 40, 300), replacement=True, generator=chance)
        row[-3:] = torch.tensor([0, 0, 1])
        yield {"tokens": torch.tensor(different(chance, size, 0, 300))[row]}  # most ids do not occur


def without_context(tokens: Tensor) -> float:
    return evaluate.unigram_entropy(tokens)


def from_one_token(tokens: Tensor) -> float:
    return evaluate.bigram_entropy(tokens)


def joint_entropy(tokens: Tensor) -> float:
    row = tokens.tolist()
    pairs = Counter(pairwise(row))
    total = sum(pairs.values())
    return -sum(n / total * math.log(n / total) for n in pairs.values())


def unweighted(tokens: Tensor) -> float:
    row = tokens.tolist()
    after: dict[int, Counter[int]] = {}
    for first, second in pairwise(row):
        after.setdefault(first, Counter())[second] += 1
    entropies = []
    for counts in after.values():
        total = sum(counts.values())
        entropies.append(-sum(n / total * math.log(n / total) for n in counts.values()))
    return sum(entropies) / len(entropies)


def uniform(tokens: Tensor) -> float:
    return math.log(len(set(tokens.tolist())))


def schedule_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for part, fall in ((0.0, 0.1), (0.5, 0.2), (1.0, 0.1), (1.6, 0.05), (3.0, 0.2)):
        warmup = int(torch.randint(5, 12, (), generator=chance))
        steps = warmup * 4 + int(torch.randint(3, 9, (), generator=chance))
        step = round(part * warmup) if part < 3 else steps - 1
        highest = 0.001 * (1 + int(torch.randint(1, 9, (), generator=chance)))
        yield {"step": step, "steps": steps, "warmup": warmup, "highest": highest, "lowest": highest * fall}


def wide_schedule_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    warmup = whole(chance, 6, 60)
    steps = warmup * 4 + whole(chance, 3, 200)
    inside, later = whole(chance, 2, warmup - 2), whole(chance, warmup + 2, steps - 2)
    for step in (0, inside, warmup - 1, warmup, later, whole(chance, 2 * warmup, 3 * warmup), steps - 1):
        highest = between(chance, 0.05, 1.0)
        lowest = highest * between(chance, 0.02, 0.5)
        yield {"step": step, "steps": steps, "warmup": warmup, "highest": highest, "lowest": lowest}


def rate_at(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    return library_rate(step, TrainConfig(steps, highest, warmup, lowest / highest))


def half_cosine(progress: float, highest: float, lowest: float) -> float:
    return lowest + (highest - lowest) * 0.5 * (1 + math.cos(math.pi * progress))


def from_zero(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    return highest * step / warmup if step < warmup else rate_at(step, steps, warmup, highest, lowest)


def without_warmup(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    return half_cosine(step / steps, highest, lowest)


def cosine_from_the_start(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    return highest * (step + 1) / warmup if step < warmup else half_cosine(step / steps, highest, lowest)


def straight_down(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest - (highest - lowest) * (step - warmup) / (steps - warmup)


def down_to_zero(step: int, steps: int, warmup: int, highest: float, lowest: float) -> float:
    return rate_at(step, steps, warmup, highest, 0.0)


def step_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for V, n, clip, learning_rate in ((5, 6, 100.0, 2.0), (8, 12, 0.05, 3.0), (6, 9, 0.1, 1.5)):
        yield a_step(chance, V, n, clip, learning_rate)


def wide_step_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for low, high in ((50, 100), (0.8, 1.0), (0.02, 0.06), (0.07, 0.15)):  # the second just above most gradients
        clip = between(chance, low, high)
        V = whole(chance, 4, 12)
        case = a_step(chance, V, whole(chance, 4, 16), clip, between(chance, 1, 4))
        case["targets"] %= V - 1  # the last token is never right
        yield case


def a_step(chance: torch.Generator, V: int, n: int, clip: float, learning_rate: float) -> dict[str, Any]:
    return {
        "weight": torch.randn(V, V, generator=chance),
        "inputs": torch.randint(V, (n,), generator=chance),
        "targets": torch.randint(V, (n,), generator=chance),
        "learning_rate": learning_rate,
        "clip": clip,
    }


def training_step(
    weight: Tensor,
    inputs: Tensor,
    targets: Tensor,
    learning_rate: float,
    clip: float,
    sign: float = -1.0,
    reduction: str = "mean",
    by: str = "norm",
    after: bool = False,
) -> list[Any]:
    weight = weight.detach().clone().requires_grad_()
    loss = F.cross_entropy(weight[inputs], targets, reduction=reduction)
    loss.backward()
    assert weight.grad is not None
    gradient = weight.grad
    if by == "norm":
        gradient = gradient * min(1.0, clip / gradient.norm().item())
    elif by == "value":
        gradient = gradient.clamp(-clip, clip)
    elif by == "always":
        gradient = gradient * clip / gradient.norm()
    new = (weight + sign * learning_rate * gradient).detach()
    shown = F.cross_entropy(new[inputs], targets) if after else loss
    return [shown.item(), new]


def milestone_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n in (30, 60, 40):
        levels = [9.0, 7.3, 5.3, 1.9, 0.05]  # the first is above every loss
        losses = (7.2 * torch.exp(-torch.linspace(0, 3, n)) + 0.3 + 0.02 * torch.rand(n, generator=chance)).tolist()
        for level, back in ((5.3, 0.0), (1.9, 0.1)):  # the loss falls below for one step, and comes back: a lucky batch
            below = next(i for i, loss in enumerate(losses) if loss < level)
            losses[below] = level + back  # once exactly to the level, which is not below it
            losses[below - 2] = level - 0.1
        yield {"losses": losses, "levels": levels}


def wide_milestone_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for _ in range(3):
        n = whole(chance, 12, 90)
        curve = 7.2 * torch.exp(-3 * torch.arange(n) / n) + 0.3 + 0.4 * torch.rand(n, generator=chance)
        curve[0], curve[-1] = curve.max() + 0.3, curve.min() - 0.1
        losses = curve.tolist()
        reached = [max(losses[place:]) for place in different(chance, 3, 0, n - 2)]  # exactly, then never again
        ends = [losses[0] - 0.1, losses[-1] + 0.05]  # reached by the second step, and by the last
        levels = [9.0, 0.05, *ends, between(chance, 1, 6), *reached]
        order = torch.randperm(len(levels), generator=chance).tolist()
        yield {"losses": losses, "levels": [levels[i] for i in order]}


def milestones(losses: list[float], levels: list[float]) -> list[int]:
    found = []
    for level in levels:
        above = [step for step, loss in enumerate(losses) if loss >= level]
        first = above[-1] + 1 if above else 0
        found.append(first if first < len(losses) else -1)
    return found


def first_time(losses: list[float], levels: list[float]) -> list[int]:
    return [next((step for step, loss in enumerate(losses) if loss < level), -1) for level in levels]


def shifted_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, V in ((1, 4, 6), (2, 6, 9), (3, 5, 7)):
        tokens = torch.stack([some_tokens(chance, T, V) for _ in range(B)])
        yield {"logits": 2 * torch.randn(B, T, V, generator=chance), "tokens": tokens}


def wide_shifted_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 3), whole(chance, 3, 5)):
        T, V = whole(chance, 4, 12), whole(chance, 4, 30)
        tokens = torch.stack([some_tokens(chance, T, V) for _ in range(B)])
        yield {"logits": 2 * torch.randn(B, T, V, generator=chance), "tokens": tokens}


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


EXERCISES = (
    Exercise(
        id="04-inputs-and-targets",
        title="From X alone, X and Y",
        entry="inputs_and_targets",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "The target of each position is the token that comes next in the text.",
            "Both windows have the same length; that of the targets begins one place later.",
            "[tokens[start : start + length], tokens[start + 1 : start + length + 1]]",
        ),
        cases=window_cases,
        wide=wide_window_cases,
        reference=inputs_and_targets,
        mistakes=(
            Mistake(
                "The targets are the inputs themselves: then the model learns to copy, not to predict.",
                lambda tokens, start, length: [tokens[start : start + length]] * 2,
            ),
            Mistake(
                "The targets come from the past: each target is the token before its input. Shift the other way.",
                lambda tokens, start, length: [tokens[start : start + length], tokens[start - 1 : start + length - 1]],
            ),
            Mistake(
                "The targets are two places later; one is right: the very next token.",
                lambda tokens, start, length: [tokens[start : start + length], tokens[start + 2 : start + length + 2]],
            ),
            Mistake(
                "The last target is missing: inputs and targets must have the same length.",
                lambda tokens, start, length: [tokens[start : start + length], tokens[start + 1 : start + length]],
            ),
            Mistake(
                "Inputs and targets have changed places.",
                lambda tokens, start, length: inputs_and_targets(tokens, start, length)[::-1],
            ),
        ),
    ),
    Exercise(
        id="04-unigram-entropy",
        title="The first milestone below ln V",
        entry="unigram_entropy",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "Count how often each token occurs, and divide by the number of tokens: that is the prediction.",
            "Its loss on the same text is the mean of −ln p(token), which is −Σ p ln p over the tokens that occur.",
            "probs = torch.bincount(tokens) / len(tokens); leave out the zeros; -(probs * probs.log()).sum()",
        ),
        cases=token_rows,
        wide=wide_token_rows,
        reference=without_context,
        mistakes=(
            Mistake(
                "These are bits: use the natural logarithm, as the loss does.",
                lambda tokens: without_context(tokens) / math.log(2),
            ),
            Mistake("The sign: an entropy is not negative. −Σ p ln p.", lambda tokens: -without_context(tokens)),
            Mistake(
                "This is ln V, for tokens that are all equally frequent. Weigh each by how often it occurs.", uniform
            ),
            Mistake(
                "This is the sum over all tokens of the text; the loss is the mean per token.",
                lambda tokens: without_context(tokens) * len(tokens),
            ),
            Mistake("This looks at the token before: it is the next milestone already.", from_one_token),
        ),
    ),
    Exercise(
        id="04-bigram-entropy",
        title="The second milestone: one token of context",
        entry="bigram_entropy",
        points=3,
        level="hard",
        minutes=20,
        hints=(
            "For each pair of neighbours: how often is this second token, given this first one?",
            "p(second | first) = count of the pair / count of first as the first of a pair. Then the mean of −ln p "
            "over all pairs of the text, frequent pairs counted often.",
            "With Counter: -sum(n / total * math.log(n / firsts[a]) for (a, b), n in pairs.items())",
        ),
        cases=token_rows,
        wide=wide_token_rows,
        reference=from_one_token,
        mistakes=(
            Mistake(
                "This is the entropy of whole pairs: divide a pair's count by that of its first token, not by all.",
                joint_entropy,
            ),
            Mistake("Each first token has the same weight here; one that occurs often must count often.", unweighted),
            Mistake("These are bits: use the natural logarithm.", lambda tokens: from_one_token(tokens) / math.log(2)),
            Mistake("The context is not used: this is the unigram entropy.", without_context),
            Mistake("The sign: an entropy is not negative.", lambda tokens: -from_one_token(tokens)),
        ),
    ),
    Exercise(
        id="04-learning-rate",
        title="Warm up, then cool down",
        entry="learning_rate",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Two cases: step < warmup, and after that.",
            "In the warm-up the rate is highest * (step + 1) / warmup: step 0 must learn something already.",
            "After it: progress = (step - warmup) / (steps - warmup), and lowest + (highest - lowest) * "
            "(1 + math.cos(math.pi * progress)) / 2.",
        ),
        cases=schedule_cases,
        wide=wide_schedule_cases,
        reference=rate_at,
        tolerance=1e-7,
        mistakes=(
            Mistake("Step 0 has the rate 0 and teaches nothing: (step + 1) / warmup.", from_zero),
            Mistake("The warm-up is missing: the first steps are too long for untrained weights.", without_warmup),
            Mistake(
                "The cosine must begin where the warm-up ends: (step − warmup) / (steps − warmup).",
                cosine_from_the_start,
            ),
            Mistake("After the warm-up the rate falls on a straight line; half a cosine is asked for.", straight_down),
            Mistake("The rate falls to 0 instead of to `lowest`.", down_to_zero),
        ),
    ),
    Exercise(
        id="04-training-step",
        title="One step of training",
        entry="training_step",
        points=4,
        level="hard",
        minutes=25,
        hints=(
            "The model is a table: the logits for a token's successor are its row, weight[inputs].",
            "weight = weight.clone().requires_grad_(); loss = F.cross_entropy(weight[inputs], targets); "
            "loss.backward().",
            "Clip by the whole gradient's length: gradient * min(1, clip / gradient.norm()). Then step against it: "
            "weight - learning_rate * gradient, and return [loss.item(), new weight].",
        ),
        cases=step_cases,
        wide=wide_step_cases,
        reference=training_step,
        mistakes=(
            Mistake(
                "The step goes up the hill: subtract the gradient.",
                lambda **case: training_step(**case, sign=1.0),
            ),
            Mistake(
                "The gradient is not clipped: one bad batch may throw the model off.",
                lambda **case: training_step(**case, by=""),
            ),
            Mistake(
                "Each number of the gradient is clipped alone, which bends its direction; shorten it as a whole.",
                lambda **case: training_step(**case, by="value"),
            ),
            Mistake(
                "The gradient always gets the length `clip`; a shorter one must stay as it is.",
                lambda **case: training_step(**case, by="always"),
            ),
            Mistake(
                "The loss is summed over the batch; with the mean the step does not depend on the batch's size.",
                lambda **case: training_step(**case, reduction="sum"),
            ),
            Mistake(
                "The loss is that after the step; return the one before it.",
                lambda **case: training_step(**case, after=True),
            ),
        ),
    ),
    Exercise(
        id="04-milestones",
        title="Read a loss curve",
        entry="milestones",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "One lucky batch below a level proves nothing: look for the step from which on the loss stays below.",
            "Find the last step at or above the level; the milestone is the next one.",
            "No step after it? Then the level is not reached: −1. No step above at all? Then it is step 0.",
        ),
        cases=milestone_cases,
        wide=wide_milestone_cases,
        reference=milestones,
        mistakes=(
            Mistake("That was a lucky batch: the loss rises above the level again after it.", first_time),
            Mistake(
                "You name the last step above; the milestone is the first step after it.",
                lambda losses, levels: [
                    max([s for s, loss in enumerate(losses) if loss >= level], default=0) for level in levels
                ],
            ),
            Mistake(
                "A level that is never reached must give −1, not the curve's end.",
                lambda losses, levels: [len(losses) if m == -1 else m for m in milestones(losses, levels)],
            ),
            Mistake(
                "You look for losses above the levels; a milestone is a loss below.",
                lambda losses, levels: [
                    next((s for s, loss in enumerate(losses) if loss > level), -1) for level in levels
                ],
            ),
        ),
    ),
    Exercise(
        id="04-too-good-a-loss",
        title="A bug: the loss falls to zero within a minute",
        entry="repaired_loss",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "What does the logit row at position t predict, and with which token is it compared?",
            "The logits of position t belong to token t + 1. The last position has no target.",
            "F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())",
        ),
        cases=shifted_cases,
        wide=wide_shifted_cases,
        reference=next_token_loss,
        mistakes=(
            Mistake(
                "Still the same bug: each position is compared with its own token, so the model learns to copy it.",
                lambda logits, tokens: F.cross_entropy(logits.flatten(0, 1), tokens.flatten()),
            ),
            Mistake(
                "Now each position predicts the token before it: shift the other way.",
                lambda logits, tokens: F.cross_entropy(logits[:, 1:].flatten(0, 1), tokens[:, :-1].flatten()),
            ),
            Mistake(
                "Each position predicts the token after the next: shift by one only.",
                lambda logits, tokens: F.cross_entropy(logits[:, :-2].flatten(0, 1), tokens[:, 2:].flatten()),
            ),
            Mistake(
                "roll brings the first token round to the end, where it is nobody's next token: cut, do not roll.",
                lambda logits, tokens: F.cross_entropy(logits.flatten(0, 1), tokens.roll(-1, dims=1).flatten()),
            ),
            Mistake(
                "The losses are summed; the mean per token can be compared between batches.",
                lambda logits, tokens: next_token_loss(logits, tokens) * tokens[:, 1:].numel(),
            ),
        ),
    ),
)
