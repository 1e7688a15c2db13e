"""Attention against torch's own, a loop over single numbers, and complex numbers."""

from __future__ import annotations

import copy
import math
import sys
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import course.attention
from course.attention import (
    KVCache,
    MultiHeadAttention,
    attention,
    attention_weights,
    causal_mask,
    rotary_angles,
    rotate,
)
from course.train import TokenBatches, TrainConfig, train
from course.transformer import GPT, GPTConfig

SEEDS = range(5)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def random_mask(seed: int, T: int, S: int) -> Tensor:
    """Any mask that lets each query look somewhere."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(T, S, generator=generator) < 0.5
    mask[torch.arange(T), torch.randint(S, (T,), generator=generator)] = True
    return mask


# --- scaled dot product ---


@pytest.mark.parametrize("seed", SEEDS)
def test_attention_equals_a_loop_over_single_numbers(seed: int) -> None:
    T, S, d = 3, 5, 4
    q, k, v, mask = draw(seed, T, d), draw(seed + 50, S, d), draw(seed + 90, S, 2), random_mask(seed, T, S)
    result = attention(q, k, v, mask)
    for t in range(T):
        weights = [
            math.exp(sum(q[t, i].item() * k[s, i].item() for i in range(d)) / math.sqrt(d)) if mask[t, s] else 0.0
            for s in range(S)
        ]
        for j in range(2):
            mean = sum(w * v[s, j].item() for s, w in enumerate(weights)) / sum(weights)
            assert result[t, j].item() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torch_sdpa(masked: bool, seed: int) -> None:
    q, k, v = draw(seed, 2, 3, 6, 8), draw(seed + 50, 2, 3, 9, 8), draw(seed + 90, 2, 3, 9, 5)
    mask = random_mask(seed, 6, 9) if masked else None
    torch.testing.assert_close(attention(q, k, v, mask), F.scaled_dot_product_attention(q, k, v, mask))


@pytest.mark.parametrize("seed", SEEDS)
def test_attention_equals_torch_sdpa_under_a_causal_mask(seed: int) -> None:
    q, k, v = draw(seed, 2, 7, 8), draw(seed + 50, 2, 7, 8), draw(seed + 90, 2, 7, 8)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(attention(q, k, v, causal_mask(7)), expected)


def test_weights_are_probabilities_and_zero_where_it_is_forbidden_to_look() -> None:
    mask = random_mask(3, 6, 9)
    weights = attention_weights(draw(0, 6, 8), draw(1, 9, 8), mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(6, dtype=torch.float64))
    assert (weights[~mask] == 0).all()
    assert (weights[mask] > 0).all()


def test_a_key_that_is_masked_has_no_weight_however_low_the_others_score() -> None:
    mask = torch.tensor([[True, False]])
    assert attention_weights(torch.full((1, 1), -1e6), torch.ones(2, 1), mask).tolist() == [[1.0, 0.0]]


def test_what_is_masked_has_no_influence_whatever_it_holds() -> None:
    q, k, v, mask = draw(0, 4, 8), draw(1, 4, 8), draw(2, 4, 8), causal_mask(4)
    changed_k, changed_v = k.clone(), v.clone()
    changed_k[3], changed_v[3] = 1e6, -1e6
    before, after = attention(q, k, v, mask), attention(q, changed_k, changed_v, mask)
    assert torch.equal(before[:3], after[:3])
    assert not torch.equal(before[3], after[3])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_result_has_the_dtype_of_the_queries(dtype: torch.dtype) -> None:
    x = draw(0, 4, 8, dtype=dtype)
    assert attention(x, x, x, causal_mask(4)).dtype == dtype


def test_inputs_that_cannot_be_attended_give_sentences() -> None:
    q, k = torch.ones(2, 4), torch.ones(3, 4)
    with pytest.raises(ValueError, match="width 4 and keys 5"):
        attention(q, torch.ones(3, 5), torch.ones(3, 5))
    with pytest.raises(ValueError, match="query may look nowhere"):
        attention(q, k, k, torch.tensor([[True, False, True], [False, False, False]]))
    with pytest.raises(ValueError, match=r"holds torch\.float32; give booleans"):
        attention(q, k, k, torch.ones(2, 3))


# --- masks ---


@pytest.mark.parametrize(("T", "S"), [(1, 1), (4, 4), (1, 6), (2, 6)])
def test_the_causal_mask_shows_the_present_and_the_past(T: int, S: int) -> None:
    mask = causal_mask(T, S)
    assert mask.shape == (T, S)
    for row, column in product(range(T), range(S)):
        assert mask[row, column].item() == (column <= row + S - T)
    if T == S:
        assert torch.equal(causal_mask(T), mask)


# --- rotary positions ---


@pytest.mark.parametrize("base", [10000.0, 100.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_rotation_equals_multiplication_by_complex_numbers(seed: int, base: float) -> None:
    """RoFormer, section 3.2.2: pair i is a complex number, times e^(i·m·θ_i) with θ_i = base^(-2i/d)."""
    d, positions = 8, torch.tensor([0, 1, 5, 90])
    x = draw(seed, 2, 3, 4, d)
    theta = base ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
    turn = torch.polar(torch.ones(4, d // 2, dtype=torch.float64), positions[:, None] * theta)
    turned = torch.complex(x[..., : d // 2], x[..., d // 2 :]) * turn
    expected = torch.cat((turned.real, turned.imag), dim=-1)
    # the angles are float32: at position 90 they are known to about 90 · 6e-8
    torch.testing.assert_close(rotate(x, *rotary_angles(positions, d, base)), expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_rotation_the_dot_product_depends_on_the_distance_alone(seed: int) -> None:
    q, k = draw(seed, 1, 8), draw(seed + 50, 1, 8)

    def product_at(m: int, n: int) -> float:
        turned = [rotate(x, *rotary_angles(torch.tensor([p]), 8)) for x, p in ((q, m), (k, n))]
        return (turned[0] * turned[1]).sum().item()

    assert product_at(7, 3) == pytest.approx(product_at(104, 100), abs=1e-4)
    assert product_at(3, 3) == pytest.approx((q * k).sum().item(), abs=1e-4)
    assert abs(product_at(7, 3) - product_at(3, 7)) > 1e-3


def test_rotation_keeps_length_shape_and_dtype() -> None:
    cos, sin = rotary_angles(torch.arange(10), 16)
    assert cos.shape == sin.shape == (10, 16)
    x = draw(0, 2, 4, 10, 16)
    torch.testing.assert_close(rotate(x, cos, sin).norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    assert rotate(x.bfloat16(), cos, sin).dtype == torch.bfloat16


# --- the cache ---


def test_the_cache_returns_all_that_was_stored_in_order() -> None:
    cache = KVCache(n_layer=2, batch=3, n_kv_head=2, length=6, d_head=4, dtype=torch.float64)
    k, v = draw(0, 2, 3, 2, 6, 4), draw(1, 2, 3, 2, 6, 4)  # (layer, B, H, T, d_head)
    for start, end in ((0, 3), (3, 4), (4, 6)):
        for layer in range(2):
            keys, values = cache.append(layer, k[layer, :, :, start:end], v[layer, :, :, start:end])
            assert torch.equal(keys, k[layer, :, :, :end])
            assert torch.equal(values, v[layer, :, :, :end])
        assert cache.used == start  # not before all layers have stored theirs
        cache.advance(end - start)
    assert cache.used == 6


def test_a_full_cache_gives_a_sentence() -> None:
    cache = KVCache(1, 1, 1, 4, 2)
    cache.append(0, torch.ones(1, 1, 3, 2), torch.ones(1, 1, 3, 2))
    cache.advance(3)
    with pytest.raises(ValueError, match="holds 4 positions, and 5 are needed"):
        cache.append(0, torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))


def test_a_cache_keeps_the_rows_asked_for_and_knows_its_memory() -> None:
    cache = KVCache(n_layer=2, batch=3, n_kv_head=1, length=5, d_head=4)
    assert cache.nbytes == 2 * 2 * 3 * 1 * 5 * 4 * 4  # keys and values, layers, …, 4 bytes each
    assert KVCache(2, 3, 1, 5, 4, dtype=torch.bfloat16).nbytes == cache.nbytes / 2
    for layer in range(2):
        cache.append(layer, draw(layer, 3, 1, 5, 4).float(), draw(layer + 9, 3, 1, 5, 4).float())
    keys, values = cache.keys[1].clone(), cache.values[0].clone()
    cache.keep(torch.tensor([2, 0]))
    assert torch.equal(cache.keys[1], keys[[2, 0]])
    assert torch.equal(cache.values[0], values[[2, 0]])


# --- many heads ---


def peer(ours: MultiHeadAttention, d_model: int) -> nn.MultiheadAttention:
    """torch's module with our weights."""
    theirs = nn.MultiheadAttention(d_model, ours.n_head, bias=ours.out.bias is not None, batch_first=True).double()
    state = {"in_proj_weight": ours.qkv.weight, "out_proj.weight": ours.out.weight}
    if ours.out.bias is not None:
        state |= {"in_proj_bias": ours.qkv.bias, "out_proj.bias": ours.out.bias}
    theirs.load_state_dict(state)
    return theirs


def make(
    seed: int, d_model: int = 24, n_head: int = 4, n_kv_head: int | None = None, bias: bool = True
) -> MultiHeadAttention:
    module = MultiHeadAttention(d_model, n_head, n_kv_head, bias).double()
    for i, weight in enumerate(module.parameters()):
        weight.data = draw(1000 * seed + i, *weight.shape) / 3
    return module


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_multi_head_attention_equals_torchs_module(seed: int, bias: bool) -> None:
    ours, x, mask = make(seed, bias=bias), draw(seed, 2, 7, 24), random_mask(seed, 7, 7)
    theirs = peer(ours, 24)
    torch.testing.assert_close(ours(x), theirs(x, x, x)[0])
    torch.testing.assert_close(ours(x, mask), theirs(x, x, x, attn_mask=~mask)[0])
    torch.testing.assert_close(ours(x, causal=True), theirs(x, x, x, attn_mask=~causal_mask(7))[0])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_cross_attention_equals_torchs_module(seed: int, bias: bool) -> None:
    ours, x, memory = make(seed, bias=bias), draw(seed, 2, 5, 24), draw(seed + 50, 2, 9, 24)
    real = torch.arange(9) < torch.tensor([[9], [4]])  # (B, S): the second source is shorter
    expected, _ = peer(ours, 24)(x, memory, memory, key_padding_mask=~real)
    torch.testing.assert_close(ours(x, real[:, None, None, :], memory=memory), expected)


@pytest.mark.parametrize("n_kv_head", [1, 2, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_grouped_heads_equal_full_heads_with_keys_and_values_repeated(seed: int, n_kv_head: int) -> None:
    grouped, x = make(seed, n_kv_head=n_kv_head), draw(seed, 2, 7, 24)
    d, repeat = grouped.d_head, 4 // n_kv_head

    def repeated(rows: Tensor) -> Tensor:
        q, k, v = rows.split((4 * d, n_kv_head * d, n_kv_head * d))
        k, v = (t.view(n_kv_head, d, -1).repeat_interleave(repeat, 0).reshape(4 * d, -1) for t in (k, v))
        return torch.cat((q, k, v))

    full = MultiHeadAttention(24, 4).double()
    full.qkv.weight.data = repeated(grouped.qkv.weight.data)
    full.qkv.bias.data = repeated(grouped.qkv.bias.data[:, None]).squeeze(1)
    full.out.load_state_dict(grouped.out.state_dict())
    torch.testing.assert_close(grouped(x, causal=True), full(x, causal=True))
    assert grouped.qkv.weight.shape == ((4 + 2 * n_kv_head) * d, 24)


@torch.no_grad()
@pytest.mark.parametrize("n_kv_head", [None, 2])
def test_attention_through_the_cache_equals_attention_at_once(n_kv_head: int | None) -> None:
    module, x = make(0, n_kv_head=n_kv_head), draw(0, 2, 6, 24)
    cos, sin = rotary_angles(torch.arange(6), 6)
    whole = module(x, causal=True, rotary=(cos, sin))
    cache = KVCache(1, 2, module.n_kv_head, 6, 6, dtype=torch.float64)
    parts = []
    for start, end in ((0, 3), (3, 4), (4, 6)):
        mask = causal_mask(end - start, end)
        parts.append(module(x[:, start:end], mask, rotary=(cos[start:end], sin[start:end]), cache=cache))
        cache.advance(end - start)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_the_readable_attention_equals_the_fused_one_inside_the_module() -> None:
    module, x = make(1), draw(1, 2, 7, 24)
    q, k, v = module.project(x)
    assert q.shape == (2, 4, 7, 6)
    y = attention(q, k, v, causal_mask(7)).transpose(1, 2).reshape(2, 7, 24)
    torch.testing.assert_close(module.out(y), module(x, causal=True))


def test_queries_and_keys_are_rotated_and_values_are_not() -> None:
    module, x = make(2, n_kv_head=2), draw(2, 2, 7, 24)
    cos, sin = rotary_angles(torch.arange(7), 6)
    q, k, v = module.project(x)
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    expected = module.out(y.transpose(1, 2).reshape(2, 7, 24))
    torch.testing.assert_close(module(x, causal=True, rotary=(cos, sin)), expected)


def test_heads_that_do_not_divide_give_a_sentence_with_numbers_that_do() -> None:
    with pytest.raises(ValueError, match="d_model=130 does not divide into n_head=4 heads; try 128 or 132"):
        MultiHeadAttention(130, 4)
    with pytest.raises(ValueError, match="n_head=4 heads cannot share n_kv_head=3 evenly"):
        MultiHeadAttention(128, 4, 3)


def test_a_mask_beside_causal_is_refused_since_it_would_replace_it() -> None:
    with pytest.raises(ValueError, match="not both"):
        MultiHeadAttention(16, 2)(torch.randn(1, 5, 16), torch.ones(1, 1, 1, 5, dtype=torch.bool), causal=True)


@pytest.mark.parametrize("n", [4, 6])
def test_keys_without_values_and_values_without_keys_give_a_sentence(n: int) -> None:
    with pytest.raises(ValueError, match=f"5 keys and {n} values"):
        attention(torch.ones(4, 8), torch.ones(5, 8), torch.ones(n, 8))


def test_the_causal_mask_behind_a_filled_cache_begins_where_the_queries_do():
    mix = MultiHeadAttention(8, 2).double()
    x = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cache = KVCache(n_layer=1, batch=1, n_kv_head=2, length=5, d_head=4, dtype=torch.float64)
    with torch.no_grad():
        parts = []
        for part in x.split((3, 2), dim=1):
            parts.append(mix(part, causal=True, cache=cache))
            cache.advance(part.size(1))
        torch.testing.assert_close(torch.cat(parts, dim=1), mix(x, causal=True), rtol=1e-12, atol=1e-12)


# --- the readable one in place of the fused one ---


def natively(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    """As if the processor multiplied bfloat16, or did not."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": native})


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of the two is called, in the order of the calls."""
    called: list[str] = []
    readable, fused = course.attention.attention, F.scaled_dot_product_attention
    monkeypatch.setattr(course.attention, "attention", lambda *how: (called.append("readable"), readable(*how))[1])
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *how, **more: (called.append("fused"), fused(*how, **more))[1]
    )
    return called


@pytest.mark.parametrize(
    ("native", "dtype", "n_kv_head", "T", "expected"),
    [
        (True, torch.bfloat16, 4, 9, "readable"),
        (False, torch.bfloat16, 4, 9, "fused"),  # emulated
        (True, torch.float32, 4, 9, "fused"),
        (True, torch.bfloat16, 2, 9, "fused"),  # heads that share keys
        (True, torch.bfloat16, 4, 513, "fused"),  # too long to keep all weights
    ],
)
def test_the_readable_attention_is_taken_where_it_is_faster(
    native: bool, dtype: torch.dtype, n_kv_head: int, T: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    natively(monkeypatch, native)
    called = spied(monkeypatch)
    module = MultiHeadAttention(16, 4, n_kv_head).to(dtype)
    module(torch.randn(1, T, 16, dtype=dtype), causal=True)
    assert called == [expected]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["causal", "masked", "memory", "cached"])
def test_both_ways_give_the_same_in_bfloat16_and_its_gradients(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each within 3% of float64, in the norm: bfloat16 has 8 bits, 0.4% a number, and there are four products."""
    generator = torch.Generator().manual_seed(seed)
    x, memory = (torch.randn(2, T, 32, generator=generator).bfloat16() for T in (11, 7))
    module = MultiHeadAttention(32, 4).bfloat16()
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.3, generator=generator)
    exact = copy.deepcopy(module).double()
    called = spied(monkeypatch)

    def run(module: MultiHeadAttention, x: Tensor, memory: Tensor) -> list[Tensor]:
        module.zero_grad()
        if kind == "cached":
            cache = KVCache(1, 2, 4, 11, 8, dtype=x.dtype)
            with torch.no_grad():
                first = module(x[:, :6], causal=True, cache=cache)
                cache.advance(6)
                return [torch.cat((first, module(x[:, 6:], causal=True, cache=cache)), dim=1)]
        how: dict = {"causal": dict(causal=True), "masked": dict(mask=causal_mask(11)), "memory": dict(memory=memory)}
        y = module(x, **how[kind])
        y.sin().sum().backward()
        return [y, *(weight.grad for weight in module.parameters() if weight.grad is not None)]

    expected = run(exact, x.double(), memory.double())
    assert len(expected) == (1 if kind == "cached" else 5)
    for native, name in ((True, "readable"), (False, "fused")):
        called.clear()
        natively(monkeypatch, native)
        for found, wanted in zip(run(module, x, memory), expected, strict=True):
            assert (found.double() - wanted).norm() < 0.03 * wanted.norm(), name
        assert set(called) == {name}


def test_a_training_in_bfloat16_goes_the_same_way_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.arange(300) % 31
    losses = {}
    for native in (True, False):
        natively(monkeypatch, native)
        model = GPT(GPTConfig(31, 16, 2, 2, d_model=32), torch.Generator().manual_seed(0))
        plan = TrainConfig(steps=12, learning_rate=3e-3, warmup=2, precision="bfloat16")
        losses[native] = [record.loss for record in train(model, TokenBatches(tokens, 4, 16), plan, progress=False)]
    assert losses[True] != losses[False], "they round differently: it really was another way"
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
