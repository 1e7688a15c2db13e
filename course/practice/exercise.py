"""What an exercise is, and how an answer is judged: declared once, used by `check` in a notebook and by the grader.

An exercise asks for a function. A case is one call of it: a dict of arguments, drawn from a generator. The notebook's
cases are few, small and in an order that teaches; the grader's come from a secret, in any order and number. An answer
is judged by what it returns alone: compared, within a tolerance, with what the reference returns. Where it differs, it
is compared with typical mistakes; whoever has made one of them is told which.

Arguments and results are plain data (numbers, text, booleans, None, tensors, and lists and dicts of these), so that
they can cross the wall of a sandbox. An answer may be judged far away from where it has run.
"""

from __future__ import annotations

import builtins
import copy
import hashlib
import hmac
import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import torch

from course.practice.compare import describe, difference
from course.practice.plain import Raised, call
from course.runtime import generator

LEVELS = ("warm-up", "medium", "hard")
PRELUDE = """import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
"""  # what an answer may use without importing it: the first cell of every exercise notebook does the same
PUBLIC_SEED = 2017  # the cases that a notebook shows; the grader draws others
NOT_ATTEMPTED = (
    "Write your answer where `raise NotImplementedError` stands. Have you done so? Then take that line away, and end "
    "with `return`; or your answer calls an earlier exercise that has no answer yet."
)
PYTHONS_OWN = frozenset(
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
)  # the exceptions whose names may leave the grader
MORE = 5  # at most so many hidden cases beside one of each sort


@dataclass(frozen=True)
class Mistake:
    """A typical mistake: the sentence for whoever made it, and a function that makes it (same arguments)."""

    says: str
    computes: Callable[..., Any]


@dataclass(frozen=True)
class Exercise:
    """An exercise. It asks for the function `entry`, which must compute what `reference` computes.

    id: "02-causal-mask", the notebook's number first. minutes: expected. hints: at least two, the last nearly the
    answer. cases: a generator -> the arguments of each call, always the same number of calls. wide: the same for the
    grader, from ranges so wide that no table of answers covers them: one call of each sort; as `cases` if not given.
    tolerance: relative and absolute. uses: ids of earlier exercises that the answer may call. examine: where many
    results are right, says what is wrong with one, or None: (arguments, expected, got) -> sentence. seconds: limit for
    all cases together.
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
    wide: Callable[[torch.Generator], Iterable[dict[str, Any]]] | None = None
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
        """The cases of a seed, as a notebook shows them."""
        return list(self.cases(generator(seed)))

    def hidden(self, secret: bytes) -> list[dict[str, Any]]:
        """The grader's cases: of each sort one, and some more, in an order that hangs on the secret, too.

        Each case has a generator of its own: who has found out one of them knows nothing of the others.
        """
        sorts = self.wide or self.cases
        luck = stream(secret, self.id, "order")
        number = len(list(sorts(luck)))
        more = torch.randint(number, (whole(luck, 1, MORE),), generator=luck).tolist()
        cases = [
            next(islice(sorts(stream(secret, self.id, i)), sort, None))
            for i, sort in enumerate([*range(number), *more])
        ]
        return [cases[i] for i in torch.randperm(len(cases), generator=luck).tolist()]

    def expected(self, cases: Sequence[dict[str, Any]]) -> list[Any]:
        """What the reference returns for each case."""
        return [self.reference(**copy.deepcopy(case)) for case in cases]

    @property
    def fingerprint(self) -> str:
        """Changes when what is asked or how it is judged changes."""
        parts = [self.id, self.entry, self.points, self.tolerance, self.uses]
        for function in (self.reference, self.cases, self.wide, self.examine):
            parts.append(written(function) if function is not None else "")
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


@cache
def written(function: Callable[..., Any]) -> str:
    """The source of a function; found once, since Python cuts a whole file into tokens to find where it ends."""
    return inspect.getsource(function)


def stream(secret: bytes, *place: str | int) -> torch.Generator:
    """A generator for one place, of which a secret decides every bit.

    A seed decides 32 bits at most: torch fills the 624 words of its Mersenne twister from them, and 2³² seeds can be
    tried out. Here all words come from SHAKE-256 of HMAC-SHA256(secret, place).
    """
    key = hmac.digest(secret, json.dumps(place).encode(), "sha256")
    words = np.frombuffer(hashlib.shake_256(key).digest(4 * 624), dtype="<u4").astype(np.int64)
    chance = torch.Generator().manual_seed(0)
    state = chance.get_state()  # bytes: 24 about the state, then the words, 8 bytes each, then what is left of a pair
    state[24 : 24 + 8 * 624] = torch.from_numpy(words).view(torch.uint8)
    return chance.set_state(state)


def whole(chance: torch.Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=chance))


def different(chance: torch.Generator, n: int, low: int, high: int) -> list[int]:
    """n whole numbers from `low` to below `high`, no two equal, so that a shift is always seen."""
    found: list[int] = (low + torch.randperm(high - low, generator=chance)[:n]).tolist()
    return found


def between(chance: torch.Generator, low: float, high: float) -> float:
    """A number from `low` to `high`."""
    return low + (high - low) * torch.rand((), generator=chance).item()


@dataclass(frozen=True)
class Verdict:
    """The judgement of an answer.

    status: "passed", "failed", "raised" or "not attempted". category: what sort of failure, without any value of the
    case. These two are all that leaves the grader, and each is one of a fixed list. Which of them it is, an answer can
    choose: by the mistakes and by Python's exceptions it can say about 6 bits of a case, and no more. message: for the
    learner in the notebook; where: the case that failed, as text.
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
        return Verdict("raised", right, len(cases), sort_of(got), f"It raised {got.kind}{place}: {got.message}", where)
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


def sort_of(got: Raised) -> str:
    """The category of an exception. Its name only where it is Python's own: another may spell a hidden value."""
    if got.kind == "NotPlain":
        return "another type"
    return f"raised {got.kind}" if got.kind in PYTHONS_OWN else "raised an error of its own"


def complaint(exercise: Exercise, case: dict[str, Any], expected: Any, got: Any) -> tuple[str, str] | None:
    """(category, sentence) of what is wrong with a result, None if nothing is."""
    if isinstance(got, Raised):
        return sort_of(got), got.message
    if exercise.examine is None:
        return difference(expected, got, exercise.tolerance)
    try:
        found = exercise.examine(case, expected, got)
    except Exception:  # a result of another form than the examination can read
        return difference(expected, got, exercise.tolerance) or ("another form", "The result has another form.")
    return None if found is None else ("a property does not hold", found)
