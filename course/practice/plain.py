"""Plain data, and a call that cannot escape: all that crosses the wall between a grader and a sandbox.

Numbers, text, True and False, None, tensors, and lists and dicts of these become bytes and back, without `pickle`:
what comes out of a sandbox was written by somebody who may want to cheat, so reading it must never run anything. A
message is the length of a JSON header (8 bytes), the header, and the tensors' numbers one after the other.

This file stands alone (torch and the standard library): the sandbox sees it, and nothing else of what can judge.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
        torch.uint8, torch.bool,
    )
}  # fmt: skip
MAX_BYTES = 4_000_000  # of one message
MAX_DEPTH = 12
MAX_THINGS = 20_000


@dataclass(frozen=True)
class Raised:
    """Instead of a result: the function raised. line: of the answer's own source, 0 where unknown."""

    kind: str
    message: str = ""
    line: int = 0


def call(function: Callable[..., Any], case: Mapping[str, Any]) -> Any:
    """What the function returns for a case, or how it raised. It gets copies: it cannot spoil the case."""
    try:
        return function(**copy.deepcopy(dict(case)))
    except Exception as error:
        return raised(error, getattr(getattr(function, "__code__", None), "co_filename", ""))


def raised(error: BaseException, file: str) -> Raised:
    """An exception as data, with the last line of `file` that it came through."""
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return Raised(type(error).__name__[:100], str(error)[:1000], line)


def to_bytes(value: Any) -> bytes:
    """A message. What is not plain data becomes `Raised("NotPlain")` in its place. Raises ValueError if too large."""
    buffers: list[bytes] = []
    header = json.dumps(_pack(value, buffers, 0)).encode()
    message = b"".join((len(header).to_bytes(8, "big"), header, *buffers))
    if len(message) > MAX_BYTES:
        raise ValueError(f"The result has {len(message):,} bytes; {MAX_BYTES:,} are allowed.")
    return message


def without_numpy(value: Any) -> Any:
    """A number or a tensor for what NumPy makes; everything else, and what no tensor can hold, as it is."""
    numpys = hasattr(value, "dtype") and hasattr(value, "tolist") and not hasattr(value, "columns")
    if isinstance(value, Tensor) or not numpys:
        return value
    try:
        return value.item() if getattr(value, "shape", None) == () else torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):  # text, objects, tables
        return value


def _pack(value: Any, buffers: list[bytes], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"The result is nested more than {MAX_DEPTH} deep.")
    if value is None:
        return {"value": None}
    for kind in (bool, int, float, str):  # subclasses, which may lie about themselves, become the plain thing
        if isinstance(value, kind):
            return {"value": kind(value)}
    if isinstance(value, Raised):
        return {"raised": [value.kind, value.message, value.line]}
    if isinstance(value, Tensor):
        name = str(value.dtype).removeprefix("torch.")
        if name not in DTYPES or value.numel() * value.element_size() > MAX_BYTES:
            raise ValueError(f"A tensor of {name} and shape {tuple(value.shape)} is too large, or of a strange type.")
        flat = value.detach().cpu().contiguous().reshape(-1)
        buffers.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return {"tensor": name, "shape": list(value.shape)}
    if isinstance(value, (list, tuple)):
        return {"list": [_pack(part, buffers, depth + 1) for part in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": [[str(key), _pack(part, buffers, depth + 1)] for key, part in value.items()]}
    if (converted := without_numpy(value)) is not value:
        return _pack(converted, buffers, depth)
    return {"raised": ["NotPlain", f"a {type(value).__name__} cannot be judged", 0]}


def from_bytes(message: bytes) -> Any:
    """The value of a message from an untrusted sender. Raises ValueError, whatever is wrong with it."""
    try:
        length = int.from_bytes(message[:8], "big")
        if len(message) > MAX_BYTES or length > len(message) - 8:
            raise ValueError("it is too long, or broken off")
        rest = memoryview(bytearray(message[8 + length :]))
        value, used, _ = _unpack(json.loads(message[8 : 8 + length]), rest, 0, 0, 0)
        if used != len(rest):
            raise ValueError("there is more than the header says")
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        RecursionError,
        OverflowError,
        RuntimeError,
        AttributeError,
    ) as error:
        raise ValueError(f"The message cannot be read: {error}") from None
    return value


def _unpack(node: Any, rest: memoryview, used: int, depth: int, things: int) -> tuple[Any, int, int]:
    """(value, bytes used, things seen) of a node of the header."""
    if depth > MAX_DEPTH or things > MAX_THINGS:
        raise ValueError("it is nested too deeply, or holds too many things")
    ((kind, content),) = (pair for pair in node.items() if pair[0] != "shape")
    if kind == "value" and (content is None or type(content) in (bool, int, float, str)):
        return content, used, things + 1
    if kind == "raised":
        name, text, line = content
        name, text = (str(part).encode(errors="replace").decode() for part in (name, text))  # no half characters
        return Raised(name[:100], text[:1000], int(line)), used, things + 1
    if kind == "tensor":
        dtype, shape = DTYPES[content], node["shape"]
        if len(shape) > 16 or not all(type(size) is int and 0 <= size <= MAX_BYTES for size in shape):
            raise ValueError("a shape is not one")
        size = math.prod(shape) * dtype.itemsize
        part = rest[used : used + size]
        if len(part) != size:
            raise ValueError("a tensor is broken off")
        tensor = torch.frombuffer(part, dtype=dtype).clone() if size else torch.zeros(0, dtype=dtype)
        return tensor.reshape(shape), used + size, things + 1
    if kind == "list":
        parts = []
        for inner in content:
            part_value, used, things = _unpack(inner, rest, used, depth + 1, things + 1)
            parts.append(part_value)
        return parts, used, things
    if kind == "dict":
        named = {}
        for key, inner in content:
            named[str(key)], used, things = _unpack(inner, rest, used, depth + 1, things + 1)
        return named, used, things
    raise ValueError(f"{str(kind)[:40]} is not a kind of value")
