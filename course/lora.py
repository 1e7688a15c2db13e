"""Low-rank adapters: a model for a purpose that is a few kilobytes, beside a base that stays as it is.

Fine-tuning changes a matrix W by some ΔW. LoRA lets ΔW be a product of two thin matrices, B A, and trains these alone:
W' = W + (α / r) B A, with A (r, in) drawn by chance and B (out, r) zero, so that nothing changes at first.
Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.

Letters in shapes: B batch, T time, r rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.transformer import GPT

PLACES = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")  # the matrices of a block, as they are called there
Adapter = dict[str, Tensor]  # "3.mlp.up.A" -> (r, in), "3.mlp.up.B" -> (out, r), for the block numbered 3


class LowRankProduct(torch.autograd.Function):
    """x -> x W'ᵀ + bias with W' = W + scale · B A; its gradients go to x, A and B, and W needs none.

    By the chain rule dW' = dyᵀ x, dB = scale · dW' Aᵀ and dA = scale · Bᵀ dW'. dW' is as large as W; multiplied from
    the other end, dyᵀ (x Aᵀ) and (dy B)ᵀ x, it is never needed. That is a third of the work of training W.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, A: Tensor, B: Tensor, scale: float) -> Tensor:
        """x (…, in), weight (out, in), A (r, in), B (out, r) -> (…, out)."""
        device, dtype = x.device.type, x.dtype
        if torch.is_autocast_enabled(device):  # as torch's own linear layers then do: compute in the short format
            dtype = torch.get_autocast_dtype(device)
        ctx.scale, ctx.x_dtype, ctx.has_bias = scale, x.dtype, bias is not None
        with torch.autocast(device, enabled=False):
            changed, x = torch.addmm(weight, B, A, alpha=scale).to(dtype), x.to(dtype)  # (out, in), (B, T, in)
            ctx.save_for_backward(x, changed, A, B)
            return F.linear(x, changed, None if bias is None else bias.to(dtype))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        """dy (…, out) -> the gradients of x, of bias, A and B."""
        x, changed, A, B = ctx.saved_tensors
        rows, dy_rows = x.flatten(0, -2), dy.flatten(0, -2)  # (B · T, in), (B · T, out)
        dB = ctx.scale * dy_rows.T @ (rows @ A.T.to(rows.dtype))
        dA = ctx.scale * (dy_rows @ B.to(dy_rows.dtype)).T @ rows
        return (dy @ changed).to(ctx.x_dtype), None, dy_rows.sum(0) if ctx.has_bias else None, dA.to(A), dB.to(B), None


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and beside it the two thin matrices that learn.

    Whoever reads `weight` reads the sum. on: whether the adapter counts. rows: see `mixed`.
    Raises ValueError for a rank that the layer's matrix does not have.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator | None = None):
        super().__init__()
        n_out, n_in = base.weight.shape
        if not 1 <= rank <= min(n_out, n_in):
            raise ValueError(f"rank={rank} does not suit a matrix of {n_out} by {n_in}: use 1 to {min(n_out, n_in)}.")
        self.base, self.scale, self.on = base, alpha / rank, True
        self.rows: tuple[Tensor, Tensor] | None = None
        first = torch.empty(rank, n_in).uniform_(-(n_in**-0.5), n_in**-0.5, generator=generator)
        self.A = nn.Parameter(first.to(base.weight))
        self.B = nn.Parameter(base.weight.new_zeros(n_out, rank))

    @property
    def weight(self) -> Tensor:
        """(out, in): W + (α / r) B A."""
        return self.base.weight + self.scale * (self.B @ self.A) if self.on else self.base.weight

    @property
    def bias(self) -> Tensor | None:
        """(out,), of the layer below."""
        return self.base.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, in) -> (B, T, out)."""
        if self.rows is not None:
            A, B = self.rows  # (B, r, in), (B, out, r): a pair for each row of the batch
            return self.base(x) + self.scale * torch.bmm(torch.bmm(x, A.mT), B.mT)
        if not self.on:
            return self.base(x)
        return LowRankProduct.apply(x, self.base.weight, self.base.bias, self.A, self.B, self.scale)


def add_lora(
    model: GPT,
    rank: int = 8,
    alpha: float = 16.0,
    places: Sequence[str] = PLACES,
    generator: torch.Generator | None = None,
) -> GPT:
    """Give each of these matrices in every block an adapter, where it is, and let nothing else learn.

    places: of `PLACES`. generator: draws the A, on the CPU. Returns the same model. Raises ValueError for an unknown
    place, for a rank that no matrix has, and for a model that has adapters already; then nothing has changed.
    """
    if unknown := sorted(set(places) - set(PLACES)):
        raise ValueError(f"A block has no {', '.join(unknown)}; its matrices are {', '.join(PLACES)}.")
    if any(True for _ in adapted(model)):
        raise ValueError("The model has adapters already; fill them by load_adapter, or begin with a plain model.")
    layers = [
        (block, place, LoRALinear(block.get_submodule(place), rank, alpha, generator))  # type: ignore[arg-type]
        for block in model.blocks
        for place in places
    ]
    model.requires_grad_(False)
    for block, place, layer in layers:
        block.set_submodule(place, layer)
    return model


def adapted(model: GPT) -> Iterator[tuple[str, LoRALinear]]:
    """The layers with adapters, each with its name, block by block."""
    for number, block in enumerate(model.blocks):
        for name, layer in block.named_modules():
            if isinstance(layer, LoRALinear):
                yield f"{number}.{name}", layer


def adapter_of(model: GPT) -> Adapter:
    """A copy of what was learned: all that needs to be kept beside the base. Raises ValueError if there is none."""
    found = {f"{name}.{part}": getattr(layer, part).detach().clone() for name, layer in adapted(model) for part in "AB"}
    if not found:
        raise ValueError("The model has no adapters; call add_lora(model) first.")
    return found


@torch.no_grad()
def load_adapter(model: GPT, adapter: Mapping[str, Tensor]) -> GPT:
    """Another purpose: put this adapter into the places that the model has for it.

    Raises ValueError when its places or ranks are others than those of the model; then nothing has changed.
    """
    places = adapter_of(model)
    for name in sorted(set(places) | set(adapter)):
        if name not in places or name not in adapter or places[name].shape != adapter[name].shape:
            have = tuple(places[name].shape) if name in places else "no place"
            given = tuple(adapter[name].shape) if name in adapter else "nothing"
            raise ValueError(
                f"The adapter does not fit: for {name} the model has {have}, the adapter {given}. Use add_lora with "
                "the rank and the places that the adapter was made with."
            )
    for name, layer in adapted(model):
        layer.A.copy_(adapter[f"{name}.A"])
        layer.B.copy_(adapter[f"{name}.B"])
    return model


@torch.no_grad()
def merge(model: GPT) -> GPT:
    """A plain model whose matrices are the sums: as fast as the base, and as large."""
    embedding = model.token_embedding.weight
    plain = GPT(model.config).to(embedding.device, embedding.dtype).train(model.training)
    for name, weight in plain.named_parameters():
        weight.copy_(attrgetter(name)(model))  # where there is an adapter, the sum
    return plain


@contextmanager
def without_adapter(model: GPT) -> Iterator[GPT]:
    """Within the `with` the model is its base; such a model needs no second copy to be compared with."""
    layers = [layer for _, layer in adapted(model)]
    before = [layer.on for layer in layers]
    try:
        for layer in layers:
            layer.on = False
        yield model
    finally:
        for layer, on in zip(layers, before, strict=True):
            layer.on = on


@contextmanager
def mixed(model: GPT, adapters: Sequence[Mapping[str, Tensor]], rows: Sequence[int]) -> Iterator[GPT]:
    """Within the `with`, row i of a batch is answered by adapters[rows[i]]: one base, many purposes at once.

    Every layer computes W x once for all rows, and then (α / r) B (A x) with each row's own B and A.
    Raises ValueError when a row names no adapter, or an adapter does not fit.
    """
    if not all(0 <= row < len(adapters) for row in rows):
        raise ValueError(f"The rows name adapters {sorted(set(rows))}, and there are {len(adapters)}, from 0.")
    kept = adapter_of(model)
    try:
        for adapter in adapters:
            load_adapter(model, adapter)  # raises where it does not fit
        load_adapter(model, kept)
        for name, layer in adapted(model):
            A, B = (torch.stack([adapters[row][f"{name}.{part}"].to(layer.A) for row in rows]) for part in "AB")
            layer.rows = A, B
        yield model
    finally:
        load_adapter(model, kept)
        for _, layer in adapted(model):
            layer.rows = None


def n_trainable(model: nn.Module) -> int:
    """How many numbers learn."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
