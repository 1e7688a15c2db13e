"""The chat template: how a conversation becomes one row of tokens, and an answer is read out of it.

    <|user|> What is the capital of Japan?<|assistant|> It is Tokyo.<|end|>

The marks are single tokens of the vocabulary that no text can spell: a user who types "<|end|>" sends seven
harmless characters. Whoever builds the row, not whoever writes the text, decides who is speaking.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from course.generate import GREEDY, Sampling, generate, stream
from course.tokenizer import Tokenizer
from course.transformer import GPT

FAMILIAR = 0.7  # share of characters that the tokenizer must have met, or the reader is warned
Message = dict[str, str]  # {"role": "user" or "assistant", "content": text}


def render(tokenizer: Tokenizer, messages: Sequence[Message], add_generation_prompt: bool = True) -> list[int]:
    """The ids of a conversation; with `add_generation_prompt` the assistant's mark at the end asks for its answer.

    Raises ValueError for a role other than "user" and "assistant".
    """
    special = tokenizer.special
    ids: list[int] = []
    for message in messages:
        if message["role"] == "user":
            ids += [special["<|user|>"], *spoken(tokenizer, message["content"])]
        elif message["role"] == "assistant":
            ids += [special["<|assistant|>"], *spoken(tokenizer, message["content"]), special["<|end|>"]]
        else:
            raise ValueError(f'The role "{message["role"]}" is unknown; a message is by "user" or by "assistant".')
    if add_generation_prompt:
        ids.append(special["<|assistant|>"])
    return ids


def spoken(tokenizer: Tokenizer, content: str) -> list[int]:
    """The ids of what somebody says, with a space before it.

    Within a text nearly every word follows a space, and "·It" and "It" are different tokens: with the space an answer
    begins with tokens that the base model knows well.
    """
    return tokenizer.encode(" " + content)


def prompt_ids(tokenizer: Tokenizer, question: str | Sequence[str]) -> list[int]:
    """<|user|> question<|assistant|> : the row of tokens that asks for an answer.

    question: a text, or a conversation whose turns are the user's and the assistant's, the question last.
    """
    turns = [question] if isinstance(question, str) else question
    roles = ("user", "assistant")
    return render(tokenizer, [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)])


def answer_ids(tokenizer: Tokenizer, answer: str) -> list[int]:
    """answer<|end|> : what the assistant should say after `prompt_ids`."""
    return [*spoken(tokenizer, answer), tokenizer.special["<|end|>"]]


def tidy(text: str) -> str:
    """The text without what nobody types on purpose: control characters and halves of characters (surrogates).

    Line breaks and tabs stay.
    """
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs"))


def unfamiliar(tokenizer: Tokenizer, text: str) -> str:
    """A sentence where the tokenizer hardly knows the script of a text, else ""."""
    known = tokenizer.coverage(text)
    if known >= FAMILIAR:
        return ""
    return (
        f"The tokenizer has hardly ever seen this script ({known:.0%} of the characters), so the "
        "model cannot know it; ask in English."
    )


def stop_tokens(tokenizer: Tokenizer) -> frozenset[int]:
    """All marks end an answer: the assistant's own, and those of a turn that is not its to take."""
    return frozenset(tokenizer.special.values())


def answer(
    model: GPT,
    tokenizer: Tokenizer,
    questions: Sequence[str],
    sampling: Sampling = GREEDY,
    max_new_tokens: int = 48,
    generator: torch.Generator | None = None,
    batch_size: int = 512,
) -> list[str]:
    """The model's answers to many questions, each asked in a conversation of its own."""
    replies: list[str] = []
    for start in range(0, len(questions), batch_size):
        prompts = [prompt_ids(tokenizer, question) for question in questions[start : start + batch_size]]
        new = generate(model, prompts, max_new_tokens, sampling, stop_tokens(tokenizer), generator)
        replies += [tokenizer.decode(ids).strip() for ids in new]
    return replies


@dataclass
class Conversation:
    """A talk with a model. `messages` holds all that was said.

    remember: how many earlier exchanges the model is shown with a question. Exchanges that do not fit into the context
    are left out, oldest first; then `notice` says so, else it is "". Raises ValueError for a question that is empty or
    too long.
    """

    model: GPT
    tokenizer: Tokenizer
    sampling: Sampling = GREEDY
    max_new_tokens: int = 48
    remember: int = 8
    generator: torch.Generator | None = None
    messages: list[Message] = field(default_factory=list)
    notice: str = ""

    def stream(self, text: str) -> Iterator[str]:
        """Ask, and receive the answer in pieces as they are generated, without the space before its first word.

        Incomplete characters wait for their rest.
        """
        asked: Message = {"role": "user", "content": tidy(text)}
        ids: list[int] = []
        shown = ""
        for token in stream(
            self.model,
            self._prompt(asked),
            self.max_new_tokens,
            self.sampling,
            stop_tokens(self.tokenizer),
            self.generator,
        ):
            ids.append(token)
            whole = tidy(self.tokenizer.decode(ids)).removesuffix("\ufffd").removeprefix(" ")
            if len(whole) > len(shown):
                yield whole[len(shown) :]
                shown = whole
        self.messages += [asked, {"role": "assistant", "content": shown.strip()}]

    def ask(self, text: str) -> str:
        """Ask, and receive the whole answer."""
        return "".join(self.stream(text)).strip()

    def _prompt(self, asked: Message) -> list[int]:
        if not asked["content"].strip():
            raise ValueError("There is no question; write one.")
        context = self.model.config.context_length
        wanted = min(max(0, self.remember), len(self.messages) // 2)
        for kept in range(wanted, -1, -1):
            history = self.messages[-2 * kept :] if kept else []
            ids = render(self.tokenizer, [*history, asked])
            if len(ids) < context - 8:  # some room for an answer
                self.notice = self._forgotten(wanted - kept)
                return ids
        raise ValueError(f"The question has {len(ids)} tokens and the context {context}; ask a shorter one.")

    def _forgotten(self, n: int) -> str:
        """What to say when the n oldest exchanges, of those to be remembered, do not fit."""
        context = self.model.config.context_length
        return (
            f"This talk is longer than the model's context of {context} tokens; its beginning is forgotten."
            if n
            else ""
        )
