"""Muon against torch's, against the singular value decomposition, and against AdamW on the course's own corpus."""

from __future__ import annotations

import copy
import statistics
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course.chain import recipe, store
from course.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course.optimizer import Muon, Together, adamw, muon, orthogonalise, orthogonalise_all, places_by, set_rate
from course.reward import RewardModel
from course.rl import ActorCritic
from course.train import TokenBatches, evaluate_loss, train
from course.transformer import GPT, GPTConfig
from course.world import corpus

SHAPES = [(24, 8), (8, 8), (32, 8), (8, 32), (24, 8), (8, 8), (32, 8), (8, 32), (16, 12)]
SMALL = GPTConfig(vocab_size=31, context_length=8, n_layer=2, n_head=2, d_model=16)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def with_singular_values(seed: int, m: int, n: int, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x = U S Vᵀ with these S; U (m, k) and V (n, k)."""
    k = len(values)
    u, v = (torch.linalg.qr(draw(seed + i, size, k, dtype=torch.float64)).Q for i, size in enumerate((m, n)))
    return u * values @ v.T, u, v


def error(found: Tensor, expected: Tensor) -> float:
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


# --- orthogonalise ---


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("m", "n"), [(8, 20), (20, 8), (8, 8)])
def test_the_directions_stay_and_the_strengths_become_those_of_the_polynomial(seed: int, m: int, n: int) -> None:
    """In the basis of U and V the result is diagonal, and holds the polynomial's value of each singular value."""
    values = torch.logspace(0, -3, 8, dtype=torch.float64)
    x, u, v = with_singular_values(seed, m, n, values)
    s = values / values.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    torch.testing.assert_close(orthogonalise(x), u * s @ v.T, rtol=0, atol=1e-10)
    assert ((s[:4] > 0.65) & (s[:4] < 1.25)).all(), "what is not tiny becomes about 1"


@pytest.mark.parametrize("smallest", [-1, -4, -8])
def test_all_together_in_float32_is_each_alone_in_float64(smallest: int) -> None:
    """Also where some directions are 10⁸ times weaker than others. A round multiplies what is tiny by a = 3.4445, in
    the square by a²: so float32's rounding, 6e-8, may become 6e-8 · a⁸ = 1.2e-3 in five. (bfloat16's is 4e-3.)"""
    values = torch.logspace(0, smallest, 8, dtype=torch.float64)
    matrices = [with_singular_values(seed, m, n, values)[0] for seed, (m, n) in enumerate(SHAPES) if min(m, n) == 8]
    together = orthogonalise_all([x.float() for x in matrices])
    for found, x in zip(together, matrices, strict=True):
        assert found.dtype == torch.float32 and found.shape == x.shape
        assert error(found, orthogonalise(x)) < 1.2e-3


def test_a_matrix_of_zeros_stays_one() -> None:
    for found in (orthogonalise(torch.zeros(4, 6)), *orthogonalise_all([torch.zeros(6, 4)])):
        assert torch.equal(found, torch.zeros_like(found))


def test_places_are_grouped_by_their_key() -> None:
    assert dict(places_by("abca")) == {"a": [0, 3], "b": [1], "c": [2]}


# --- Muon ---


def run(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: int = 8) -> None:
    """Follow the gradient of Σ |w - target|² · steepness: well-shaped, and different for every matrix."""
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (step + 1) / steps
        for number, weight in enumerate(weights):
            rows = torch.logspace(0, -1, weight.size(0), dtype=weight.dtype)[:, None]
            weight.grad = (rows * (weight - draw(100 + number, *weight.shape).to(weight))).detach()
        optimizer.step()


def parameters(seed: int = 0) -> list[nn.Parameter]:
    return [nn.Parameter(draw(seed + i, *shape)) for i, shape in enumerate(SHAPES)]


def way_gone(optimizer: Any, seed: int, **how: Any) -> list[Tensor]:
    weights = parameters(seed)
    run(optimizer(weights, momentum=0.9, weight_decay=0.3, **how), weights)
    return [after.detach() - before.detach() for after, before in zip(weights, parameters(seed), strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_the_steps_are_torchs(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch rounds to bfloat16; kept from it, torch's own code goes the same way as ours in float32."""
    ours = way_gone(Muon, seed, precision=torch.float32)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    theirs = way_gone(torch.optim.Muon, seed, adjust_lr_fn="original")
    assert max(error(one, other) for one, other in zip(ours, theirs, strict=True)) < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_in_bfloat16_the_steps_are_nearly_torchs(seed: int) -> None:
    """5% of the way gone in eight steps: 8 bits are 0.4% a number, and an orthogonalisation has 15 products of them."""
    ours = way_gone(Muon, seed, precision=torch.bfloat16)
    theirs = way_gone(torch.optim.Muon, seed, adjust_lr_fn="original")
    errors = [error(one, other) for one, other in zip(ours, theirs, strict=True)]
    assert max(errors) < 0.05
    exact = way_gone(Muon, seed, precision=torch.float32)
    assert max(error(one, other) for one, other in zip(ours, exact, strict=True)) > 1e-3, "it really was rounded"


def test_a_step_is_the_formula_and_moves_all_directions_alike() -> None:
    weight = nn.Parameter(torch.ones(6, 3))
    gradient = with_singular_values(0, 6, 3, torch.tensor([1.0, 0.1, 0.05], dtype=torch.float64))[0].float()
    optimizer = Muon([weight], lr=0.1, momentum=0.9, weight_decay=0.5, precision=torch.float32)
    momentum, expected = torch.zeros(6, 3), torch.ones(6, 3)
    for _ in range(3):
        weight.grad = gradient.clone()
        optimizer.step()
        momentum = 0.9 * momentum + 0.1 * gradient
        push = orthogonalise(0.1 * gradient + 0.9 * momentum)
        expected = expected - 0.1 * 0.5 * expected - 0.1 * 2**0.5 * push  # √(6 / 3)
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)
    strengths = torch.linalg.svdvals(push)
    assert strengths.max() / strengths.min() < 2, "of 20 times weaker directions too"


def test_a_matrix_without_a_gradient_stays_where_it_is() -> None:
    weights = parameters()
    optimizer = Muon(weights, weight_decay=0.5)
    before = [weight.detach().clone() for weight in weights]
    optimizer.step()
    weights[1].grad = torch.ones_like(weights[1])
    optimizer.step()
    assert [torch.equal(w, old) for w, old in zip(weights, before, strict=True)] == [i != 1 for i in range(len(SHAPES))]


def test_only_matrices_are_taken() -> None:
    with pytest.raises(ValueError, match=r"Muon is for matrices, and a weight has the shape \(3,\); use AdamW"):
        Muon([nn.Parameter(torch.ones(3))])


def test_it_is_quicker_than_torchs_loop() -> None:
    """At the course's size: one product for all small squares in float32, against one by one in bfloat16."""
    settings = GPTConfig()
    took: dict[str, list[float]] = {"ours": [], "torch's": []}
    optimizers: dict[str, torch.optim.Optimizer] = {}
    for name, kind in (("ours", Muon), ("torch's", torch.optim.Muon)):
        weights = [w for w in GPT(settings, seeded(0)).blocks.parameters() if w.dim() == 2]
        for number, weight in enumerate(weights):
            weight.grad = draw(number, *weight.shape)
        optimizers[name] = kind(weights, lr=1e-3)
    for _ in range(5):
        for name, optimizer in optimizers.items():
            started = time.perf_counter()
            optimizer.step()
            took[name].append(time.perf_counter() - started)
    ours, theirs = (statistics.median(took[name]) for name in ("ours", "torch's"))
    assert ours < theirs, f"ours {ours * 1e3:.1f} ms, torch's {theirs * 1e3:.1f} ms"


# --- one optimiser for a model ---


def names_of(model: nn.Module, part: torch.optim.Optimizer) -> set[str]:
    wanted = {weight for group in part.param_groups for weight in group["params"]}
    return {name for name, weight in model.named_parameters() if weight in wanted}


LINEAR = ("attention.qkv", "attention.out", "mlp.up", "mlp.down")
MATRICES = {f"blocks.{i}.{name}.weight" for i in (0, 1) for name in LINEAR}


@pytest.mark.parametrize(("make", "prefix"), [
    (lambda: GPT(SMALL), ""),
    (lambda: RewardModel(GPT(SMALL)), "gpt."),
    (lambda: ActorCritic(GPT(SMALL)), "policy."),
], ids=["GPT", "reward model", "actor and critic"])  # fmt: skip
def test_muon_gets_the_matrices_of_the_blocks_and_adamw_all_else(make: Any, prefix: str) -> None:
    model = make()
    matrices, others = muon(model, 1e-3, 0.02, 0.1).parts
    assert names_of(model, matrices) == {prefix + name for name in MATRICES}
    assert names_of(model, others) == {name for name, _ in model.named_parameters()} - names_of(model, matrices)
    decayed, spared = others.param_groups
    assert decayed["weight_decay"] == 0.1 and spared["weight_decay"] == 0.0
    assert all(weight.dim() == 1 for weight in spared["params"])


def test_an_encoder_and_a_decoder_have_blocks_too_and_a_linear_layer_has_none() -> None:
    model = EncoderDecoder(EncoderDecoderConfig(31))
    inside = names_of(model, muon(model, 1e-3, 0.02, 0.1).parts[0])
    assert inside == {
        name for name, w in model.named_parameters() if name.startswith(("encoder.", "decoder.")) and w.dim() == 2
    }
    with pytest.raises(ValueError, match="A Linear has no blocks with matrices for Muon; train it with AdamW"):
        muon(nn.Linear(3, 3), 1e-3, 0.02, 0.1)


def test_frozen_weights_are_left_out() -> None:
    model = GPT(SMALL)
    model.blocks[0].requires_grad_(False)
    model.position_embedding.requires_grad_(False)
    optimizer = muon(model, 1e-3, 0.02, 0.1)
    assert names_of(model, optimizer) == {name for name, w in model.named_parameters() if w.requires_grad}


def test_both_rates_follow_one_schedule() -> None:
    optimizer = muon(GPT(SMALL), 8e-3, 0.02, 0.1)
    for rate in (8e-3, 4e-3):
        set_rate(optimizer, rate)
        matrices, others = optimizer.parts
        assert [group["lr"] for group in matrices.param_groups] == pytest.approx([2.5 * rate])
        assert [group["lr"] for group in others.param_groups] == [rate, rate]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    optimizer.zero_grad()
    model(torch.tensor([[1, 2, number]])).square().sum().backward()
    optimizer.step()


def test_together_they_step_as_each_would_alone() -> None:
    one, other = GPT(SMALL, seeded(0)), GPT(SMALL, seeded(0))
    together = muon(one, 1e-2, 0.02, 0.1)
    inside = {w for w in other.blocks.parameters() if w.dim() == 2}
    alone = (
        Muon(inside, 0.02, weight_decay=0.1),
        adamw([w for w in other.parameters() if w not in inside], 1e-2, 0.1),
    )
    for number in range(3):
        step(one, together, number)
        other.zero_grad()
        other(torch.tensor([[1, 2, number]])).square().sum().backward()
        for part in alone:
            part.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # a set has no order, and sums may differ by it


def test_a_state_dict_put_back_goes_on_bit_for_bit() -> None:
    model = GPT(SMALL, seeded(0))
    optimizer = muon(model, 1e-2, 0.02, 0.1)
    for number in range(2):
        step(model, optimizer, number)
    again = copy.deepcopy(model)
    resumed = muon(again, 5e-3, 0.01, 0.0)  # other settings: those of the state count
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in range(2, 5):
        step(model, optimizer, number)
        step(again, resumed, number)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


# --- what it is for ---


def test_after_as_many_steps_the_loss_is_lower_than_adamws_on_every_seed() -> None:
    """A narrow model, the course's tokenizer and corpus, 60 steps, each at the rate that the course uses for it."""
    tokenizer, _, _ = store.load_chain("base", where=store.shipped_home())
    row = recipe.join_documents(tokenizer, corpus.corpus(150_000, seed=0))
    config = GPTConfig(tokenizer.vocab_size, context_length=32, n_layer=2, d_model=64)
    plan = replace(recipe.BaseRecipe().training, steps=60, warmup=5, precision="float32")
    for seed in range(3):
        found = {}
        for name in ("adamw", "muon"):
            model = GPT(config, seeded(seed))
            data = TokenBatches(row[:-4000], 8, 32, seed)
            for _ in train(model, data, replace(plan, optimizer=name), progress=False):
                pass
            found[name] = evaluate_loss(model, TokenBatches(row[-4000:], 16, 32, seed), 4)
        assert found["muon"] < found["adamw"] - 0.1, (seed, found)


def test_together_is_an_optimizer_of_all_its_weights() -> None:
    optimizer = muon(GPT(SMALL), 1e-3, 0.02, 0.1)
    assert isinstance(optimizer, Together) and isinstance(optimizer, torch.optim.Optimizer)
    assert len(optimizer.state_dict()["param_groups"]) == 3
