"""Where the numbers live: device, threads, seeds, precision.

Every notebook begins with two lines from here, so that the same cells run on a laptop's processor and on a GPU,
and give the same results (within rounding) when they are run again.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from course.cores import Cores, threads_for, usable

TORCHS_THREADS = torch.get_num_threads()  # what torch itself takes, before anybody sets another number
LOOK = 0.25  # seconds between two looks at what other programs do: shorter ones are inexact


def pick_device(name: str | None = None) -> torch.device:
    """The device to compute on: `name` if given, else the variable COURSE_DEVICE, else a CUDA GPU, else the CPU.

    Raises ValueError when the device asked for does not exist on this machine.
    """
    name = name or os.environ.get("COURSE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f'There is no device called "{name}"; use "cpu", "cuda" or "cuda:0".') from None
    if device.type in ("cpu", "meta"):  # meta: shapes without numbers, for tests
        return device
    if device.type == "cuda":
        there = torch.cuda.is_available()
    else:  # such as a Mac's "mps"
        found = torch.accelerator.current_accelerator(check_available=True)
        there = found is not None and found.type == device.type
    if not there:
        raise ValueError(f'The device "{name}" was asked for, but torch finds none here; use "cpu".')
    if device.index is not None and device.index >= (count := torch.accelerator.device_count()):
        raise ValueError(f'There is no "{name}": torch finds {count} of them, "{device.type}:0" is the first.')
    return device


def set_threads(n: int | None = None) -> int:
    """Let torch use `n` processor threads (default: COURSE_THREADS, else OMP_NUM_THREADS, else all free cores).

    Without any number, `adapt_threads` makes way for other programs as long as they compute: results then are the same
    within rounding, since sums are divided otherwise. With a number they are the same bit for bit.
    On a Mac torch's own number is the most: it leaves out the cores that are slow to save power.

    Returns the number set. Two torch programs that both claim all cores slow each other many times over.
    Raises ValueError when the number is not a positive whole number.
    """
    asked: Any = n
    if asked is None:  # OpenMP's variable may hold a number for each nested level: the first counts
        asked = os.environ.get("COURSE_THREADS") or os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    free = asked == ""
    if free:
        asked = TORCHS_THREADS if sys.platform == "darwin" else len(usable())
    try:
        threads = int(str(asked))
    except ValueError:
        threads = 0
    most = max(64, 8 * (os.cpu_count() or 1))  # with more they are only in each other's way
    if not 1 <= threads <= most:
        raise ValueError(f"{asked!r} threads cannot be used; give a whole number from 1 to {most}.")
    torch.set_num_threads(threads)
    global _following  # as torch's number of threads, it belongs to the process
    _following = None
    if free and threads > 1:
        with suppress(ImportError, OSError):  # some systems do not tell what others do
            _following = Following(Cores(), threads, threads)
    return threads


@dataclass
class Following:
    """What `adapt_threads` goes by: the most threads, and how many it has set."""

    cores: Cores
    most: int
    present: int


_following: Following | None = None


def adapt_threads() -> None:
    """Go on with as many threads as other programs leave cores free, if `set_threads` was left to choose.

    To be called between two steps, however short: it costs nothing until there is something new to measure. Whoever
    has set torch's number of threads otherwise since then is left alone.
    """
    following = _following
    if following is None or following.cores.seconds < LOOK or torch.get_num_threads() != following.present:
        return
    spare = len(following.cores.places) - following.most  # the slow ones of a Mac: enough for other programs
    taken = max(0.0, following.cores.taken() - spare)
    following.present = threads_for(taken, following.present, following.most)
    torch.set_num_threads(following.present)


def keep_memory() -> None:
    """Let the process keep the memory that it frees, for the next step of a training, which needs as much again.

    Linux's C library hands each large block back to the system at once, and the system clears it page by page when
    it is asked for anew: a tenth of a training step. Elsewhere this does nothing. See `man mallopt`.
    """
    if platform.system() != "Linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # absent from C libraries other than GNU's
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # their numbers in malloc.h
        mallopt(trim_threshold, 2**31 - 1)  # bytes free at the end of the heap before they are handed back
        mallopt(mmap_threshold, 2**25)  # bytes from which a block is taken from the system by itself; at most this


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A source of random numbers of its own, so that no draw depends on what ran before it."""
    return torch.Generator(device=device).manual_seed(seed)


def mixed_precision(device: torch.device | str) -> torch.dtype:
    """The number format for matrix products in training: bfloat16 where the hardware multiplies it natively.

    bfloat16 keeps float32's range and 8 bits of its precision. With hardware support it is about 1.5 times faster
    at our size; without it, the products are emulated and slower, so float32 is returned. So it is on a Mac's
    processor: it has the instructions, but torch's build for Macs does not use them.
    Kalamkar et al. 2019, "A Study of BFLOAT16 for Deep Learning Training", arXiv:1905.12322.
    """
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif sys.platform == "darwin":  # built without oneDNN: a plain loop, while float32 goes to Apple's Accelerate
        native = False
    else:
        capabilities = torch.cpu.get_capabilities()
        native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def synchronize(device: torch.device | str) -> None:
    """Wait until a GPU has finished what it was given, so that a clock read next tells the truth."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def report() -> dict[str, str]:
    """What the course runs on, as short texts: Python, packages, machine, device, threads, precision."""
    device = pick_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    packages = {}
    for package in ("torch", "numpy", "matplotlib", "jupyterlab", "tokenizers"):
        try:
            packages[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # such as JupyterLab where another program shows the notebooks
            packages[package] = "not installed"
    return {
        "python": sys.version.split()[0],
        **packages,
        "system": f"{platform.system()} {platform.machine()}",
        "device": f"{device} ({name})",
        "threads": str(torch.get_num_threads()),
        "training precision": str(mixed_precision(device)).removeprefix("torch."),
    }
