"""Instant feedback: `check(answer)` says at once what is right, what is not, and what the mistake probably is.

It looks at what the function returns for a few cases, never at how it is written. The cases here are public; a grader
draws others from a secret, so an answer that knows them by heart gains nothing.
"""

from __future__ import annotations

import builtins
import dis
import html
import linecache
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import CodeType
from typing import Any

import torch
from torch import Tensor

from course.practice import exercises, progress
from course.practice.compare import difference
from course.practice.exercise import PRELUDE, PUBLIC_SEED, Exercise, Verdict, judge
from course.practice.patience import limited
from course.practice.plain import Raised, call, raised

GREEN, RED, GREY = "#009E73", "#D55E00", "#666666"  # as in `plots`; told apart by their signs, too
SIGNS = {"passed": ("✓", GREEN), "failed": ("✗", RED), "raised": ("✗", RED), "not attempted": ("○", GREY)}
LARGEST_GRID = 16  # rows and columns of a matrix that is drawn
LOADS, STORES = ("LOAD_NAME", "LOAD_GLOBAL"), ("STORE_NAME", "STORE_GLOBAL")  # Python's instructions for names


def check(function: Callable[..., Any], seed: int = PUBLIC_SEED) -> Feedback:
    """Check an answer: the function that an exercise asks for, found by its name.

    Raises TypeError when something else than a function is given, KeyError when no exercise has this name.
    """
    if not callable(function) or not hasattr(function, "__name__"):
        raise TypeError(f"Give the function itself, as in check(causal_mask), not {type(function).__name__}.")
    exercise = exercises.find(function.__name__)
    if why := did_not_run(function):
        return not_judged(exercise, "SyntaxError", why)
    cases = exercise.draw(seed)
    with torch.random.fork_rng(devices=[]):  # the answer's draws do not disturb the notebook's
        expected = exercise.expected(cases)
        started = time.monotonic()
        try:
            with limited():
                results = [call(function, case) for case in cases]
        except KeyboardInterrupt as stopped:
            line = raised(stopped, function.__code__.co_filename).line if hasattr(function, "__code__") else 0
            return not_judged(exercise, "KeyboardInterrupt", stopped_after(time.monotonic() - started, line))
    verdict = judge(exercise, cases, expected, results)
    if verdict.passed and (elsewhere := names_from_elsewhere(exercise, function)):
        message = (
            f"It is right, but uses {' and '.join(f'`{name}`' for name in elsewhere)} from another cell. A grader "
            "takes this cell alone: put it into this cell, too."
        )
        verdict = replace(verdict, status="raised", category="raised NameError", message=message)
    warn_nbgrader(verdict)
    pairs = ((e, r) for e, r in zip(expected, results, strict=True) if difference(e, r, exercise.tolerance))
    wanted, got = next(pairs, (None, None)) if verdict.status == "failed" else (None, None)
    return Feedback(exercise, verdict, wanted, got, progress.record(exercise, verdict))


def not_judged(exercise: Exercise, kind: str, why: str) -> Feedback:
    """The feedback on an answer of which no case could be judged."""
    verdict = Verdict("raised", category=f"raised {kind}", message=why)
    warn_nbgrader(verdict)
    return Feedback(exercise, verdict, remark=progress.record(exercise, verdict))


def warn_nbgrader(verdict: Verdict) -> None:
    """Tell `nbgrader validate`, which would say "Success!", since nothing is raised."""
    if not verdict.passed and "NBGRADER_VALIDATING" in os.environ:
        print(verdict.message, file=sys.stderr)


def stopped_after(seconds: float, line: int) -> str:
    """The sentence on an answer that was interrupted, by the learner or by `limited`."""
    place = f" in line {line} of the cell" if line else ""
    return (
        f"It was stopped{place} after {seconds:.0f} s, and had not come to an end. A loop there may never end: does "
        "what its condition asks for change each time around?"
    )


def did_not_run(function: Callable[..., Any]) -> str | None:
    """Why this function is not the newest attempt at it: a later cell with its `def` did not get so far as to run it.

    Then the older function is still there, and would be judged in its place. IPython keeps what was typed in `In`.
    """
    begins = re.compile(rf"^(async )?def {re.escape(function.__name__)}\b", re.MULTILINE)
    typed = getattr(function, "__globals__", {}).get("In")
    attempts = [cell for cell in typed if begins.search(cell)] if isinstance(typed, list) else []
    source = _source_of(function)
    if not attempts or not source or attempts[-1].strip() == source.strip():
        return None
    again = "Mend it and run it again; until then the function of an earlier cell would be judged."
    try:
        compile(attempts[-1], "", "exec")
    except SyntaxError as error:
        return f"Your newest `{function.__name__}` did not run: {error.msg} (line {error.lineno} of its cell). {again}"
    return f"The cell with your newest `{function.__name__}` stopped before it came to its `def`. {again}"


def names_from_elsewhere(exercise: Exercise, function: Callable[..., Any]) -> list[str]:
    """What the function's cell takes from cells that a grader does not run before it; [] where there is no cell."""
    cell = _cell_of(function)
    if cell is None:
        return []
    surroundings = getattr(function, "__globals__", {})
    before = [_cell_of(surroundings.get(exercises.find(name).entry)) for name in exercise.uses]
    there = set(dir(builtins))
    for code in (compile(PRELUDE, "", "exec"), *filter(None, before), cell):
        there |= _names(code, STORES)
    taken = _names(cell, LOADS)
    return sorted({name for name in taken if name in surroundings and name not in there and not name.startswith("__")})


def _cell_of(function: Any) -> CodeType | None:
    """The whole cell that a function was written in, compiled. None where there is none, or its names are unknown."""
    source = _source_of(function)
    try:
        return compile(source, "", "exec") if source and "import *" not in source else None
    except SyntaxError:  # a magic such as %time
        return None


def _source_of(function: Any) -> str:
    """The text of the whole cell that a function was written in, "" where there is none."""
    return "".join(linecache.getlines(getattr(getattr(function, "__code__", None), "co_filename", "")))


def _names(code: CodeType, instructions: tuple[str, ...]) -> set[str]:
    """The names that these instructions have in a piece of code, and in the functions in it."""
    inner = (_names(part, instructions) for part in code.co_consts if isinstance(part, CodeType))
    return {i.argval for i in dis.get_instructions(code) if i.opname in instructions}.union(*inner)


class Feedback:
    """What `check` found, shown in a notebook as a small card, elsewhere as text with the same content."""

    def __init__(self, exercise: Exercise, verdict: Verdict, expected: Any = None, got: Any = None, remark: str = ""):
        self.exercise, self.verdict, self.expected, self.got, self.remark = exercise, verdict, expected, got, remark

    @property
    def passed(self) -> bool:
        """Every case is right."""
        return self.verdict.passed

    def __repr__(self) -> str:
        lines = [self._headline(), self.verdict.message]
        if self.verdict.where:
            lines.append(f"Case: {self.verdict.where}")
        if not self.passed:
            lines += [f"Hint {number}: {hint}" for number, hint in enumerate(self.exercise.hints, 1)]
        return "\n".join(filter(None, [*lines, self.remark]))

    def _headline(self) -> str:
        sign, _ = SIGNS[self.verdict.status]
        points = f"{self.exercise.points} point{'s' if self.exercise.points > 1 else ''}"
        if self.verdict.status == "not attempted":
            return f"{sign} {self.exercise.title}: not attempted yet ({points}, {self.exercise.minutes} minutes)"
        if not self.verdict.cases:
            return f"{sign} {self.exercise.title}: not judged ({points})"
        return f"{sign} {self.exercise.title}: {self.verdict.right} of {self.verdict.cases} cases right ({points})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        _, colour = SIGNS[self.verdict.status]
        parts = [f"<strong>{html.escape(self._headline())}</strong>"]  # no colour is read on white and on black
        parts.append(f"<div>{html.escape(self.verdict.message)}</div>")
        if self.verdict.where:
            parts.append(f"<div><em>Case:</em> <code>{html.escape(self.verdict.where)}</code></div>")
        parts.append(grids(self.expected, self.got, self.exercise.tolerance))
        if not self.passed:
            parts.append(folded_hints(self.exercise.hints))
        if self.remark:
            parts.append(f"<div>{html.escape(self.remark)}</div>")
        box = f"border-left: 6px solid {colour}; padding: 0.4em 0.9em; line-height: 1.5"
        return {"text/html": f'<div style="{box}">{"".join(parts)}</div>', "text/plain": repr(self)}


def folded_hints(hints: tuple[str, ...]) -> str:
    """Hints that open one after the other: each lies inside the one before it."""
    inner = ""
    for number, hint in reversed(list(enumerate(hints, 1))):
        inner = (
            f'<details style="margin-left: 1em"><summary>Hint {number} of {len(hints)}</summary>'
            f"<div>{html.escape(hint)}</div>{inner}</details>"
        )
    return inner


def grids(expected: Any, got: Any, tolerance: float = 1e-4) -> str:
    """Two small matrices side by side, as expected and as returned; where they differ, a frame. "" if too large."""
    if not (isinstance(expected, Tensor) and isinstance(got, Tensor)) or isinstance(got, Raised):
        return ""
    if expected.dim() != 2 or got.dim() != 2 or max(*expected.shape, *got.shape) > LARGEST_GRID:
        return ""
    a, b = expected.detach().cpu().double(), got.detach().cpu().double()
    finite = torch.cat((a.flatten(), b.flatten()))
    finite = finite[finite.isfinite()]
    low, high = (finite.min().item(), finite.max().item()) if len(finite) else (0.0, 1.0)
    pictures = []
    for name, matrix in (("expected", a), ("yours", b)):
        cells = []
        for i, row in enumerate(matrix.tolist()):
            for j, value in enumerate(row):
                level = min(1.0, max(0.0, (value - low) / (high - low or 1.0))) if value == value else 0.0
                shade = tuple(round(255 + level * (c - 255)) for c in (0, 114, 178))
                differs = a.shape == b.shape and difference(a[i, j].item(), b[i, j].item(), tolerance) is not None
                frame = f'stroke="{RED}" stroke-width="3"' if differs else 'stroke="#ccc"'
                cells.append(
                    f'<rect x="{j * 20 + 2}" y="{i * 20 + 2}" width="18" height="18" fill="rgb{shade}" {frame}>'
                    f"<title>row {i}, column {j}: {value:.4g}</title></rect>"
                )
        wide, tall = matrix.size(1) * 20 + 4, matrix.size(0) * 20 + 4
        pictures.append(
            f'<figure style="display: inline-block; margin: 0.4em 1.5em 0.4em 0"><svg width="{wide}" height="{tall}" '
            f'role="img" aria-label="{name}: a matrix of shape {tuple(matrix.shape)}">{"".join(cells)}</svg>'
            f"<figcaption>{name}; dark is {high:.3g}, white {low:.3g}</figcaption></figure>"
        )
    return f"<div>{''.join(pictures)}</div>"
