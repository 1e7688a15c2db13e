"""One PPO iteration of the course beside a GRPO step of TRL, of the same size.

python benchmarks/ppo_vs_trl.py        (pip install trl, which is no dependency of the course)

Both draw 64 answers of at most 24 tokens from the course's SFT model, score them by the course's reward model, compare
with a reference model (KL), and make two passes of learning over them, each in one batch: two updates. GRPO has no
value function; its advantages come from groups of eight answers to one question, so it has eight questions per step,
PPO 64.

Of TRL's default settings, two would slow it down here for nothing, and are off: dropout (the course's model has none)
and gradient checkpointing (which computes the forward pass again to save memory). Both compute in the same precision,
each in a process of its own, as its users run it.
"""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import click
import torch
from _timing import elsewhere, interleave, machine, show
from transformers.utils import logging

from course import huggingface, runtime
from course.chain import recipe, store
from course.chat import prompt_ids
from course.reward import RewardModel
from course.rl import ActorCritic, ppo
from course.sft import pad_right
from course.tokenizer import Tokenizer
from course.transformer import GPT
from course.world.demonstrations import asked

TARGET, WARMUP = 2.0, 2
ROLLOUTS, NEW, GROUP, PASSES = 64, 24, 8, 2
BETA, RATE = 0.1, 3e-5
QUESTIONS = [question.prompt for question in asked(600) if len(question.turns) == 1 and len(question.prompt) < 120]


def models() -> tuple[Tokenizer, GPT, RewardModel]:
    """What both begin with: the course's own, as shipped."""
    tokenizer, sft, _ = store.load_chain("sft", where=store.shipped_home(), device="cpu")
    _, reward, _ = store.load_chain("reward", where=store.shipped_home(), device="cpu")
    return tokenizer, sft, reward


def course_step(precision: str) -> Callable[[], float]:
    """An iteration per call, which returns its answers' mean length in tokens."""
    tokenizer, sft, reward = models()
    config = replace(
        recipe.AssistantRecipe().ppo, iterations=10_000, rollouts=ROLLOUTS, max_new_tokens=NEW, epochs=PASSES,
        minibatches=1, kl_coefficient=BETA, learning_rate=RATE, temperature=1.0, precision=precision,
    )  # fmt: skip
    prompts = [prompt_ids(tokenizer, question) for question in QUESTIONS]
    actor_critic, end = ActorCritic(copy.deepcopy(sft)), tokenizer.special["<|end|>"]
    records = ppo(actor_critic, sft, reward, prompts, end, config, progress=False)
    return lambda: next(records).length


def trl_step(precision: str, folder: str, rounds: int) -> Callable[[], float]:
    """A step per call: TRL's own training loop runs in a thread, and waits for us before each batch of answers.

    rounds: at most so many calls.
    """
    from datasets import Dataset
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore", FutureWarning)  # transformers renames a setting that TRL calls by its old name
    tokenizer, sft, reward = models()
    lengths: list[float] = []
    huggingface.save(sft, folder)
    theirs = GPT2LMHeadModel.from_pretrained(folder)
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.fast, eos_token="<|end|>", pad_token="<|endoftext|>", padding_side="left"
    )

    def score(
        prompts: list[str], completions: list[str], completion_ids: list[list[int]], **ignored: Any
    ) -> list[float]:
        assert len(prompts) == ROLLOUTS, f"{len(prompts)} answers instead of {ROLLOUTS}"
        lengths.append(sum(map(len, completion_ids)) / len(completion_ids))
        rows = [words(p)["input_ids"] + list(ids) for p, ids in zip(prompts, completion_ids, strict=True)]
        with torch.no_grad():
            return reward(pad_right(rows, 0), torch.tensor([len(row) for row in rows])).tolist()

    written = [f"<|user|> {question}<|assistant|>" for question in QUESTIONS]
    ours = [prompt_ids(tokenizer, question) for question in QUESTIONS]
    assert words(written)["input_ids"] == ours, "they do not read the same prompts"
    settings = GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=ROLLOUTS,
        num_generations=GROUP,
        max_completion_length=NEW,
        num_iterations=PASSES,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        beta=BETA,
        temperature=1.0,
        max_steps=PASSES * (rounds + 1),
        use_cpu=True,
        bf16=precision == "bfloat16",
        gradient_checkpointing=False,
        disable_dropout=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    threads = torch.get_num_threads()
    go, done = threading.Semaphore(0), threading.Semaphore(0)
    ended = threading.Event()

    class Wait(TrainerCallback):  # type: ignore[misc]
        """Stops before each batch of answers until it is asked for."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **ignored: Any) -> None:
            if state.global_step % PASSES == 0:
                assert torch.get_num_threads() == threads, "the loops do not compute with as many threads"
                assert not theirs.is_gradient_checkpointing, "TRL computes its forward passes twice"
                assert not any(part.p for part in theirs.modules() if isinstance(part, torch.nn.Dropout)), "dropout"
                if state.global_step:
                    done.release()
                go.acquire()

    trainer = GRPOTrainer(
        model=theirs,
        reward_funcs=score,
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": written}),
        processing_class=words,
        callbacks=[Wait()],
    )

    def loop() -> None:
        try:
            trainer.train()
        finally:
            ended.set()
            done.release()

    threading.Thread(target=loop, daemon=True).start()

    def step() -> float:
        go.release()
        done.acquire()
        if ended.is_set():
            raise RuntimeError("TRL's loop has stopped; its own message says why.")
        return lengths[-1]

    return step


@click.command()
@click.option("--repeats", default=12, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default="auto", show_default=True)
def main(repeats: int, threads: int, precision: str) -> None:
    """Time both in turns."""
    try:
        import trl
    except ImportError:
        sys.exit("TRL is missing, which only this benchmark needs: pip install trl torch==2.13.0")
    os.environ["COURSE_DEVICE"] = "cpu"
    runtime.set_threads(threads)
    machine()
    if precision == "auto":
        precision = str(runtime.mixed_precision("cpu")).removeprefix("torch.")
    click.echo(f"trl {trl.__version__}, on the CPU with {threads} threads, in {precision}")
    click.echo(f"{ROLLOUTS} answers of at most {NEW} tokens, reward model, reference model, {PASSES} updates from all")
    lengths: dict[str, list[float]] = {"course": [], "TRL": []}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        ours = elsewhere(course_step, precision)
        theirs = elsewhere(trl_step, precision, folder, WARMUP + repeats)
        functions = {
            "course, PPO iteration": lambda: lengths["course"].append(ours()),
            "TRL, GRPO step": lambda: lengths["TRL"].append(theirs()),
        }
        seconds = interleave(functions, repeats, WARMUP)
    show(seconds, "course, PPO iteration", "TRL, GRPO step", TARGET)
    means = ", ".join(f"{name} {sum(values) / len(values):.1f}" for name, values in lengths.items())
    click.echo(f"  mean length of an answer, in tokens: {means}")
    click.echo(f"  ({time.perf_counter() - started:.0f} s in all)")


if __name__ == "__main__":
    main()
