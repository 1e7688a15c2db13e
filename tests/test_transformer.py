"""The GPT against torch's own layers and closed forms, in every combination of its options."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.attention import rotary_angles
from course.transformer import GPT, MLP, Block, GPTConfig, make_norm, sinusoidal_positions

SMALL = GPTConfig(vocab_size=61, context_length=16, n_layer=2, n_head=4, d_model=32)
CONFIGS = [
    replace(SMALL, norm=norm, activation=act, position=position, tie_embeddings=tied, bias=bias, n_kv_head=kv)
    for norm, act, position, tied, bias, kv in product(
        ("layer", "rms"),
        ("gelu", "swiglu"),
        ("learned", "sinusoidal", "rotary"),
        (True, False),
        (True, False),
        (None, 2),
    )
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens_for(config: GPTConfig, seed: int = 0, batch: int = 3, T: int | None = None) -> Tensor:
    return torch.randint(config.vocab_size, (batch, T or config.context_length), generator=seeded(seed))


def lively(config: GPTConfig, seed: int = 0) -> GPT:
    """A float64 model whose weights are large enough that every part of it shows in the logits."""
    model = GPT(config, seeded(seed)).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=seeded(seed + 1), dtype=torch.float64))
    return model.eval()


def name_of(config: GPTConfig) -> str:
    chosen = (
        config.norm,
        config.activation,
        config.position,
        config.tie_embeddings,
        config.bias,
        config.kv_heads,
    )
    return "-".join(map(str, chosen))


# --- all combinations of the options ---


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_every_combination_of_options_learns_and_never_looks_ahead(config: GPTConfig) -> None:
    model, tokens = lively(config), tokens_for(config)
    logits = model(tokens)
    assert logits.shape == (3, 16, 61)
    F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    t = 9
    changed = tokens.clone()
    changed[:, t] = (tokens[:, t] + 1) % 61
    with torch.no_grad():
        after = model(changed)
    torch.testing.assert_close(after[:, :t], logits[:, :t], rtol=0, atol=1e-12)  # the past does not know
    assert ((after[:, t:] - logits[:, t:]).abs().amax(-1) > 1e-9).all()  # the present and the future do


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_the_number_of_parameters_follows_the_formula(config: GPTConfig) -> None:
    c, D, V = config, config.d_model, config.vocab_size
    one = 1 if c.bias else 0
    norm = D * (2 if c.bias and c.norm == "layer" else 1)
    qkv = D + 2 * c.kv_heads * D // c.n_head
    up = c.width_ff * (2 if c.activation == "swiglu" else 1)
    block = 2 * norm + (D + one) * qkv + (D + one) * D + (D + one) * up + (c.width_ff + one) * D
    expected = V * D * (1 if c.tie_embeddings else 2) + c.n_layer * block + norm
    expected += c.context_length * D if c.position == "learned" else 0
    assert GPT(config).n_parameters == expected


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_with_the_cache_come_the_logits_of_the_whole_text(config: GPTConfig) -> None:
    model, tokens = lively(config), tokens_for(config)
    cache = model.new_cache(3)
    with torch.no_grad():
        parts = [model(tokens[:, start:end], cache=cache) for start, end in ((0, 5), (5, 6), (6, 12), (12, 16))]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), rtol=0, atol=1e-10)


# --- the published models ---


def test_gpt2_and_llama_have_their_published_sizes() -> None:
    """GPT-2 small: 124,439,808 parameters; Llama 7B: 6,738,415,616. The meta device needs no memory."""
    with torch.device("meta"):
        gpt2 = GPT(GPTConfig.gpt2(vocab_size=50257, context_length=1024, n_layer=12, n_head=12, d_model=768))
        shape = dict(vocab_size=32000, context_length=2048, n_layer=32, n_head=32, d_model=4096, d_ff=11008)
        llama = GPT(GPTConfig.llama(**shape))
    assert gpt2.n_parameters == 124_439_808
    assert llama.n_parameters == 6_738_415_616


def test_the_defaults_are_the_courses_model_of_about_a_million_parameters() -> None:
    assert 0.9e6 < GPT(GPTConfig()).n_parameters < 1.1e6
    assert GPTConfig.gpt2() == GPTConfig()


# --- parts against torch ---


def peer_layer(block: Block, d_model: int, d_ff: int, n_head: int) -> nn.TransformerEncoderLayer:
    """torch's pre-norm layer with our weights."""
    theirs = nn.TransformerEncoderLayer(
        d_model,
        n_head,
        d_ff,
        dropout=0.0,
        activation=lambda x: F.gelu(x, approximate="tanh"),
        batch_first=True,
        norm_first=True,
    )
    ours = block.state_dict()
    names = {"norm1": "norm1", "norm2": "norm2", "mlp.up": "linear1", "mlp.down": "linear2"}
    names |= {"attention.out": "self_attn.out_proj"}
    state = {f"{new}.{part}": ours[f"{old}.{part}"] for old, new in names.items() for part in ("weight", "bias")}
    state |= {f"self_attn.in_proj_{part}": ours[f"attention.qkv.{part}"] for part in ("weight", "bias")}
    theirs.double().load_state_dict(state)
    return theirs


@pytest.mark.parametrize("seed", range(5))
def test_a_block_equals_torchs_pre_norm_encoder_layer_under_a_causal_mask(seed: int) -> None:
    model = lively(SMALL, seed)
    x = torch.randn(2, 16, 32, generator=seeded(seed), dtype=torch.float64)
    theirs = peer_layer(model.blocks[0], 32, 128, 4)
    future = torch.ones(16, 16, dtype=torch.bool).triu(1)
    torch.testing.assert_close(model.blocks[0](x, causal=True), theirs(x, src_mask=future))


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_gpt2_equals_torchs_layers_in_a_row(seed: int) -> None:
    model, tokens = lively(SMALL, seed), tokens_for(SMALL, seed)
    x = model.token_embedding(tokens) + model.position_embedding(torch.arange(16))
    for block in model.blocks:
        future = torch.ones(16, 16, dtype=torch.bool).triu(1)
        x = peer_layer(block, 32, 128, 4)(x, src_mask=future)
    x = F.layer_norm(x, (32,), model.norm.weight, model.norm.bias)
    torch.testing.assert_close(model(tokens), x @ model.token_embedding.weight.T)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_the_norms_are_those_of_the_papers(eps: float) -> None:
    x = torch.randn(5, 32, generator=seeded(0), dtype=torch.float64)
    layer = make_norm(replace(SMALL, norm_eps=eps)).double()
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
    torch.testing.assert_close(layer(x), (x - mean) / (variance + eps).sqrt())
    rms = make_norm(replace(SMALL, norm="rms", norm_eps=eps)).double()
    rms.weight.data = torch.randn(32, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(rms(x), x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * rms.weight)


def test_the_mlps_are_those_of_the_papers() -> None:
    x = torch.randn(5, 32, generator=seeded(0), dtype=torch.float64)
    mlp = MLP(SMALL).double()
    h = x @ mlp.up.weight.T + mlp.up.bias
    gelu = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))  # arXiv:1606.08415
    torch.testing.assert_close(mlp(x), gelu @ mlp.down.weight.T + mlp.down.bias)
    gated = MLP(replace(SMALL, activation="swiglu", bias=False, d_ff=40)).double()
    gate, value = gated.up.weight.split(40)
    swish = (x @ gate.T) * torch.sigmoid(x @ gate.T)  # arXiv:2002.05202
    torch.testing.assert_close(gated(x), (swish * (x @ value.T)) @ gated.down.weight.T)


@pytest.mark.parametrize("d_model", [8, 7])
def test_sinusoidal_positions_follow_the_paper(d_model: int) -> None:
    table = sinusoidal_positions(50, d_model)
    assert table.shape == (50, d_model)
    for position, i in product((0, 1, 49), range(d_model)):
        angle = position / 10000 ** ((i - i % 2) / d_model)  # section 3.5
        expected = math.cos(angle) if i % 2 else math.sin(angle)
        assert table[position, i].item() == pytest.approx(expected, abs=1e-5)


# --- the beginning of training ---


@pytest.mark.parametrize("make", [GPTConfig.gpt2, GPTConfig.llama])
@pytest.mark.parametrize("seed", range(3))
def test_the_initial_loss_is_that_of_guessing(make: Any, seed: int) -> None:
    """ln V = 7.34; small logits add about half their variance, and theirs is 0.02² · D = 0.05."""
    config = make()
    model = GPT(config, seeded(seed))
    inputs, targets = tokens_for(config, seed, 4), tokens_for(config, seed + 50, 4)
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()
    assert loss == pytest.approx(math.log(config.vocab_size), abs=0.06)


def test_the_initial_weights_follow_gpt2() -> None:
    model = GPT(GPTConfig(n_layer=8), seeded(0))
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            wanted = 0.02 / 4 if name.endswith(("out.weight", "down.weight")) else 0.02  # 1/√(2 · 8) = 1/4
            assert weight.std().item() == pytest.approx(wanted, rel=0.05), name
        elif name.endswith("bias"):
            assert (weight == 0).all(), name
        else:
            assert (weight == 1).all(), name


def test_the_generator_alone_decides_the_initial_weights() -> None:
    torch.manual_seed(1)
    first = GPT(SMALL, seeded(3)).state_dict()
    torch.manual_seed(2)
    second, other = GPT(SMALL, seeded(3)).state_dict(), GPT(SMALL, seeded(4)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["token_embedding.weight"], other["token_embedding.weight"])


def test_a_tied_head_is_the_embedding_itself() -> None:
    tied, untied = GPT(SMALL), GPT(replace(SMALL, tie_embeddings=False))
    assert tied.head.weight is tied.token_embedding.weight
    assert untied.head.weight is not untied.token_embedding.weight


# --- masks and positions given from outside ---


@pytest.mark.parametrize("position", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("seed", range(3))
def test_padding_on_the_left_changes_nothing_when_mask_and_positions_say_so(position: str, seed: int) -> None:
    config = replace(SMALL, position=position)
    model, pad, T = lively(config, seed), 5, 9
    tokens = tokens_for(config, seed, 1, T)
    padded = torch.cat((tokens_for(config, seed + 9, 1, pad), tokens), dim=1)
    place = torch.arange(pad + T)
    real = place >= pad
    mask = ((place[:, None] >= place) & real) | torch.eye(pad + T, dtype=torch.bool)
    with torch.no_grad():
        logits = model(padded, mask=mask[None, None], positions=(place - pad).clamp_min(0)[None])
        torch.testing.assert_close(logits[:, pad:], model(tokens), rtol=0, atol=1e-10)
        cache = model.new_cache(1)
        for start, end in ((0, 8), (8, 11), (11, 14)):
            seen, places = mask[None, None, start:end, :end], (place - pad).clamp_min(0)[None, start:end]
            part = model(padded[:, start:end], mask=seen, positions=places, cache=cache)
            torch.testing.assert_close(part, logits[:, start:end], rtol=0, atol=1e-10)


@pytest.mark.parametrize("config", [SMALL, GPTConfig.llama(**{**SMALL.to_dict(), "norm": "rms"})])
def test_padding_on_the_right_changes_nothing_before_it(config: GPTConfig) -> None:
    model, tokens = lively(config), tokens_for(config)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :7], model(tokens[:, :7]), rtol=0, atol=1e-10)


def test_sinusoidal_positions_are_added_to_the_scaled_embedding() -> None:
    model, tokens = lively(replace(SMALL, position="sinusoidal")), tokens_for(SMALL)
    x = model.token_embedding(tokens) * math.sqrt(32) + sinusoidal_positions(16, 32)  # arXiv:1706.03762, 3.4
    for block in model.blocks:
        x = block(x, causal=True)
    torch.testing.assert_close(model.hidden(tokens), model.norm(x))


def test_the_base_of_the_rotary_angles_is_the_configs() -> None:
    model, tokens = lively(replace(SMALL, position="rotary", rope_base=50.0)), tokens_for(SMALL)
    x, rotary = model.token_embedding(tokens), rotary_angles(torch.arange(16), 8, 50.0)
    for block in model.blocks:
        x = block(x, causal=True, rotary=rotary)
    torch.testing.assert_close(model.hidden(tokens), model.norm(x))


def test_rotary_positions_only_count_distances() -> None:
    model = lively(replace(SMALL, position="rotary"))
    tokens = tokens_for(SMALL, T=8)
    positions = torch.arange(8).expand(3, 8)
    with torch.no_grad():
        here, there = model(tokens, positions=positions), model(tokens, positions=positions + 8)
        doubled = model(tokens, positions=positions * 2)
    torch.testing.assert_close(here, model(tokens), rtol=0, atol=1e-12)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)  # angles are float32
    assert (here - doubled).abs().max() > 1e-2


def test_logits_are_the_head_on_the_hidden_stream() -> None:
    model, tokens = lively(replace(SMALL, tie_embeddings=False)), tokens_for(SMALL)
    torch.testing.assert_close(model(tokens), model.hidden(tokens) @ model.head.weight.T)
    assert model.hidden(tokens).shape == (3, 16, 32)


# --- sentences ---


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"d_model": 130}, "d_model=130 does not divide into n_head=4 heads; try 128 or 132"),
        ({"n_kv_head": 3}, "n_head=4 query heads cannot share n_kv_head=3 evenly; use one of 1, 2, 4"),
        ({"d_model": 12, "position": "rotary"}, "d_head=3 is odd"),
        ({"norm": "batch"}, "norm='batch' is unknown; choose one of layer, rms"),
        ({"activation": "relu"}, "activation='relu' is unknown; choose one of gelu, swiglu"),
        ({"position": "alibi"}, "position='alibi' is unknown; choose one of learned, sinusoidal, rotary"),
        ({"n_layer": 0}, "n_layer=0 must be a whole number from 1 up"),
        ({"vocab_size": -5}, "vocab_size=-5 must be"),
        ({"context_length": 12.5}, "context_length=12.5 must be"),
        ({"n_head": "4"}, "n_head='4' must be"),
        ({"d_ff": 0}, "d_ff=0 must be"),
        ({"n_kv_head": 0}, "n_kv_head=0 must be"),
    ],
)
def test_a_config_that_does_not_fit_gives_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GPTConfig(**{"n_head": 4, **settings})


def test_the_numbers_that_the_sentence_proposes_do_fit() -> None:
    for d_model in (128, 132):
        assert GPTConfig(d_model=d_model, n_head=4).d_head * 4 == d_model


@torch.no_grad()
def test_a_text_longer_than_the_context_gives_a_sentence() -> None:
    model = GPT(SMALL)
    with pytest.raises(ValueError, match="17 tokens do not fit into the model's context of 16"):
        model(tokens_for(SMALL, T=17))
    cache = model.new_cache(1)
    model(tokens_for(SMALL, batch=1, T=10), cache=cache)
    with pytest.raises(ValueError, match="17 tokens do not fit"):
        model(tokens_for(SMALL, batch=1, T=7), cache=cache)


def test_a_config_survives_the_way_through_a_dictionary() -> None:
    config = GPTConfig.llama(n_kv_head=2, rope_base=500.0)
    assert GPTConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="no flash, speed; was it saved by another version"):
        GPTConfig.from_dict({**config.to_dict(), "speed": 9, "flash": True})


def test_the_widths_of_the_mlp() -> None:
    assert GPTConfig(d_model=128).width_ff == 512
    assert GPTConfig(d_model=128, d_ff=100).width_ff == 100
    swiglu = GPTConfig.llama(d_model=128).width_ff
    assert swiglu == 344  # two thirds of 512 are 341.3, and the next multiple of 8 is taken
    assert 3 * 128 * swiglu == pytest.approx(2 * 128 * 512, rel=0.02)  # as many weights as with GELU


def test_initialise_makes_a_used_model_new_again() -> None:
    used = GPT(SMALL, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in used.parameters():
            weight.add_(1)
    used.initialise(torch.Generator().manual_seed(0))
    fresh = GPT(SMALL, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(used.parameters(), fresh.parameters(), strict=True))


def test_a_cache_with_gradients_gives_a_sentence() -> None:
    model = GPT(SMALL)
    with pytest.raises(ValueError, match=r"write `with torch\.no_grad\(\):` around it"):
        model(torch.tensor([[1, 2]]), cache=model.new_cache(1))
