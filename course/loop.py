"""What every training shares: a bar, saving, and going on after an interruption.

An algorithm (`train`, `ppo`) is a function that takes one step, given its number, and returns a record of what it saw.
Here it is called step after step. A step may draw on nothing but its number, the weights and the optimiser's averages:
these are saved, so that an interrupted training goes on to the result that it would have had. Whoever interrupts it is
told so in a sentence, after the step that has begun.
"""

from __future__ import annotations

import json
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import nn
from tqdm.auto import tqdm

from course import checkpoint as checkpoints
from course.runtime import adapt_threads, keep_memory


class Record(Protocol):
    """What one step showed: a frozen dataclass. replayed: it comes from before a resumption."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def replayed(self) -> bool: ...

    def summary(self) -> str:
        """A few words for the bar."""


R = TypeVar("R", bound=Record)


class Interrupted(KeyboardInterrupt):
    """Somebody stopped a training. IPython shows the sentence alone: a trace would look as if something were broken."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """An interruption waits for the end of the block, and is then in the list. A second one does not wait."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():  # others decide what an interruption is
        yield asked
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run(
    step: Callable[[int], R],
    steps: int,
    record: type[R],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
    *,
    checkpoint: Path | None = None,
    save_seconds: float = 20.0,
    progress: bool | str = True,
) -> Iterator[R]:
    """Yield step(0), step(1), … step(steps - 1), with a bar; save `model` and `optimizer` now and then.

    record: the class of what `step` returns. progress: whether to show a bar, or the text before it.
    checkpoint: a folder for the state; it is saved there every `save_seconds`, and after the last step. If it holds
    the state of a training of the same `identity` (ready for JSON), that one goes on: first come its records.
    Raises Interrupted (a KeyboardInterrupt) after an interruption, once the step is whole and its state saved.
    """
    keep_memory()
    identity = {"records": [field.name for field in fields(record)], **identity}
    history: list[R] = []
    if checkpoint is not None:
        history = [replace(record(**old), replayed=True) for old in load_state(checkpoint, model, optimizer, identity)]
    yield from history
    optimizer.zero_grad(set_to_none=True)  # whatever was left by an interrupted step, or by trying things out
    saved = time.monotonic()
    with tqdm(
        total=steps,
        initial=len(history),
        desc=progress if isinstance(progress, str) else "training",
        disable=not progress,
        leave=False,
        mininterval=1,
    ) as bar:
        for number in range(len(history), steps):
            with uninterrupted() as interruptions:  # else half of the weights might be those of the next step
                adapt_threads()
                history.append(step(number))
                bar.set_postfix_str(history[-1].summary(), refresh=False)
                bar.update()
                due = number == steps - 1 or time.monotonic() - saved > save_seconds
                if checkpoint is not None and (due or interruptions):
                    save_state(checkpoint, model, optimizer, identity, history)
                    saved = time.monotonic()
            if interruptions:
                how = "The state is saved: the same cell or command goes on from there."
                if checkpoint is None:
                    how = "A training as short as this is not kept: run the cell again, and it begins anew."
                raise Interrupted(f"Interrupted after step {number + 1} of {steps}. {how}")
            yield history[-1]


def weights_fingerprint(*models: nn.Module) -> str:
    """Changes when any weight or buffer does, so that an interrupted training is not resumed from another beginning."""
    checksum = 0
    for model in models:
        for numbers in (*model.parameters(), *model.buffers()):  # buffers: a reward's unit is one
            raw = numbers.detach().cpu().contiguous().reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
            checksum = zlib.crc32(raw.numpy().tobytes(), checksum)
    return f"{checksum:08x}"


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
    history: Sequence[Any],
) -> None:
    """Weights, what the optimiser keeps for each, and the records (dataclasses): all that going on needs."""
    tensors = {f"model.{name}": weight.detach() for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"{key}.{name}"] = value
    records = [asdict(record) for record in history]
    checkpoints.save(folder, tensors, {"kind": "training", **identity, "history": records})


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Put the saved state back and return the records; [] if there is none. With other settings, say so: []."""
    if not checkpoints.exists(folder):
        return []
    try:
        tensors, saved = checkpoints.load(folder, expect="training")
    except (ValueError, FileNotFoundError) as error:
        tqdm.write(f"The unfinished training in {folder} cannot be used; starting from step 0. ({error})")
        return []
    weights = dict(model.named_parameters())
    shapes = {f"model.{name}": weight.shape for name, weight in weights.items()}
    same = all(saved.get(key) == json.loads(json.dumps(value)) for key, value in identity.items())
    if not same or shapes != {name: t.shape for name, t in tensors.items() if name.startswith("model.")}:
        tqdm.write(f"The unfinished training in {folder} had other settings or data; starting from step 0.")
        return []
    for place, value in tensors.items():  # such as "model.head.weight", "exp_avg.head.weight"
        key, name = place.split(".", 1)
        if key == "model":
            weights[name].data.copy_(value)
        else:
            optimizer.state[weights[name]][key] = value.to(weights[name].device)
    return saved["history"]
