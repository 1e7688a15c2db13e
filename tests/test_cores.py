"""What other programs take of the processor, and the number of threads that follows from it."""

from __future__ import annotations

import copy
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from course import cli, cores, loop, runtime
from course import generate as generating
from course.cores import Cores, taken_now, threads_for
from course.generate import generate
from course.train import TokenBatches, TrainConfig, train
from course.transformer import GPT, GPTConfig


@pytest.mark.parametrize(
    ("taken", "present", "most", "expected"),
    [
        (0.0, 2, 2, 2), (0.0, 1, 2, 2),  # alone: all
        (1.0, 1, 2, 1), (0.67, 2, 2, 1),  # one program: at two threads it gets two thirds of a core
        (0.3, 2, 2, 2), (0.3, 1, 2, 1),  # between the bounds: as it is
        (2.0, 2, 2, 1), (2.0, 1, 2, 1),  # never none
        (1.0, 8, 8, 7), (2.6, 8, 8, 5), (2.0, 3, 8, 6), (0.1, 3, 8, 8), (0.0, 1, 1, 1),
    ],
)  # fmt: skip
def test_there_are_as_many_threads_as_cores_that_others_leave(
    taken: float, present: int, most: int, expected: int
) -> None:
    assert threads_for(taken, present, most) == expected


@pytest.mark.parametrize("demand", [0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
def test_the_number_settles_whatever_a_program_takes(demand: float) -> None:
    """Beside two threads on two cores it gets less than it would like: of three that want a core each, two thirds."""
    present, seen = 2, []
    for _ in range(6):
        present = threads_for(demand if present == 1 else demand * 2 / 3, present, 2)
        seen.append(present)
    assert len(set(seen[2:])) == 1, seen


class Clocks:
    """psutil's and the clock's readings, as if one program took `taken` cores of two, and we `own`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, taken: float = 0.0, own: float = 0.5) -> None:
        self.now, self.taken, self.own = 0.0, taken, own
        self.idle = self.computed = 0.0
        monkeypatch.setattr(Cores, "_read", lambda cores: (self.now, self.idle, self.computed))
        monkeypatch.setattr(Cores, "seconds", property(lambda cores: self.now - cores.last[0]))
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.computed += self.own * seconds
        self.idle += max(0.0, 2 - self.taken - self.own) * seconds


@pytest.mark.parametrize("taken", [0.0, 0.4, 1.0, 1.5])
def test_what_is_neither_idle_nor_ours_is_taken(taken: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch, taken)
    found = Cores()
    for seconds in (0.3, 5.0):
        clocks.pass_by(seconds)
        assert found.taken() == pytest.approx(taken)


def test_the_inexactness_of_the_clocks_makes_no_core_more_or_less(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    found = Cores()
    clocks.now, clocks.idle = 1.0, 2.5
    assert found.taken() == 0.0
    clocks.now, clocks.computed = 2.0, -7.0
    assert found.taken() == 2.0


@contextmanager
def another_program() -> Iterator[None]:
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def test_another_program_is_seen_beside_our_own_work() -> None:
    """On one core they share it, on two or more it has its own; what else runs here makes it more, not less."""
    with another_program():
        time.sleep(0.3)
        both = Cores()
        end = time.perf_counter() + 1.0
        while time.perf_counter() < end:
            pass  # our own work
        assert both.taken() > 0.4


def test_taken_now_measures_for_a_moment() -> None:
    started = time.perf_counter()
    taken, number = taken_now(0.2)
    assert time.perf_counter() - started >= 0.2
    assert 0 <= taken <= number == len(Cores().places)


@pytest.mark.parametrize(
    ("taken", "sentence"),
    [
        (0.2, "ok     the 4 processor cores are free"),
        (1.0, "ok     other programs keep 1.0 of the 4 processor cores busy"),
    ],
)
def test_doctor_tells_when_something_else_holds_a_core(
    taken: float, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "taken_now", lambda: (taken, 4))
    assert sentence in CliRunner().invoke(cli.main, ["doctor"]).stdout


def test_doctor_says_nothing_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: Cores) -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(Cores, "_read", silent)
    result = CliRunner().invoke(cli.main, ["doctor"])
    assert result.exit_code == 0 and "processor cores" not in result.stdout


# --- the number of threads ---


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clocks]:
    """Two cores, and `set_threads` left to choose; afterwards all is as it was."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("COURSE_THREADS", raising=False)
    monkeypatch.setattr(runtime.sys, "platform", "linux")
    clocks = Clocks(monkeypatch)
    assert runtime.set_threads() == 2
    yield clocks
    runtime.set_threads(before)


def test_where_the_system_does_not_tell_all_threads_stay(following: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: Cores) -> None:
        raise PermissionError("/proc/stat")

    monkeypatch.setattr(Cores, "_read", silent)
    assert runtime.set_threads() == 2
    assert after(following, 0.3, 1.0) == 2


def after(clocks: Clocks, seconds: float, taken: float) -> int:
    clocks.taken = taken
    clocks.pass_by(seconds)
    runtime.adapt_threads()
    return torch.get_num_threads()


def test_threads_make_way_and_come_back(following: Clocks) -> None:
    assert after(following, 0.3, 0.0) == 2
    assert after(following, 0.3, 1.0) == 1
    assert after(following, 0.3, 1.0) == 1
    assert after(following, 0.3, 0.0) == 2


def test_nothing_changes_before_there_is_enough_to_measure(following: Clocks) -> None:
    assert after(following, 0.1, 1.0) == 2
    assert after(following, 0.1, 1.0) == 2
    assert after(following, 0.1, 1.0) == 1, "the whole time since the last look counts"


@pytest.mark.parametrize("how", ["a number", "a variable", "torch's own"])
def test_a_number_that_was_chosen_is_kept_to(how: str, following: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "a number":
        runtime.set_threads(2)
    elif how == "a variable":
        monkeypatch.setenv("COURSE_THREADS", "2")
        runtime.set_threads()
    else:
        torch.set_num_threads(3)
    assert after(following, 0.3, 1.0) == (3 if how == "torch's own" else 2)


def test_on_a_mac_the_slow_cores_are_there_for_others(following: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.sys, "platform", "darwin")
    monkeypatch.setattr(runtime, "TORCHS_THREADS", 2)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
    assert runtime.set_threads() == 2
    following.taken = 1.0  # of four cores, of which we use two
    following.now, following.computed, following.idle = 1.0, 2.0, 1.0
    runtime.adapt_threads()
    assert torch.get_num_threads() == 2
    following.now, following.computed, following.idle = 2.0, 3.0, 1.0  # now three are taken
    runtime.adapt_threads()
    assert torch.get_num_threads() == 1


SMALL = GPTConfig(vocab_size=31, context_length=64, n_layer=2, n_head=2, d_model=32)


@pytest.mark.parametrize("work", ["training", "generation"])
def test_training_and_generation_follow_while_they_run(
    work: str, following: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = GPT(SMALL, torch.Generator().manual_seed(0))
    tokens = torch.randint(31, (500,), generator=torch.Generator().manual_seed(0))
    seen = []

    def look(*_: Any) -> None:
        seen.append(torch.get_num_threads())
        following.taken = 0.0 if 4 <= len(seen) < 8 else 1.0
        following.pass_by(0.3)

    if work == "training":
        for _ in train(model, TokenBatches(tokens, 4, 16), TrainConfig(steps=10, precision="float32"), progress=False):
            look()
    else:
        monkeypatch.setattr(generating, "SMALL_PROMPT", 0)  # else this little would be done in one thread anyway
        model.eval().norm.register_forward_hook(look)
        generate(model, [[1, 2]], 10, use_cache=False)
    assert seen == [2, 1, 1, 1, 2, 2, 2, 2, 1, 1]


def test_the_results_are_the_same_within_rounding(following: Clocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six steps with two threads, and with a number that changes at every one: the sums are divided otherwise."""
    start = GPT(GPTConfig(vocab_size=512, n_layer=1), torch.Generator().manual_seed(0))
    tokens = torch.randint(512, (5000,), generator=torch.Generator().manual_seed(0))
    plan = TrainConfig(steps=6, learning_rate=1e-3, warmup=4, precision="float32")
    losses, used = [], []
    for changing in (False, True):
        monkeypatch.setattr(loop, "adapt_threads", runtime.adapt_threads if changing else lambda: None)
        torch.set_num_threads(2)
        model = copy.deepcopy(start)
        losses.append([])
        for record in train(model, TokenBatches(tokens, 4, 64), plan, progress=False):
            losses[-1].append(record.loss)
            used.append(torch.get_num_threads())
            following.taken = 1.0 - following.taken
            following.pass_by(0.3)
    assert set(used[:6]) == {2} and set(used[6:]) == {1, 2}
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
