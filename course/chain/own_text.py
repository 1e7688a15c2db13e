"""A text of the learner's own in the world's place: how much of it is held out, and how long to train on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from course.train import TrainConfig

EPOCHS = 4  # up to which reading again is nearly as good as reading on: Muennighoff et al. 2023, arXiv:2305.16264
CHARACTERS_PER_TOKEN = 3  # about, with our tokenizer


def hold_out(tokens: Tensor, end: int, context_length: int) -> tuple[Tensor, Tensor]:
    """A row of tokens (N,) in two: for training, and a tenth for testing, in stretches from everywhere.

    Were it the last tenth, the end of a book would be compared with its beginning: another style, another subject.
    end: the mark between documents; it is put where stretches meet that were not neighbours.
    Raises ValueError when the text is too short.
    """
    shortest = context_length + 2
    if len(tokens) < 2 * shortest:
        raise ValueError(
            f"The text has {len(tokens)} tokens; training and testing need at least {2 * shortest}. Give a longer text."
        )
    stretches = tokens.split(max(shortest, min(4 * context_length, len(tokens) // 10)))
    chosen = set(range(5, len(stretches), 10)) or {len(stretches) // 2}
    mark = tokens.new_tensor([end])
    training, testing = (
        torch.cat([part for i, stretch in enumerate(stretches) if (i in chosen) == held for part in (stretch, mark)])
        for held in (False, True)
    )
    return training, testing


def training_for(plan: TrainConfig, text: Sequence[str], tokens_per_step: int) -> TrainConfig:
    """The plan with as many steps as the text can use: it is read four times.

    At the least a ninth of the plan's steps, since before nothing is learned; at the most twice as many.
    """
    tokens = sum(map(len, text)) / CHARACTERS_PER_TOKEN
    steps = round(EPOCHS * tokens / tokens_per_step)
    steps = min(max(steps, plan.steps // 9, 1), 2 * plan.steps)
    return replace(plan, steps=steps, warmup=min(plan.warmup, steps // 4))
