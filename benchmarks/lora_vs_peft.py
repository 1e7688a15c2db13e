"""A training step of the course's LoRA beside peft's, on the same GPT: the same adapters, batches and optimiser.

python benchmarks/lora_vs_peft.py        (pip install peft, which is no dependency of the course)

First both compute logits with the same adapters, and the gradients of the same loss: they must agree.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click
import torch
from _timing import elsewhere, interleave, machine, show
from torch import Tensor

from course import lora, runtime
from course.optimizer import adamw
from course.train import next_token_loss
from course.transformer import GPT, GPTConfig

TARGET, RANK, ALPHA = 1.3, 8, 16.0
LAYERS = [place.rsplit(".", 1)[1] for place in lora.PLACES]


def batch(rows: int) -> Tensor:
    """Tokens drawn by chance: (rows, context + 1)."""
    config = GPTConfig()
    return torch.randint(config.vocab_size, (rows, config.context_length + 1), generator=runtime.generator(1))


def course_model() -> GPT:
    """The course's shape with the course's adapters, which already say something."""
    model = lora.add_lora(GPT(GPTConfig(), runtime.generator(0)), RANK, ALPHA, generator=runtime.generator(2))
    for number, (_, layer) in enumerate(lora.adapted(model)):
        torch.nn.init.normal_(layer.B, std=0.02, generator=runtime.generator(number))
    return model


def peft_model() -> GPT:
    """The same with peft's layers, and the same numbers in them."""
    from peft import LoraConfig, inject_adapter_in_model

    settings = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=LAYERS, lora_dropout=0.0)
    model = inject_adapter_in_model(settings, GPT(GPTConfig(), runtime.generator(0)))
    with torch.no_grad():
        for name, layer in lora.adapted(course_model()):
            theirs = model.get_submodule(f"blocks.{name}")
            theirs.lora_A["default"].weight.copy_(layer.A)
            theirs.lora_B["default"].weight.copy_(layer.B)
    return model


def step_of(make: Callable[[], GPT], rows: int, precision: str) -> Callable[[], float]:
    """A training step per call; returns its loss. The course's trainings keep the memory that they free."""
    if make is not peft_model:
        runtime.keep_memory()
    model, tokens, dtype = make(), batch(rows), getattr(torch, precision)
    optimizer = adamw((w for w in model.parameters() if w.requires_grad), 1e-3, weight_decay=0.0)

    def step() -> float:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            loss = next_token_loss(model, tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def plain_model() -> GPT:
    """No adapter: every weight learns."""
    return GPT(GPTConfig(), runtime.generator(0))


def compare() -> None:
    """Raises AssertionError when they do not compute the same."""
    found = []
    for model in (course_model(), peft_model()):
        tokens = batch(2)
        next_token_loss(model, tokens[:, :-1], tokens[:, 1:]).backward()
        gradients = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        found.append((model(tokens[:, :-1]).detach(), torch.cat(gradients)))
    (logits, slopes), (their_logits, their_slopes) = found
    torch.testing.assert_close(logits, their_logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slopes, their_slopes, rtol=1e-3, atol=1e-6)
    click.echo(f"logits differ by at most {(logits - their_logits).abs().max():.0e}, gradients by at most "
               f"{(slopes - their_slopes).abs().max():.0e}")  # fmt: skip


@click.command()
@click.option("--repeats", default=15, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--rows", default=32, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
def main(repeats: int, threads: int, rows: int, precision: str) -> None:
    """Compare, then time in turns."""
    try:
        import peft
    except ImportError:
        sys.exit("peft is missing, which only this benchmark needs: pip install peft torch==2.13.0")
    os.environ["COURSE_DEVICE"] = "cpu"
    runtime.set_threads(threads)
    machine()
    if precision == "auto":
        precision = str(runtime.mixed_precision("cpu")).removeprefix("torch.")
    click.echo(f"peft {peft.__version__}; {rows} rows of {GPTConfig().context_length} tokens, rank {RANK}, {precision}")
    compare()
    makes = {"course": course_model, "peft": peft_model, "no adapter, every weight learns": plain_model}
    steps = {name: elsewhere(step_of, make, rows, precision) for name, make in makes.items()}
    show(interleave(steps, repeats, 2), "course", "peft", TARGET)


if __name__ == "__main__":
    main()
