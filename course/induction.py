"""Induction heads: heads that find the last time this token stood here, and copy what came after it.

A model can learn from its context without any weight being changed. The smallest mechanism that does it takes two
heads, one above the other: the lower one writes at each position which token came before, the upper one looks for the
position whose "before" is the present token, and copies what stands there. Here are the scores that find such heads,
and the means to silence them.
Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv:2209.11895.

Letters in shapes: B batch, T time, L layers, H heads, D width (d_model), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import MultiHeadAttention, attention_weights, causal_mask, rotate
from course.runtime import generator
from course.transformer import GPT, Block

Head = tuple[int, int]  # (layer, head), both counted from 0


# --- what to read ---------------------------------------------------------------------------------------------------


def repeated(
    n: int, T: int, periods: tuple[int, int], vocab_size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows of random tokens that begin again, and again, until the row is full: nothing but looking back can help.

    Each row has its own period, a whole number from periods[0] to periods[1]; its tokens are all different.
    Returns tokens (n, T) and periods (n,). Raises ValueError when a period is longer than the vocabulary or the row.
    """
    low, high = periods
    if not 1 <= low <= high <= min(T - 1, vocab_size):
        raise ValueError(f"The periods {periods} must rise, from 1 to at most {min(T - 1, vocab_size)}.")
    first = torch.rand(n, vocab_size, generator=generator).argsort(dim=1)  # (n, V): a shuffled vocabulary per row
    period = torch.randint(low, high + 1, (n,), generator=generator)
    place = torch.arange(T) % period[:, None]  # (n, T): 0, 1, …, period - 1, 0, 1, …
    return first.gather(1, place), period


@dataclass(frozen=True)
class RepeatedBatches:
    """Batches of repeated rows for `course.train.train`: inputs and targets (batch_size, T), new ones at every step."""

    T: int = 32
    periods: tuple[int, int] = (8, 16)
    vocab_size: int = 64
    batch_size: int = 32
    seed: int = 0

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        draw = generator(self.seed * 1_000_003 + step)
        rows, _ = repeated(self.batch_size, self.T + 1, self.periods, self.vocab_size, draw)
        return rows[:, :-1], rows[:, 1:]


# --- what the heads do ----------------------------------------------------------------------------------------------


def attentions(model: GPT) -> list[MultiHeadAttention]:
    """The attention of each layer."""
    return [cast(Block, block).attention for block in model.blocks]


@torch.no_grad()
def head_outputs(model: GPT, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """What each head looks at, and what it takes from there, before the heads are mixed.

    tokens: (B, T). Returns the weights (B, L, H, T, T), rows are queries, and the results (B, L, T, H, d_head).
    """
    weights: list[Tensor] = []
    results: list[Tensor] = []

    def see(attention: Any, inputs: tuple[Tensor, ...], how: dict[str, Any]) -> None:
        q, k, _ = attention.project(inputs[0])
        if how.get("rotary") is not None:
            q, k = rotate(q, *how["rotary"]), rotate(k, *how["rotary"])
        k = k.repeat_interleave(q.size(1) // k.size(1), dim=1)  # heads that share a key look at the same one
        weights.append(attention_weights(q, k, causal_mask(q.size(2), device=q.device)))

    def take(_: nn.Module, inputs: tuple[Tensor]) -> None:
        results.append(inputs[0].unflatten(-1, (model.config.n_head, -1)))

    hooks = [attention.register_forward_pre_hook(see, with_kwargs=True) for attention in attentions(model)]
    hooks += [attention.out.register_forward_pre_hook(take) for attention in attentions(model)]
    try:
        model(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(weights, dim=1), torch.stack(results, dim=1)


def looked_at(model: GPT, tokens: Tensor) -> Tensor:
    """The attention weights of every head: (B, T) -> (B, L, H, T, T); rows are queries, and sum to 1."""
    return head_outputs(model, tokens)[0]


def after_earlier(tokens: Tensor) -> Tensor:
    """(B, T) -> (B, T, T) booleans: True in row t, column s where the token before s is the token at t, and s <= t.

    These are the places where an induction head looks: what stands there came next, the last time.
    """
    same = tokens[:, :, None] == F.pad(tokens, (1, 0), value=-1)[:, None, :-1]  # (B, T, T): x_t = x_(s-1)
    return same & causal_mask(tokens.size(1), device=tokens.device)


def prefix_score(weights: Tensor, tokens: Tensor) -> Tensor:
    """How much of its attention each head gives to the tokens that came after the present token, earlier on.

    weights: (B, L, H, T, T), of `looked_at`   tokens: (B, T). Averaged over all positions whose token has been seen
    before. Returns (L, H), from 0 to 1. Raises ValueError when no token comes twice. Olsson et al. 2022, appendix.
    """
    places = after_earlier(tokens)  # (B, T, T)
    again = places.any(dim=-1)  # (B, T)
    if not again.any():
        raise ValueError("No token comes twice, so there is nothing to look back to; give rows that repeat.")
    found = (weights * places[:, None, None]).sum(dim=-1)  # (B, L, H, T)
    return found.permute(0, 3, 1, 2)[again].mean(dim=0)


@torch.no_grad()
def copying_score(model: GPT, tokens: Tensor) -> Tensor:
    """How far each head raises the score of the very token that it looks at, against the others it could look at.

    A head's result, taken straight to the logits, less their mean: what is above 0 is raised. Of all that is raised
    among the different tokens of the row so far, the share of the token looked at most; averaged over the positions.
    tokens: (B, T). Returns (L, H), from 0 to 1. Olsson et al. 2022, appendix.
    """
    weights, results = head_outputs(model, tokens)
    again = (tokens[:, :, None] == tokens[:, None]).tril(-1).any(dim=-1)  # (B, T): it has stood here before
    mine = causal_mask(tokens.size(1), device=tokens.device) & ~again[:, None]  # (B, T, T): each token once
    scores = []
    for layer, attention in enumerate(attentions(model)):
        mixing = attention.out.weight.unflatten(1, (model.config.n_head, -1))  # (D, H, d_head)
        for head in range(model.config.n_head):
            added = results[:, layer, :, head] @ mixing[:, head].T  # (B, T, D): what this head adds to the stream
            effect = model.head(added * cast(Tensor, model.norm.weight))  # (B, T, V): straight to the logits
            effect = (effect - effect.mean(dim=-1, keepdim=True)).relu()
            raised = effect.gather(2, tokens[:, None].expand(-1, tokens.size(1), -1)) * mine  # (B, T, T), by place
            favourite = weights[:, layer, head].argmax(dim=-1)  # (B, T): the place looked at most
            there = tokens.gather(1, favourite)  # (B, T): the token that stands there
            share = effect.gather(2, there[..., None])[..., 0] / raised.sum(dim=-1).clamp_min(1e-12)
            scores.append(share.mean())
    return torch.stack(scores).view(model.config.n_layer, -1)


# --- what they are good for -----------------------------------------------------------------------------------------


@contextmanager
def silenced(model: GPT, heads: Iterable[Head]) -> Iterator[GPT]:
    """Within the `with`, these heads add nothing to the stream; the model itself stays as it is.

    heads: (layer, head) pairs, counted from 0. Raises ValueError for a head that the model does not have.
    """
    config, chosen = model.config, sorted(set(heads))
    for layer, head in chosen:
        if not (0 <= layer < config.n_layer and 0 <= head < config.n_head):
            raise ValueError(
                f"There is no head {head} in layer {layer}: the model has layers 0 to {config.n_layer - 1}, each with "
                f"heads 0 to {config.n_head - 1}."
            )

    def quiet(layer: int) -> Any:
        mute = torch.tensor([(layer, head) in chosen for head in range(config.n_head)])

        def hook(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            results = inputs[0].unflatten(-1, (config.n_head, config.d_head))  # (B, T, H, d_head)
            return (results.masked_fill(mute.to(results.device)[:, None], 0.0).flatten(-2),)

        return hook

    hooks = [
        attentions(model)[layer].out.register_forward_pre_hook(quiet(layer))
        for layer in sorted({layer for layer, _ in chosen})
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def token_losses(model: GPT, tokens: Tensor) -> Tensor:
    """The loss of each prediction in nats, not averaged: (B, T) -> (B, T - 1); place t predicts token t + 1."""
    logits = model(tokens[:, :-1]).float()  # (B, T - 1, V)
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(tokens.size(0), -1)


def in_context_score(losses: Tensor, early: slice, late: slice) -> float:
    """How much better the model predicts late in its context than early: the more below 0, the more it learned there.

    losses: (B, T), of `token_losses`. Returns the mean loss of the late places less that of the early ones, in nats.
    Olsson et al. 2022 compare the 500th token with the 50th.
    """
    return (losses[:, late].mean() - losses[:, early].mean()).item()
