"""One PPO iteration of the course beside a GRPO step of TRL, of the same size.

python benchmarks/ppo_vs_trl.py        (pip install trl, which is no dependency of the course)

Both draw 64 answers of at most 24 tokens from the course's SFT model, score them by the course's reward model, compare
with a reference model (KL), and make two passes of learning over them, each in one batch. GRPO has no value function;
its advantages come from groups of eight answers to one question, so it has eight questions per step, PPO 64.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from _timing import interleave, machine, show
from transformers.utils import logging

from course import atlas, huggingface, recipe, runtime, store
from course.chat import prompt_ids
from course.reward import RewardModel
from course.rl import ActorCritic, ppo
from course.sft import pad_right
from course.tokenizer import Tokenizer
from course.transformer import GPT

TARGET = 2.0
ROLLOUTS, NEW, GROUP, PASSES = 64, 24, 8, 2


def course_step(sft: GPT, reward: RewardModel, tokenizer: Tokenizer) -> Callable[[], Any]:
    """An iteration per call."""
    config = replace(
        recipe.AssistantRecipe().ppo, iterations=10_000, rollouts=ROLLOUTS, max_new_tokens=NEW, epochs=PASSES
    )
    prompts = [prompt_ids(tokenizer, asked.prompt) for asked in atlas.questions(atlas.split()[0])]
    end = tokenizer.special["<|end|>"]
    records: Iterator[Any] = ppo(ActorCritic(sft), sft_copy(sft), reward, prompts, end, config, progress=False)
    return lambda: next(records)


def sft_copy(model: GPT) -> GPT:
    """The same weights in a model of its own."""
    copy = GPT(model.config)
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def trl_step(sft: GPT, reward: RewardModel, tokenizer: Tokenizer, folder: str, repeats: int) -> Callable[[], Any]:
    """A step per call: TRL's own training loop runs in a thread, and waits for us before each step."""
    import threading

    from datasets import Dataset
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    huggingface.save(sft, folder)
    theirs = GPT2LMHeadModel.from_pretrained(folder)
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.fast, eos_token="<|end|>", pad_token="<|endoftext|>", padding_side="left"
    )

    def score(
        prompts: list[str], completions: list[str], completion_ids: list[list[int]], **ignored: Any
    ) -> list[float]:
        rows = [words(p)["input_ids"] + list(ids) for p, ids in zip(prompts, completion_ids, strict=True)]
        with torch.no_grad():
            return reward(pad_right(rows, 0), torch.tensor([len(row) for row in rows])).tolist()

    asked = [f"<|user|> {q.prompt}<|assistant|>" for q in atlas.questions(atlas.split()[0])]
    settings = GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=ROLLOUTS,
        num_generations=GROUP,
        max_completion_length=NEW,
        num_iterations=PASSES,
        learning_rate=3e-5,
        beta=0.1,
        temperature=1.0,
        max_steps=PASSES * (repeats + 4),
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    go, done = threading.Semaphore(0), threading.Semaphore(0)

    class Wait(TrainerCallback):  # type: ignore[misc]
        """Stops before each batch of answers until it is asked for."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
            if state.global_step % PASSES == 0:
                if state.global_step:
                    done.release()
                go.acquire()

    trainer = GRPOTrainer(
        model=theirs,
        reward_funcs=score,
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": asked}),
        processing_class=words,
        callbacks=[Wait()],
    )
    thread = threading.Thread(target=trainer.train, daemon=True)
    thread.start()

    def step() -> None:
        go.release()
        if not done.acquire(timeout=300):
            raise RuntimeError("TRL's loop has stopped.")

    return step


@click.command()
@click.option("--repeats", default=12, show_default=True)
def main(repeats: int) -> None:
    """Time both in turns."""
    try:
        import trl
    except ImportError:
        sys.exit("TRL is missing: pip install trl")
    logging.set_verbosity_error()
    runtime.set_threads()
    machine()
    click.echo(f"trl {trl.__version__}; {ROLLOUTS} answers of at most {NEW} tokens, {PASSES} passes over them")
    place = store.shipped_home()
    tokenizer, sft, _ = store.load_chain("sft", where=place)
    _, reward, _ = store.load_chain("reward", where=place)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        theirs = trl_step(sft_copy(sft), reward, tokenizer, folder, repeats)
        ours = course_step(sft, reward, tokenizer)
        seconds = interleave({"course, PPO iteration": ours, "TRL, GRPO step": theirs}, repeats, warmup=2)
    show(seconds, "course, PPO iteration", "TRL, GRPO step", TARGET)
    click.echo(f"  ({time.perf_counter() - started:.0f} s in all)")
    sys.stdout.flush()
    os._exit(0)  # TRL's thread is still waiting for its next step


if __name__ == "__main__":
    main()
