"""Answers to the exercises of notebook 03, as learners write them (see `attention.py`)."""

_BLOCK = """
def block(x, weights, n_head):
    w, (B, T, D) = weights, x.shape
    def norm(y, n):
        return F.layer_norm(y, (D,), w[f"norm{n}_weight"], w[f"norm{n}_bias"])
    def attend(y):
        q, k, v = [p.view(B, T, n_head, -1).transpose(1, 2) for p in (y @ w["qkv"]).split(D, -1)]
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return z.transpose(1, 2).reshape(B, T, D) @ w["out"]
    def mlp(y):
        return F.gelu(y @ w["up"], approximate="tanh") @ w["down"]
    x = x + attend(norm(x, 1))
    return x + mlp(norm(x, 2))
"""


def _block(old: str, new: str) -> str:
    assert old in _BLOCK
    return _BLOCK.replace(old, new)


RIGHT = {
    "03-layer-norm": [
        """
def layer_norm(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred**2).mean(-1, keepdim=True) + eps) * weight + bias
""",
        """
def layer_norm(x, weight, bias, eps):
    variance, mean = torch.var_mean(x, dim=-1, keepdim=True, correction=0)
    return weight * ((x - mean) / torch.sqrt(variance + eps)) + bias
""",
    ],
    "03-sinusoidal-positions": [
        """
def sinusoidal_positions(length, d_model):
    table = torch.zeros(length, d_model)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()
    return table
""",
        """
def sinusoidal_positions(length, d_model):
    rows = []
    for position in range(length):
        row = []
        for i in range(d_model // 2):
            angle = position / 10000 ** (2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)
""",
    ],
    "03-block": [
        _BLOCK,
        """
def block(x, weights, n_head):
    D = x.size(-1)
    y = F.layer_norm(x, (D,), weights["norm1_weight"], weights["norm1_bias"], 1e-5)
    q, k, v = (y @ weights["qkv"]).chunk(3, -1)
    heads, width = [], D // n_head
    for h in range(n_head):
        part = slice(h * width, h * width + width)
        scores = q[..., part] @ k[..., part].mT / math.sqrt(width)
        scores = scores + torch.full(scores.shape[-2:], -math.inf).triu(1)
        heads.append(scores.softmax(-1) @ v[..., part])
    x = x + torch.cat(heads, -1) @ weights["out"]
    y = F.layer_norm(x, (D,), weights["norm2_weight"], weights["norm2_bias"], 1e-5) @ weights["up"]
    bent = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
    return x + bent @ weights["down"]
""",
    ],
    "03-count-parameters": [
        """
def count_parameters(vocab_size, context_length, n_layer, d_model):
    D = d_model
    return (vocab_size + context_length) * D + n_layer * (12 * D * D + 13 * D) + 2 * D
""",
        """
def count_parameters(vocab_size, context_length, n_layer, d_model):
    layers = [nn.Embedding(vocab_size, d_model), nn.Embedding(context_length, d_model), nn.LayerNorm(d_model)]
    for _ in range(n_layer):
        layers += [nn.LayerNorm(d_model), nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)]
        layers += [nn.LayerNorm(d_model), nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)]
    return sum(p.numel() for layer in layers for p in layer.parameters())
""",
    ],
    "03-drying-stream": [
        "def repaired_rms_norm(x, weight, eps):\n    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight",
        """
def repaired_rms_norm(x, weight, eps):
    squares = x.square().sum(dim=-1, keepdim=True) / x.shape[-1]
    return weight * (x / torch.sqrt(squares + eps))
""",
    ],
}

WRONG = {
    "03-layer-norm": [
        (
            "def layer_norm(x, weight, bias, eps):\n    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + eps).sqrt() * weight + bias",
            "divides by D − 1",
        ),
        (
            "def layer_norm(x, weight, bias, eps):\n    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True, correction=0) + eps) * weight + bias",
            "outside the root",
        ),
        (
            "def layer_norm(x, weight, bias, eps):\n    return (x - x.mean(0)) / (x.var(0, correction=0) + eps).sqrt() * weight + bias",
            "the first axis",
        ),
        (
            "def layer_norm(x, weight, bias, eps):\n    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + eps) * weight + bias",
            "by the variance",
        ),
        ("def layer_norm(x, weight, bias, eps):\n    return F.layer_norm(x, (x.size(-1),), eps=eps)", "are not used"),
        (
            "def layer_norm(x, weight, bias, eps):\n    return F.layer_norm(x, (x.size(-1),), weight, None, eps)",
            "bias is missing",
        ),
    ],
    "03-sinusoidal-positions": [
        (
            """
def sinusoidal_positions(length, d_model):
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.cat((angles.sin(), angles.cos()), dim=1)
""",
            "All sines stand first",
        ),
        (
            """
def sinusoidal_positions(length, d_model):
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.stack((angles.sin(), angles.sin()), dim=-1).flatten(1)
""",
            "sines only",
        ),
        (
            """
def sinusoidal_positions(length, d_model):
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(d_model) / d_model)
    return torch.where(torch.arange(d_model) % 2 == 0, angles.sin(), angles.cos())
""",
            "same frequency",
        ),
        (
            """
def sinusoidal_positions(length, d_model):
    angles = torch.arange(1, length + 1)[:, None] * 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)
""",
            "begin with 0",
        ),
        (
            """
def sinusoidal_positions(length, d_model):
    angles = 10000.0 ** (-torch.arange(0, d_model, 2) / d_model)[:, None] * torch.arange(length)
    return torch.stack((angles.sin(), angles.cos()), dim=1).flatten(0, 1)
""",
            "on its side",
        ),
    ],
    "03-block": [
        (
            _block(
                "    x = x + attend(norm(x, 1))\n    return x + mlp(norm(x, 2))",
                "    x = norm(x + attend(x), 1)\n    return norm(x + mlp(x), 2)",
            ),
            "as in 2017",
        ),
        (_block("x = x + attend(norm(x, 1))", "x = attend(norm(x, 1))"), "first residual is missing"),
        (_block("return x + mlp(norm(x, 2))", "return mlp(norm(x, 2))"), "second residual is missing"),
        (
            _block(
                "    x = x + attend(norm(x, 1))\n    return x + mlp(norm(x, 2))",
                "    return x + attend(norm(x, 1)) + mlp(norm(x, 2))",
            ),
            "before attention",
        ),
        (_block(", is_causal=True", ""), "causal mask is missing"),
        (_block('F.gelu(y @ w["up"], approximate="tanh")', 'F.relu(y @ w["up"])'), "ReLU is not GELU"),
        (_block('F.gelu(y @ w["up"], approximate="tanh")', 'F.gelu(y @ w["up"])'), "exact GELU"),
        (_block('F.gelu(y @ w["up"], approximate="tanh")', 'y @ w["up"]'), "Nothing is bent"),
        (_block("attend(norm(x, 1))", "attend(x)"), "without its norm"),
    ],
    "03-count-parameters": [
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return (2 * vocab_size + context_length) * D + n_layer * (12 * D * D + 13 * D) + 2 * D",
            "head is counted again",
        ),
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return vocab_size * D + n_layer * (12 * D * D + 13 * D) + 2 * D",
            "positions are missing",
        ),
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return (vocab_size + context_length) * D + n_layer * (12 * D * D + 4 * D) + 2 * D",
            "biases of the four matrices",
        ),
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return (vocab_size + context_length) * D + n_layer * (12 * D * D + 13 * D)",
            "last norm is missing",
        ),
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return (vocab_size + context_length) * D + n_layer * (8 * D * D + 13 * D) + 2 * D",
            "one is missing",
        ),
        (
            "def count_parameters(vocab_size, context_length, n_layer, d_model):\n    D = d_model\n    return (vocab_size + context_length) * D + n_layer * 12 * D * D",
            "small, but not nothing",
        ),
    ],
    "03-drying-stream": [
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.square().sum(-1, keepdim=True) + eps).sqrt() * weight",
            "Still a sum",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return F.layer_norm(x, (x.size(-1),), weight, None, eps)",
            "does not subtract the mean",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()",
            "weight is missing",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.square().mean(-1, keepdim=True) + eps) * weight",
            "root is missing",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.abs().mean(-1, keepdim=True) + eps) * weight",
            "absolute values",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.square().mean() + eps).sqrt() * weight",
            "over everything",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / x.pow(2).mean(-1, keepdim=True).sqrt() * weight",
            "expected is",
        ),
        (
            "def repaired_rms_norm(x, weight, eps):\n    return x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * weight",
            "eps stands outside the root",
        ),
    ],
}
