"""The voices of the chain: whatever is typed, there is an answer or a sentence."""

from __future__ import annotations

import pytest

from course.chain.talk import Answering, talk_with
from course.chat import Conversation
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig

TYPED = (
    "", " ", "x" * 10_000, "What is the capital of " * 500, "\x00\x1b[31mWhat is\x07 the capital of Japan?", "|",
    "a | b", "\ud83d What is the capital of Japan?", "¿Cuál es la capital de Francia?", "日本の首都は？",
    "q | " + "y" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["tokenizer", "base", "sft", "reward", "assistant"])
def test_whatever_is_typed_there_is_an_answer_or_a_sentence(kind):
    talk, _ = talk_with(kind)
    for text in TYPED:
        try:
            said = "".join(talk.stream(text))
        except ValueError as error:
            said = str(error)
            assert said[0].isascii() and said.rstrip().endswith((".", '".')), said
        assert len(said.splitlines()) < 40
        if kind == "assistant" and "Japan" in text:
            assert "Tokyo" in said


def test_an_answer_says_first_that_the_beginning_is_forgotten():
    tokenizer = Tokenizer([])
    model = GPT(GPTConfig(vocab_size=260, context_length=40, n_layer=1, d_model=16)).eval()
    talk, plain = (kind(model, tokenizer, remember=3, max_new_tokens=8) for kind in (Answering, Conversation))
    for question in ("x" * 20, "y" * 20):
        said, bare = "".join(talk.stream(question)), "".join(plain.stream(question))
        notice = f"({talk.notice})\n" if talk.notice else ""
        assert said == notice + bare
    assert talk.notice and "forgotten" in said
    assert talk.messages == plain.messages  # the notice is not part of what was said
