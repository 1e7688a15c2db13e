"""Device, threads, seeds, precision."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch

from course import runtime


def test_the_device_is_the_argument_else_the_variable_else_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    assert runtime.pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setenv("COURSE_DEVICE", "meta")
    assert runtime.pick_device() == torch.device("meta")
    assert runtime.pick_device("cpu") == torch.device("cpu")
    monkeypatch.setenv("COURSE_DEVICE", "")
    assert runtime.pick_device().type in ("cpu", "cuda")


def test_a_gpu_is_chosen_where_torch_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert runtime.pick_device() == torch.device("cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert runtime.pick_device() == torch.device("cpu")


def test_a_device_that_does_not_exist_gives_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match='no device called "gpu"; use "cpu"'):
        runtime.pick_device("gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match='torch finds none here; use "cpu"'):
        runtime.pick_device("cuda")


def test_threads_are_the_argument_else_the_variables_else_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        monkeypatch.setenv("COURSE_THREADS", "2")
        assert runtime.set_threads(1) == torch.get_num_threads() == 1
        assert runtime.set_threads() == torch.get_num_threads() == 2
        monkeypatch.delenv("COURSE_THREADS")
        assert runtime.set_threads() == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "2,1")  # OpenMP's way to say: 2, and 1 in nested loops
        assert runtime.set_threads() == 2
        monkeypatch.setenv("OMP_NUM_THREADS", "")
        assert runtime.set_threads() >= 1
        monkeypatch.delenv("OMP_NUM_THREADS")
        assert runtime.set_threads() >= 1
    finally:
        torch.set_num_threads(before)


def test_on_a_mac_torchs_own_number_of_threads_is_the_default() -> None:
    program = """
import os, sys
import torch
torch.set_num_threads(3)  # what torch takes by itself on this Mac
from course import runtime
torch.set_num_threads(1)  # what somebody set later
sys.platform = "darwin"
os.environ["OMP_NUM_THREADS"] = os.environ["COURSE_THREADS"] = ""
print(runtime.set_threads(), torch.get_num_threads())
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["3", "3"]


@pytest.mark.parametrize("asked", [0, -2, 2.7, float("inf")])
def test_a_number_of_threads_that_makes_no_sense_gives_a_sentence(asked: Any) -> None:
    with pytest.raises(ValueError, match=f"{asked} threads cannot be used; give a whole number from 1 to"):
        runtime.set_threads(asked)


def test_a_variable_that_is_no_number_gives_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_THREADS", "many")
    with pytest.raises(ValueError, match="'many' threads cannot be used"):
        runtime.set_threads()


def test_a_generator_is_independent_of_the_global_stream() -> None:
    first = torch.rand(5, generator=runtime.generator(7))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    second = torch.rand(5, generator=runtime.generator(7))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, torch.rand(5, generator=runtime.generator(8)))


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_bfloat16_is_used_where_the_processor_multiplies_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, name: True})
    assert runtime.mixed_precision("cpu") == torch.bfloat16
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True, name: False})
    assert runtime.mixed_precision("cpu") == torch.float32


def test_bfloat16_is_not_used_on_a_macs_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"bf16": True})  # as an M2 says
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime.mixed_precision("cpu") == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_on_a_gpu_only_where_it_is_not_emulated(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: including_emulation or native)
    assert runtime.mixed_precision("cuda") == (torch.bfloat16 if native else torch.float32)


def test_the_report_says_what_the_course_runs_on() -> None:
    report = runtime.report()
    assert report["torch"] == torch.__version__
    assert report["threads"] == str(torch.get_num_threads())
    assert report["training precision"] in ("bfloat16", "float32")
    assert {"python", "system", "device"} <= report.keys()
    assert all(isinstance(text, str) and text for text in report.values())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is GNU's C library's")
def test_kept_memory_is_not_asked_for_again() -> None:
    """Pages that the system had to clear while a block of 16 MB is taken and freed, over and over, in a new process."""
    program = """
import resource, sys
import torch
from course import runtime

if sys.argv[1] == "keep":
    runtime.keep_memory()
for round in range(20):
    if round == 10:  # the first rounds find out what is needed
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(4_000_000) for _ in range(4)]
    while blocks:
        blocks.pop(0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", program, how], capture_output=True, check=True).stdout)

    assert faults("keep") < 100 < faults("do not")


@pytest.mark.parametrize("name", ["xpu", "hpu"])
def test_a_device_that_torch_does_not_find_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f'"{name}" was asked for, but torch finds none here'):
        runtime.pick_device(name)


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 1)
    assert runtime.pick_device("cuda:0").index == 0
    with pytest.raises(ValueError, match='no "cuda:9": torch finds 1 of them'):
        runtime.pick_device("cuda:9")
