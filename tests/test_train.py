"""The training loop against formulas, against one large batch, and against its own interruption."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course import checkpoint
from course import train as training
from course.train import (
    IGNORE,
    StepRecord,
    TokenBatches,
    TrainConfig,
    evaluate_loss,
    learning_rate_at,
    make_optimizer,
    next_token_loss,
    precision_for,
    train,
)
from course.transformer import GPT, GPTConfig

SMALL = GPTConfig(vocab_size=31, context_length=8, n_layer=2, n_head=2, d_model=16)
QUICK = TrainConfig(steps=6, learning_rate=1e-2, warmup=2, precision="float32")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model_for(seed: int = 0) -> GPT:
    return GPT(SMALL, seeded(seed))


def batches(seed: int = 0, batch_size: int = 4) -> TokenBatches:
    return TokenBatches(torch.randint(31, (200,), generator=seeded(seed)), batch_size, 8, seed)


def run(model: nn.Module, data: Any, config: TrainConfig = QUICK, **how: Any) -> list[StepRecord]:
    return list(train(model, data, config, progress=False, **how))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


class Pairs:
    """Batches that are given as a list."""

    def __init__(self, *pairs: tuple[Tensor, Tensor]) -> None:
        self.pairs = pairs

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        return self.pairs[step % len(self.pairs)]


# --- batches ---


@pytest.mark.parametrize("seed", range(3))
def test_targets_are_the_inputs_one_token_later_in_the_text(seed: int) -> None:
    text = torch.arange(500)  # every token names its place
    data = TokenBatches(text, 16, 12, seed)
    for step in range(20):
        inputs, targets = data[step]
        assert inputs.shape == targets.shape == (16, 12)
        assert torch.equal(targets, inputs + 1)
        assert torch.equal(inputs - inputs[:, :1], torch.arange(12).expand(16, 12))


def test_every_window_of_the_text_can_be_drawn_and_none_beyond() -> None:
    data = TokenBatches(torch.arange(11), 64, 8, 0)
    starts = torch.cat([data[step][0][:, 0] for step in range(20)])
    assert set(starts.tolist()) == {0, 1, 2}  # 11 tokens hold 3 windows of 8 and a target


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    data = batches(1)
    again = batches(1)
    assert torch.equal(again[5][0], data[5][0])  # in any order
    assert not torch.equal(data[5][0], data[6][0])
    assert not torch.equal(data[5][0], TokenBatches(data.tokens, 4, 8, seed=2)[5][0])


def test_the_batches_of_two_seeds_are_not_the_same_some_steps_later() -> None:
    tokens = torch.arange(500)
    drawn = [TokenBatches(tokens, 4, 8, seed)[step][0] for seed in range(3) for step in range(5)]
    assert len({str(inputs.tolist()) for inputs in drawn}) == len(drawn)


def test_a_text_shorter_than_a_window_gives_a_sentence() -> None:
    TokenBatches(range(9), 1, 8)[0]
    with pytest.raises(ValueError, match="has 8 tokens, but one window needs 9; give a longer text"):
        TokenBatches(range(8), 1, 8)


def test_the_fingerprint_changes_with_the_data_and_how_it_is_cut() -> None:
    tokens = torch.arange(100)
    other = tokens.clone()
    other[50] = 1
    variants = [
        TokenBatches(tokens, 4, 8, 0),
        TokenBatches(other, 4, 8, 0),
        TokenBatches(tokens, 5, 8, 0),
        TokenBatches(tokens, 4, 9, 0),
        TokenBatches(tokens, 4, 8, 1),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert TokenBatches(tokens.clone(), 4, 8, 0).fingerprint == variants[0].fingerprint


# --- loss ---


def test_the_loss_is_the_mean_of_minus_log_p_over_the_targets_that_count() -> None:
    model, (inputs, targets) = model_for().double(), batches()[0]
    targets = targets.clone()
    targets[0, 3:], targets[2] = IGNORE, IGNORE
    log_probs = model(inputs).double().log_softmax(-1)
    terms = [
        -log_probs[b, t, targets[b, t]].item()
        for b, t in itertools.product(range(4), range(8))
        if targets[b, t] != IGNORE
    ]
    assert len(terms) == 3 + 2 * 8
    assert next_token_loss(model, inputs, targets).item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_the_loss_is_computed_in_float32() -> None:
    model, (inputs, targets) = model_for().bfloat16(), batches()[0]
    found = next_token_loss(model, inputs, targets)
    assert found.dtype == torch.float32
    assert found.item() == F.cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten()).item()


def test_evaluate_loss_is_the_mean_over_the_first_batches_and_changes_nothing() -> None:
    model, data = model_for(), batches()
    before = copy.deepcopy(model)
    expected = sum(next_token_loss(model, *data[step]).item() for step in range(5)) / 5
    assert evaluate_loss(model, data, 5) == pytest.approx(expected, rel=1e-6)
    assert same_weights(model, before)


def test_evaluate_loss_builds_no_graph() -> None:
    graphs = []

    def loss(model: nn.Module, *batch: Tensor) -> Tensor:
        graphs.append(torch.is_grad_enabled())
        return next_token_loss(model, *batch)

    evaluate_loss(model_for(), batches(), 2, loss)
    assert graphs == [False, False]


# --- schedule and optimiser ---


def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    config = TrainConfig(steps=110, learning_rate=2.0, warmup=10, final_fraction=0.1)
    assert [learning_rate_at(step, config) for step in range(10)] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert learning_rate_at(10, config) == pytest.approx(2.0)
    assert learning_rate_at(60, config) == pytest.approx((2.0 + 0.2) / 2)  # half-way
    assert learning_rate_at(110, config) == pytest.approx(0.2)
    for step in range(10, 111):
        wanted = 0.2 + 1.8 * math.cos((step - 10) / 100 * math.pi / 2) ** 2  # cos² x = (1 + cos 2x) / 2
        assert learning_rate_at(step, config) == pytest.approx(wanted)


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate_at(0, TrainConfig(steps=5, learning_rate=0.5, warmup=0)) == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_the_steps_are_adamws_with_decay_on_matrices_only(seed: int) -> None:
    """Loshchilov and Hutter 2017, algorithm 2, written out in float64; clipping as in Pascanu et al. 2012."""

    def exact(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    model, data = model_for(seed).double(), batches(seed)
    config = replace(QUICK, weight_decay=0.2, betas=(0.8, 0.9), clip=0.5, steps=4)
    by_hand = copy.deepcopy(model)
    weights = list(by_hand.parameters())
    mean, square = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    records = run(model, data, config, loss=exact)
    for step in range(4):
        by_hand.zero_grad()
        exact(by_hand, *data[step]).backward()
        gradients = [w.grad for w in weights if w.grad is not None]
        norm = math.sqrt(sum(g.pow(2).sum().item() for g in gradients))
        assert records[step].grad_norm == pytest.approx(norm, rel=1e-9)
        rate = learning_rate_at(step, config)
        for w, g, m, v in zip(weights, gradients, mean, square, strict=True):
            g = g * min(1.0, 0.5 / (norm + 1e-6))  # 1e-6: torch's guard against norm 0
            m.mul_(0.8).add_(0.2 * g)
            v.mul_(0.9).add_(0.1 * g * g)
            if w.dim() > 1:
                w.data.mul_(1 - rate * 0.2)
            w.data -= rate * (m / (1 - 0.8 ** (step + 1))) / ((v / (1 - 0.9 ** (step + 1))).sqrt() + 1e-8)
    for ours, expected in zip(model.parameters(), weights, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


def test_weight_decay_spares_biases_and_norms_and_frozen_weights_are_left_out() -> None:
    model = model_for()
    model.position_embedding.weight.requires_grad_(False)
    decayed, spared = make_optimizer(model, TrainConfig(weight_decay=0.3)).param_groups
    assert decayed["weight_decay"] == 0.3
    assert spared["weight_decay"] == 0.0
    assert {w.dim() for w in decayed["params"]} == {2}
    assert {w.dim() for w in spared["params"]} == {1}
    trained = sum(w.numel() for group in (decayed, spared) for w in group["params"])
    assert trained == model.n_parameters - 8 * 16


@pytest.mark.parametrize("parts", [2, 3])
def test_accumulated_batches_equal_one_large_batch(parts: int) -> None:
    small = batches()
    halves = Pairs(*(small[step] for step in range(6 * parts)))
    joined = Pairs(
        *(
            tuple(torch.cat([halves[step * parts + part][i] for part in range(parts)]) for i in (0, 1))  # type: ignore[misc]
            for step in range(6)
        )
    )
    one, other = model_for(), model_for()
    records = run(one, halves, replace(QUICK, accumulate=parts))
    expected = run(other, joined)
    assert [r.loss for r in records] == pytest.approx([r.loss for r in expected], rel=1e-4)
    assert [r.grad_norm for r in records] == pytest.approx([r.grad_norm for r in expected], rel=1e-3)


def test_a_gradient_longer_than_clip_is_cut_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm reported is that before clipping; the optimiser sees one no longer than `clip`."""
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *arguments: Any) -> Any:
        gradients = [w.grad for group in self.param_groups for w in group["params"]]
        seen.append(torch.cat([g.flatten() for g in gradients]).norm().item())
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    records = run(model_for(), batches(), replace(QUICK, clip=0.05))
    assert min(record.grad_norm for record in records) > 0.1
    assert seen == pytest.approx([0.05] * 6, rel=1e-3)
    seen.clear()
    records = run(model_for(), batches(), replace(QUICK, clip=1e9))
    assert seen == pytest.approx([record.grad_norm for record in records], rel=1e-5)


# --- the loop ---


def test_one_batch_is_learned_by_heart() -> None:
    batch = batches(3)[0]
    model = model_for()
    records = run(model, Pairs(batch), TrainConfig(steps=80, learning_rate=2e-2, warmup=5, precision="float32"))
    assert records[0].loss == pytest.approx(math.log(31), abs=0.1)
    assert records[-1].loss < 0.25
    assert [record.step for record in records] == list(range(80))
    assert all(record.tokens_per_second > 0 and not record.replayed for record in records)


def test_a_record_says_the_rate_and_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: float(next(seconds)))
    monkeypatch.setattr(training, "time", clock)
    records = run(model_for(), batches(), replace(QUICK, accumulate=3))
    assert [record.learning_rate for record in records] == [learning_rate_at(step, QUICK) for step in range(6)]
    assert {record.tokens_per_second for record in records} == {3 * 4 * 8.0}


def test_training_twice_gives_the_same_weights_whatever_was_drawn_between() -> None:
    one, other = model_for(), model_for()
    torch.manual_seed(1)
    first = run(one, batches())
    torch.manual_seed(2)
    second = run(other, batches())
    assert same_weights(one, other)
    assert [record.loss for record in first] == [record.loss for record in second]


def test_another_loss_can_be_trained() -> None:
    def squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(model(x), y)

    x = torch.randn(50, 3, generator=seeded(0))
    y = x @ torch.tensor([[1.0], [-2.0], [0.5]])
    model = nn.Linear(3, 1)
    config = TrainConfig(steps=200, learning_rate=0.1, warmup=0, weight_decay=0.0, precision="float32")
    run(model, Pairs((x, y)), config, loss=squared)
    torch.testing.assert_close(model.weight, torch.tensor([[1.0, -2.0, 0.5]]), rtol=0, atol=0.02)


def test_bfloat16_trains_as_float32_does_within_a_few_percent() -> None:
    """A ratio only: bfloat16 has 8 bits of precision, which is 0.4% per number."""
    data, config = (
        Pairs(batches(3)[0]),
        TrainConfig(steps=30, learning_rate=1e-2, warmup=5, precision="float32"),
    )
    one, other = model_for(), model_for()
    plain, mixed = run(one, data, config), run(other, data, replace(config, precision="bfloat16"))
    ratios = [m.loss / p.loss for m, p in zip(mixed, plain, strict=True)]
    assert all(0.9 < ratio < 1.1 for ratio in ratios)
    assert any(ratio != 1.0 for ratio in ratios)  # it really computed in another precision
    assert {weight.dtype for weight in other.parameters()} == {torch.float32}


def test_the_precision_is_asked_of_the_hardware_only_when_automatic() -> None:
    device = torch.device("cpu")
    assert precision_for(device, "float32") == torch.float32
    assert precision_for(device, "bfloat16") == torch.bfloat16
    assert precision_for(device, "auto") in (torch.float32, torch.bfloat16)


def test_a_loss_that_is_no_number_stops_the_training_with_advice() -> None:
    def bad(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return next_token_loss(model, inputs, targets) * torch.inf

    model = model_for()
    before = copy.deepcopy(model)
    with pytest.raises(FloatingPointError, match=r"loss became inf at step 0.* try a third of it"):
        run(model, batches(), loss=bad)
    assert same_weights(model, before)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps=0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"learning_rate": 0.0}, "learning_rate=0.0"),
        ({"clip": -1.0}, "clip=-1.0"),
        ({"learning_rate": math.nan}, "learning_rate=nan"),
        ({"matrix_rate": 0.0}, "matrix_rate=0.0 must be above 0"),
        ({"optimizer": "adam"}, 'optimizer="adam" is unknown; choose one of adamw, muon'),
        ({"steps": 2.5}, "steps=2.5 must be a whole number"),
        ({"warmup": -5}, "warmup=-5"),
        ({"precision": "float16"}, 'precision="float16" is unknown; choose one of auto, float32, bfloat16'),
        ({"final_fraction": -1.0}, "final_fraction=-1.0 must lie between 0 and 1"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1 must not be below 0"),
    ],
)
def test_settings_that_make_no_sense_give_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        TrainConfig(**settings)


def test_gradients_left_over_do_not_enter_the_first_step() -> None:
    fresh, stained = model_for(), model_for()
    next_token_loss(stained, *batches()[7]).backward()  # tried out, or interrupted with Ctrl-C
    assert [r.grad_norm for r in run(fresh, batches())] == [r.grad_norm for r in run(stained, batches())]


def test_accumulated_batches_weigh_as_much_as_they_have_targets_that_count() -> None:
    inputs, targets = (torch.randint(31, (4, 8), generator=seeded(i)) for i in (0, 1))
    targets[0, :-1], targets[1, 3:] = IGNORE, IGNORE
    rows = Pairs(*((inputs[i : i + 1], targets[i : i + 1]) for i in range(4)))
    (small,) = run(model_for(), rows, replace(QUICK, steps=1, accumulate=4))
    (large,) = run(model_for(), Pairs((inputs, targets)), replace(QUICK, steps=1))
    assert small.loss == pytest.approx(large.loss, rel=1e-5)
    assert small.grad_norm == pytest.approx(large.grad_norm, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_weights_in_bfloat16_can_be_trained(optimizer: str) -> None:
    model = model_for().bfloat16()
    records = run(model, Pairs(batches()[0]), replace(QUICK, optimizer=optimizer))
    assert records[-1].loss < records[0].loss
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}


# --- interruption ---


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("stopped_after", [1, 3, 5])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    stopped_after: int, optimizer: str, tmp_path: Path
) -> None:
    whole, broken, data, config = model_for(), model_for(), batches(), replace(QUICK, optimizer=optimizer)
    expected = run(whole, data, config)
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    for _ in itertools.islice(train(broken, data, config, **how), stopped_after):
        pass  # and then the computer is switched off
    resumed = model_for()
    records = list(train(resumed, data, config, **how))
    assert same_weights(resumed, whole)
    assert [record.replayed for record in records] == [True] * stopped_after + [False] * (6 - stopped_after)
    for record, wanted in zip(records, expected, strict=True):
        assert (record.step, record.loss, record.grad_norm) == (wanted.step, wanted.loss, wanted.grad_norm)
    finished = model_for()
    again = list(train(finished, data, config, **how))  # nothing is left to do
    assert same_weights(finished, whole)
    assert all(record.replayed for record in again)


@pytest.mark.parametrize(
    "change",
    [
        lambda: (model_for(1), batches(), QUICK),  # another beginning
        lambda: (model_for(), batches(1), QUICK),  # other data
        lambda: (model_for(), batches(batch_size=5), QUICK),
        lambda: (model_for(), batches(), replace(QUICK, learning_rate=2e-2)),
        lambda: (model_for(), batches(), replace(QUICK, optimizer="muon")),
        lambda: (GPT(replace(SMALL, d_model=20), seeded(0)), batches(), QUICK),
    ],
)
def test_an_unfinished_training_of_something_else_is_not_taken_up(
    change: Callable[[], tuple[GPT, TokenBatches, TrainConfig]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    for _ in itertools.islice(train(model_for(), batches(), QUICK, **how), 3):
        pass
    model, data, config = change()
    expected = copy.deepcopy(model)
    run(expected, data, config)
    records = list(train(model, data, config, **how))
    assert not any(record.replayed for record in records)
    assert same_weights(model, expected)
    assert "had other settings or data; starting from step 0" in "".join(capsys.readouterr())


def test_an_unfinished_training_in_another_precision_is_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one machine "auto" is bfloat16, on another float32."""
    how: dict[str, Any] = dict(config=replace(QUICK, precision="auto"), checkpoint=tmp_path / "state", save_seconds=0.0)
    monkeypatch.setattr(training, "mixed_precision", lambda device: torch.bfloat16)
    run(model_for(), batches(), **how)
    assert all(record.replayed for record in run(model_for(), batches(), **how))
    monkeypatch.setattr(training, "mixed_precision", lambda device: torch.float32)
    assert not any(record.replayed for record in run(model_for(), batches(), **how))


def test_the_last_step_is_saved_however_long_ago_the_last_saving_was(tmp_path: Path) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=1e9)
    run(model_for(), batches(), **how)
    assert all(record.replayed for record in run(model_for(), batches(), **how))


@pytest.mark.parametrize("harm", ["other version", "damaged"])
def test_an_unfinished_training_that_cannot_be_read_starts_from_step_0(
    harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0, progress=False)
    for _ in itertools.islice(train(model_for(), batches(), QUICK, **how), 2):
        pass
    if harm == "damaged":
        next((tmp_path / "state").glob("*.safetensors")).write_bytes(b"short")
    else:  # its records hold a field that ours have not
        tensors, saved = checkpoint.load(tmp_path / "state")
        own = {key: value for key, value in saved.items() if key not in checkpoint.RESERVED}
        own["history"] = [{**record, "tokens": 5} for record in own["history"]]
        checkpoint.save(tmp_path / "state", tensors, {**own, "records": [*own["records"], "tokens"]})
    records = list(train(model_for(), batches(), QUICK, **how))
    assert [record.replayed for record in records] == [False] * QUICK.steps
    assert "starting from step 0" in capsys.readouterr().out
