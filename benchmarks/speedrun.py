"""Seconds from random weights to a model that knows its capitals: a usual loop, the former recipe, the present one.

python benchmarks/speedrun.py                   all three from three seeds, in turns: half an hour or more
python benchmarks/speedrun.py --seeds 0         one seed
python benchmarks/speedrun.py --tune            a third of the way with four rates: what rate is best for the usual loop

All begin with the same weights and read the same batches; each has a process of its own, and they take 20 steps in
turns, so that the machine's moods hit all alike. Reading the batch, and all that a step does, counts; measuring the
model at the end does not. The steps of each are a whole schedule, with the rate falling to its end, and about as few
as reach the target on all seeds.

The usual loop is what people write with transformers: GPT2LMHeadModel, its own loss, AdamW, warm-up and cosine,
clipping. Its rate is the one that was best for the former recipe (--tune shows how others do); its dropout is off, with
which it would learn more slowly here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import torch
from _peers import gpt2
from _timing import elsewhere, machine
from torch import Tensor
from transformers import get_cosine_schedule_with_warmup
from transformers.utils import logging

from course import evaluate, huggingface, runtime
from course.chain import recipe, store
from course.train import TokenBatches, TrainConfig, evaluate_loss, train
from course.transformer import GPT, GPTConfig
from course.world import corpus, facts

LOSS, RECALL = 0.60, 0.95  # to reach, on documents that no training has seen
RATIO_FORMER, RATIO_USUAL = {"float32": 1.5, "bfloat16": 1.8}, {"float32": 2.0, "bfloat16": 3.0}
BLOCK = 20  # steps in a turn
FORMER = TrainConfig(steps=1800, learning_rate=5e-3, warmup=50, final_fraction=0.02, weight_decay=0.01)
PRESENT = replace(FORMER, steps=900, optimizer="muon", learning_rate=8e-3, matrix_rate=0.02)
USUAL = replace(FORMER, weight_decay=0.1)
RATES = (1e-3, 2e-3, 5e-3, 1e-2)  # for --tune
RACERS = {"transformers": USUAL, "former recipe": FORMER, "present recipe": PRESENT}


def course_racer(plan: TrainConfig, config: GPTConfig, data: TokenBatches, seed: int) -> tuple[Callable, Callable]:
    """(a step, the model so far) of the course's loop."""
    model = GPT(config, runtime.generator(seed))
    records = train(model, data, plan, progress=False)
    return lambda: next(records), lambda: model


def usual_racer(plan: TrainConfig, config: GPTConfig, data: TokenBatches, seed: int) -> tuple[Callable, Callable]:
    """The same of a loop with transformers."""
    logging.set_verbosity_error()
    theirs = gpt2(config).train()
    theirs.load_state_dict(huggingface.to_state(GPT(config, runtime.generator(seed))), strict=False)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    schedule = get_cosine_schedule_with_warmup(optimizer, plan.warmup, plan.steps)
    bfloat16 = runtime.mixed_precision("cpu") == torch.bfloat16
    number = 0

    def step() -> None:
        nonlocal number
        inputs, _ = data[number]
        number += 1
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = theirs(input_ids=inputs, labels=inputs).loss  # it shifts the targets itself
        loss.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item()

    def model() -> GPT:
        ours = GPT(config)
        ours.load_state_dict(huggingface.from_state(config, theirs.state_dict()), strict=False)
        return ours

    return step, model


def racer(
    usual: bool, plan: TrainConfig, config: GPTConfig, seed: int, texts: tuple[Tensor, Tensor]
) -> Callable[[], Any]:
    """A block of steps per call, which returns their seconds; after the last step, (held-out loss, recall)."""
    settings = recipe.BaseRecipe()
    data, tests = (
        TokenBatches(text, settings.batch_size, config.context_length, seed + i) for i, text in enumerate(texts)
    )
    step, model = (usual_racer if usual else course_racer)(plan, config, data, seed)
    done = 0

    def block() -> Any:
        nonlocal done
        if done >= plan.steps:
            found = model().eval()
            tokenizer = store.load_tokenizer(where=store.shipped_home())
            return evaluate_loss(found, tests, 10), evaluate.recall(found, tokenizer, facts.countries())
        seconds = []
        for _ in range(min(BLOCK, plan.steps - done)):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        done += len(seconds)
        return seconds

    return block


def texts_for(seed: int) -> tuple[Tensor, Tensor]:
    """The course's corpus as tokens, for training and for measuring."""
    tokenizer = store.load_tokenizer(where=store.shipped_home())
    characters = recipe.BaseRecipe().characters
    train_on, measure_on = (
        recipe.join_documents(tokenizer, corpus.corpus(n, seed=s))
        for n, s in ((characters, seed), (400_000, seed + recipe.HELD_OUT_SEED))
    )
    return train_on, measure_on


def race(plans: dict[str, TrainConfig], seed: int) -> dict[str, tuple[float, float, float]]:
    """Name -> (seconds, held-out loss, recall). Prints each."""
    texts = texts_for(seed)
    config = replace(GPTConfig(), vocab_size=store.load_tokenizer(where=store.shipped_home()).vocab_size)
    blocks = {
        name: elsewhere(racer, name.startswith("transformers"), plan, config, seed, texts)
        for name, plan in plans.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in plans}
    found: dict[str, tuple[float, float, float]] = {}
    while len(found) < len(plans):
        for name in plans.keys() - found.keys():
            said = blocks[name]()
            if isinstance(said, list):
                seconds[name] += said
            else:
                found[name] = (sum(seconds[name]), *said)
                middle = statistics.median(seconds[name])
                click.echo(
                    f"  seed {seed}  {name:28} {len(seconds[name]):5} steps of {middle * 1e3:4.0f} ms: "
                    f"{found[name][0]:5.0f} s, held-out loss {said[0]:.3f}, recall {said[1]:.1%}"
                )
    return found


@click.command()
@click.option("--seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(RACERS)), help="Some of them.")
@click.option("--tune", is_flag=True, help="Compare rates for the loop with transformers, a third of the way.")
def main(seeds: tuple[int, ...], only: tuple[str, ...], tune: bool) -> None:
    """Race, and print what each needed."""
    runtime.set_threads()
    machine()
    if tune:
        plans = {f"transformers, rate {rate:g}": replace(USUAL, learning_rate=rate, steps=600) for rate in RATES}
        race(plans, seeds[0])
        return
    plans = {name: plan for name, plan in RACERS.items() if not only or name in only}
    found = [race(plans, seed) for seed in seeds]
    click.echo(f"\nto reach: held-out loss ≤ {LOSS}, recall ≥ {RECALL:.0%}; medians over {len(seeds)} seeds")
    for name in plans:
        seconds, loss, recall = (
            statistics.median(values) for values in zip(*(one[name] for one in found), strict=True)
        )
        missed = "" if all(one[name][1] <= LOSS and one[name][2] >= RECALL for one in found) else "  MISSED by some"
        click.echo(f"  {name:16} {seconds:6.0f} s, held-out loss {loss:.3f}, recall {recall:.1%}{missed}")
    precision = str(runtime.mixed_precision("cpu")).removeprefix("torch.")
    for peer, targets in (("former recipe", RATIO_FORMER), ("transformers", RATIO_USUAL)):
        if peer in plans and "present recipe" in plans:
            ratio = statistics.median(one[peer][0] / one["present recipe"][0] for one in found)
            held = "" if ratio >= targets[precision] else "  MISSED"
            click.echo(f"  present recipe {ratio:.2f} × as fast as {peer}; to reach ≥ {targets[precision]:g}{held}")


if __name__ == "__main__":
    main()
