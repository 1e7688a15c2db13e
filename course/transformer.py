"""The decoder-only transformer: GPT-2 and Llama are two settings of one configuration.

A stream of width d_model runs from the embedding to the head. Every block reads it, and adds to it twice: once
what attention gathered from other positions, once what the MLP made of each position by itself.
Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2);
Touvron et al. 2023, "LLaMA", arXiv:2302.13971.

Letters in shapes: B batch, T time, D width (d_model), V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import KVCache, MultiHeadAttention, rotary_angles


@dataclass(frozen=True)
class GPTConfig:
    """The shape and the parts of a GPT. The defaults are the course's model: about one million parameters.

    norm: "layer" (GPT-2) or "rms" (Llama)          activation: "gelu" (GPT-2) or "swiglu" (Llama)
    position: "learned" (GPT-2), "sinusoidal" (2017) or "rotary" (Llama)
    n_kv_head: None for as many as n_head           d_ff: None for 4 · d_model (8/3 · d_model with "swiglu")
    Raises ValueError when the numbers do not fit together.
    """

    vocab_size: int = 2048
    context_length: int = 128
    n_layer: int = 4
    n_head: int = 2
    n_kv_head: int | None = None
    d_model: int = 128
    d_ff: int | None = None
    norm: str = "layer"
    activation: str = "gelu"
    position: str = "learned"
    tie_embeddings: bool = True
    bias: bool = True
    norm_eps: float = 1e-5
    rope_base: float = 10000.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "n_layer", "n_head", "d_model", "n_kv_head", "d_ff"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}={value!r} must be a whole number from 1 up.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; choose one of {', '.join(choices)}.")
        if self.d_model % self.n_head:
            fit = self.n_head * max(1, self.d_model // self.n_head)
            raise ValueError(
                f"d_model={self.d_model} does not divide into n_head={self.n_head} heads; "
                f"try {fit} or {fit + self.n_head}."
            )
        if self.n_head % self.kv_heads:
            raise ValueError(
                f"n_head={self.n_head} query heads cannot share n_kv_head={self.kv_heads} evenly; "
                f"use one of {', '.join(str(n) for n in range(1, self.n_head + 1) if self.n_head % n == 0)}."
            )
        if self.position == "rotary" and self.d_head % 2:
            raise ValueError(
                f"Rotary positions turn pairs of numbers, but d_head={self.d_head} is odd; "
                f"try d_model={self.n_head * (self.d_head + 1)}."
            )

    @property
    def d_head(self) -> int:
        """Width of one head."""
        return self.d_model // self.n_head

    @property
    def kv_heads(self) -> int:
        """Number of key and value heads."""
        return self.n_kv_head or self.n_head

    @property
    def width_ff(self) -> int:
        """Width of the MLP's hidden layer."""
        if self.d_ff is not None:
            return self.d_ff
        return 4 * self.d_model if self.activation == "gelu" else math.ceil(self.d_model / 3) * 8

    @classmethod
    def gpt2(cls, **settings: Any) -> GPTConfig:
        """GPT-2's parts: LayerNorm, GELU, learned positions, one matrix for embedding and head."""
        return cls(**settings)

    @classmethod
    def llama(cls, **settings: Any) -> GPTConfig:
        """Llama's parts: RMSNorm, SwiGLU, rotary positions, no biases, a head of its own."""
        parts = dict(norm="rms", activation="swiglu", position="rotary", bias=False, tie_embeddings=False)
        return cls(**{**parts, **settings})

    def to_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GPTConfig:
        """From a JSON file; raises ValueError that names unknown entries."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"A GPTConfig has no {', '.join(unknown)}; was it saved by another version?")
        return cls(**values)


CHOICES = {
    "norm": ("layer", "rms"),
    "activation": ("gelu", "swiglu"),
    "position": ("learned", "sinusoidal", "rotary"),
}


def make_norm(config: GPTConfig) -> nn.Module:
    """LayerNorm (Ba et al. 2016, arXiv:1607.06450) or RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    if config.norm == "layer":
        return nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
    return nn.RMSNorm(config.d_model, eps=config.norm_eps)


def sinusoidal_positions(length: int, d_model: int) -> Tensor:
    """(length, d_model): sines and cosines of falling frequency. Vaswani et al. 2017, section 3.5."""
    position = torch.arange(length)[:, None]
    frequency = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    angles = position * frequency  # (length, d_model / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :d_model]


class MLP(nn.Module):
    """Each position by itself: wider, bent, narrow again. GELU (arXiv:1606.08415) or SwiGLU (arXiv:2002.05202)."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.gated = config.activation == "swiglu"
        self.up = nn.Linear(config.d_model, config.width_ff * (2 if self.gated else 1), bias=config.bias)
        self.down = nn.Linear(config.width_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        if self.gated:
            gate, value = self.up(x).chunk(2, dim=-1)
            return self.down(F.silu(gate) * value)
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)): two readings of the stream, two additions to it."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.norm1 = make_norm(config)
        self.attention = MultiHeadAttention(config.d_model, config.n_head, config.n_kv_head, config.bias)
        self.norm2 = make_norm(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, mask: Tensor | None = None, **how: Any) -> Tensor:
        """(B, T, D) -> (B, T, D); `how` is passed on to `MultiHeadAttention`."""
        x = x + self.attention(self.norm1(x), mask, **how)
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Tokens in, a score for every possible next token out, at every position at once.

    `generator` fixes the initial weights: normal with deviation 0.02, the projections that add to the stream
    smaller by 1/√(2 · n_layer), so that the stream does not grow with depth (GPT-2, section 2.3).
    """

    position_table: Tensor
    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: GPTConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        elif config.position == "sinusoidal":
            table = sinusoidal_positions(config.context_length, config.d_model)
            self.register_buffer("position_table", table, persistent=False)
        else:
            cos, sin = rotary_angles(torch.arange(config.context_length), config.d_head, config.rope_base)
            self.register_buffer("rotary_cos", cos, persistent=False)
            self.register_buffer("rotary_sin", sin, persistent=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = make_norm(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.head.weight = self.token_embedding.weight
        self.initialise(generator)

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw all matrices anew; biases become 0, the norms' weights 1."""
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                nn.init.constant_(weight, 0.0 if name.endswith("bias") else 1.0)
            else:
                adds_to_stream = name.endswith(("out.weight", "down.weight"))
                deviation = 0.02 / math.sqrt(2 * self.config.n_layer) if adds_to_stream else 0.02
                nn.init.normal_(weight, std=deviation, generator=generator)

    @property
    def n_parameters(self) -> int:
        """Number of trainable numbers, a shared matrix counted once."""
        return sum(weight.numel() for weight in self.parameters())

    def forward(self, tokens: Tensor, **how: Any) -> Tensor:
        """tokens: (B, T) ids. Returns logits (B, T, V). `how`: see `hidden`."""
        return self.head(self.hidden(tokens, **how))

    def hidden(
        self,
        tokens: Tensor,
        *,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """The stream after the last block, normalised: (B, T, D).

        tokens: (B, T)   mask: (B, 1, T, S), True = may look; default causal   positions: (B, T); default 0, 1, 2, …
        cache: what earlier calls stored; tokens are then the next ones. Without `positions`, raises ValueError past
        the context length.
        """
        _B, T = tokens.shape
        start = cache.used if cache is not None else 0
        if positions is None and start + T > self.config.context_length:
            raise ValueError(
                f"{start + T} tokens do not fit into the model's context of {self.config.context_length}; "
                "shorten the text, or train a model with a larger context_length."
            )
        where: slice | Tensor = slice(start, start + T) if positions is None else positions
        x = self.token_embedding(tokens)  # (B, T, D)
        rotary = None
        if self.config.position == "learned":
            x = x + self.position_embedding.weight[where]
        elif self.config.position == "sinusoidal":
            x = x * math.sqrt(self.config.d_model) + self.position_table[where]
        else:
            cos, sin = self.rotary_cos[where], self.rotary_sin[where]  # (T, d_head) or (B, T, d_head)
            rotary = (cos, sin) if positions is None else (cos[:, None], sin[:, None])
        causal = mask is None and T > 1
        for layer, block in enumerate(self.blocks):
            x = block(x, mask, causal=causal, rotary=rotary, cache=cache, layer=layer)
        if cache is not None:
            cache.advance(T)
        return self.norm(x)

    def new_cache(self, batch: int, length: int | None = None) -> KVCache:
        """An empty cache for `batch` sequences of up to `length` places, padding included (default: the context)."""
        config, weight = self.config, self.token_embedding.weight
        length = length or config.context_length
        return KVCache(config.n_layer, batch, config.kv_heads, length, config.d_head, weight.device, weight.dtype)
