"""The fast path of generation: one new token per row, with as little as possible around the matrix products.

`GPT.hidden` is the code to read first. For a single token its products take microseconds, and most of the time goes
into what stands around them: module calls, general shapes, views, memory asked for and given back, threads told to
start. Here the same formulas are written out once more for T = 1, with these tricks:

- weights are taken out of their modules once per text, not once per token;
- q, k and v are written into a buffer with fixed places, so that it need not be cut up anew in every layer;
- one copy puts both key and value into the cache;
- what an addition can share with a matrix product, it does: scores with their scale and mask (`baddbmm`), and the
  stream with what a layer adds to it (`addmm_`);
- one processor thread does small work: waking the others takes longer than they would save.

A test holds both paths equal for every configuration; `benchmarks/generation.py` says what is gained.
Letters in shapes: B rows, D width, V vocabulary, H query heads, G key heads, d = D / H, S positions in the cache.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import KVCache, rotate
from course.transformer import GPT

SMALL_WORK = 4_000_000  # multiplications per step, up to which one thread beats several (measured on two cores)


class Decoder:
    """A GPT and its filled cache, laid out for decoding. The weights are views, so later changes of them are seen.

    cache: what `model.hidden` stored of the prompts; goes on being filled.
    padding: (B,) how many of the first positions do not count, in each row; None = none, in any row.
    """

    def __init__(self, model: GPT, cache: KVCache, padding: Tensor | None = None):
        self.model, self.config, self.cache, self.padding = model, model.config, cache, padding
        self.norm = torch.layer_norm if model.config.norm == "layer" else torch.rms_norm
        self.layers = []
        blocks: Any = model.blocks
        for block in blocks:
            attention, mlp = block.attention, block.mlp
            before, between = norm_settings(block.norm1), norm_settings(block.norm2)
            linears = [matrix_and_bias(linear) for linear in (attention.qkv, attention.out, mlp.up, mlp.down)]
            self.layers.append((before, *linears[0], *linears[1], between, *linears[2], *linears[3]))
        self.last_norm, self.head = norm_settings(model.norm), model.head.weight.t()  # (D, V)
        self.embedding = model.token_embedding.weight  # (V, D)
        self.lay_out()

    def lay_out(self) -> None:
        """Cut out everything that hangs on the batch, but not on the step."""
        store = self.cache.store  # (n_layer, 2, B, G, S, d)
        B, H, G, d = store.size(2), self.config.n_head, self.config.kv_heads, self.config.d_head
        self.qkv = store.new_empty(B, (H + 2 * G) * d)
        heads = self.qkv.view(B, H + 2 * G, d)
        self.q, self.qk, self.kv = heads[:, :H], heads[:, : H + G], heads[:, H:].view(B, 2, G, d)
        self.slots = store.transpose(1, 2)  # (n_layer, B, 2, G, S, d): where `kv` is written
        self.keys = self.cache.keys.flatten(1, 2).transpose(2, 3)  # (n_layer, B G, d, S)
        self.values = self.cache.values.flatten(1, 2)  # (n_layer, B G, S, d)
        self.bias = store.new_zeros(B * G, 1, store.size(4))  # added to the scores; -inf where a key does not count
        if self.padding is not None:
            padded = torch.arange(store.size(4), device=store.device) < self.padding[:, None]
            self.bias.masked_fill_(padded.repeat_interleave(G, dim=0)[:, None], -torch.inf)
        self.little = B * self.model.n_parameters < SMALL_WORK

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows of the batch alone. rows: (B',) indices."""
        self.cache.keep(rows)
        self.padding = None if self.padding is None else self.padding[rows]
        self.lay_out()

    def step(self, tokens: Tensor) -> Tensor:
        """Logits (B, V) after one more token per row: (B,). Equal to `model(tokens[:, None], cache=…)[:, 0]`."""
        threads = torch.get_num_threads()
        if self.little:
            torch.set_num_threads(1)
        try:
            return self._step(tokens)
        finally:
            if self.little:
                torch.set_num_threads(threads)

    def _step(self, tokens: Tensor) -> Tensor:
        config, norm, used = self.config, self.norm, self.cache.used
        B, H, G, d = len(tokens), config.n_head, config.kv_heads, config.d_head
        end, scale, masked = used + 1, 1 / math.sqrt(d), int(self.padding is not None)
        x, cos, sin = self.embed(tokens)  # x: (B, D)
        slots = self.slots.select(4, used).unbind()  # for each layer (B, 2, G, d)
        keys, values = self.keys.narrow(3, 0, end).unbind(), self.values.narrow(2, 0, end).unbind()
        bias = self.bias.narrow(2, 0, end)
        for layer, (norm1, qkv, qkv_bias, out, out_bias, norm2, up, up_bias, down, down_bias) in enumerate(self.layers):
            torch.addmm(qkv_bias, norm(x, *norm1), qkv, out=self.qkv)
            if cos is not None and sin is not None:
                self.qk.copy_(rotate(self.qk, cos, sin))
            slots[layer].copy_(self.kv)
            q = self.q.reshape(B * G, H // G, d)  # a group's queries stand where time would stand
            scores = torch.baddbmm(bias, q, keys[layer], beta=masked, alpha=scale)  # (B G, H/G, end)
            y = torch.bmm(scores.softmax(-1), values[layer]).view(B, H * d)
            x.add_(out_bias).addmm_(y, out)
            h = torch.addmm(up_bias, norm(x, *norm2), up)
            if config.activation == "swiglu":
                gate, value = h.chunk(2, dim=-1)
                h = F.silu(gate).mul_(value)
            else:
                h = F.gelu(h, approximate="tanh")
            x.add_(down_bias).addmm_(h, down)
        self.cache.advance(1)
        return torch.mm(norm(x, *self.last_norm), self.head)

    def embed(self, tokens: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The stream's beginning, a new tensor (B, D); for rotary positions cosines and sines, too (B or 1, 1, d)."""
        model, position, used = self.model, self.config.position, self.cache.used
        where = used if self.padding is None else used - self.padding  # a row's positions count from its first token
        x = torch.embedding(self.embedding, tokens)
        if position == "learned":
            return x.add_(model.position_embedding.weight[where]), None, None
        if position == "sinusoidal":
            return x.mul_(math.sqrt(self.config.d_model)).add_(model.position_table[where]), None, None
        d = self.config.d_head
        return x, model.rotary_cos[where].view(-1, 1, d), model.rotary_sin[where].view(-1, 1, d)


def norm_settings(norm: nn.Module) -> tuple:
    """What `torch.layer_norm` or `torch.rms_norm` take after x."""
    if isinstance(norm, nn.LayerNorm):
        return norm.normalized_shape, norm.weight, norm.bias, norm.eps
    return norm.normalized_shape, norm.weight, norm.eps


def matrix_and_bias(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """(in, out) and (out,); zeros where there is no bias: adding them is cheaper to write and to read than not."""
    return linear.weight.t(), linear.weight.new_zeros(linear.out_features) if linear.bias is None else linear.bias
