"""Tokens per second of the course's `generate` beside `generate` of transformers: same weights, both with a cache.

python benchmarks/generation.py
"""

from __future__ import annotations

import click
import torch
from _peers import gpt2
from _timing import interleave, machine, show
from transformers import GPT2LMHeadModel
from transformers.utils import logging

from course import huggingface, runtime
from course.generate import GREEDY, Sampling, generate
from course.transformer import GPT, GPTConfig

PROMPT, NEW = 8, 96
TARGETS = {1: 5.0, 64: 2.5}


def same_weights(config: GPTConfig) -> tuple[GPT, GPT2LMHeadModel]:
    """One random model, as the course's GPT and as transformers' GPT-2."""
    theirs = gpt2(config).eval()
    ours = GPT(config)
    ours.load_state_dict(huggingface.from_state(config, theirs.state_dict()), strict=False)
    return ours.eval(), theirs


@click.command()
@click.option("--repeats", default=9, show_default=True)
def main(repeats: int) -> None:
    """Check that both write the same, then time them in turns."""
    logging.set_verbosity_error()
    threads = runtime.set_threads()
    machine()
    torch.manual_seed(0)
    ours, theirs = same_weights(GPTConfig())
    for batch, target in TARGETS.items():
        prompts = torch.randint(GPTConfig().vocab_size, (batch, PROMPT))
        settings = dict(max_new_tokens=NEW, use_cache=True, pad_token_id=0, attention_mask=torch.ones_like(prompts))
        with torch.no_grad():
            written = theirs.generate(prompts, do_sample=False, **settings)[:, PROMPT:].tolist()
        assert generate(ours, prompts.tolist(), NEW, GREEDY) == written, "they do not write the same"

        def course(prompts: torch.Tensor = prompts) -> None:
            generate(ours, prompts.tolist(), NEW, Sampling(1.0), generator=runtime.generator(0))

        @torch.no_grad()
        def transformers(prompts: torch.Tensor = prompts, settings: dict = settings) -> None:
            theirs.generate(prompts, do_sample=True, top_k=0, **settings)

        click.echo(f"\n{batch} prompt{'s' * (batch > 1)} of {PROMPT} tokens, {NEW} new ones drawn, {threads} threads")
        seconds = interleave({"course": course, "transformers": transformers}, repeats, warmup=2)
        show(seconds, "course", "transformers", target)
        for name, values in seconds.items():
            click.echo(f"  {name}: {batch * NEW / sorted(values)[len(values) // 2]:,.0f} tokens per second")


if __name__ == "__main__":
    main()
