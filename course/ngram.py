"""What can be predicted by counting: the milestones that a neural network has to pass.

The frequencies are counted in one text and tried on another, as a network is. In the text that they were counted in
they know too much: a pair that stands there once is foreseen with certainty.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor


def frequencies(tokens: Tensor | Sequence[int], vocab_size: int) -> Tensor:
    """How probable each token is, whatever stands before it: (V,). Each counts once more than it was seen."""
    counts = torch.bincount(torch.as_tensor(tokens), minlength=vocab_size).double() + 1
    return counts / counts.sum()


def unigram_loss(seen: Tensor | Sequence[int], unseen: Tensor | Sequence[int], vocab_size: int) -> float:
    """Nats per token of `unseen`, predicted by the frequencies in `seen`."""
    return -frequencies(seen, vocab_size)[torch.as_tensor(unseen)].log().mean().item()


def bigram_loss(seen: Tensor | Sequence[int], unseen: Tensor | Sequence[int], vocab_size: int) -> float:
    """Nats per token of `unseen` after its first, each predicted from the one before, by the pairs in `seen`.

        p(b | a) = (count(a b) + kinds(a) · p(b)) / (count(a) + kinds(a))

    kinds(a): how many different tokens were seen after a. The more there were, the likelier is a new one, and which
    one the overall frequencies p(b) say. Witten and Bell 1991, "The zero-frequency problem", IEEE Transactions on
    Information Theory 37(4), their method C.
    """
    row = torch.as_tensor(seen).tolist()
    pairs, firsts = Counter(itertools.pairwise(row)), Counter(row[:-1])
    kinds = Counter(first for first, _ in pairs)
    overall = frequencies(seen, vocab_size).tolist()
    total, n = 0.0, 0
    for a, b in itertools.pairwise(torch.as_tensor(unseen).tolist()):
        known = firsts[a] + kinds[a]
        total -= math.log((pairs[a, b] + kinds[a] * overall[b]) / known if known else overall[b])
        n += 1
    return total / n
