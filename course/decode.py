"""The fast path of generation: one new token per row, with nothing between Python and the matrix products.

`GPT.hidden` is the code to read. For a single token its layers cost less than the bookkeeping around them (module
calls, keyword arguments, general shapes). Here the same formulas are written out once more for T = 1, over plain
tensors; a test holds both equal for every configuration, and a benchmark says what it gains.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import KVCache, rotate
from course.transformer import GPT


class Decoder:
    """A GPT's weights laid out for decoding. Views, no copies: it sees later changes of the weights."""

    def __init__(self, model: GPT):
        self.config, self.model = model.config, model
        self.layers = []
        for block in model.blocks:
            attention, mlp = block.attention, block.mlp
            linears = [(m.weight.t(), m.bias) for m in (attention.qkv, attention.out, mlp.up, mlp.down)]
            self.layers.append((block.norm1, *linears[:2], block.norm2, *linears[2:]))
        self.head = model.head.weight.t()                        # (D, V)

    def norm(self, x: Tensor, norm: nn.Module) -> Tensor:
        """LayerNorm or RMSNorm without the module's call. x: (B, D)."""
        if isinstance(norm, nn.LayerNorm):
            return torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        return torch.rms_norm(x, norm.normalized_shape, norm.weight, norm.eps)

    def step(self, tokens: Tensor, cache: KVCache, mask: Tensor | None = None, positions: Tensor | None = None) -> Tensor:
        """Logits (B, V) after one more token per row.

        tokens: (B,)   mask: (B, 1, 1, used + 1), True = may look; None = everywhere   positions: (B,); None = used
        Equal to `model(tokens[:, None], …)[:, 0]`, which stores into the cache in the same way.
        """
        config, model, used = self.config, self.model, cache.used
        B, H, G, d = tokens.size(0), config.n_head, config.kv_heads, config.d_head
        end, scale = used + 1, 1 / math.sqrt(config.d_head)
        x = torch.embedding(model.token_embedding.weight, tokens)            # (B, D)
        where = used if positions is None else positions
        cos = sin = None
        if config.position == "learned":
            x = x + model.position_embedding.weight[where]
        elif config.position == "sinusoidal":
            x = x * math.sqrt(config.d_model) + model.position_table[where]
        else:
            cos, sin = model.rotary_cos[where].view(-1, 1, d), model.rotary_sin[where].view(-1, 1, d)
        if mask is not None:                                     # (B G, 1, end): True where a key does not count
            mask = ~mask.expand(B, G, 1, end).reshape(B * G, 1, end)
        for layer, (norm1, qkv, out, norm2, up, down) in enumerate(self.layers):
            heads = linear(self.norm(x, norm1), *qkv).view(B, H + 2 * G, d)
            q, k, v = heads[:, :H], heads[:, H : H + G], heads[:, H + G :]
            if cos is not None:
                q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            keys, values = cache.keys[layer], cache.values[layer]            # (B, G, length, d)
            keys.select(2, used).copy_(k)
            values.select(2, used).copy_(v)
            keys, values = keys.flatten(0, 1).narrow(1, 0, end), values.flatten(0, 1).narrow(1, 0, end)
            q = q.reshape(B * G, H // G, d) * scale              # a group's queries stand where time would stand
            scores = torch.bmm(q, keys.transpose(1, 2))          # (B G, H/G, end)
            if mask is not None:
                scores.masked_fill_(mask, -torch.inf)
            y = torch.bmm(scores.softmax(-1), values).view(B, H * d)
            x = x + linear(y, *out)
            h = linear(self.norm(x, norm2), *up)
            if config.activation == "swiglu":
                gate, value = h.chunk(2, dim=-1)
                h = F.silu(gate) * value
            else:
                h = F.gelu(h, approximate="tanh")
            x = x + linear(h, *down)
        cache.used = end
        return torch.mm(self.norm(x, model.norm), self.head)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W + b, with W as (in, out). x: (B, in)."""
    return torch.mm(x, weight) if bias is None else torch.addmm(bias, x, weight)
