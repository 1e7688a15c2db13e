"""What every training shares, with a training that only counts."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from course import loop, optimizer
from course.transformer import GPT, GPTConfig

SMALL = GPTConfig(vocab_size=31, context_length=8, n_layer=2, n_head=2, d_model=16)


@dataclass(frozen=True)
class Count:
    number: int
    seen: float
    replayed: bool = False

    def summary(self) -> str:
        return f"count {self.number}"


class Counting:
    """A training whose step adds 1 to a weight, and counts in the optimiser's state."""

    def __init__(self) -> None:
        self.model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.model.weight)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        self.asked: list[int] = []

    def step(self, number: int) -> Count:
        self.asked.append(number)
        self.model.weight.data += 1
        state = self.optimizer.state[self.model.weight]
        state["steps"] = state.get("steps", torch.tensor(0.0)) + 1
        return Count(number, self.model.weight.max().item())

    def run(self, steps: int = 6, identity: dict[str, Any] | None = None, **how: Any) -> Iterator[Count]:
        how = {"progress": False, **how}
        return loop.run(self.step, steps, Count, self.model, self.optimizer, identity or {"what": "counting"}, **how)


def test_every_step_is_taken_once_in_its_order_and_its_record_is_yielded_at_once() -> None:
    counting = Counting()
    for expected, record in enumerate(counting.run()):
        assert record == Count(expected, expected + 1.0)
        assert counting.asked == list(range(expected + 1)), "no step is taken before its record is asked for"


@pytest.mark.parametrize("stopped_after", [1, 4, 6])
def test_an_interrupted_run_goes_on_with_weights_state_and_records(stopped_after: int, tmp_path: Path) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0)
    list(itertools.islice(Counting().run(**how), stopped_after))
    again = Counting()
    records = list(again.run(**how))
    assert again.asked == list(range(stopped_after, 6))
    assert records == [Count(n, n + 1.0, replayed=n < stopped_after) for n in range(6)]
    assert again.model.weight.item() == 6
    assert again.optimizer.state[again.model.weight]["steps"].item() == 6


class Stopped(Counting):
    """Somebody presses Ctrl-C in the middle of step 2."""

    def step(self, number: int) -> Count:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        return super().step(number)


def test_an_interruption_waits_for_the_whole_step_saves_it_and_says_how_it_goes_on(tmp_path: Path) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=1e9)
    with pytest.raises(
        KeyboardInterrupt, match=r"after step 3 of 6\. The state is saved: .* goes on from there"
    ) as told:
        list(Stopped().run(**how))
    assert told.value._render_traceback_() == [str(told.value)], "in a notebook the sentence stands alone"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = Counting()
    assert list(again.run(**how))[-1] == Count(5, 6.0)
    assert again.asked == [3, 4, 5], "steps 0 to 2 are not taken again"


def test_an_interrupted_training_that_is_not_kept_says_so() -> None:
    with pytest.raises(KeyboardInterrupt, match="as short as this is not kept: run the cell again"):
        list(Stopped().run())


def test_who_presses_twice_does_not_wait() -> None:
    counting = Stopped()
    counting.step = lambda number: [signal.raise_signal(signal.SIGINT) for _ in range(2)]  # type: ignore[assignment,method-assign]
    with pytest.raises(KeyboardInterrupt) as told:
        list(counting.run())
    assert not isinstance(told.value, loop.Interrupted)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("change", ["identity", "shape"])
def test_a_run_of_something_else_begins_anew_and_says_so(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0)
    list(Counting().run(**how))
    other = Counting()
    if change == "shape":
        other.model.weight = nn.Parameter(torch.zeros(1, 2))
    records = list(other.run(identity={"what": "another"} if change == "identity" else None, **how))
    assert not any(record.replayed for record in records)
    assert "had other settings or data; starting from step 0" in "".join(capsys.readouterr())


def test_the_state_is_saved_every_so_many_seconds_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that goes on by 10 seconds whenever it is read, and a saving at the latest every 25."""
    readings, saved = itertools.count(), []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 10.0 * next(readings)))
    monkeypatch.setattr(loop, "save_state", lambda *state: saved.append(len(state[-1])))
    list(Counting().run(12, checkpoint=tmp_path / "state", save_seconds=25.0))
    assert 3 <= len(saved) <= 5 and saved[-1] == 12


def test_the_bar_shows_its_text_and_what_a_record_says(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in Counting().run(progress="counting sheep"):
        pass
    shown = capsys.readouterr().err
    assert "counting sheep" in shown
    list(Counting().run(progress=False))
    assert capsys.readouterr().err == ""


def test_gradients_left_over_are_gone_before_the_first_step() -> None:
    counting = Counting()
    counting.model(torch.ones(1, 1)).sum().backward()
    next(counting.run())
    assert counting.model.weight.grad is None


@pytest.mark.parametrize("make", [
    lambda model: optimizer.adamw(model.parameters(), 1e-3, 0.1),
    lambda model: optimizer.muon(model, 1e-3, 0.02, 0.1),
], ids=["adamw", "muon"])  # fmt: skip
def test_what_is_loaded_is_bit_for_bit_what_was_saved(make: Any, tmp_path: Path) -> None:
    model, again = (GPT(SMALL, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    state, loaded = make(model), make(again)
    for step in range(3):
        model(torch.tensor([[1, 2, step]])).square().sum().backward()
        state.step()
    loop.save_state(tmp_path / "state", model, state, {"some": (1, 2)}, [Count(0, 0.5)])
    assert loop.load_state(tmp_path / "state", again, loaded, {"some": (1, 2)}) == [
        {"number": 0, "seen": 0.5, "replayed": False}
    ]
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        kept, found = state.state[one], loaded.state[other]
        assert kept.keys() == found.keys() and len(kept) > 0
        assert all(torch.equal(kept[key], found[key]) for key in kept)


def model_for() -> GPT:
    return GPT(SMALL, torch.Generator().manual_seed(0))


def test_the_fingerprint_of_weights_changes_with_any_weight() -> None:
    model, same = model_for(), model_for()
    assert loop.weights_fingerprint(model) == loop.weights_fingerprint(same)
    for weight in (model.token_embedding.weight, model.norm.bias, model.blocks[1].mlp.down.weight):
        before = loop.weights_fingerprint(model)
        weight.data.flatten()[-1] += 1e-6 + weight.data.flatten()[-1].abs() * 1e-5
        assert loop.weights_fingerprint(model) != before


def test_the_fingerprint_of_weights_changes_with_a_buffer() -> None:
    model = model_for()
    model.register_buffer("unit", torch.ones(1))
    before = loop.weights_fingerprint(model)
    model.unit.fill_(3.0)  # type: ignore[operator]
    assert loop.weights_fingerprint(model) != before
