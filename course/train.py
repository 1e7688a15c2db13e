"""Training: get a batch, predict, measure the loss, follow the gradient. Again.

Self-supervised: a text is its own teacher. From X alone come inputs and targets, the targets being the inputs one
token later. The loop is a generator that yields a record per step, so that a notebook, the command line and a test
share it; it saves its state as it goes, and after an interruption goes on to the same result.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course import loop
from course.optimizer import adamw, muon, set_rate
from course.runtime import generator, mixed_precision, synchronize

IGNORE = -100  # a target that does not count, as in torch
PRECISIONS = ("auto", "float32", "bfloat16")
OPTIMIZERS = ("adamw", "muon")


class Batches(Protocol):
    """What `train` reads: batches[step] is a tuple of tensors that depends on nothing but the step."""

    def __getitem__(self, step: int) -> tuple[Tensor, ...]: ...


class TokenBatches:
    """Random windows of a long row of tokens, each with the same window one token later.

    tokens: (N,) ids. batches[step] is (inputs, targets), both (batch_size, context_length).
    Raises ValueError when the text is shorter than one window.
    """

    def __init__(self, tokens: Tensor | Sequence[int], batch_size: int = 32, context_length: int = 128, seed: int = 0):
        self.tokens = torch.as_tensor(tokens, dtype=torch.long)
        self.batch_size, self.context_length, self.seed = batch_size, context_length, seed
        if len(self.tokens) <= context_length:
            raise ValueError(
                f"The text has {len(self.tokens)} tokens, but one window needs {context_length + 1}; "
                "give a longer text or a smaller context_length."
            )

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        draw = generator(self.seed * 1_000_003 + step)  # the step alone decides: nothing to save, nothing lost
        start = torch.randint(len(self.tokens) - self.context_length, (self.batch_size, 1), generator=draw)
        window = self.tokens[start + torch.arange(self.context_length + 1)]  # (B, T + 1)
        return window[:, :-1], window[:, 1:]

    @property
    def fingerprint(self) -> str:
        """Changes when the data changes, so that an interrupted training is not resumed on other data."""
        return (
            f"{zlib.crc32(self.tokens.cpu().numpy().tobytes()):08x}-{self.batch_size}-{self.context_length}-{self.seed}"
        )


@dataclass(frozen=True)
class TrainConfig:
    """How to train. warmup: steps of rising rate. final_fraction: the rate at the end, as a part of the highest.

    accumulate: batches per step, for large batches in little memory. clip: the longest gradient allowed.
    precision: "auto" (see `runtime.mixed_precision`), "float32" or "bfloat16".
    optimizer: "adamw" or "muon" (see `course.optimizer`); with Muon the matrices of the blocks have `matrix_rate`.
    Raises ValueError when a number makes no sense.
    """

    steps: int = 1000
    learning_rate: float = 3e-3
    warmup: int = 50
    final_fraction: float = 0.1
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    accumulate: int = 1
    precision: str = "auto"
    optimizer: str = "adamw"
    matrix_rate: float = 0.02

    def __post_init__(self) -> None:
        for name, lowest in (("steps", 1), ("accumulate", 1), ("warmup", 0)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < lowest:
                raise ValueError(f"{name}={getattr(self, name)!r} must be a whole number from {lowest} up.")
        for name in ("learning_rate", "matrix_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be above 0.")
        if not 0 <= self.final_fraction <= 1 or not self.weight_decay >= 0:
            raise ValueError(
                f"final_fraction={self.final_fraction} must lie between 0 and 1, and weight_decay={self.weight_decay} "
                "must not be below 0."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision="{self.precision}" is unknown; choose one of {", ".join(PRECISIONS)}.')
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f'optimizer="{self.optimizer}" is unknown; choose one of {", ".join(OPTIMIZERS)}.')


@dataclass(frozen=True)
class StepRecord:
    """What one step showed. loss in nats per token; grad_norm before clipping; replayed: from before a resumption."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    replayed: bool = False

    def summary(self) -> str:
        """For the bar."""
        return f"loss {self.loss:.3f}, {self.tokens_per_second:,.0f} tokens/s"


def next_token_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the model's prediction of each next token, in nats, averaged over the targets that count.

    inputs, targets: (B, T); a target of -100 does not count. Returns a scalar.
    """
    logits = model(inputs)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to final_fraction. Loshchilov and Hutter 2016, arXiv:1608.03983."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    lowest = config.final_fraction * config.learning_rate
    return lowest + (config.learning_rate - lowest) * 0.5 * (1 + math.cos(math.pi * progress))


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that the config names, for all weights that are to be trained."""
    if config.optimizer == "muon":
        return muon(model, config.learning_rate, config.matrix_rate, config.weight_decay, config.betas)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return adamw(weights, config.learning_rate, config.weight_decay, config.betas)


def precision_for(device: torch.device, precision: str) -> torch.dtype:
    """The dtype that a `TrainConfig.precision` means on this device."""
    return mixed_precision(device) if precision == "auto" else getattr(torch, precision)


def train(
    model: nn.Module,
    batches: Batches,
    config: TrainConfig,
    *,
    loss: Callable[..., Tensor] = next_token_loss,
    checkpoint: Path | None = None,
    save_seconds: float = 20.0,
    progress: bool | str = True,
) -> Iterator[StepRecord]:
    """Train `model` where it is, yielding a record after each step.

    batches[step]: the tensors that `loss(model, *tensors)` takes. progress: a bar, with this text if it is one.
    checkpoint: a folder for the state; it is saved there every `save_seconds`. Called again with the same settings,
    `train` first yields the old records (replayed=True), then goes on as if nothing had happened.
    Raises FloatingPointError when the loss is no longer a number.
    """
    device = next(model.parameters()).device
    dtype = precision_for(device, config.precision)
    optimizer = make_optimizer(model, config)

    def step(number: int) -> StepRecord:
        started = time.perf_counter()
        rate = learning_rate_at(number, config)
        set_rate(optimizer, rate)
        total, n_tokens = 0.0, 0
        places = range(number * config.accumulate, (number + 1) * config.accumulate)
        parts = [tuple(t.to(device) for t in batches[place]) for place in places]
        counted = [(batch[-1] != IGNORE).sum() for batch in parts]  # a part weighs as much as it has targets
        for batch, n in zip(parts, counted, strict=True):
            with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                value = loss(model, *batch) * (n / sum(counted))
            value.backward()
            total += value.item()
            n_tokens += batch[0].numel()
        if not math.isfinite(total):
            raise FloatingPointError(
                f"The loss became {total} at step {number}. A learning rate of {config.learning_rate} may be too "
                "high; try a third of it, or a longer warm-up."
            )
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        synchronize(device)
        speed = n_tokens / (time.perf_counter() - started)
        return StepRecord(number, total, rate, norm.item(), speed)

    identity = {
        "config": asdict(config),
        "precision": str(dtype),
        "data": getattr(batches, "fingerprint", ""),
        "start": loop.weights_fingerprint(model),
    }
    yield from loop.run(
        step, config.steps, StepRecord, model, optimizer, identity,
        checkpoint=checkpoint, save_seconds=save_seconds, progress=progress,
    )  # fmt: skip


@torch.no_grad()
def evaluate_loss(
    model: nn.Module, batches: Batches, n: int = 20, loss: Callable[..., Tensor] = next_token_loss
) -> float:
    """The mean loss over batches 0 to n - 1, without training, in float32."""
    device = next(model.parameters()).device
    return sum(loss(model, *(t.to(device) for t in batches[step])).item() for step in range(n)) / n
