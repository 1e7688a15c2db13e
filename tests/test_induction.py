"""Induction heads: the scores against loops and a circuit made by hand, silent heads against weights set to zero."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from course.induction import (
    RepeatedBatches,
    after_earlier,
    copying_score,
    head_outputs,
    in_context_score,
    looked_at,
    prefix_score,
    repeated,
    silenced,
    token_losses,
)
from course.train import TrainConfig, train
from course.transformer import GPT, GPTConfig

SEEDS = range(3)


def small(seed: int, **settings: object) -> GPT:
    """A model with random weights, large enough that attention is not uniform."""
    shape = dict(vocab_size=30, context_length=24, n_layer=2, n_head=4, d_model=32)
    model = GPT(GPTConfig(**{**shape, **settings}), torch.Generator().manual_seed(seed)).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
    return model


def some_tokens(seed: int, T: int = 20, kinds: int = 9) -> torch.Tensor:
    return torch.randint(kinds, (3, T), generator=torch.Generator().manual_seed(seed))


# --- repeated rows ---


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeated_row_begins_again_after_its_period_and_holds_no_token_twice_before(seed):
    rows, periods = repeated(40, 33, (8, 16), 64, torch.Generator().manual_seed(seed))
    assert rows.shape == (40, 33) and periods.shape == (40,)
    assert periods.min() == 8 and periods.max() == 16, "of 40 periods none is missed at the ends but by bad luck"
    for row, period in zip(rows.tolist(), periods.tolist(), strict=True):
        assert len(set(row[:period])) == period
        assert all(row[t] == row[t - period] for t in range(period, 33))


@pytest.mark.parametrize("periods", [(0, 4), (5, 4), (4, 40), (4, 20)])
def test_periods_that_do_not_fit_are_refused(periods):
    with pytest.raises(ValueError, match="periods"):
        repeated(2, 20, periods, 64, torch.Generator())


def test_batches_hang_on_the_step_and_the_seed_alone():
    batches = RepeatedBatches(seed=3)
    inputs, targets = batches[5]
    assert inputs.shape == targets.shape == (32, 32)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert torch.equal(inputs, RepeatedBatches(seed=3)[5][0])
    assert not torch.equal(inputs, batches[6][0]) and not torch.equal(inputs, RepeatedBatches(seed=4)[5][0])


# --- what heads look at ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("settings", [{}, {"position": "rotary"}, {"position": "rotary", "n_kv_head": 2}])
def test_weights_and_results_make_up_what_the_model_computes(seed, settings):
    model, tokens = small(seed, **settings), some_tokens(seed)
    weights, results = head_outputs(model, tokens)
    assert weights.shape == (3, 2, 4, 20, 20) and results.shape == (3, 2, 20, 4, 8)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 4, 20))
    assert (weights.triu(1) == 0).all(), "nobody looks at the future"
    x = model.token_embedding(tokens)
    if model.config.position == "learned":
        x = x + model.position_embedding.weight[:20]
    for layer, block in enumerate(model.blocks):
        _, _, v = block.attention.project(block.norm1(x))
        v = v.repeat_interleave(4 // v.size(1), dim=1)
        by_weights = (weights[:, layer] @ v).transpose(1, 2)  # (B, T, H, d_head)
        torch.testing.assert_close(by_weights, results[:, layer], rtol=1e-4, atol=1e-5)
        x = x + block.attention.out(by_weights.flatten(2))
        x = x + block.mlp(block.norm2(x))
    torch.testing.assert_close(model.norm(x), model.hidden(tokens), rtol=1e-4, atol=1e-4)


def test_looking_leaves_the_model_as_it_was():
    model, tokens = small(0), some_tokens(0)
    before = model(tokens)
    looked_at(model, tokens)
    assert torch.equal(model(tokens), before)
    assert not any(module._forward_pre_hooks for module in model.modules())


# --- scores ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_prefix_score_is_what_a_loop_over_single_weights_finds(seed):
    model, tokens = small(seed), some_tokens(seed)
    weights = looked_at(model, tokens)
    scores = prefix_score(weights, tokens)
    for layer in range(2):
        for head in range(4):
            found = []
            for b, row in enumerate(tokens.tolist()):
                for t in range(20):
                    places = [s for s in range(1, t + 1) if row[s - 1] == row[t]]
                    if places:
                        found.append(sum(weights[b, layer, head, t, s].item() for s in places))
            assert scores[layer, head].item() == pytest.approx(sum(found) / len(found), rel=1e-4)


def test_a_head_that_looks_behind_the_earlier_token_has_the_score_one_and_one_that_looks_back_none():
    tokens = torch.tensor([[5, 6, 7, 5, 6, 7]])
    induction = torch.eye(6)[[0, 1, 2, 1, 2, 3]]  # positions 3, 4, 5 look at what came after the same token
    previous = torch.eye(6)[[0, 0, 1, 2, 3, 4]]
    weights = torch.stack((induction, previous))[None, None]  # (1, 1, 2, 6, 6)
    assert prefix_score(weights, tokens).tolist() == [[1.0, 0.0]]


def test_a_token_twice_in_a_row_is_behind_itself():
    assert after_earlier(torch.tensor([[4, 4]]))[0].tolist() == [[False, False], [False, True]]


def test_without_a_repetition_there_is_no_prefix_score():
    model, tokens = small(0), torch.arange(10)[None]
    with pytest.raises(ValueError, match="No token comes twice"):
        prefix_score(looked_at(model, tokens), tokens)


def copying_model(sign: float) -> GPT:
    """One layer, one head, whose value is the token itself: what it looks at, it raises (or lowers)."""
    model = small(0, n_layer=1, n_head=1, vocab_size=16, d_model=16)
    with torch.no_grad():
        model.token_embedding.weight.copy_(4 * torch.eye(16))
        model.position_embedding.weight.zero_()
        model.blocks[0].attention.qkv.weight.zero_()
        model.blocks[0].attention.qkv.weight[32:].copy_(torch.eye(16))  # values; q and k are 0: all look everywhere
        model.blocks[0].attention.out.weight.copy_(sign * torch.eye(16))
    return model


def test_a_head_that_raises_what_it_looks_at_has_a_higher_copying_score_than_one_that_lowers_it():
    tokens = torch.arange(10)[None]
    raising, lowering = (copying_score(copying_model(sign), tokens).item() for sign in (1.0, -1.0))
    # all tokens so far are raised by the same amount: the share of one is 1 / t, in the mean over t = 1 … 10
    assert raising == pytest.approx(sum(1 / t for t in range(1, 11)) / 10, rel=1e-3)
    assert lowering == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_the_copying_score_is_a_share(seed):
    scores = copying_score(small(seed), some_tokens(seed))
    assert scores.shape == (2, 4) and (scores >= 0).all() and (scores <= 1).all()


def test_the_in_context_score_is_the_late_loss_less_the_early_one():
    losses = torch.tensor([[4.0, 4.0, 1.0, 2.0], [6.0, 2.0, 0.0, 1.0]])
    assert in_context_score(losses, slice(0, 2), slice(2, None)) == pytest.approx(1.0 - 4.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_token_losses_average_to_cross_entropy(seed):
    model, tokens = small(seed), some_tokens(seed)
    expected = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
    losses = token_losses(model, tokens)
    assert losses.shape == (3, 19)
    torch.testing.assert_close(losses.mean(), expected.detach())


# --- silence ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("heads", [[(0, 1)], [(1, 0), (1, 3)], [(0, 0), (1, 2)], []])
def test_a_silent_head_is_one_whose_columns_of_the_output_matrix_are_zero(seed, heads):
    model, tokens = small(seed), some_tokens(seed)
    cut = copy.deepcopy(model)
    with torch.no_grad():
        for layer, head in heads:
            cut.blocks[layer].attention.out.weight[:, 8 * head : 8 * head + 8] = 0
    before = model(tokens)
    with silenced(model, heads) as quiet:
        torch.testing.assert_close(quiet(tokens), cut(tokens))
    assert torch.equal(model(tokens), before), "afterwards they speak again"


def test_heads_speak_again_after_an_error():
    model, tokens = small(0), some_tokens(0)
    before = model(tokens)
    with pytest.raises(RuntimeError, match="stop"), silenced(model, [(0, 0)]):
        raise RuntimeError("stop")
    assert torch.equal(model(tokens), before)


@pytest.mark.parametrize("head", [(2, 0), (0, 4), (-1, 0)])
def test_a_head_that_is_not_there_is_refused(head):
    with pytest.raises(ValueError, match="There is no head"), silenced(small(0), [head]):
        pass


# --- the phenomenon ---


def test_two_layers_learn_to_copy_and_one_does_not():
    rows, _ = repeated(32, 33, (8, 16), 64, torch.Generator().manual_seed(99))
    plan = TrainConfig(
        steps=400, learning_rate=3e-3, warmup=20, final_fraction=1.0, weight_decay=0.01, optimizer="muon"
    )
    late = {}
    for n_layer in (1, 2):
        shape = GPTConfig(vocab_size=64, context_length=32, n_layer=n_layer, n_head=2, d_model=64, position="rotary")
        model = GPT(shape, torch.Generator().manual_seed(0))
        for _ in train(model, RepeatedBatches(), plan, progress=False):
            pass
        late[n_layer] = token_losses(model.eval(), rows)[:, 16:].mean().item()
    assert late[1] > 2 > 1 > late[2], late
