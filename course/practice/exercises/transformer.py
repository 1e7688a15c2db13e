"""The exercises of notebook 03: normalisation, positions, a block, its size, and a stream that dries up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course import transformer
from course.attention import attention, causal_mask
from course.practice.exercise import Exercise, Mistake, between, whole
from course.transformer import GPT, GPTConfig

EPS = 1e-5


def norm_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for shape, size, eps in (((3, 8), 1.0, EPS), ((2, 4, 16), 5.0, 1e-3), ((2, 6), 0.003, EPS)):
        yield a_norm(chance, shape, size, eps)


def wide_norm_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for axes, size, eps in ((1, 3.0, 0.01), (2, 1.0, 1e-3), (1, 1e-3, 1e-6), (3, 1e-4, 1e-6)):
        shape = (*(whole(chance, 2, 4) for _ in range(axes)), whole(chance, 4, 40))
        yield a_norm(chance, shape, size, eps * between(chance, 1, 5))


def a_norm(chance: torch.Generator, shape: tuple[int, ...], size: float, eps: float) -> dict[str, Any]:
    """Vectors of this size; where it is small beside the root of eps, eps matters."""
    return {
        "x": size * (torch.randn(shape, generator=chance) + 1.5),
        "weight": 1 + 0.5 * torch.rand(shape[-1], generator=chance),
        "bias": 0.3 + torch.rand(shape[-1], generator=chance),
        "eps": eps,
    }


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, (x.size(-1),), weight, bias, eps)


def unbiased(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias


def eps_outside(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, correction=0) + eps) * weight + bias


def over_the_first_axis(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return (x - x.mean(0, keepdim=True)) / (x.var(0, keepdim=True, correction=0) + eps).sqrt() * weight + bias


def by_variance(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps) * weight + bias


def position_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for D in (4, 8, 6):
        yield {"length": int(torch.randint(3, 12, (), generator=chance)), "d_model": D}


def wide_position_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for _ in range(3):
        yield {"length": whole(chance, 150, 400), "d_model": 2 * whole(chance, 4, 40)}


def sinusoidal(length: int, d_model: int) -> Tensor:
    return transformer.sinusoidal_positions(length, d_model)


def side_by_side(length: int, d_model: int) -> Tensor:
    table = sinusoidal(length, d_model)
    return torch.cat((table[:, 0::2], table[:, 1::2]), dim=1)


def sines_only(length: int, d_model: int) -> Tensor:
    table = sinusoidal(length, d_model)
    return table[:, 0::2].repeat_interleave(2, dim=1)


def one_exponent_per_column(length: int, d_model: int) -> Tensor:
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(d_model) / d_model)
    table = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table


def size_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for L in (1, 2, 3):
        D = 4 * int(torch.randint(2, 7, (), generator=chance))
        V = int(torch.randint(20, 90, (), generator=chance))
        yield {
            "vocab_size": V,
            "context_length": int(torch.randint(8, 30, (), generator=chance)),
            "n_layer": L,
            "d_model": D,
        }


def wide_size_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for _ in range(4):
        yield {
            "vocab_size": whole(chance, 100, 6000),
            "context_length": whole(chance, 20, 600),
            "n_layer": whole(chance, 1, 5),
            "d_model": 4 * whole(chance, 2, 40),
        }


@cache
def n_parameters(vocab_size: int, context_length: int, n_layer: int, d_model: int) -> int:
    with torch.device("meta"):  # shapes only
        return GPT(GPTConfig(vocab_size, context_length, n_layer, 1, d_model=d_model)).n_parameters


def block_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, D, H, size in ((1, 4, 8, 2, 1.5), (2, 5, 8, 4, 0.01), (2, 6, 12, 3, 1.5)):
        yield a_block(chance, B, T, D, H, size)


def wide_block_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    wide, narrow = whole(chance, 5, 16), whole(chance, 2, 4)
    for H, d_head, size in ((1, wide, 1.5), (5, narrow, 0.003), (whole(chance, 2, 4), narrow, between(chance, 1, 3))):
        yield a_block(chance, whole(chance, 1, 3), whole(chance, 4, 8), H * d_head, H, size)


def a_block(chance: torch.Generator, B: int, T: int, D: int, H: int, size: float) -> dict[str, Any]:
    """Where the stream's size is small beside the root of eps, eps matters."""

    def matrix(rows: int, columns: int) -> Tensor:
        return 1.3 * torch.randn(rows, columns, generator=chance) / math.sqrt(rows)

    def vector(n: int, around: float = 0.0) -> Tensor:
        return around + 0.2 * torch.randn(n, generator=chance)

    return {
        "x": size * (torch.randn(B, T, D, generator=chance) + 0.3),
        "weights": {
            "norm1_weight": vector(D, 1.0), "norm1_bias": vector(D),
            "qkv": matrix(D, 3 * D), "out": min(size, 1.0) * matrix(D, D),
            "norm2_weight": vector(D, 1.0), "norm2_bias": vector(D),
            "up": matrix(D, 4 * D), "down": matrix(4 * D, D),
        },
        "n_head": H,
    }  # fmt: skip


def attend(x: Tensor, weights: dict[str, Tensor], n_head: int, causal: bool = True) -> Tensor:
    q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in (x @ weights["qkv"]).chunk(3, dim=-1))
    mask = causal_mask(x.size(1)) if causal else None
    return attention(q, k, v, mask).transpose(1, 2).flatten(2) @ weights["out"]


def block(x: Tensor, weights: dict[str, Tensor], n_head: int, how: str = "") -> Tensor:
    """x + attention(norm(x)), then x + mlp(norm(x)); `how` names a mistake."""

    def norm(y: Tensor, number: int) -> Tensor:
        return layer_norm(y, weights[f"norm{number}_weight"], weights[f"norm{number}_bias"], EPS)

    def mlp(y: Tensor) -> Tensor:
        wide = y @ weights["up"]
        bends = {"relu": F.relu(wide), "straight": wide, "exact": F.gelu(wide)}
        bent = bends[how] if how in bends else F.gelu(wide, approximate="tanh")
        return bent @ weights["down"]

    if how == "post":
        x = norm(x + attend(x, weights, n_head), 1)
        return norm(x + mlp(x), 2)
    read = attend(x if how == "unnormed" else norm(x, 1), weights, n_head, how != "future")
    if how == "no first residual":
        x = read
        return x + mlp(norm(x, 2))
    if how == "parallel":
        return x + read + mlp(norm(x, 2))
    x = x + read
    return mlp(norm(x, 2)) if how == "no second residual" else x + mlp(norm(x, 2))


def rms_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for shape, size, eps in (((2, 6), 2.0, 1e-3), ((3, 32), 0.003, EPS), ((2, 2, 100), 2.0, EPS)):
        yield an_rms(chance, shape, size, eps)


def wide_rms_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for axes, size, eps in ((1, 2.0, 0.01), (1, 0.003, EPS), (2, 1e-3, 1e-6), (3, 5.0, 1e-3)):
        shape = (*(whole(chance, 2, 4) for _ in range(axes)), whole(chance, 5, 120))
        yield an_rms(chance, shape, size, eps * between(chance, 1, 5))


def an_rms(chance: torch.Generator, shape: tuple[int, ...], size: float, eps: float) -> dict[str, Any]:
    """Where the size is small beside the root of eps, eps matters."""
    return {
        "x": size * (torch.randn(shape, generator=chance) + 0.4),
        "weight": 1 + 0.5 * torch.rand(shape[-1], generator=chance),
        "eps": eps,
    }


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.size(-1),), weight, eps)


EXERCISES = (
    Exercise(
        id="03-layer-norm",
        title="Keep the stream in bounds",
        entry="layer_norm",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "Each position by itself: mean and variance over the last axis, with keepdim=True.",
            "The variance divides by D, not by D − 1: x.var(-1, keepdim=True, correction=0).",
            "(x - mean) / (variance + eps).sqrt() * weight + bias",
        ),
        cases=norm_cases,
        wide=wide_norm_cases,
        reference=layer_norm,
        tolerance=1e-5,
        mistakes=(
            Mistake("The variance divides by D − 1 here; LayerNorm divides by D: correction=0.", unbiased),
            Mistake("eps stands outside the root; it belongs to the variance, inside.", eps_outside),
            Mistake(
                "The mean runs over the first axis, the batch; each position is normalised by itself.",
                over_the_first_axis,
            ),
            Mistake("You divide by the variance; divide by its root, the deviation.", by_variance),
            Mistake(
                "Weight and bias are not used.", lambda x, weight, bias, eps: F.layer_norm(x, (x.size(-1),), eps=eps)
            ),
            Mistake("The bias is missing.", lambda x, weight, bias, eps: layer_norm(x, weight, bias, eps) - bias),
        ),
    ),
    Exercise(
        id="03-sinusoidal-positions",
        title="Where am I?",
        entry="sinusoidal_positions",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Column pair i has the frequency 10000^(−2i/D): i = 0, 1, …, D/2 − 1.",
            "angles = torch.arange(length)[:, None] * frequencies has shape (length, D/2).",
            "Sines into the even columns, table[:, 0::2] = angles.sin(); cosines into the odd ones, table[:, 1::2].",
        ),
        cases=position_cases,
        wide=wide_position_cases,
        reference=sinusoidal,
        mistakes=(
            Mistake("All sines stand first, then all cosines; here they alternate, column by column.", side_by_side),
            Mistake("There are sines only; the odd columns are cosines.", sines_only),
            Mistake(
                "Sine and cosine of a pair must have the same frequency: 10000^(−2i/D) for columns 2i and 2i + 1.",
                one_exponent_per_column,
            ),
            Mistake("Positions begin with 0, not with 1.", lambda length, d_model: sinusoidal(length + 1, d_model)[1:]),
            Mistake(
                "The table lies on its side: positions are rows.", lambda length, d_model: sinusoidal(length, d_model).T
            ),
        ),
    ),
    Exercise(
        id="03-block",
        title="A transformer block",
        entry="block",
        points=4,
        level="hard",
        minutes=35,
        hints=(
            "Two readings of the stream, two additions to it: x = x + attention(norm1(x)), then x + mlp(norm2(x)).",
            "q, k, v = (norm1(x) @ qkv).chunk(3, -1); each .view(B, T, H, D/H).transpose(1, 2); causal attention "
            "(F.scaled_dot_product_attention has is_causal); transpose back, reshape, @ out.",
            "The second half reads the new x: x + F.gelu(norm2(x) @ up, approximate='tanh') @ down.",
        ),
        cases=block_cases,
        wide=wide_block_cases,
        reference=block,
        uses=("03-layer-norm",),
        mistakes=(
            Mistake(
                "The norm comes after the addition (as in 2017); here it comes before each reading.",
                lambda **c: block(**c, how="post"),
            ),
            Mistake(
                "The first residual is missing: attention replaces the stream instead of adding to it.",
                lambda **c: block(**c, how="no first residual"),
            ),
            Mistake(
                "The second residual is missing: the MLP replaces the stream instead of adding to it.",
                lambda **c: block(**c, how="no second residual"),
            ),
            Mistake(
                "The MLP reads the stream as it was before attention; it must read what attention has added.",
                lambda **c: block(**c, how="parallel"),
            ),
            Mistake("The causal mask is missing: position t sees t + 1.", lambda **c: block(**c, how="future")),
            Mistake("ReLU is not GELU: take F.gelu with approximate='tanh'.", lambda **c: block(**c, how="relu")),
            Mistake(
                "This is the exact GELU; GPT-2 takes its approximation: approximate='tanh'.",
                lambda **c: block(**c, how="exact"),
            ),
            Mistake(
                "Nothing is bent between up and down: two matrices in a row are one matrix.",
                lambda **c: block(**c, how="straight"),
            ),
            Mistake("Attention reads the stream without its norm.", lambda **c: block(**c, how="unnormed")),
        ),
    ),
    Exercise(
        id="03-count-parameters",
        title="How large is it?",
        entry="count_parameters",
        points=3,
        level="medium",
        minutes=20,
        hints=(
            "Outside the blocks: a vector per token, one per position, and the last norm (weight and bias). The head "
            "shares the token vectors.",
            "In a block: two norms, q k v (D × 3D and 3D biases), out (D × D and D), up (D × 4D and 4D), down (4D × D "
            "and D).",
            "V D + C D + L (12 D² + 13 D) + 2 D",
        ),
        cases=size_cases,
        wide=wide_size_cases,
        reference=n_parameters,
        mistakes=(
            Mistake(
                "The head is counted again, but it shares the matrix of the token vectors.",
                lambda **c: n_parameters(**c) + c["vocab_size"] * c["d_model"],
            ),
            Mistake(
                "The positions are missing: one vector for each of them.",
                lambda **c: n_parameters(**c) - c["context_length"] * c["d_model"],
            ),
            Mistake(
                "The biases of the four matrices are missing: 3D + D + 4D + D per block.",
                lambda **c: n_parameters(**c) - 9 * c["n_layer"] * c["d_model"],
            ),
            Mistake("The last norm is missing: 2D.", lambda **c: n_parameters(**c) - 2 * c["d_model"]),
            Mistake(
                "The norms of the blocks are missing: two per block, each with weight and bias.",
                lambda **c: n_parameters(**c) - 4 * c["n_layer"] * c["d_model"],
            ),
            Mistake(
                "The MLP has two matrices, up and down; one is missing.",
                lambda **c: n_parameters(**c) - c["n_layer"] * 4 * c["d_model"] ** 2,
            ),
            Mistake(
                "Biases and norms are missing; small, but not nothing.",
                lambda **c: n_parameters(**c) - 13 * c["n_layer"] * c["d_model"] - 2 * c["d_model"],
            ),
        ),
    ),
    Exercise(
        id="03-drying-stream",
        title="A bug: the wider the model, the less it hears",
        entry="repaired_rms_norm",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Put in a vector of ones, once with 4 numbers and once with 400. What should come out, and what does?",
            "RMS: the root of the *mean* of the squares. What changes with the width if it is a sum?",
            "x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight",
        ),
        cases=rms_cases,
        wide=wide_rms_cases,
        reference=rms_norm,
        mistakes=(
            Mistake(
                "Still a sum of squares: the result shrinks by √D with the width. Take the mean.",
                lambda x, weight, eps: x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt() * weight,
            ),
            Mistake(
                "This is LayerNorm without a bias: RMSNorm does not subtract the mean.",
                lambda x, weight, eps: F.layer_norm(x, (x.size(-1),), weight, None, eps),
            ),
            Mistake("The weight is missing.", lambda x, weight, eps: F.rms_norm(x, (x.size(-1),), eps=eps)),
            Mistake(
                "eps stands outside the root; it belongs to the mean square, inside.",
                lambda x, weight, eps: x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * weight,
            ),
            Mistake(
                "The root is missing: divide by the root of the mean square.",
                lambda x, weight, eps: x / (x.pow(2).mean(-1, keepdim=True) + eps) * weight,
            ),
            Mistake(
                "You divide by the mean of the absolute values; squares, mean, root it must be.",
                lambda x, weight, eps: x / (x.abs().mean(-1, keepdim=True) + eps) * weight,
            ),
            Mistake(
                "The mean runs over everything; each position is normalised by itself.",
                lambda x, weight, eps: x / (x.pow(2).mean() + eps).sqrt() * weight,
            ),
        ),
    ),
)
