"""Timing side by side: the machine's moods hit both alike, and medians forget the worst of them."""

from __future__ import annotations

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import torch

from course import runtime


def interleave(functions: dict[str, Callable[[], Any]], repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each function's calls, called in turns: a, b, a, b, … The first `warmup` rounds do not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in range(warmup + repeats):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if number >= warmup:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def elsewhere(make: Callable[..., Callable[[], Any]], *arguments: Any) -> Callable[[], Any]:
    """`make(*arguments)()` in a process of its own, a call there per call here, with as many threads as here.

    What a program sets for its process, such as how memory is kept, then does not help the one beside it.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=_serve, args=(theirs, torch.get_num_threads(), make, arguments), daemon=True).start()
    theirs.close()
    ours.recv()  # it is ready

    def step() -> Any:
        ours.send(None)
        return ours.recv()

    return step


def _serve(connection: Any, threads: int, make: Callable[..., Callable[[], Any]], arguments: Sequence[Any]) -> None:
    """The other process's loop: a call for each message, answered with what it returned."""
    torch.set_num_threads(threads)
    function = make(*arguments)
    connection.send(None)
    while True:
        try:
            connection.recv()
        except EOFError:  # the benchmark is over
            return
        connection.send(function())


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def show(seconds: dict[str, list[float]], ours: str, peer: str, target: float | None, unit: float = 1e3) -> float:
    """Print the median of each, and how many times faster than its peer ours is; returns the median of the ratios."""
    for name, values in seconds.items():
        low, middle, high = quartiles(values)
        click.echo(f"  {name:58} {middle * unit:9.2f} ms  ({low * unit:.2f} to {high * unit:.2f})")
    low, ratio, high = quartiles([theirs / own for own, theirs in zip(seconds[ours], seconds[peer], strict=True)])
    bound = f"; to reach ≥ {target:g}{'' if ratio >= target else '  MISSED'}" if target else ""
    click.echo(f"  {ours} is {ratio:.2f} × as fast as {peer} (quartiles {low:.2f} to {high:.2f}{bound})")
    return ratio


def machine() -> None:
    """Print what the figures hang on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    report = runtime.report()
    click.echo(f"{cpu}; " + ", ".join(f"{name} {value}" for name, value in report.items()))
