"""A training step beside a GPT-2-style loop with transformers, and what of the processor's power it uses.

python benchmarks/pretraining.py

Each loop runs in a process of its own, as its users run it: the course's keeps the memory that it frees
(`runtime.keep_memory`), and that is not to help the other.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import click
import torch
from _peers import gpt2
from _timing import elsewhere, interleave, machine, quartiles, show
from torch.profiler import ProfilerActivity, profile
from transformers.utils import logging

from course import attention, runtime
from course.chain import recipe
from course.train import StepRecord, TokenBatches, train
from course.transformer import GPT, GPTConfig

TARGET = 1.5
DROPOUT = "transformers with the dropout that its GPT-2 has by default"
MUON = "course with Muon"
FUSED = "course with torch's fused attention"
FLOOR = "the step's matrix products in float32, and nothing else"
GROUPS = {  # what a profiled operation belongs to, by a part of its name; the first that fits
    "matrix products": ("addmm", "::mm", "bmm", "linear", "mkldnn"),
    "attention": ("attention",),
    "cross-entropy": ("log_softmax", "nll_loss", "cross_entropy"),
    "normalisation and activation": ("layer_norm", "gelu", "softmax", "silu"),
    "optimiser and clipping": ("adam", "foreach", "norm", "clip"),
    "copies and casts": ("copy_", "::to", "cat", "contiguous", "clone", "stack"),
    "embeddings": ("embedding", "index"),
    "sums and products, element by element": ("::add", "::mul", "::sum", "::div", "fill_", "zero_"),
}


def data(settings: recipe.BaseRecipe) -> TokenBatches:
    """Tokens drawn by chance: what they are changes nothing in the time."""
    tokens = torch.randint(settings.model.vocab_size, (400_000,), generator=runtime.generator(0))
    return TokenBatches(tokens, settings.batch_size, settings.model.context_length)


def course_step(
    settings: recipe.BaseRecipe, precision: str, optimizer: str = "adamw", fused: bool = False
) -> Callable[[], StepRecord]:
    """The course's own loop, a step per call. fused: with torch's attention where the course would take its own."""
    if fused:
        attention.readable_is_faster = lambda q, k: False
    plan = replace(settings.training, precision=precision, optimizer=optimizer)
    model = GPT(settings.model, runtime.generator(0))
    records = train(model, data(settings), plan, progress=False)
    return lambda: next(records)


def peer_step(settings: recipe.BaseRecipe, bfloat16: bool, dropout: float = 0.0) -> Callable[[], None]:
    """A step as people write it with transformers: the model's own loss, AdamW, clipping."""
    logging.set_verbosity_error()
    batches = data(settings)
    theirs = gpt2(settings.model, dropout).train()
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=settings.training.learning_rate)
    number = 0

    def step() -> None:
        nonlocal number
        inputs, _ = batches[number]
        number += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = theirs(input_ids=inputs, labels=inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return step


def products_step(settings: recipe.BaseRecipe) -> Callable[[], None]:
    """A step's matrix products and nothing else: three per weight matrix (forward, two gradients), six per attention.

    In float32, shaped as in the model, on numbers drawn by chance. What this takes, every program must take that
    multiplies with this library: it is the floor under a step's time.
    """
    runtime.keep_memory()
    config, batch, draw = settings.model, settings.batch_size, runtime.generator(0)
    n, heads = batch * config.context_length, batch * config.n_head
    matrices = {name: w for name, w in GPT(config, draw).named_parameters() if w.dim() == 2 and "position" not in name}
    weights = [w.detach() for w in matrices.values()]
    inputs = [torch.randn(n, w.size(1), generator=draw) for w in weights]
    gradients = [torch.randn(n, w.size(0), generator=draw) for w in weights]
    q = torch.randn(heads, config.context_length, config.d_head, generator=draw)
    scores = torch.randn(heads, config.context_length, config.context_length, generator=draw)

    def step() -> None:
        for x, weight, gradient in zip(inputs, weights, gradients, strict=True):
            x @ weight.T, gradient @ weight, gradient.T @ x
        for _ in range(config.n_layer):
            q @ q.mT, q @ q.mT  # the scores; the gradient of the weights
            scores @ q, scores @ q, scores.mT @ q, scores.mT @ q  # the answers; the gradients of q, v and k

    return step


def peak(dtype: torch.dtype, n: int = 2048, repeats: int = 5) -> float:
    """The floating-point operations per second of a large matrix product, the best of some."""
    a, b = torch.randn(n, n, dtype=dtype), torch.randn(n, n, dtype=dtype)
    best = float("inf")
    for _ in range(repeats + 1):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def operations(config: GPTConfig, batch: int) -> float:
    """Of one step's matrix products: 6 per weight and token, and 12 · n_layer · D · T for attention's two products.

    Chowdhery et al. 2022, "PaLM", arXiv:2204.02311, appendix B; the embedding is multiplied, too, as the head.
    """
    tokens = batch * config.context_length
    weights = GPT(config).n_parameters - config.context_length * config.d_model
    return tokens * (6 * weights + 12 * config.n_layer * config.d_model * config.context_length)


def breakdown(step: Callable[[], object], repeats: int = 5) -> None:
    """Where a step's processor time goes."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(repeats):
            step()
    shares: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        name = event.key.lower()
        group = next((g for g, parts in GROUPS.items() if any(part in name for part in parts)), "the rest")
        shares[group] += event.self_cpu_time_total
    total = sum(shares.values())
    for group, time_ in sorted(shares.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {group:40} {time_ / total:6.1%}")


def ratio(seconds: dict[str, list[float]], own: str, peer: str) -> float:
    """How many times as fast as the peer: the median over the rounds."""
    return quartiles([theirs / ours for ours, theirs in zip(seconds[own], seconds[peer], strict=True)])[1]


@click.command()
@click.option("--repeats", default=15, show_default=True)
def main(repeats: int) -> None:
    """Time the steps in turns; then measure the peak and take a step apart."""
    threads = runtime.set_threads()
    machine()
    settings = recipe.BaseRecipe()
    config, batch = settings.model, settings.batch_size
    functions: dict[str, Callable[[], object]] = {
        "course": elsewhere(course_step, settings, "auto"),
        MUON: elsewhere(course_step, settings, "auto", "muon"),
        "transformers": elsewhere(peer_step, settings, False),
        DROPOUT: elsewhere(peer_step, settings, False, 0.1),
        FLOOR: elsewhere(products_step, settings),
    }
    rates = {"float32": peak(torch.float32)}
    alike = []
    if runtime.mixed_precision("cpu") == torch.bfloat16:  # else the course computes in float32 as well
        functions[FUSED] = elsewhere(course_step, settings, "auto", "adamw", True)
        functions["course in float32"] = elsewhere(course_step, settings, "float32")
        functions["transformers with bfloat16 autocast"] = elsewhere(peer_step, settings, True)
        rates["bfloat16"] = peak(torch.bfloat16)
        alike = [("course in float32", "transformers"), ("course", "transformers with bfloat16 autocast")]
    click.echo(f"\none step of {batch} × {config.context_length} tokens, {threads} threads")
    seconds = interleave(functions, repeats, warmup=3)
    show(seconds, "course", "transformers", TARGET)
    for own, peer in alike:
        click.echo(f"  like for like: {own} is {ratio(seconds, own, peer):.2f} × as fast as {peer}")
    click.echo(f"  Muon's step takes {1 / ratio(seconds, MUON, 'course'):.2f} × as long as AdamW's")
    if FUSED in seconds:
        click.echo(
            f"  its own attention makes the course {ratio(seconds, 'course', FUSED):.2f} × as fast as the fused one"
        )
    click.echo(f"  course is {ratio(seconds, 'course', DROPOUT):.2f} × as fast as {DROPOUT}")
    click.echo(f"  the products alone take {1 / ratio(seconds, FLOOR, 'course'):.0%} of the course's step;")
    click.echo(
        f"  were all else free, it would be {ratio(seconds, FLOOR, 'transformers'):.2f} × as fast as transformers"
    )
    middle = quartiles(seconds["course"])[1]
    click.echo(f"  {batch * config.context_length / middle:,.0f} tokens per second")
    done = operations(config, batch) / middle
    click.echo(f"\n{done / 1e9:.0f} billion operations per second in a step's matrix products")
    for name, rate_ in rates.items():
        click.echo(f"  {done / rate_:.0%} of the peak of large {name} products ({rate_ / 1e9:.0f} billion)")
    click.echo("\nwhere a step's time goes")
    breakdown(course_step(settings, "auto"))


if __name__ == "__main__":
    main()
