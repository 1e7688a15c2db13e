"""Predicting by counting, against probabilities worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from course.evaluate import bigram_entropy, unigram_entropy
from course.ngram import bigram_loss, frequencies, unigram_loss


def test_frequencies_are_counts_with_one_more_for_each_token() -> None:
    assert frequencies([0, 0, 2], 4).tolist() == pytest.approx([3 / 7, 1 / 7, 2 / 7, 1 / 7])


def test_the_unigram_loss_is_the_mean_cost_of_the_unseen_tokens() -> None:
    assert unigram_loss([0, 0, 2], [2, 3], 4) == pytest.approx(-(math.log(2 / 7) + math.log(1 / 7)) / 2)


def test_the_bigram_loss_is_the_papers() -> None:
    """After 0 came 1, 1 and 2: three tokens of two kinds. After 3 nothing came."""
    seen = [0, 1, 0, 1, 0, 2, 3]
    p = frequencies(seen, 4).tolist()
    expected = {
        (0, 1): (2 + 2 * p[1]) / (3 + 2),
        (0, 3): (0 + 2 * p[3]) / (3 + 2),  # never seen after 0
        (3, 1): p[1],  # nothing is known of 3
        (2, 3): (1 + 1 * p[3]) / (1 + 1),
    }
    for (a, b), probability in expected.items():
        assert bigram_loss(seen, [a, b], 4) == pytest.approx(-math.log(probability))
    assert bigram_loss(seen, [2, 3, 1], 4) == pytest.approx(-(math.log(expected[2, 3]) + math.log(p[1])) / 2)


@pytest.mark.parametrize("seed", range(3))
def test_after_every_token_the_probabilities_sum_to_1(seed: int) -> None:
    seen = torch.randint(7, (40,), generator=torch.Generator().manual_seed(seed)).clamp_max(5).tolist()  # never 6
    for a in range(7):
        total = sum(math.exp(-bigram_loss(seen, [a, b], 7)) for b in range(7))
        assert total == pytest.approx(1.0)


def test_of_a_long_text_of_the_same_kind_both_come_near_the_entropies() -> None:
    """A walk on ten places, 40,000 steps for counting and 4,000 for trying: within a hundredth."""
    chance = torch.Generator().manual_seed(0)
    steps = torch.randint(-1, 2, (44_000,), generator=chance)
    walk = steps.cumsum(0).remainder(10)
    seen, unseen = walk[:40_000], walk[40_000:]
    assert unigram_loss(seen, unseen, 10) == pytest.approx(unigram_entropy(walk), abs=0.02)
    assert bigram_loss(seen, unseen, 10) == pytest.approx(math.log(3), abs=0.01)
    assert bigram_loss(seen, unseen, 10) >= bigram_entropy(unseen), "what is counted in the text itself knows too much"


def test_in_another_text_a_pair_that_was_seen_once_is_not_certain() -> None:
    seen = torch.randint(500, (600,), generator=torch.Generator().manual_seed(0))
    unseen = torch.randint(500, (600,), generator=torch.Generator().manual_seed(1))
    assert bigram_entropy(unseen) < 1.0, "within itself nearly every pair is foreseen"
    assert bigram_loss(seen, unseen, 500) > math.log(500) - 0.5, "and there is nothing to foresee"
