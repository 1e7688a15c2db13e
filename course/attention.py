"""Attention: every position looks at others, decides how much each matters, and takes a weighted mean.

The module reads in the order of the paper: scaled dot product, masks, many heads; then two additions that today's
models share: rotary positions and the cache of keys and values that makes generation fast.
Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762.

Letters in shapes: B batch, T time (queries), S time (keys), H heads, D width (d_model), d_head = D / H.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.runtime import mixed_precision


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention: each query takes a weighted mean of the values.

    q: (..., T, d_head)   k, v: (..., S, d_head)   mask: (T, S) or broadcastable, True = may look
    Returns (..., T, d_head), in the dtype of q.
    Raises ValueError when widths or lengths differ, or when a query may look nowhere.
    Vaswani et al. 2017, "Attention Is All You Need", section 3.2.1, arXiv:1706.03762.
    """
    if k.size(-2) != v.size(-2):
        raise ValueError(f"There are {k.size(-2)} keys and {v.size(-2)} values; each key needs its value.")
    return attention_weights(q, k, mask) @ v


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """How much each query looks at each key: softmax(q kᵀ / √d_head), every row sums to 1.

    q: (..., T, d_head)   k: (..., S, d_head)   mask: (T, S) or broadcastable, True = may look
    Returns (..., T, S). Raises ValueError as `attention` does.
    """
    if q.size(-1) != k.size(-1):
        raise ValueError(f"Queries have width {q.size(-1)} and keys {k.size(-1)}; they must be equal to be compared.")
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))  # (..., T, S)
    if mask is not None:
        if mask.dtype != torch.bool:
            raise ValueError(f"The mask holds {mask.dtype}; give booleans, True where a query may look.")
        if mask.device.type != "meta" and not mask.any(dim=-1).all():
            raise ValueError("The mask has a row without a single True: that query may look nowhere.")
        scores = scores.masked_fill(~mask, -torch.inf)  # forbidden pairs get weight 0
    return scores.softmax(dim=-1)


def causal_mask(T: int, S: int | None = None, device: torch.device | None = None) -> Tensor:
    """(T, S) booleans, True where a query may look at a key: the present and the past, never the future.

    With S > T the queries are the last T of S positions, as in generation with a cache.
    """
    S = T if S is None else S
    return torch.ones(T, S, dtype=torch.bool, device=device).tril(diagonal=S - T)


def readable_is_faster(q: Tensor, k: Tensor) -> bool:
    """Whether `attention` takes less time than torch's fused one: in bfloat16 on processors that multiply it natively.

    Measured on a Xeon with AMX, in a training step of 16 × 128 tokens: 49.9 ms with `attention` and 65.8 ms with the
    fused one, which is hardly made for bfloat16 there; in float32 83.9 against 80.9 ms. `attention` keeps all T · S
    weights for the way back, so long texts are left to the fused one.
    """
    if q.dtype != torch.bfloat16 or q.device.type != "cpu":
        return False
    return k.size(-2) <= 512 and mixed_precision(q.device) == torch.bfloat16


def rotary_angles(positions: Tensor, d_head: int, base: float = 10000.0) -> tuple[Tensor, Tensor]:
    """Cosines and sines for rotary positions: pair i of a head turns by position · base^(-2i/d_head).

    positions: (..., T) whole numbers. Returns two tensors (..., T, d_head) in float32.
    Su et al. 2021, "RoFormer", arXiv:2104.09864. The pairs are (i, i + d_head/2), as in Llama's weights.
    """
    pair = torch.arange(0, d_head, 2, device=positions.device, dtype=torch.float32)
    frequencies = base ** (-pair / d_head)  # (d_head/2,)
    angles = positions[..., None].float() * frequencies  # (..., T, d_head/2)
    angles = torch.cat((angles, angles), dim=-1)  # (..., T, d_head)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair of a head's numbers by its position's angle, so that q·k depends on the distance alone.

    x: (B, H, T, d_head)   cos, sin: broadcastable to it, from `rotary_angles`. Returns the shape and dtype of x.
    """
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


class KVCache:
    """Keys and values of all positions seen so far, for every layer, in memory set aside once.

    Without it, generating token T computes the keys and values of all T - 1 earlier tokens again.
    keys[layer], values[layer]: (B, n_kv_head, length, d_head), of which `used` positions are filled.
    Both are views of one tensor, `store` (n_layer, 2, B, n_kv_head, length, d_head).
    """

    def __init__(
        self,
        n_layer: int,
        batch: int,
        n_kv_head: int,
        length: int,
        d_head: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        shape = (n_layer, 2, batch, n_kv_head, length, d_head)
        self.store = torch.empty(shape, device=device, dtype=dtype)  # no place is read before it is written
        self.keys, self.values = self.store.unbind(1)
        self.length = length
        self.used = 0

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (B, n_kv_head, T, d_head) behind what `layer` holds; return all (B, n_kv_head, used + T, d_head).

        `used` moves only when `advance` is called, once all layers have stored theirs.
        Raises ValueError when the cache is full.
        """
        end = self.used + k.size(2)
        if end > self.length:
            raise ValueError(f"The cache holds {self.length} positions, and {end} are needed; make it longer.")
        if torch.is_grad_enabled() and k.requires_grad:
            raise ValueError("A cache is for generating, without gradients: write `with torch.no_grad():` around it.")
        self.keys[layer][:, :, self.used : end] = k
        self.values[layer][:, :, self.used : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, T: int) -> None:
        """All layers have stored T more positions."""
        self.used += T

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone. rows: (B',) indices."""
        self.store = self.store[:, :, rows]
        self.keys, self.values = self.store.unbind(1)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.store.numel() * self.store.element_size()


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its own slice of the width; their results are mixed at the end.

    One matrix makes q, k and v of all heads at once: the same product as three matrices, in one call.
    With n_kv_head < n_head, groups of query heads share a key and value head, which makes the cache smaller
    (Ainslie et al. 2023, "GQA", arXiv:2305.13245). Given a `memory`, keys and values come from that other sequence.
    """

    def __init__(self, d_model: int, n_head: int, n_kv_head: int | None = None, bias: bool = True):
        super().__init__()
        self.n_head, self.n_kv_head = n_head, n_kv_head or n_head
        if d_model % n_head:
            fit = n_head * max(1, d_model // n_head)
            raise ValueError(
                f"d_model={d_model} does not divide into n_head={n_head} heads; try {fit} or {fit + n_head}."
            )
        if n_head % self.n_kv_head:
            raise ValueError(f"n_head={n_head} heads cannot share n_kv_head={self.n_kv_head} evenly; use a divisor.")
        self.d_head = d_model // n_head
        self.qkv = nn.Linear(d_model, (n_head + 2 * self.n_kv_head) * self.d_head, bias=bias)
        self.out = nn.Linear(d_model, d_model, bias=bias)

    def project(self, x: Tensor, memory: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Make queries from x (B, T, D), keys and values from `memory` (B, S, D), or from x as well.

        Returns q (B, n_head, T, d_head) and k, v (B, n_kv_head, S, d_head).
        """
        n_q, n_kv = self.n_head * self.d_head, self.n_kv_head * self.d_head
        if memory is None:
            q, k, v = self.qkv(x).split((n_q, n_kv, n_kv), dim=-1)
        else:
            bias_q, bias_kv = (None, None) if self.qkv.bias is None else self.qkv.bias.split((n_q, 2 * n_kv))
            weight_q, weight_kv = self.qkv.weight.split((n_q, 2 * n_kv))
            q = F.linear(x, weight_q, bias_q)
            k, v = F.linear(memory, weight_kv, bias_kv).split((n_kv, n_kv), dim=-1)
        return self.split_heads(q), self.split_heads(k), self.split_heads(v)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, T, n · d_head) -> (B, n, T, d_head)."""
        return x.view(x.size(0), x.size(1), -1, self.d_head).transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        memory: Tensor | None = None,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """x: (B, T, D)   mask: broadcastable to (B, 1, T, S), True = may look   memory: (B, S, D), for cross-attention.

        `causal=True` says "the usual causal mask" without building it. Returns (B, T, D).
        """
        B, T, D = x.shape
        if causal and mask is not None:
            raise ValueError("Give causal=True or a mask, not both; causal_mask(T) & mask holds what both allow.")
        q, k, v = self.project(x, memory)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *rotary)
        if cache is not None:
            k, v = cache.append(layer, k, v)
            if causal and k.size(2) > T:  # torch's own causal mask would begin at key 0
                mask, causal = causal_mask(T, k.size(2), x.device), False
        shared = self.n_kv_head != self.n_head
        if not shared and readable_is_faster(q, k):
            y = attention(q, k, v, causal_mask(T, device=x.device) if causal else mask)
        else:
            y = F.scaled_dot_product_attention(  # `attention` above, fused; a test holds them equal
                q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=shared
            )
        return self.out(y.transpose(1, 2).reshape(B, T, D))  # heads side by side again, then mixed
