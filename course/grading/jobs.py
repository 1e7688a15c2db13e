"""Judging one answer: what is sent into the sandbox, and what is made of what comes back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from course.grading.log import holds_for_all
from course.grading.sandbox import Sandbox, SandboxError
from course.practice import exercises
from course.practice.exercise import PRELUDE, Verdict, judge

LIBRARY = Path(__file__).parents[1]
SLOW = 1.0  # seconds; after an answer that took longer, the rest of its batch goes to others
TRIES = 3  # of an answer, where the sandbox breaks down
PATIENCE = 30.0  # seconds to wait for a machine on which no sandbox works
NO_SANDBOX = "no sandbox works on this machine"
BREAKS = "its sandbox broke down each time"
DIED = "the process that judged it was killed"


@dataclass(frozen=True)
class Job:
    """An answer to judge: the exercise, and the sources to run, the answer last."""

    exercise: str
    sources: tuple[str, ...]

    @property
    def source_hash(self) -> str:
        """Equal for equal sources."""
        return hashlib.sha256(json.dumps(self.sources).encode(errors="surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True)
class Judgement:
    """What is said of an answer.

    status: "passed", "failed", "raised", "not attempted", "timeout", "over budget" (the learner's time was used up
    before), or "not judged": the machine failed, and nothing is said of the answer. category: what sort of failure.
    seconds: the answer ran. cost: the judging took in all. works: False where no sandbox works on this machine.
    """

    status: str
    points: int = 0
    category: str = ""
    seconds: float = 0.0
    cost: float = 0.0
    works: bool = True

    @property
    def common(self) -> bool:
        """Does it hold for whoever gives the same answer?"""
        return holds_for_all(self.status)


@cache
def grader_version() -> str:
    """Changes when any line of the library does: the references call it, and so does the judge.

    Results of another version are not reused.
    """
    digest = hashlib.sha256()
    for path in sorted(LIBRARY.rglob("*.py")):
        digest.update(path.relative_to(LIBRARY).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


_sandboxes: dict[tuple[int, int, str], Sandbox] = {}


def sandbox_here(level: str) -> Sandbox:
    """The warm sandbox of this process and thread."""
    key = (os.getpid(), threading.get_ident(), level)
    if key not in _sandboxes:
        torch.set_num_threads(1)  # the workers share the cores
        _sandboxes[key] = Sandbox(level)
    return _sandboxes[key]


def close_sandboxes() -> None:
    """End the sandboxes of this process."""
    while _sandboxes:
        _sandboxes.popitem()[1].close()


@cache
def hidden(name: str, secret: bytes) -> tuple[list[dict[str, Any]], list[Any]]:
    """The hidden cases of an exercise and what is expected. Only the grader's own processes call this."""
    exercise = exercises.find(name)
    cases = exercise.hidden(secret)
    return cases, exercise.expected(cases)


def judge_job(job: Job, secret: bytes, level: str) -> Judgement:
    """Run an answer in the sandbox, and judge what it returned.

    A sandbox that breaks down is the machine's fault: the answer is run again, once a sandbox works.
    """
    started = time.perf_counter()
    exercise = exercises.find(job.exercise)
    cases, expected = hidden(job.exercise, secret)
    for _ in range(TRIES):
        try:
            outcome = sandbox_here(level).run([PRELUDE, *job.sources], exercise.entry, cases, exercise.seconds)
            if outcome.ended != "broken":
                break
        except SandboxError:
            pass
        if not wait_for_a_sandbox(level):
            return Judgement("not judged", category=NO_SANDBOX, cost=time.perf_counter() - started, works=False)
    else:
        return Judgement("not judged", category=BREAKS, cost=time.perf_counter() - started)
    if outcome.ended == "timeout":
        said = Judgement("timeout", category=f"longer than {exercise.seconds:g} s")
    else:
        try:
            verdict = judge(exercise, cases, expected, outcome.results)
        except Exception:  # results come from people who want to break this
            verdict = Verdict("failed", category="another form")
        category = verdict.category if outcome.ended == "returned" else outcome.ended
        said = Judgement(verdict.status, exercise.points if verdict.passed else 0, category)
    return replace(said, seconds=round(outcome.seconds, 4), cost=time.perf_counter() - started)


def wait_for_a_sandbox(level: str) -> bool:
    """Is there a sandbox that works? Tried with a harmless function, for as long as the patience lasts."""
    deadline, pause = time.monotonic() + PATIENCE, 0.1
    while True:
        try:
            if sandbox_here(level).run(["def same(x):\n    return x"], "same", [{"x": 1}]).results == [1]:
                return True
        except SandboxError:
            pass
        if time.monotonic() + pause > deadline:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def fresh_sandbox(level: str) -> None:
    """Let the next answer have a sandbox in which none has run before."""
    close_sandboxes()
    with contextlib.suppress(SandboxError):  # judging will find out, and wait
        sandbox_here(level)


def judge_some(jobs: Sequence[Job], secret: bytes, level: str, fresh: bool = False) -> Iterator[Judgement]:
    """Judge one answer after the other, and end early after one that was slow: nobody waits behind it."""
    if fresh:
        fresh_sandbox(level)
    for job in jobs:
        judgement = judge_job(job, secret, level)
        yield judgement
        if judgement.cost > SLOW:
            return
