"""The fast path of generation: one new token per row, with as little as possible around the matrix products.

`GPT.hidden` is the code to read first. For a single token its products take microseconds, and most of the time goes
into what stands around them: module calls, general shapes, views, memory asked for and given back, threads told to
start. Here the same formulas are written out once more for T = 1, with these tricks:

- weights are taken out of their modules once per text, not once per token;
- the rows of the matrix that makes q, k and v are put in another order, all that shares a key side by side, so that
  the product's buffer can be read as attention needs it, without being cut up or copied in every layer;
- one copy puts both key and value into the cache;
- scores share a call with their scale and mask (`baddbmm`), biases with their matrix (`addmm`);
- the other products are W xᵀ, a column per row of the batch, not x Wᵀ: the same numbers, but the library divides a
  product among its threads by the rows of the result, and V or 4 D rows divide better than B;
- one processor thread does small work: waking the others takes longer than they would save.

A test holds both paths equal for every configuration; `benchmarks/generation.py` says what is gained.
Letters in shapes: B rows, D width, V vocabulary, H query heads, G key heads, d = D / H, S positions in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import KVCache, rotate
from course.transformer import GPT, GPTConfig

SMALL_WORK = 4_000_000  # multiplications per step, up to which one thread beats several (measured on two cores)


@contextmanager
def one_thread(little: bool) -> Iterator[None]:
    """Work in one processor thread, if it is so little that waking the others takes longer than they would save."""
    threads = torch.get_num_threads()
    if little:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if little:
            torch.set_num_threads(threads)


class Decoder:
    """A GPT and its filled cache, laid out for decoding. Make a new one after the weights have changed.

    cache: what `model.hidden` stored of the prompts; goes on being filled.
    padding: (B,) how many of the first positions do not count, in each row; None = none, in any row.
    """

    def __init__(self, model: GPT, cache: KVCache, padding: Tensor | None = None):
        self.model, self.config, self.cache, self.padding = model, model.config, cache, padding
        self.norm = torch.layer_norm if model.config.norm == "layer" else torch.rms_norm
        self.layers = []
        order = grouped(self.config, cache.store.device)
        blocks: Any = model.blocks
        for block in blocks:
            attention, mlp = block.attention, block.mlp
            before, between = norm_settings(block.norm1), norm_settings(block.norm2)
            qkv, qkv_bias = (part.index_select(0, order) for part in matrix_and_bias(attention.qkv))
            out, up, down = (matrix_and_bias(linear) for linear in (attention.out, mlp.up, mlp.down))
            self.layers.append((before, qkv.t(), qkv_bias.squeeze(1), *out, between, *up, *down))
        self.last_norm, self.head = norm_settings(model.norm), model.head.weight  # (V, D)
        self.embedding = model.token_embedding.weight  # (V, D)
        tables = {"learned": "position_embedding.weight", "sinusoidal": "position_table", "rotary": "rotary_cos"}
        self.positions = attrgetter(tables[model.config.position])(model)  # a line per position
        self.lay_out()

    def lay_out(self) -> None:
        """Cut out everything that hangs on the batch, but not on the step."""
        store = self.cache.store  # (n_layer, 2, B, G, S, d)
        B, G, d = store.size(2), self.config.kv_heads, self.config.d_head
        n = self.config.n_head // G  # queries that share a key: they stand where time would stand
        self.qkv = store.new_empty(B, G * (n + 2) * d)  # for each group its queries, its key, its value
        groups = self.qkv.view(B, G, n + 2, d)
        self.q = self.qkv.view(B * G, n + 2, d)[:, :n]
        self.qk, self.kv = groups[:, :, : n + 1], groups[:, :, n:].transpose(1, 2)  # kv: (B, 2, G, d)
        self.answers = store.new_empty(B * G, n, d)
        self.y = self.answers.view(B, G * n * d).t()  # (D, B): the same memory, heads side by side
        self.slots = store.transpose(1, 2)  # (n_layer, B, 2, G, S, d): where `kv` is written
        self.keys = self.cache.keys.flatten(1, 2).transpose(2, 3)  # (n_layer, B G, d, S)
        self.values = self.cache.values.flatten(1, 2)  # (n_layer, B G, S, d)
        self.bias = store.new_zeros(1)  # added to the scores; -inf where a key does not count
        if self.padding is not None:
            self.bias = store.new_zeros(B * G, 1, store.size(4))
            padded = torch.arange(store.size(4), device=store.device) < self.padding[:, None]
            self.bias.masked_fill_(padded.repeat_interleave(G, dim=0)[:, None], -torch.inf)
        self.little = B * self.model.n_parameters < SMALL_WORK

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone. rows: (B',) indices."""
        self.cache.keep(rows)
        self.padding = None if self.padding is None else self.padding[rows]
        self.lay_out()

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token per row: (B,). Equal to `model(tokens[:, None], cache=…)[:, 0]`.

        (With padding, to the model that is given the mask and the positions.)
        """
        with one_thread(self.little):
            return self._step(tokens)

    def _step(self, tokens: Tensor) -> Tensor:
        config, norm, used = self.config, self.norm, self.cache.used
        end, scale, masked = used + 1, 1 / math.sqrt(config.d_head), int(self.padding is not None)
        x, cos, sin = self.embed(tokens)  # x: (B, D)
        columns = x.t()  # (D, B): the same memory
        slots = self.slots.select(4, used).unbind()  # for each layer (B, 2, G, d)
        keys, values = self.keys.narrow(3, 0, end).unbind(), self.values.narrow(2, 0, end).unbind()
        bias = self.bias.narrow(2, 0, end) if masked else self.bias
        for layer, (norm1, qkv, qkv_bias, out, out_bias, norm2, up, up_bias, down, down_bias) in enumerate(self.layers):
            torch.addmm(qkv_bias, norm(x, *norm1), qkv, out=self.qkv)
            if cos is not None and sin is not None:
                self.qk.copy_(rotate(self.qk, cos, sin))
            slots[layer].copy_(self.kv)
            scores = torch.baddbmm(bias, self.q, keys[layer], beta=masked, alpha=scale)  # (B G, H/G, end)
            torch.bmm(scores.softmax(-1), values[layer], out=self.answers)
            columns.add_(torch.addmm(out_bias, out, self.y))
            h = torch.addmm(up_bias, up, norm(x, *norm2).t())  # (4 D, B)
            if config.activation == "swiglu":
                gate, value = h.chunk(2)
                h = F.silu(gate).mul_(value)
            else:
                h = F.gelu(h, approximate="tanh")
            columns.add_(torch.addmm(down_bias, down, h))
        self.cache.advance(1)
        return torch.mm(self.head, norm(x, *self.last_norm).t()).t()

    def embed(self, tokens: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The stream's beginning, a new tensor (B, D); with rotary positions cosines and sines (B or 1, 1, 1, d)."""
        model, position, used = self.model, self.config.position, self.cache.used
        where = used if self.padding is None else used - self.padding  # a row's positions count from its first token
        x = torch.embedding(self.embedding, tokens)
        if position == "learned":
            return x.add_(self.positions[where]), None, None
        if position == "sinusoidal":
            return x.mul_(math.sqrt(self.config.d_model)).add_(self.positions[where]), None, None
        d = self.config.d_head
        return x, self.positions[where].view(-1, 1, 1, d), model.rotary_sin[where].view(-1, 1, 1, d)


def norm_settings(norm: nn.Module) -> tuple:
    """What `torch.layer_norm` or `torch.rms_norm` take after x."""
    if isinstance(norm, nn.LayerNorm):
        return norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return norm.normalized_shape, norm.weight, norm.eps


def matrix_and_bias(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """(out, in) and (out, 1); zeros where there is no bias: adding them is cheaper to write and to read than not."""
    weight = linear.weight
    bias = weight.new_zeros(weight.size(0)) if linear.bias is None else linear.bias
    return weight, bias[:, None]


def grouped(config: GPTConfig, device: torch.device) -> Tensor:
    """The order of the rows of `qkv` in which each key stands behind its queries, and before its value."""
    H, G, d = config.n_head, config.kv_heads, config.d_head
    rows = torch.arange((H + 2 * G) * d, device=device).view(-1, d)  # a line per head
    q, k, v = (part.view(G, -1, d) for part in rows.split((H, G, G)))
    return torch.cat((q, k, v), dim=1).flatten()
