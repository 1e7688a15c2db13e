"""Pretrain on the world's corpus, tune on its demonstrations, and print what the model can do beside what it should.

python benchmarks/world.py                   # train, about ten minutes on one core, and measure
python benchmarks/world.py steps=2400 seed=1 vocab_size=2048
python benchmarks/world.py exchanges='{"yes or no": 0.4}' position=rotary
python benchmarks/world.py shipped           # today's assistant: the starting point
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_model, save_model

from course import evaluate
from course.chain import store
from course.chain.recipe import join_documents
from course.runtime import generator, keep_memory, pick_device, set_threads
from course.sft import SFTBatches, examples
from course.tokenizer import Tokenizer
from course.train import TokenBatches, TrainConfig, evaluate_loss, train
from course.transformer import GPT, GPTConfig
from course.world import corpus
from course.world.capabilities import CAPABILITIES
from course.world.demonstrations import demonstrations


@dataclass
class Settings:
    """Of one trial; each can be set on the command line."""

    seed: int = 0
    characters: int = 9_000_000
    vocab_size: int = 2048
    n_layer: int = 4
    d_model: int = 128
    n_head: int = 4
    context_length: int = 128
    position: str = "learned"
    batch_size: int = 16
    steps: int = 2400
    rate: float = 8e-3
    matrix_rate: float = 0.02
    demonstrations: int = 12_000
    sft_steps: int = 200
    sft_batch: int = 64
    sft_rate: float = 4e-4
    rude: float = 0.3
    exchanges: str = ""  # of the talks, where they are to be others: JSON, kind -> how often
    shares: str = ""  # of the documents, likewise
    save: str = ""  # a file for the base model, which is loaded from there if it exists


def settings(arguments: list[str]) -> Settings:
    """name=value pairs as settings."""
    kinds = {field.name: type(getattr(Settings(), field.name)) for field in fields(Settings)}
    pairs = (argument.split("=", 1) for argument in arguments)
    return Settings(**{name: kinds[name](value) for name, value in pairs})


def pretrain(s: Settings) -> tuple[Tokenizer, GPT]:
    """A tokenizer and a base model."""
    started = time.perf_counter()
    corpus.EXCHANGES.update(json.loads(s.exchanges or "{}"))
    corpus.SHARES.update(json.loads(s.shares or "{}"))
    texts = corpus.corpus(s.characters, seed=s.seed)
    tokenizer = Tokenizer.train(texts[: len(texts) * 2_000_000 // s.characters], s.vocab_size, progress=False)
    row = join_documents(tokenizer, texts)
    config = GPTConfig(
        tokenizer.vocab_size, s.context_length, s.n_layer, s.n_head, d_model=s.d_model, position=s.position
    )
    model = GPT(config, generator(s.seed)).to(pick_device())
    n = sum(weight.numel() for weight in model.parameters())
    print(f"{len(texts)} texts, {len(row)} tokens, {n / 1e6:.2f} M weights: {time.perf_counter() - started:.0f} s")
    training = TrainConfig(
        steps=s.steps, learning_rate=s.rate, warmup=50, final_fraction=0.02, weight_decay=0.01,
        optimizer="muon", matrix_rate=s.matrix_rate,
    )  # fmt: skip
    started = time.perf_counter()
    for record in train(model, TokenBatches(row, s.batch_size, s.context_length, s.seed), training, progress=False):
        if record.step % 300 == 299:
            print(
                f"  step {record.step + 1}: loss {record.loss:.3f}, {time.perf_counter() - started:.0f} s", flush=True
            )
    held_out = join_documents(tokenizer, corpus.corpus(300_000, seed=s.seed + 1_000_003))
    loss = evaluate_loss(model.eval(), TokenBatches(held_out, s.batch_size, s.context_length, 1), 10)
    print(f"base: {time.perf_counter() - started:.0f} s, held-out loss {loss:.3f}", flush=True)
    return tokenizer, model


def tune(base: GPT, tokenizer: Tokenizer, s: Settings) -> GPT:
    """Fine-tune the base model where it is."""
    started = time.perf_counter()
    pairs = [(question.turns, text) for question, text in demonstrations(s.demonstrations, s.seed, rude=s.rude)]
    fit = [e for e in examples(tokenizer, pairs) if len(e.tokens) <= s.context_length]
    print(f"{len(pairs) - len(fit)} of {len(pairs)} demonstrations are longer than the context")
    training = TrainConfig(steps=s.sft_steps, learning_rate=s.sft_rate, warmup=10, weight_decay=0.0)
    list(train(base, SFTBatches(fit, s.sft_batch, s.seed), training, progress=False))
    print(f"sft: {time.perf_counter() - started:.0f} s", flush=True)
    return base.eval()


def report(model: GPT, tokenizer: Tokenizer) -> None:
    """A line for each capability: its share, its interval, and what it should reach."""
    started = time.perf_counter()
    found = evaluate.measure(model, tokenizer)
    for capability in CAPABILITIES:
        count = found[capability.name]
        low, high = count.interval
        aim = "" if capability.aim is None else f"{'≤' if capability.most else '≥'} {capability.aim:.0%}"
        mark = {True: "reached", False: "MISSED", None: ""}[capability.reached(count.share)]
        print(f"{capability.name:24} {count.share:6.1%}  ({low:.0%} to {high:.0%} of {count.n})  {aim:7} {mark}")
    print(f"measured in {time.perf_counter() - started:.0f} s")


def kept(file: str) -> tuple[Tokenizer, GPT]:
    """The tokenizer and the base model of an earlier trial."""
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    base = GPT(GPTConfig(**json.loads(about["config"])))
    load_model(base, file)
    return Tokenizer.from_dict(json.loads(about["tokenizer"])), base.to(pick_device())


def main() -> None:
    """See the module's docstring."""
    keep_memory()
    set_threads()
    if sys.argv[1:] == ["shipped"]:
        tokenizer, model, sentence = store.load_chain("assistant")
        print(sentence)
        report(model, tokenizer)
        return
    s = settings(sys.argv[1:])
    print(s, flush=True)
    if s.save and Path(s.save).exists():
        tokenizer, base = kept(s.save)
    else:
        tokenizer, base = pretrain(s)
        if s.save:
            about = {"tokenizer": json.dumps(tokenizer.to_dict()), "config": json.dumps(asdict(base.config))}
            save_model(base, s.save, about)
    report(tune(base, tokenizer, s), tokenizer)


if __name__ == "__main__":
    main()
