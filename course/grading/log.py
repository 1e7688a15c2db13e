"""The log of results: a file that is only appended to, from which a run goes on after whatever has ended it.

A result's key says all that decided it: learner, exercise, source, what was asked, which cases, which grader. So a
second run over the same folder judges nothing again. What leaves the grader is here: passed or not, points, and a
category; never a case's values.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

LOG = "results.jsonl"
GROUP, EVERY = 200, 0.5  # results and seconds, after which those that wait are written
LONGEST = 20_000  # bytes of a line; what is longer, no grader has written


def holds_for_all(status: str) -> bool:
    """Does a judgement hold for whoever gives the same answer? What hung on a clock or on the machine does not."""
    return status not in ("timeout", "over budget", "not judged")


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the log.

    source, spec, cases, grader: digests of the sources that ran, of the exercise, of the secret, of the library.
    level: the sandbox. status, points, category, seconds: the judgement. carried: the earlier exercises for which the
    given answer stood in place of the learner's own. budget: the seconds that the learner had, where that decided.
    """

    learner: str
    exercise: str
    file: str
    source: str
    spec: str
    cases: str
    grader: str
    level: str
    status: str
    points: int
    category: str
    seconds: float
    carried: str = ""
    budget: float = 0.0

    @property
    def key(self) -> tuple[str, ...]:
        """What decided the result. No two lines have one key."""
        return (*self.asker, f"{self.budget:g}")

    @property
    def asker(self) -> tuple[str, ...]:
        """Whose answer to what it is."""
        return (self.learner, *self.question)

    @property
    def common(self) -> bool:
        """Does it hold for whoever gives the same answer?"""
        return holds_for_all(self.status)

    @property
    def question(self) -> tuple[str, ...]:
        """What decided it, whoever asked."""
        return (self.exercise, self.source, self.spec, self.cases, self.grader, self.level)


TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
KINDS = {field.name: TYPES[str(field.type)] for field in fields(Result)}


def read_log(path: Path) -> list[Result]:
    """The results so far."""
    return list(read_lines(path)[0])


def read_lines(path: Path) -> tuple[list[Result], int]:
    """The results so far, and how many lines are none: broken off by a kill, or written by somebody else."""
    found, strange = [], 0
    for line in _lines(path):
        result = _result(line)
        if result is None:
            strange += 1
        else:
            found.append(result)
    return found, strange


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none in memory for longer than it must; of one that is too long, the beginning."""
    if not path.exists():
        return
    with path.open("rb") as file:
        while line := file.readline(LONGEST):
            yield line
            while not line.endswith(b"\n") and line:
                line = file.readline(LONGEST)


def _result(line: bytes) -> Result | None:
    try:
        entry: Any = json.loads(line)
        values: dict[str, Any] = {name: sys.intern(v) if type(v) is str else v for name, v in entry.items()}
        result = Result(**values)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return result if all(_fits(getattr(result, name), kind) for name, kind in KINDS.items()) else None


def _fits(value: Any, kind: tuple[type, ...]) -> bool:
    """Is it of one of these types, and if a number, a finite one?"""
    return type(value) in kind and (isinstance(value, str) or math.isfinite(value))


class Log:
    """The log of a folder of results, open for one run at a time. Raises BlockingIOError while another one has it.

    Results reach the disk in groups, some times a second: what a kill takes away is judged again, and nothing else is.
    """

    def __init__(self, out: Path):
        self.path = out / LOG
        try:
            out.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("ab+", buffering=0)
        except OSError as error:
            raise OSError(
                f"The results cannot be kept in {out}: {error.strerror}. Give another folder with --out."
            ) from None
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel gives it back, however a run ends
        except OSError:
            self.file.close()
            raise BlockingIOError(
                f"Another run is grading into {out}; wait until it is done, or give another folder with --out."
            ) from None
        self.results, self.strange = read_lines(self.path)
        self.waiting: list[Result] = []
        self.written = time.monotonic()

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *ignored: object) -> None:
        try:
            self.flush()
        finally:
            self.file.close()

    def add(self, result: Result) -> None:
        """Keep a result."""
        self.waiting.append(result)
        if len(self.waiting) >= GROUP or time.monotonic() - self.written > EVERY:
            self.flush()

    def flush(self) -> None:
        """See what is waiting onto the disk. A line that was broken off before is left alone."""
        waiting, self.waiting = self.waiting, []
        self.written = time.monotonic()
        if not waiting:
            return
        text = "".join(json.dumps(asdict(result)) + "\n" for result in waiting).encode()
        if self.file.tell() and (self.file.seek(-1, os.SEEK_END), self.file.read(1))[1] != b"\n":
            text = b"\n" + text
        try:
            while text:
                text = text[self.file.write(text) or 0 :]
            os.fsync(self.file.fileno())
        except OSError as error:
            raise OSError(
                f"{self.path} cannot be written: {error.strerror}. What it holds is safe; make room, and give the same "
                "command again: it goes on from there."
            ) from None
