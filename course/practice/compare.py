"""How a result differs from what is expected, and how values look in a message.

A difference has a category, which holds no value and may leave a grader, and a sentence for the learner.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from course.practice.plain import without_numpy

MAX_SHOWN = 200  # characters of a value in a message


def difference(expected: Any, got: Any, tolerance: float = 1e-4, place: str = "") -> tuple[str, str] | None:
    """(category, sentence) of how a value differs from the expected one, None if it does not.

    Lenient where the form does not matter: a tensor of one number and a number are the same, so are tuple and list.
    Where a whole number is expected, only that number will do.
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
    if isinstance(expected, int):  # a place, an id or a count: exactly this one, and nothing can be looked up at 3.0
        if isinstance(got, float):
            return "no whole number", f"{what} must be a whole number, is {got}."
        return None if got == expected else ("another value", f"{what} is {got}; expected is {expected}.")
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
    a, b = expected.detach().cpu(), got.detach().cpu()
    if a.dtype == b.dtype and torch.equal(a, b):  # most right answers, and quickly said
        return None
    a, b = a.double(), b.double()
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
    """A value as short text: small tensors in full, large ones by shape, numbers with six digits."""
    return _SHORT.repr(value)[:MAX_SHOWN]


class _Short(reprlib.Repr):
    """Python's own shortened texts, with fewer digits, and with tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80
        self.maxlist = self.maxdict = 12

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, float):
            return f"{x:.6g}" if x != round(x, 6) else repr(x)
        if not isinstance(x, Tensor):
            return super().repr1(x, level)
        if x.numel() > 24:
            return f"tensor of shape {tuple(x.shape)}"
        digits = x.detach().cpu()  # as doubles: 0.123 in single precision would be printed as 0.12300000339746475
        rounded = digits.double().mul(1000).round().div(1000) if digits.is_floating_point() else digits
        return f"{rounded.tolist()}, shape {tuple(x.shape)}"


_SHORT = _Short()


def describe(case: Mapping[str, Any]) -> str:
    """A case as text: "T = 4, q = [...]"."""
    return ", ".join(f"{name} = {shown(value)}" for name, value in case.items())
