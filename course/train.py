"""Training: get a batch, predict, measure the loss, follow the gradient. Again.

Self-supervised: a text is its own teacher. From X alone come inputs and targets, the targets being the inputs one
token later. The loop is a generator that yields a record per step, so that a notebook, the command line and a test
share it; it saves its state as it goes, and after an interruption goes on to the same result.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from course import checkpoint as checkpoints
from course.runtime import generator, keep_memory, mixed_precision, synchronize

IGNORE = -100  # a target that does not count, as in torch
PRECISIONS = ("auto", "float32", "bfloat16")


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

    def __post_init__(self) -> None:
        for name, lowest in (("steps", 1), ("accumulate", 1), ("warmup", 0)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < lowest:
                raise ValueError(f"{name}={getattr(self, name)!r} must be a whole number from {lowest} up.")
        if not self.learning_rate > 0 or not self.clip > 0:
            raise ValueError(f"learning_rate={self.learning_rate} and clip={self.clip} must be above 0.")
        if not 0 <= self.final_fraction <= 1 or not self.weight_decay >= 0:
            raise ValueError(
                f"final_fraction={self.final_fraction} must lie between 0 and 1, and weight_decay={self.weight_decay} "
                "must not be below 0."
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision="{self.precision}" is unknown; choose one of {", ".join(PRECISIONS)}.')


@dataclass(frozen=True)
class StepRecord:
    """What one step showed. loss in nats per token; grad_norm before clipping; replayed: from before a resumption."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens_per_second: float
    replayed: bool = False


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


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101): weight decay on matrices; none on biases, norms and other vectors."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


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
    keep_memory()
    identity = {
        "records": [field.name for field in fields(StepRecord)],
        "config": asdict(config),
        "precision": str(dtype),
        "data": getattr(batches, "fingerprint", ""),
        "start": weights_fingerprint(model),
    }
    history: list[StepRecord] = []
    if checkpoint is not None:
        old = load_state(checkpoint, model, optimizer, identity)
        history = [StepRecord(**{**record, "replayed": True}) for record in old]
    yield from history
    optimizer.zero_grad(set_to_none=True)  # whatever was left by an interrupted step, or by trying things out
    saved = time.monotonic()
    text = progress if isinstance(progress, str) else "training"
    with tqdm(
        total=config.steps, initial=len(history), desc=text, disable=not progress, leave=False, mininterval=1
    ) as bar:
        for step in range(len(history), config.steps):
            started = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(step, config)
            total, n_tokens = 0.0, 0
            places = range(step * config.accumulate, (step + 1) * config.accumulate)
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
                    f"The loss became {total} at step {step}. A learning rate of {config.learning_rate} may be too "
                    "high; try a third of it, or a longer warm-up."
                )
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            synchronize(device)
            speed = n_tokens / (time.perf_counter() - started)
            history.append(StepRecord(step, total, learning_rate_at(step, config), norm.item(), speed))
            bar.set_postfix_str(f"loss {total:.3f}, {speed:,.0f} tokens/s", refresh=False)
            bar.update()
            last = step == config.steps - 1
            if checkpoint is not None and (last or time.monotonic() - saved > save_seconds):
                save_state(checkpoint, model, optimizer, identity, history)
                saved = time.monotonic()
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
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any], history: Sequence[Any]
) -> None:
    """Weights, AdamW's two averages per weight, and the records (dataclasses): all that going on needs."""
    tensors = {f"model.{name}": weight.detach() for name, weight in model.named_parameters()}
    for name, weight in model.named_parameters():
        for key, value in optimizer.state.get(weight, {}).items():
            tensors[f"{key}.{name}"] = value
    records = [asdict(record) for record in history]
    checkpoints.save(folder, tensors, {"kind": "training", **identity, "history": records})


def load_state(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, identity: dict[str, Any]
) -> list[dict[str, Any]]:
    """Put the saved state back and return the records; [] if there is none. With other settings, say so: []."""
    if not checkpoints.exists(folder):
        return []
    try:
        tensors, saved = checkpoints.load(folder, expect="training")
    except (ValueError, FileNotFoundError) as error:
        tqdm.write(f"The unfinished training in {folder} cannot be used; starting from step 0. ({error})")
        return []
    names = dict(model.named_parameters())
    shapes = {name: tuple(weight.shape) for name, weight in names.items()}
    same = all(saved.get(key) == json.loads(json.dumps(value)) for key, value in identity.items())
    if not same or shapes != {n[6:]: tuple(t.shape) for n, t in tensors.items() if n.startswith("model.")}:
        tqdm.write(f"The unfinished training in {folder} had other settings or data; starting from step 0.")
        return []
    with torch.no_grad():
        for name, weight in names.items():
            weight.copy_(tensors[f"model.{name}"])
            if f"step.{name}" in tensors:  # AdamW counts steps on the CPU unless it is fused
                optimizer.state[weight] = {
                    key: tensors[f"{key}.{name}"].to(weight.device) for key in ("step", "exp_avg", "exp_avg_sq")
                }
    return saved["history"]


@torch.no_grad()
def evaluate_loss(
    model: nn.Module, batches: Batches, n: int = 20, loss: Callable[..., Tensor] = next_token_loss
) -> float:
    """The mean loss over batches 0 to n - 1, without training, in float32."""
    device = next(model.parameters()).device
    return sum(loss(model, *(t.to(device) for t in batches[step])).item() for step in range(n)) / n
