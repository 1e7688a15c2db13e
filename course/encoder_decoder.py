"""The transformer of 2017: an encoder reads the source, a decoder writes the target and looks back at it.

GPT kept only the decoder, without the look at a source. Here is the original, with its normalisation after each
sum ("post-norm"), ReLU and sinusoidal positions.
Vaswani et al. 2017, "Attention Is All You Need", section 3.1, arXiv:1706.03762.

Letters in shapes: B batch, S source length, T target length, D width (d_model), V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from course.attention import MultiHeadAttention
from course.transformer import sinusoidal_positions


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """The shape of the 2017 transformer (the paper's base model: 6 layers, width 512, 8 heads, d_ff 2048)."""

    vocab_size: int
    context_length: int = 64
    n_layer: int = 2
    n_head: int = 4
    d_model: int = 64
    d_ff: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(getattr(self, field.name), int) or getattr(self, field.name) < 1:
                raise ValueError(f"{field.name}={getattr(self, field.name)!r} must be a whole number from 1 up.")


class FeedForward(nn.Sequential):
    """max(0, x W1 + b1) W2 + b2, each position by itself (section 3.3)."""

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__(nn.Linear(config.d_model, config.d_ff), nn.ReLU(), nn.Linear(config.d_ff, config.d_model))


class EncoderLayer(nn.Module):
    """Every source position looks at all others, then thinks by itself."""

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.attention = MultiHeadAttention(config.d_model, config.n_head)
        self.norm1 = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)
        self.norm2 = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (B, S, D)   mask: (B, 1, 1, S), True where the source is not padding. Returns (B, S, D)."""
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.feed_forward(x))


class DecoderLayer(nn.Module):
    """Every target position looks at the past of the target, then at the whole source, then thinks by itself."""

    def __init__(self, config: EncoderDecoderConfig):
        super().__init__()
        self.attention = MultiHeadAttention(config.d_model, config.n_head)
        self.norm1 = nn.LayerNorm(config.d_model)
        self.cross_attention = MultiHeadAttention(config.d_model, config.n_head)
        self.norm2 = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config)
        self.norm3 = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        """x: (B, T, D)   memory: (B, S, D), the encoder's result   memory_mask: (B, 1, 1, S). Returns (B, T, D)."""
        x = self.norm1(x + self.attention(x, causal=True))
        x = self.norm2(x + self.cross_attention(x, memory_mask, memory=memory))
        return self.norm3(x + self.feed_forward(x))


class EncoderDecoder(nn.Module):
    """Source tokens and the target so far in, scores for the target's next tokens out."""

    position_table: Tensor

    def __init__(self, config: EncoderDecoderConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        table = sinusoidal_positions(config.context_length, config.d_model)
        self.register_buffer("position_table", table, persistent=False)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layer))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layer))
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5, generator=generator)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, D): embeddings times √D plus positions (sections 3.4 and 3.5)."""
        if tokens.size(1) > self.config.context_length:
            raise ValueError(f"{tokens.size(1)} tokens do not fit into a context of {self.config.context_length}.")
        return self.embedding(tokens) * math.sqrt(self.config.d_model) + self.position_table[: tokens.size(1)]

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """source: (B, S)   source_mask: (B, S), True where it is not padding. Returns the memory (B, S, D)."""
        x = self.embed(source)
        for layer in self.encoder:
            x = layer(x, _for_heads(source_mask))
        return x

    def decode(self, target: Tensor, memory: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """target: (B, T)   memory: (B, S, D). Returns logits (B, T, V); the head is the embedding, transposed."""
        x = self.embed(target)
        for layer in self.decoder:
            x = layer(x, memory, _for_heads(source_mask))
        return x @ self.embedding.weight.T

    def forward(self, source: Tensor, target: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """source: (B, S)   target: (B, T)   source_mask: (B, S). Returns logits (B, T, V)."""
        return self.decode(target, self.encode(source, source_mask), source_mask)


def _for_heads(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask[:, None, None, :]  # the same for every head and every query
