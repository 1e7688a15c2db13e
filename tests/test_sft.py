"""Supervised fine-tuning: which tokens count, by hand."""

from __future__ import annotations

import pytest
import torch

from course.chat import render
from course.sft import Example, SFTBatches, examples, pad_right, shuffled_indices
from course.tokenizer import Tokenizer
from course.train import IGNORE, next_token_loss
from course.transformer import GPT, GPTConfig

BYTES = Tokenizer([])  # 256 bytes and the four marks
MARKS = BYTES.special


def test_an_example_is_the_rendered_conversation_and_knows_where_the_answer_begins() -> None:
    (example,) = examples(BYTES, [("Hi?", "No.")])
    user, assistant, end = (MARKS[name] for name in ("<|user|>", "<|assistant|>", "<|end|>"))
    assert example.tokens == (user, *b" Hi?", assistant, *b" No.", end)
    assert example.n_prompt == 6
    messages = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "No."}]
    assert list(example.tokens) == render(BYTES, messages, add_generation_prompt=False)


def test_the_mask_is_the_one_written_by_hand() -> None:
    """Index t holds what the model shall say after reading token t: the answer and its end, nothing else."""
    inputs, targets = SFTBatches([Example((1, 2, 3, 4, 5), 3), Example((6, 7, 8), 1)], 2, seed=0)[0]
    rows = {row[0]: (row, wanted) for row, wanted in zip(inputs.tolist(), targets.tolist(), strict=True)}
    assert rows[1] == ([1, 2, 3, 4], [IGNORE, IGNORE, 4, 5])
    assert rows[6][0][:2] == [6, 7]
    assert rows[6][1] == [7, 8, IGNORE, IGNORE]


def test_with_loss_on_all_only_the_padding_does_not_count() -> None:
    _, targets = SFTBatches([Example((1, 2, 3, 4, 5), 3), Example((6, 7, 8), 1)], 2, loss_on="all")[0]
    assert sorted(targets.tolist()) == sorted([[2, 3, 4, 5], [7, 8, IGNORE, IGNORE]])


def test_each_answers_first_token_and_end_mark_count() -> None:
    data = examples(BYTES, [("What is this?", "A test."), ("And that?", "Another, longer.")])
    _, targets = SFTBatches(data, 2)[0]
    said = {bytes(t for t in row if 0 <= t < 256) for row in targets.tolist()}
    assert said == {b" A test.", b" Another, longer."}
    assert all(row.count(MARKS["<|end|>"]) == 1 for row in targets.tolist())
    assert all(MARKS["<|assistant|>"] not in row for row in targets.tolist())


def test_padding_to_a_greater_length_changes_neither_the_loss_nor_its_gradient() -> None:
    model = GPT(GPTConfig(vocab_size=260, context_length=64, n_layer=1, d_model=16), torch.Generator().manual_seed(0))
    inputs, targets = SFTBatches(examples(BYTES, [("Is it?", "It is."), ("Why?", "So.")]), 2)[0]
    losses, gradients = [], []
    for extra in (0, 20):
        model.zero_grad()
        padded = torch.cat((inputs, torch.full((2, extra), 7)), dim=1)
        ignored = torch.cat((targets, torch.full((2, extra), IGNORE)), dim=1)
        loss = next_token_loss(model, padded, ignored)
        loss.backward()
        losses.append(loss.item())
        gradients.append(model.blocks[0].mlp.up.weight.grad.clone())
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-7)


def test_the_questions_words_do_not_change_the_loss_through_their_own_prediction() -> None:
    """A model that ignores the context predicts the same everywhere: only the answer's tokens add up."""
    model = GPT(GPTConfig(vocab_size=260, context_length=64, n_layer=1, d_model=16))
    for weight in model.parameters():
        weight.data.zero_()
    model.norm.bias.data.fill_(1.0)
    model.head.weight.data[:, 0] = torch.linspace(-3, 3, 260)  # logits that depend on the token alone
    log_probs = torch.linspace(-3, 3, 260).log_softmax(0)
    inputs, targets = SFTBatches(examples(BYTES, [("zzzzzzzz", "ab")]), 1)[0]
    expected = -sum(log_probs[i].item() for i in (*b" ab", MARKS["<|end|>"])) / 4
    assert next_token_loss(model, inputs, targets).item() == pytest.approx(expected, rel=1e-5)
    inputs, targets = SFTBatches(examples(BYTES, [("zzzzzzzz", "ab")]), 1, loss_on="all")[0]
    assert abs(next_token_loss(model, inputs, targets).item() - expected) > 0.05


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (10, 3), (9, 9)])
def test_an_epoch_shows_every_example_at_most_once_in_an_order_of_its_own(n: int, batch_size: int, sort: bool) -> None:
    per_epoch, lengths = n // batch_size, [i % 5 for i in range(n)] if sort else None

    def batch(step: int, seed: int = 1) -> list[int]:
        return shuffled_indices(n, batch_size, step, seed, lengths)

    epochs = [[i for step in range(per_epoch) for i in batch(epoch * per_epoch + step)] for epoch in range(4)]
    assert all(len(set(epoch)) == len(epoch) == per_epoch * batch_size for epoch in epochs)
    assert all(set(epoch) <= set(range(n)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert batch(0) == epochs[0][:batch_size]  # again the same
    assert batch(0, seed=2) != epochs[0][:batch_size]


@pytest.mark.parametrize("seed", range(3))
def test_examples_of_like_length_share_a_batch_and_four_batches_hold_all_sorts(seed: int) -> None:
    lengths = [5 + 7 * i % 100 for i in range(640)]
    batches = [[lengths[i] for i in shuffled_indices(640, 16, step, seed, lengths)] for step in range(40)]
    padding = sum(max(batch) * len(batch) - sum(batch) for batch in batches) / sum(lengths)
    assert padding < 0.3, "without sorting there would be nearly as much padding as text"
    for first in range(0, 40, 4):
        four = [length for batch in batches[first : first + 4] for length in batch]
        assert four == sorted(four) and 40 < sum(four) / 64 < 70


def test_rows_are_filled_up_on_the_right() -> None:
    assert pad_right([[1, 2, 3], [4], []], 9).tolist() == [[1, 2, 3], [4, 9, 9], [9, 9, 9]]


def test_the_fingerprint_changes_with_examples_order_and_loss() -> None:
    one, other = Example((1, 2, 3), 1), Example((1, 2, 4), 1)
    variants = [
        SFTBatches([one, one], 2),
        SFTBatches([one, other], 2),
        SFTBatches([one, Example((1, 2, 3), 2)], 2),
        SFTBatches([one, one], 1),
        SFTBatches([one, one], 2, seed=1),
        SFTBatches([one, one], 2, loss_on="all"),
    ]
    assert len({variant.fingerprint for variant in variants}) == len(variants)
    assert SFTBatches([one, one], 2).fingerprint == variants[0].fingerprint


def test_settings_that_make_no_sense_give_a_sentence() -> None:
    with pytest.raises(ValueError, match="1 examples do not fill one batch of 32; use a smaller batch_size"):
        SFTBatches([Example((1, 2), 1)])
    with pytest.raises(ValueError, match='loss_on="question" is unknown; choose "answer" or "all"'):
        SFTBatches([Example((1, 2), 1)], 1, loss_on="question")
