"""What an exercise is, and how an answer is judged: declared once, used by `check` in a notebook and by the grader.

An exercise asks for a function. A case is one call of it: a dict of arguments, drawn from a generator, so that the
notebook and the grader can draw different ones. An answer is judged by what it returns alone: compared, within a
tolerance, with what the reference returns. Where it differs, it is compared with typical mistakes; whoever has made
one of them is told which.

Arguments and results are plain data (numbers, text, booleans, None, tensors, and lists and dicts of these), so that
they can cross the wall of a sandbox. An answer may be judged far away from where it has run.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course.practice.plain import Raised, call, without_numpy
from course.runtime import generator

LEVELS = ("warm-up", "medium", "hard")
PRELUDE = """import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""  # what an answer may use without importing it: the first cell of every exercise notebook does the same
PUBLIC_SEED = 2017  # the cases that a notebook shows; the grader draws others
MAX_SHOWN = 200  # characters of a value in a message
NOT_ATTEMPTED = (
    "Write your answer where `raise NotImplementedError` stands. Have you done so? Then take that line away, and end "
    "with `return`; or your answer calls an earlier exercise that has no answer yet."
)


@dataclass(frozen=True)
class Mistake:
    """A typical mistake: the sentence for whoever made it, and a function that makes it (same arguments)."""

    says: str
    computes: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """An exercise. It asks for the function `entry`, which must compute what `reference` computes.

    id: "02-causal-mask", the notebook's number first. minutes: expected. hints: at least two, the last nearly the
    answer. cases: a generator -> the arguments of each call, always the same number of calls. tolerance: relative and
    absolute. uses: ids of earlier exercises that the answer may call. examine: where many results are right, says what
    is wrong with one, or None: (arguments, expected, got) -> sentence. seconds: limit for all cases together.
    """

    id: str
    title: str
    entry: str
    points: int
    level: str
    minutes: int
    hints: tuple[str, ...]
    reference: Callable[..., Any]
    cases: Callable[[torch.Generator], Iterable[dict[str, Any]]]
    mistakes: tuple[Mistake, ...] = ()
    tolerance: float = 1e-4
    uses: tuple[str, ...] = ()
    examine: Callable[[dict[str, Any], Any, Any], str | None] | None = None
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f'{self.id}: level "{self.level}" must be one of {", ".join(LEVELS)}.')
        if len(self.hints) < 2 or self.points < 1:
            raise ValueError(f"{self.id} needs at least two hints and one point.")

    def draw(self, seed: int) -> list[dict[str, Any]]:
        """The cases of a seed."""
        return list(self.cases(generator(seed)))

    def expected(self, cases: Sequence[dict[str, Any]]) -> list[Any]:
        """What the reference returns for each case."""
        return [self.reference(**copy.deepcopy(case)) for case in cases]

    @property
    def fingerprint(self) -> str:
        """Changes when what is asked or how it is judged changes."""
        parts = [self.id, self.entry, self.points, self.tolerance, self.uses]
        for function in (self.reference, self.cases, self.examine):
            parts.append(inspect.getsource(function) if function is not None else "")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Verdict:
    """The judgement of an answer.

    status: "passed", "failed", "raised" or "not attempted". category: what sort of failure, without any value of the
    case: all that leaves the grader. message: for the learner in the notebook; where: the case that failed, as text.
    """

    status: str
    right: int = 0
    cases: int = 0
    category: str = ""
    message: str = ""
    where: str = ""

    @property
    def passed(self) -> bool:
        """Every case is right."""
        return self.status == "passed"


def judge(
    exercise: Exercise, cases: Sequence[dict[str, Any]], expected: Sequence[Any], results: Sequence[Any]
) -> Verdict:
    """Compare what an answer returned for the cases with what was expected, and find the likely mistake."""
    if any(isinstance(result, Raised) and result.kind == "NotImplementedError" for result in results):
        return Verdict("not attempted", cases=len(cases), message=NOT_ATTEMPTED)
    complaints = [
        complaint(exercise, case, wanted, got) for case, wanted, got in zip(cases, expected, results, strict=True)
    ]
    right = complaints.count(None)
    if right == len(cases):
        return Verdict("passed", right, len(cases), message=f"All {len(cases)} cases are right.")
    first = next(i for i, found in enumerate(complaints) if found is not None)
    got, where = results[first], describe(cases[first])
    if isinstance(got, Raised):
        place = f", line {got.line} of the cell" if got.line else ""
        return Verdict(
            "raised", right, len(cases), f"raised {got.kind}", f"It raised {got.kind}{place}: {got.message}", where
        )
    known = _mistake(exercise, cases, results)
    category, general = complaints[first] or ("", "")
    message = f"{known.says} ({general})" if known else general
    return Verdict("failed", right, len(cases), known.says if known else category, message, where)


def _mistake(exercise: Exercise, cases: Sequence[dict[str, Any]], results: Sequence[Any]) -> Mistake | None:
    """The mistake whose results these are, in every case."""
    for mistake in exercise.mistakes:
        made = [call(mistake.computes, case) for case in cases]
        if all(
            (isinstance(m, Raised) and isinstance(r, Raised) and m.kind == r.kind)
            or (
                not isinstance(m, Raised) and not isinstance(r, Raised) and difference(m, r, exercise.tolerance) is None
            )
            for m, r in zip(made, results, strict=True)
        ):
            return mistake
    return None


def complaint(exercise: Exercise, case: dict[str, Any], expected: Any, got: Any) -> tuple[str, str] | None:
    """(category, sentence) of what is wrong with a result, None if nothing is."""
    if isinstance(got, Raised):
        return f"raised {got.kind}", got.message
    if exercise.examine is None:
        return difference(expected, got, exercise.tolerance)
    try:
        found = exercise.examine(case, expected, got)
    except Exception:  # a result of another form than the examination can read
        return difference(expected, got, exercise.tolerance) or ("another form", "The result has another form.")
    return None if found is None else ("a property does not hold", found)


# --- comparing ------------------------------------------------------------------------------------------------------


def difference(expected: Any, got: Any, tolerance: float = 1e-4, place: str = "") -> tuple[str, str] | None:
    """(category, sentence) of how a value differs from the expected one, None if it does not.

    Lenient where the form does not matter: a tensor of one number and a number are the same, so are tuple and list.
    """
    what = f"The result{place}"
    got = without_numpy(got)
    if isinstance(got, int) and got.bit_length() > 63:  # more than a float or a tensor can hold
        return "another value", f"{what} is a whole number of {got.bit_length()} bits, which is far too large."
    if isinstance(got, Tensor) and not isinstance(expected, Tensor) and got.numel() == 1 and got.dim() == 0:
        got = got.item()
    if isinstance(expected, Tensor) and expected.dim() == 0 and isinstance(got, (int, float)):
        got = torch.tensor(got)
    if isinstance(expected, Tensor):
        return _tensor_difference(expected, got, tolerance, what)
    if isinstance(expected, (list, tuple)):
        if not isinstance(got, (list, tuple)):
            return "another type", f"{what} is {_kind(got)}; expected is a list of {len(expected)}."
        if len(got) != len(expected):
            return "another length", f"{what} holds {len(got)} things; expected are {len(expected)}."
        pairs = enumerate(zip(expected, got, strict=True))
        parts = (difference(e, g, tolerance, f"{place}[{i}]") for i, (e, g) in pairs)
        return next((part for part in parts if part is not None), None)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            keys = f"the keys {sorted(map(str, got))}" if isinstance(got, dict) else _kind(got)
            return "another type", f"{what} has {keys}; expected are the keys {sorted(map(str, expected))}."
        parts = (difference(value, got[key], tolerance, f"{place}[{key!r}]") for key, value in expected.items())
        return next((part for part in parts if part is not None), None)
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        if type(got) is not type(expected):
            return "another type", f"{what} is {_kind(got)}; expected is {_kind(expected)}."
        return None if got == expected else ("another value", f"{what} is {shown(got)}; expected is {shown(expected)}.")
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return "another type", f"{what} is {_kind(got)}; expected is a number."
    if isinstance(got, float) and not math.isfinite(got) and math.isfinite(expected):
        return "not a finite number", f"{what} is {got}; expected is {expected:.6g}."
    near = got == expected or abs(got - expected) <= tolerance * (1 + abs(expected))
    return None if near else ("another value", f"{what} is {got:.6g}; expected is {expected:.6g}.")


def _tensor_difference(expected: Tensor, got: Any, tolerance: float, what: str) -> tuple[str, str] | None:
    if not isinstance(got, Tensor):
        return "another type", f"{what} is {_kind(got)}; expected is a tensor of shape {tuple(expected.shape)}."
    if got.shape != expected.shape:
        return "another shape", f"{what} has shape {tuple(got.shape)}; expected is {tuple(expected.shape)}."
    if (got.dtype == torch.bool) != (expected.dtype == torch.bool) or got.is_complex() != expected.is_complex():
        return "another dtype", f"{what} holds {got.dtype}; expected is {expected.dtype}."
    if got.is_floating_point() and not expected.is_floating_point():  # ids and places cannot be looked up as 3.0
        return "another dtype", f"{what} holds {got.dtype}; expected are whole numbers, {expected.dtype}."
    a, b = expected.detach().cpu().double(), got.detach().cpu().double()
    if not torch.equal(b.isfinite(), a.isfinite()):
        bad = b[b.isfinite() != a.isfinite()][0].item()
        return "not a finite number", f"{what} holds {bad} where that is not expected."
    wrong = ~((a == b) | (a.isnan() & b.isnan()) | ((a - b).abs() <= tolerance * (1 + a.abs())))
    if not wrong.any():
        return None
    index = tuple(wrong.nonzero()[0].tolist())
    at = f" at {list(index)}" if index else ""
    share = f" ({int(wrong.sum())} of {wrong.numel()} values differ)" if wrong.numel() > 1 else ""
    if expected.dtype == torch.bool:
        return "another value", f"{what}{at} is {bool(b[index])}; expected is {bool(a[index])}{share}."
    return "another value", f"{what}{at} is {b[index].item():.6g}; expected is {a[index].item():.6g}{share}."


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "text", type(None): "None"}
    return names.get(type(value), f"a {type(value).__name__}")


def shown(value: Any) -> str:
    """A value as short text: small tensors in full, large ones by shape."""
    if isinstance(value, Tensor):
        if value.numel() > 24:
            return f"tensor of shape {tuple(value.shape)}"
        digits = value.detach().cpu()
        text = str((digits * 1000).round().div(1000).tolist() if digits.is_floating_point() else digits.tolist())
        return f"{text}, shape {tuple(value.shape)}"
    short = reprlib.Repr()
    short.maxstring, short.maxother, short.maxlist, short.maxdict = 80, 80, 12, 12
    return short.repr(value)[:MAX_SHOWN]


def describe(case: Mapping[str, Any]) -> str:
    """A case as text: "T = 4, q = [...]"."""
    return ", ".join(f"{name} = {shown(value)}" for name, value in case.items())
