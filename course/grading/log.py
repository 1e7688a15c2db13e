"""The log of results: a file that is only appended to, from which a run goes on after whatever has ended it.

A result's key says all that decided it: learner, exercise, source, what was asked, which cases, which grader. So a
second run over the same folder judges nothing again. What leaves the grader is here: passed or not, points, and a
category; never a case's values.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

LONGEST = 20_000  # bytes of a line; what is longer, no grader has written


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
        """What decided the result."""
        return (self.learner, *self.question)

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
    for name, kind in KINDS.items():
        value: Any = getattr(result, name)
        if not isinstance(value, kind) or isinstance(value, bool) or (str not in kind and not math.isfinite(value)):
            return None
    return result


def append(path: Path, results: Iterable[Result]) -> None:
    """Add results, and see them onto the disk. A line that was broken off is left alone."""
    with path.open("ab+", buffering=0) as log:
        text = "".join(json.dumps(asdict(result)) + "\n" for result in results).encode()
        if log.tell() and (log.seek(-1, os.SEEK_END), log.read(1))[1] != b"\n":
            text = b"\n" + text
        while text:
            text = text[log.write(text) or 0 :]
        os.fsync(log.fileno())
