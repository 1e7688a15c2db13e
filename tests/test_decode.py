"""The fast path of generation computes what the model computes, for every configuration."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from course import decode
from course.decode import Decoder
from course.transformer import GPT, GPTConfig

CONFIGS = [
    GPTConfig(
        vocab_size=40, context_length=24, n_layer=2, n_head=4, n_kv_head=kv, d_model=32, norm=norm,
        activation=activation, position=position, tie_embeddings=tied, bias=bias,
    )
    for norm, activation, position, kv, (tied, bias) in itertools.product(
        ("layer", "rms"), ("gelu", "swiglu"), ("learned", "sinusoidal", "rotary"), (4, 2, 1),
        ((True, True), (False, False)),
    )
]  # fmt: skip
B, T, STEPS = 3, 6, 5


def name(config: GPTConfig) -> str:
    parts = (config.norm, config.activation, config.position, config.n_kv_head, config.bias)
    return "-".join(map(str, parts))


def prompts(seed: int) -> torch.Tensor:
    return torch.randint(40, (B, T), generator=torch.Generator().manual_seed(seed))


def alone(model: GPT, row: torch.Tensor) -> torch.Tensor:
    """The last logits of one row without cache, padding or tricks: (V,)."""
    return model(row[None])[0, -1]


@torch.no_grad()
@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_steps_equal_the_model_without_a_cache(config):
    model = GPT(config, torch.Generator().manual_seed(1)).double().eval()
    rows, cache = prompts(2), model.new_cache(B)
    model(rows, cache=cache)
    decoder = Decoder(model, cache)
    for step in range(STEPS):
        new = prompts(3 + step)[:, 0]
        rows = torch.cat((rows, new[:, None]), dim=1)
        logits = decoder.step(new)
        expected = torch.stack([alone(model, row) for row in rows])
        torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("config", CONFIGS, ids=name)
def test_padded_rows_equal_each_row_alone_also_after_some_have_left(config):
    model = GPT(config, torch.Generator().manual_seed(1)).double().eval()
    padding = torch.tensor([0, 2, 5])
    rows, cache = prompts(2), model.new_cache(B)
    positions = (torch.arange(T) - padding[:, None]).clamp(min=0)
    looks = (torch.arange(T) >= padding[:, None])[:, None, None, :] & torch.ones(T, T).tril().bool()
    looks |= torch.eye(T, dtype=torch.bool)  # a padded place looks at itself: it must look somewhere
    model(rows, cache=cache, positions=positions, mask=looks)
    decoder = Decoder(model, cache, padding)
    texts = [row[skip:] for row, skip in zip(rows, padding.tolist(), strict=True)]
    for step in range(STEPS):
        if step == 2:
            decoder.keep(torch.tensor([2, 0]))
            texts = [texts[2], texts[0]]
        new = prompts(3 + step)[: len(texts), 0]
        texts = [torch.cat((text, token[None])) for text, token in zip(texts, new, strict=True)]
        expected = torch.stack([alone(model, text) for text in texts])
        torch.testing.assert_close(decoder.step(new), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_the_epsilon_of_the_norms_is_the_configs(norm):
    config = replace(CONFIGS[0], norm=norm, norm_eps=0.1)
    model = GPT(config, torch.Generator().manual_seed(1)).double().eval()
    rows, new, cache = prompts(2), prompts(3)[:, :1], model.new_cache(B)
    model(rows, cache=cache)
    expected = model(torch.cat((rows, new), dim=1))[:, -1]
    torch.testing.assert_close(Decoder(model, cache).step(new[:, 0]), expected, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_float32_is_near_float64():
    model = GPT(CONFIGS[0], torch.Generator().manual_seed(1)).eval()
    cache = model.new_cache(B)
    model(prompts(2), cache=cache)
    logits = Decoder(model, cache).step(prompts(3)[:, 0])
    model.double()
    rows = torch.cat((prompts(2), prompts(3)[:, :1]), dim=1)
    torch.testing.assert_close(logits.double(), torch.stack([alone(model, row) for row in rows]), rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_what_it_was(fails, monkeypatch):
    model = GPT(CONFIGS[0]).eval()
    cache = model.new_cache(1)
    model(prompts(2)[:1], cache=cache)
    decoder = Decoder(model, cache)
    seen = []

    def step(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt
        return tokens

    monkeypatch.setattr(decoder, "_step", step)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        try:
            decoder.step(torch.tensor([1]))
        except KeyboardInterrupt:
            assert fails
        assert torch.get_num_threads() == 2
        assert seen == [1], "small work is done by one thread"
        monkeypatch.setattr(decode, "SMALL_WORK", 0)
        decoder.lay_out()
        assert not decoder.little
    finally:
        torch.set_num_threads(before)


@torch.no_grad()
def test_a_full_cache_says_so():
    model = GPT(CONFIGS[0]).eval()
    cache = model.new_cache(B, T + 1)
    model(prompts(2), cache=cache)
    decoder = Decoder(model, cache)
    decoder.step(prompts(3)[:, 0])
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        decoder.step(prompts(3)[:, 0])
