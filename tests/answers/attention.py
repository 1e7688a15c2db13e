"""Answers to the exercises of notebook 02, as learners write them: right ones, and typical wrong ones.

RIGHT: id -> sources, each by another way. WRONG: id -> (source, part of the sentence that it must be told).
"""

RIGHT = {
    "02-causal-mask": [
        """
def causal_mask(T):
    return torch.arange(T)[:, None] >= torch.arange(T)
""",
        """
def causal_mask(T):
    mask = torch.zeros(T, T, dtype=torch.bool)
    for t in range(T):
        for s in range(t + 1):
            mask[t, s] = True
    return mask
""",
    ],
    "02-attention-weights": [
        """
def attention_weights(q, k):
    scores = torch.einsum("td,sd->ts", q, k) * q.shape[-1] ** -0.5
    return F.softmax(scores, dim=1)
""",
        """
def attention_weights(q, k):
    rows = []
    for query in q:
        scores = torch.stack([query.dot(key) / math.sqrt(len(query)) for key in k])
        powers = (scores - scores.max()).exp()
        rows.append(powers / powers.sum())
    return torch.stack(rows)
""",
    ],
    "02-attention": [
        """
def attention(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
""",
        """
def attention(q, k, v, mask=None):
    scores = torch.einsum("...td,...sd->...ts", q, k) / math.sqrt(q.shape[-1])
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    if mask is not None:
        powers = powers * mask
    return torch.einsum("...ts,...sd->...td", powers / powers.sum(-1, keepdim=True), v)
""",
    ],
    "02-multi-head": [
        """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = (x @ w_qkv).view(B, T, 3, n_head, D // n_head).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return y.transpose(1, 2).reshape(B, T, D) @ w_out
""",
        """
def multi_head(x, w_qkv, w_out, n_head):
    width = x.size(-1) // n_head
    q, k, v = (x @ w_qkv).split(x.size(-1), dim=-1)
    allowed = torch.ones(x.size(1), x.size(1)).tril() == 1
    heads = []
    for h in range(n_head):
        part = slice(h * width, (h + 1) * width)
        scores = q[..., part] @ k[..., part].mT / width**0.5
        heads.append(scores.where(allowed, float("-inf")).softmax(-1) @ v[..., part])
    return torch.cat(heads, dim=-1) @ w_out
""",
    ],
    "02-leaky-attention": [
        """
def repaired_attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ v
""",
        """
def repaired_attention(q, k, v, mask=None):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(dim=-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights @ v
""",
    ],
}

WRONG = {
    "02-causal-mask": [
        ("def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).triu()", "tril, not triu"),
        ("def causal_mask(T):\n    return torch.ones(T, T).bool()", "The whole table is True"),
        ("def causal_mask(T):\n    return torch.arange(T)[:, None] > torch.arange(T)", "cannot see itself"),
        ("def causal_mask(T):\n    return torch.arange(T)[:, None] + 1 >= torch.arange(T)", "above the main one"),
        ("def causal_mask(T):\n    return torch.tril(torch.ones(T, T)) == 0", "wrong way round"),
        ("def causal_mask(T):\n    return torch.tril(torch.ones(T, T))", "must hold booleans"),
    ],
    "02-attention-weights": [
        ("def attention_weights(q, k):\n    return F.softmax(q @ k.T, -1)", "1/√d is missing"),
        ("def attention_weights(q, k):\n    return torch.softmax(q @ k.T / q.size(1) ** 0.5, 0)", "wrong axis"),
        ("def attention_weights(q, k):\n    return torch.softmax(q @ k.T / q.size(1), 1)", "You divide by d"),
        ("def attention_weights(q, k):\n    return q @ k.T / q.size(1) ** 0.5", "before the softmax"),
        ("def attention_weights(q, k):\n    return (q @ k.T / len(k) ** 0.5).softmax(-1)", "number of keys"),
        ("def attention_weights(q, k):\n    return (k @ q.T / q.size(1) ** 0.5).softmax(-1)", "lies on its side"),
        ("def attention_weights(q, k):\n    return (q @ k / q.size(1) ** 0.5).softmax(-1)", "raised RuntimeError"),
    ],
    "02-attention": [
        (
            """
def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores[~mask.expand_as(scores)] = -1e9
    return scores.softmax(-1) @ v
""",
            "1/√d is missing",
        ),
        (
            """
def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf"))
    return scores.softmax(-1) @ v
""",
            "wrong way round",
        ),
        (
            """
def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores * mask
    return scores.softmax(-1) @ v
""",
            "must be −∞, not 0",
        ),
        (
            """
def attention(q, k, v, mask):
    weights = F.softmax(q @ k.transpose(-2, -1) / q.size(-1) ** 0.5, dim=-1)
    return (weights if mask is None else weights.masked_fill(~mask, 0)) @ v
""",
            "comes after the softmax",
        ),
        ("def attention(q, k, v, mask):\n    return F.scaled_dot_product_attention(q, k, v)", "The mask is not used"),
        (
            """
def attention(q, k, v, mask):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-2) @ v
""",
            "wrong axis",
        ),
        (
            "def attention(q, k, v, mask=None):\n    return F.scaled_dot_product_attention(q, k, v, is_causal=mask is not None)",
            "yours is the causal one",
        ),
    ],
    "02-multi-head": [
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = [part.reshape(B, n_head, T, -1) for part in (x @ w_qkv).split(D, -1)]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).reshape(B, T, D) @ w_out
""",
            "cut wrongly",
        ),
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = [part.view(B, T, n_head, -1).transpose(1, 2) for part in (x @ w_qkv).split(D, -1)]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).reshape(B, T, D) @ w_out
""",
            "joined wrongly",
        ),
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = [part.view(B, T, n_head, -1).transpose(1, 2) for part in (x @ w_qkv).split(D, -1)]
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, T, D) @ w_out
""",
            "causal mask is missing",
        ),
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = [part.view(B, T, n_head, -1).transpose(1, 2) for part in (x @ w_qkv).split(D, -1)]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, T, D)
""",
            "output projection is missing",
        ),
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    B, T, D = x.shape
    q, k, v = [part.view(B, T, n_head, -1).transpose(1, 2) for part in (x @ w_qkv).split(D, -1)]
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=D**-0.5)
    return y.transpose(1, 2).reshape(B, T, D) @ w_out
""",
            "width D/H",
        ),
        (
            """
def multi_head(x, w_qkv, w_out, n_head):
    q, k, v = (x @ w_qkv).chunk(3, -1)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True) @ w_out
""",
            "only one head",
        ),
    ],
    "02-leaky-attention": [
        (
            """
def repaired_attention(q, k, v, mask=None):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights.softmax(dim=-1) @ v
""",
            "second softmax is still there",
        ),
        (
            """
def repaired_attention(q, k, v, mask=None):
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return weights @ v
""",
            "no longer sum to 1",
        ),
        (
            """
def repaired_attention(q, k, v, mask=None):
    return (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(dim=-1) @ v
""",
            "gone altogether",
        ),
        (
            """
def repaired_attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, 0.0)
    return scores.softmax(dim=-1) @ v
""",
            "must be −∞, not 0",
        ),
        (
            """
def repaired_attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ v
""",
            "1/√d is missing",
        ),
    ],
}
