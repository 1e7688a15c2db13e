"""A text of the learner's own: what is held out of it, and how long it is read."""

from __future__ import annotations

import pytest
import torch

from course.chain.own_text import hold_out, training_for
from course.train import TrainConfig

END = 0


def without_marks(row: torch.Tensor) -> list[int]:
    return row[row != END].tolist()


@pytest.mark.parametrize("n", [2_000, 9_999, 100_000])
def test_a_tenth_is_held_out_from_everywhere(n: int) -> None:
    text = torch.arange(1, n + 1)  # every token names its place
    training, testing = hold_out(text, END, 32)
    assert sorted(without_marks(training) + without_marks(testing)) == text.tolist(), "nothing is lost or read twice"
    assert 0.05 < len(testing) / n < 0.15
    places = torch.tensor(without_marks(testing)).double() / n
    assert places.min() < 0.55 and places.max() > 0.45
    if n == 100_000:
        shares = torch.histc(places, bins=10, min=0, max=1) / len(places)
        assert (shares > 0.05).all(), "each tenth of the text has its part"


def test_no_window_runs_over_a_seam_without_a_mark() -> None:
    for part in hold_out(torch.arange(1, 5001), END, 16):
        for before, after in zip(part[:-1].tolist(), part[1:].tolist(), strict=True):
            assert after == before + 1 or END in (before, after)


@pytest.mark.parametrize("n", [68, 69, 100, 101, 135, 136, 340, 341])
def test_both_parts_hold_a_window_also_of_the_shortest_texts(n: int) -> None:
    """32 tokens and a target, and TokenBatches wants one more."""
    for part in hold_out(torch.arange(1, n + 1), END, 32):
        assert len(part) >= 34


def test_a_text_that_is_too_short_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"The text has 67 tokens; training and testing need at least 68\. Give a longer"
    ):
        hold_out(torch.arange(67), END, 32)


@pytest.mark.parametrize(
    ("characters", "steps"),
    [
        (1_000, 200),  # a ninth of the plan's
        (3 * 2048 * 100, 400),  # read four times
        (4_400_000, 2865),  # the Bible
        (100_000_000, 3600),  # twice the plan's
    ],
)
def test_a_text_is_read_four_times_within_bounds(characters: int, steps: int) -> None:
    plan = training_for(TrainConfig(steps=1800, warmup=50), ["x" * (characters // 2)] * 2, 2048)
    assert plan.steps == steps and plan.warmup == 50
    assert plan.learning_rate == TrainConfig().learning_rate


def test_of_few_steps_a_quarter_is_warm_up_at_the_most() -> None:
    plan = training_for(TrainConfig(steps=90, warmup=50), ["short"], 2048)
    assert (plan.steps, plan.warmup) == (10, 2)
