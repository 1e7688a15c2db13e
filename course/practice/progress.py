"""What a learner has tried, passed and predicted: one line for each in a file of their own, and tables made of it.

The file is only appended to, so an interrupted notebook loses nothing, and two notebooks may write to it. (If they do
so at the very same moment, Windows may lose a line; a line that cannot be read is passed over.)
"""

from __future__ import annotations

import contextlib
import html
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course.chain import store

if TYPE_CHECKING:  # predictions do without torch, which the exercises import
    from course.practice.exercise import Exercise, Verdict

PAUSE = 15 * 60  # seconds; after a longer pause between two checks the clock has not run on


@dataclass(frozen=True)
class State:
    """Where a learner stands with an exercise. minutes: spent, from the first check to the passing one."""

    exercise: Exercise
    attempts: int = 0
    passed: bool = False
    minutes: float = 0.0


def file() -> Path:
    """Where progress is kept: beside the learner's artifacts."""
    return store.home() / "progress.jsonl"


def record(exercise: Exercise, verdict: Verdict) -> str:
    """Note a check. Returns "", or where it could not be written a sentence that says so: a check never fails by it."""
    return note({"exercise": exercise.id, "status": verdict.status, "time": round(time.time(), 1)})


def note(entry: dict[str, Any]) -> str:
    """Add an entry to the learner's file. Returns "", or where it could not be written a sentence that says so."""
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        append(file(), [entry])
    except OSError as error:
        return f"Your progress could not be noted in {file()}: {error.strerror or error}."
    return ""


def append(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Add entries to a file of JSON lines, and see them onto the disk. A line that was broken off is left alone."""
    with path.open("ab+") as log:
        if log.tell() and (log.seek(-1, os.SEEK_END), log.read(1))[1] != b"\n":
            log.write(b"\n")
        log.write("".join(json.dumps(entry) + "\n" for entry in entries).encode())
        log.flush()
        os.fsync(log.fileno())


def entries() -> Iterator[dict[str, Any]]:
    """What was noted, line by line. Lines that cannot be read are passed over."""
    if file().exists():
        for line in file().read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)


def states() -> list[State]:
    """Every exercise of the course and where the learner stands. Lines that cannot be read are passed over."""
    from course.practice import exercises

    checks: dict[str, list[dict[str, Any]]] = {}
    for entry in entries():
        with contextlib.suppress(KeyError, TypeError):
            checks.setdefault(entry["exercise"], []).append({"status": entry["status"], "time": entry["time"] + 0})
    found = []
    for exercise in exercises.everything().values():
        mine = checks.get(exercise.id, [])
        first_pass = next((i for i, entry in enumerate(mine) if entry["status"] == "passed"), None)
        until = mine if first_pass is None else mine[: first_pass + 1]
        gaps = [b["time"] - a["time"] for a, b in itertools.pairwise(until)]
        found.append(
            State(
                exercise,
                sum(entry["status"] != "not attempted" for entry in mine),
                first_pass is not None,
                sum(gap for gap in gaps if 0 <= gap <= PAUSE) / 60,
            )
        )
    return found


@dataclass(frozen=True)
class Prediction:
    """What a learner predicted. of: the number of choices, or [lowest, highest]. outcome: what came out, or None."""

    answer: Any
    of: Any
    outcome: Any = None


def predictions() -> dict[str, Prediction]:
    """Name -> prediction, of all that were answered: the first answer counts, and the last outcome.

    If the question was changed since, by other choices or another scale, its answer counts anew.
    """
    found: dict[str, Prediction] = {}
    for entry in entries():
        with contextlib.suppress(KeyError, TypeError):
            name = entry["prediction"]
            if "outcome" in entry:
                found[name] = replace(found[name], outcome=entry["outcome"])
            elif name not in found or found[name].of != entry["of"]:  # else it was answered before
                found[name] = Prediction(entry["answer"], entry["of"])
    return found


def calibration(notebook: str = "") -> str:
    """How well the learner predicts, in one sentence; "" where no outcome is known yet.

    Choices: how many were right, beside what chance alone would give. Numbers: the mean distance from what came out,
    in percent of the scale that was offered.
    """
    known = [p for name, p in predictions().items() if name.startswith(notebook[:2]) and p.outcome is not None]
    chosen = [p for p in known if isinstance(p.of, int)]
    parts = []
    if chosen:
        right, chance = sum(p.answer == p.outcome for p in chosen), sum(1 / p.of for p in chosen)
        parts.append(f"{right} of {len(chosen)} choices right (chance alone: {chance:.1f})")
    off = [abs(p.answer - p.outcome) / (p.of[1] - p.of[0]) for p in known if isinstance(p.of, list)]
    if off:
        parts.append(f"numbers off by {sum(off) / len(off):.0%} of the scale ({len(off)})")
    return f"Your predictions: {', '.join(parts)}." if parts else ""


def upcoming(found: list[State]) -> State | None:
    """What to do next: the first exercise begun and not passed, else the first not passed."""
    open_ones = [state for state in found if not state.passed]
    return next((state for state in open_ones if state.attempts), next(iter(open_ones), None))


class Panel:
    """The progress of a learner, as a small table in a notebook or as text."""

    def __init__(self, notebook: str = ""):
        self.states = [state for state in states() if state.exercise.id.startswith(notebook[:2])]
        self.predicted = calibration(notebook)

    def __repr__(self) -> str:
        lines = []
        for state in self.states:
            sign = "✓" if state.passed else ("…" if state.attempts else " ")
            spent = f"{state.minutes:.0f} min" if state.attempts else f"({state.exercise.minutes} min)"
            tries = f"{state.attempts} tries" if state.attempts != 1 else "1 try"
            points = f"{state.exercise.points if state.passed else 0}/{state.exercise.points}"
            lines.append(f"{sign} {state.exercise.id:32} {points:>6} points  {tries:>9}  {spent:>9}")
        return "\n".join([*lines, self.summary])

    @property
    def summary(self) -> str:
        """How far, what next, and how well the learner predicts."""
        passed = [state for state in self.states if state.passed]
        points = sum(state.exercise.points for state in passed)
        total = sum(state.exercise.points for state in self.states)
        after = upcoming(self.states)
        then = f" Next: {after.exercise.id}, {after.exercise.title}." if after else " All done."
        said = f"{len(passed)} of {len(self.states)} exercises passed, {points} of {total} points.{then}"
        return f"{said} {self.predicted}".strip()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        rows = []
        for state in self.states:
            sign = "✓" if state.passed else "…" if state.attempts else "○"
            rows.append(
                f'<tr><td style="font-weight: bold">{sign}</td>'
                f'<td style="text-align: left">{html.escape(state.exercise.title)}</td>'
                f"<td>{state.exercise.points}</td><td>{state.attempts}</td>"
                f"<td>{state.minutes:.0f} of {state.exercise.minutes}</td></tr>"
            )
        head = "<tr><th>state</th><th>exercise</th><th>points</th><th>tries</th><th>minutes</th></tr>"
        table = f"<table>{head}{''.join(rows)}</table><p>{html.escape(self.summary)}</p>"
        return {"text/html": table, "text/plain": repr(self)}


def reset() -> Path | None:
    """Begin again: the file is put aside under a new name, which is returned (None where there was none)."""
    if not file().exists():
        return None
    aside = file().with_name(f"progress-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl")
    file().rename(aside)
    return aside
