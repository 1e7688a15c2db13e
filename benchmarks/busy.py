"""The same work beside another program that keeps a core busy, against the same on a quiet machine.

python benchmarks/busy.py

A training step, an iteration of PPO and generation: with the number of threads left to the course (it follows what
other programs leave free: `runtime.adapt_threads`), and with all threads throughout, as it would be without that.
Quiet and busy take turns. The moment in which the course notices the other program counts, too. What still other
programs do would spoil the comparison: their share is measured, and a turn in which it is large is taken again.
"""

from __future__ import annotations

import copy
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
import psutil  # type: ignore[import-untyped]
import torch
from _timing import machine

from course import runtime
from course.chain import recipe, store
from course.chat import prompt_ids
from course.cores import Cores
from course.generate import Sampling, generate
from course.rl import ActorCritic, PPOConfig, ppo
from course.train import TokenBatches, train
from course.transformer import GPT
from course.world.demonstrations import asked

TARGET = 2.2
STRANGERS = 0.15  # cores that still other programs may take on average


@contextmanager
def another_program() -> Iterator[psutil.Process]:
    """A program that computes without end, on one core."""
    program = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield psutil.Process(program.pid)
    finally:
        program.kill()
        program.wait()


def training() -> Callable[[], object]:
    """A step of pretraining at the recipe's size."""
    settings = recipe.BaseRecipe()
    tokens = torch.randint(settings.model.vocab_size, (400_000,), generator=runtime.generator(0))
    data = TokenBatches(tokens, settings.batch_size, settings.model.context_length)
    plan = replace(settings.training, steps=1_000_000)
    records = train(GPT(settings.model, runtime.generator(0)), data, plan, progress=False)
    return lambda: next(records)


def tuning() -> Callable[[], object]:
    """An iteration of PPO with the course's models."""
    tokenizer, (sft, reward), _ = store.load_together("sft", "reward")
    prompts = [prompt_ids(tokenizer, question.turns) for question in asked(500) if len(question.turns) == 1]
    plan = PPOConfig(iterations=1_000_000, learning_rate=1e-9)  # so the answers keep their length
    records = ppo(
        ActorCritic(copy.deepcopy(sft)), sft, reward, prompts, tokenizer.special["<|end|>"], plan, progress=False
    )
    return lambda: next(records)


def generation() -> Callable[[], object]:
    """64 texts of 96 tokens."""
    model = GPT(recipe.BaseRecipe().model, runtime.generator(0)).eval()
    prompts = [[token] for token in range(64)]
    return lambda: generate(model, prompts, 96, Sampling(1.0), generator=runtime.generator(0))


def turn(work: Callable[[], object], seconds: float, other: psutil.Process | None) -> tuple[float, float]:
    """(mean seconds of a call, cores that strangers took), over so many seconds and two calls at least."""

    def computed() -> float:
        return 0.0 if other is None else sum(other.cpu_times()[:2])

    cores, before, calls, started = Cores(), computed(), 0, time.perf_counter()
    while calls < 2 or time.perf_counter() < started + seconds:
        work()
        calls += 1
    took = time.perf_counter() - started
    return took / calls, cores.taken() - (computed() - before) / took


def compare(work: Callable[[], object], seconds: float, turns: int) -> tuple[float, float, int]:
    """Median seconds of a call in quiet and in busy turns, and how many turns were spoiled by strangers."""
    quiet: list[float] = []
    busy: list[float] = []
    spoiled = 0
    while len(quiet) < turns and spoiled < 10 * turns:
        turn(work, 0.6, None)  # the course notices that it is alone again
        alone, strangers = turn(work, seconds, None)
        with another_program() as other:
            beside, others = turn(work, seconds, other)
        if max(strangers, others) > STRANGERS:
            spoiled += 1
        else:
            quiet.append(alone)
            busy.append(beside)
    if not quiet:
        raise click.ClickException("Other programs compute all the time; end them, and measure again.")
    return statistics.median(quiet), statistics.median(busy), spoiled


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="Of a turn.")
@click.option("--turns", default=3, show_default=True)
@click.option("--only", type=click.Choice(["training step", "PPO iteration", "generation"]), multiple=True)
def main(seconds: float, turns: int, only: tuple[str, ...]) -> None:
    """Measure each work quiet and busy, with threads that follow and with all of them."""
    for name in ("COURSE_THREADS", "OMP_NUM_THREADS"):  # a number would be kept to
        os.environ.pop(name, None)
    threads = runtime.set_threads()
    machine()
    works = {"training step": training, "PPO iteration": tuning, "generation": generation}
    for name in only or works:
        for how, number in (("following", None), ("all threads", threads)):
            runtime.set_threads(number)
            quiet, busy, spoiled = compare(works[name](), seconds, turns)
            bound = ""
            if how == "following":
                bound = f"; to reach ≤ {TARGET:g}{'' if busy / quiet <= TARGET else '  MISSED'}"
            click.echo(
                f"  {name:14} {how:12} quiet {quiet * 1e3:6.0f} ms, busy {busy * 1e3:6.0f} ms: "
                f"{busy / quiet:5.2f} × as long{bound}" + (f" ({spoiled} turns spoiled)" if spoiled else "")
            )


if __name__ == "__main__":
    main()
