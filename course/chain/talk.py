"""What each kind of the chain says to a line of text: the voices of `course chat`.

The models that write (assistant, SFT, base) answer or continue. The tokenizer shows how it cuts the line up. The
reward model cannot write; it judges: some answers of the SFT model, or the reader's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from course.chain import store
from course.chat import Conversation, Message, tidy
from course.generate import Sampling
from course.reward import RewardModel, score
from course.runtime import generator
from course.tokenizer import Tokenizer

HINTS = {
    "tokenizer": "Write something, and see its tokens.",
    "base": "Begin a text, and the model continues it.",
    "sft": "Ask about countries.",
    "reward": 'Ask about countries, and see rewards of four answers; or judge your own: "question | answer".',
    "assistant": "Ask about countries.",
}
TEMPERATURES = {"base": 0.8}  # a text that always takes the likeliest token soon repeats itself for ever
DRAWN = 4  # answers that the reward model is shown


class Talk(Protocol):
    """Anything that answers a line in pieces. Raises ValueError, a sentence, for a line that it cannot answer."""

    @property
    def tokenizer(self) -> Tokenizer:
        """What the line is read with."""

    def stream(self, text: str) -> Iterator[str]:
        """The answer to `text`, in pieces."""


class Answering(Conversation):
    """A conversation that says, before its answer, when it has forgotten its beginning."""

    def stream(self, text: str) -> Iterator[str]:
        """The answer to `text`, in pieces."""
        pieces = super().stream(text)
        first = next(pieces, "")  # by now the conversation knows what fits
        if self.notice:
            yield f"({self.notice})\n"
        if first:
            yield first
        yield from pieces


class Continuation(Conversation):
    """The base model knows no roles: it continues what it is given."""

    def _prompt(self, asked: Message) -> list[int]:
        ids = [self.tokenizer.special["<|endoftext|>"], *self.tokenizer.encode(asked["content"])]
        context = self.model.config.context_length
        if len(ids) >= context - 8:
            raise ValueError(f"The text has {len(ids)} tokens and the context {context}; give a shorter one.")
        return ids


@dataclass
class Cutting:
    """The tokens of a line, with their numbers."""

    tokenizer: Tokenizer

    def stream(self, text: str) -> Iterator[str]:
        """Each token between bars, as it stands in the text, and its id."""
        ids = self.tokenizer.encode(
            "".join(c for c in text if not "\ud800" <= c <= "\udfff")
        )  # no halves of characters
        yield " ".join(f"|{self.tokenizer.token(i)}| {i}" for i in ids) + f"   ({len(ids)} tokens)"


@dataclass
class Judgement:
    """Rewards of answers to a question: the SFT model's, or the one given behind a bar, the best first."""

    model: RewardModel
    tokenizer: Tokenizer
    writer: Conversation

    def stream(self, text: str) -> Iterator[str]:
        """A line for each answer: its reward, and the answer."""
        question, bar, own = (part.strip() for part in tidy(text).partition("|"))
        if bar and not (question and own):
            raise ValueError('Write the question before the bar and the answer after it: "question | answer".')
        answers = [own] if bar else [self.writer.ask(question) for _ in range(DRAWN)]
        answers = list(dict.fromkeys(answers))  # the same one twice is shown once
        rewards = score(self.model, self.tokenizer, [(question, written) for written in answers]).tolist()
        ranked = sorted(zip(rewards, answers, strict=True), reverse=True)
        yield "\n".join(f"{reward:+.2f}  {' '.join(written.split())}" for reward, written in ranked)


def talk_with(kind: str, temperature: float | None = None, seed: int = 0) -> tuple[Talk, str]:
    """A voice of the chain, and a sentence or two that say which models speak. Raises as `store.load_chain` does.

    temperature: of the answers; None for what suits the kind. The reward model is shown different ones, so for it 0
    means 1.
    """
    chance = generator(seed)
    if temperature is None:
        temperature = TEMPERATURES.get(kind, 0.0)
    if kind == "tokenizer":
        return Cutting(store.load_tokenizer()), store.describe("tokenizer")
    if kind == "reward":
        tokenizer, (reward, sft), which = store.load_together("reward", "sft")
        writer = Conversation(sft, tokenizer, Sampling(temperature or 1.0), generator=chance)
        return Judgement(reward, tokenizer, writer), which
    tokenizer, model, which = store.load_chain(kind)
    talker, length = (Continuation, 64) if kind == "base" else (Answering, 48)
    return talker(model, tokenizer, Sampling(temperature), length, generator=chance), which
