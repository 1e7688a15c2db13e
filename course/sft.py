"""Step 1 of ChatGPT: people write prompts and answers, and the model is tuned to answer as they do.

It is next-token prediction again, with one change: only the answer's tokens count in the loss. The question is
given; to learn to ask it would be to learn the wrong half of the conversation.
Ouyang et al. 2022, "Training language models to follow instructions with human feedback", arXiv:2203.02155.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course.chat import answer_ids, prompt_ids
from course.tokenizer import Tokenizer
from course.train import IGNORE

SORTED = 4  # batches whose examples are sorted by their length together


@dataclass(frozen=True)
class Example:
    """One conversation: all its ids, and how many of them, at the start, are the prompt."""

    tokens: tuple[int, ...]
    n_prompt: int


def examples(tokenizer: Tokenizer, pairs: Sequence[tuple[str | Sequence[str], str]]) -> list[Example]:
    """Render (question, answer) pairs with the chat template; a question may be a conversation (see `prompt_ids`)."""
    rendered = []
    for question, answer in pairs:
        prompt = prompt_ids(tokenizer, question)
        rendered.append(Example((*prompt, *answer_ids(tokenizer, answer)), len(prompt)))
    return rendered


def pad_right(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    """(B, longest) ids, shorter rows filled up with `value`."""
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows])


class SFTBatches:
    """Batches of conversations of like length, in an order that is shuffled anew in each epoch.

    batches[step] is (inputs, targets), both (batch_size, T), T the longest in the batch less one. Targets are the
    inputs one token later, and -100 where they do not count: in the padding and, unless loss_on="all", in the prompt.
    Raises ValueError when there are fewer examples than one batch needs.
    """

    def __init__(self, examples: Sequence[Example], batch_size: int = 32, seed: int = 0, loss_on: str = "answer"):
        if len(examples) < batch_size:
            raise ValueError(
                f"{len(examples)} examples do not fill one batch of {batch_size}; use a smaller batch_size."
            )
        if loss_on not in ("answer", "all"):
            raise ValueError(f'loss_on="{loss_on}" is unknown; choose "answer" or "all".')
        self.examples, self.batch_size, self.seed, self.loss_on = list(examples), batch_size, seed, loss_on
        self.lengths = [len(example.tokens) for example in self.examples]

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        indices = shuffled_indices(len(self.examples), self.batch_size, step, self.seed, self.lengths)
        chosen = [self.examples[i] for i in indices]
        tokens = pad_right([example.tokens for example in chosen], 0)
        targets = pad_right([example.tokens for example in chosen], IGNORE)
        if self.loss_on == "answer":
            for row, example in enumerate(chosen):
                targets[row, : example.n_prompt] = IGNORE
        return tokens[:, :-1], targets[:, 1:]

    @property
    def fingerprint(self) -> str:
        """Changes when the data changes (see `TokenBatches.fingerprint`)."""
        content = repr([(example.tokens, example.n_prompt) for example in self.examples]).encode()
        return f"{zlib.crc32(content):08x}-{self.batch_size}-{self.seed}-{self.loss_on}"


def shuffled_indices(n: int, batch_size: int, step: int, seed: int, lengths: Sequence[int] | None = None) -> list[int]:
    """Which of n examples batch number `step` holds: epochs of n // batch_size batches, each in an order of its own.

    lengths: of the examples. With them, a batch holds examples of like length, and little of it is padding: of every
    SORTED batches in a row the examples are sorted by length. Let a step accumulate as many, and it sees all sorts.
    """
    per_epoch = n // batch_size
    epoch, place = divmod(step, per_epoch)
    order = list(range(n))
    random.Random(f"{seed}-{epoch}").shuffle(order)
    if lengths is not None:
        window = SORTED * batch_size
        start = place * batch_size // window * window
        order[start : start + window] = sorted(order[start : start + window], key=lambda i: lengths[i])
    return order[place * batch_size : (place + 1) * batch_size]
