"""The reward model: Bradley and Terry's closed form, logistic regression, finite differences."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from course.reward import (
    Ranking,
    RankingBatches,
    RewardModel,
    agreement,
    bradley_terry_loss,
    conversation_ids,
    ranking_loss,
    score,
)
from course.tokenizer import Tokenizer
from course.train import TrainConfig, train
from course.transformer import GPT, GPTConfig

BYTES = Tokenizer([])
CONFIG = GPTConfig(vocab_size=260, context_length=64, n_layer=2, n_head=2, d_model=16)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def model_for(seed: int = 0) -> RewardModel:
    """With a head that is not 0, as after some training."""
    model = RewardModel(GPT(CONFIG, torch.Generator().manual_seed(seed))).eval()
    model.head.weight.data = draw(seed, 1, 16).float()
    return model


# --- Bradley and Terry ---


@pytest.mark.parametrize("K", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_is_the_mean_over_all_pairs_of_all_rankings(seed: int, K: int) -> None:
    rewards = draw(seed, 4, K)
    terms = [
        math.log(1 + math.exp(row[worse].item() - row[better].item()))
        for row in rewards
        for better, worse in itertools.combinations(range(K), 2)
    ]
    assert len(terms) == 4 * K * (K - 1) // 2
    assert bradley_terry_loss(rewards).item() == pytest.approx(sum(terms) / len(terms), rel=1e-12)


def test_equal_rewards_cost_ln_2_and_a_wide_lead_costs_nothing() -> None:
    assert bradley_terry_loss(torch.zeros(3, 4)).item() == pytest.approx(math.log(2))
    assert bradley_terry_loss(torch.tensor([[500.0, 0.0]])).item() == pytest.approx(0.0)
    assert bradley_terry_loss(torch.tensor([[0.0, 500.0]])).item() == pytest.approx(500.0)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_finite_differences(seed: int) -> None:
    rewards = draw(seed, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(bradley_terry_loss, (rewards,), eps=1e-6, atol=1e-6)


def minimise(weights: Tensor, loss: object) -> None:
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()  # type: ignore[operator]
        value.backward()
        return value

    optimizer.step(closure)


@pytest.mark.parametrize(("wins", "losses"), [(3, 1), (7, 3), (1, 9)])
def test_two_answers_end_as_far_apart_as_the_logarithm_of_wins_to_losses(wins: int, losses: int) -> None:
    """Closed form: P(a before b) = σ(r_a - r_b) is the share of wins when r_a - r_b = ln(wins / losses)."""
    rewards = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    order = torch.tensor([[0, 1]] * wins + [[1, 0]] * losses)
    minimise(rewards, lambda: bradley_terry_loss(rewards[order]))
    assert (rewards[0] - rewards[1]).item() == pytest.approx(math.log(wins / losses), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_with_linear_rewards_it_is_logistic_regression_on_differences(seed: int) -> None:
    """Newton's method on the logistic likelihood of x_better - x_worse finds the same weights."""
    features = draw(seed, 60, 3, 2)  # 60 rankings of 3 answers, 2 features each
    noisy = features @ torch.tensor([1.0, -0.5], dtype=torch.float64) + 2 * draw(seed + 9, 60, 3)
    order = noisy.argsort(dim=1, descending=True)
    features = features.gather(1, order[..., None].expand(-1, -1, 2))  # best first
    differences = torch.cat([features[:, a] - features[:, b] for a, b in ((0, 1), (0, 2), (1, 2))])
    newton = torch.zeros(2, dtype=torch.float64)
    for _ in range(30):
        p = (differences @ newton).sigmoid()
        hessian = (differences * (p * (1 - p))[:, None]).T @ differences
        newton = newton + torch.linalg.solve(hessian, differences.T @ (1 - p))
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    minimise(weights, lambda: bradley_terry_loss(features @ weights))
    torch.testing.assert_close(weights.detach(), newton, rtol=1e-6, atol=1e-7)
    expected = F.binary_cross_entropy_with_logits(differences @ newton, torch.ones(180, dtype=torch.float64))
    torch.testing.assert_close(bradley_terry_loss(features @ newton), expected)


# --- the model ---


def test_before_training_all_answers_are_equally_good() -> None:
    model = RewardModel(GPT(CONFIG))
    assert torch.equal(model(torch.ones(3, 10, dtype=torch.long), torch.tensor([10, 4, 1])), torch.zeros(3))


@pytest.mark.parametrize("seed", range(3))
def test_a_reward_is_read_at_the_last_token_and_padding_changes_nothing(seed: int) -> None:
    model = model_for(seed)
    tokens = torch.randint(260, (3, 20), generator=torch.Generator().manual_seed(seed))
    lengths = torch.tensor([20, 7, 1])
    with torch.no_grad():
        rewards = model(tokens, lengths)
        for row, length in enumerate(lengths.tolist()):
            alone = model(tokens[row : row + 1, :length], torch.tensor([length]))
            by_hand = model.gpt.hidden(tokens[row : row + 1, :length])[0, -1] @ model.head.weight[0]
            torch.testing.assert_close(alone, rewards[row : row + 1], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(by_hand, rewards[row], rtol=1e-4, atol=1e-5)
    assert rewards.unique().numel() == 3


def test_after_normalising_the_rewards_have_mean_0_and_deviation_1() -> None:
    model = model_for()
    tokens, lengths = (
        torch.randint(260, (30, 12), generator=torch.Generator().manual_seed(1)),
        torch.full((30,), 12),
    )
    with torch.no_grad():
        before = model(tokens, lengths)
        model.normalise(before)
        after = model(tokens, lengths)
        assert after.mean().item() == pytest.approx(0, abs=1e-5)
        assert after.std().item() == pytest.approx(1, rel=1e-4)
        assert torch.equal(after.argsort(), before.argsort())
        model.normalise(3 * after + 5)  # from normalised rewards, too
        torch.testing.assert_close(model(tokens, lengths), (after - 5) / 3, rtol=1e-3, atol=1e-4)
    assert {"shift", "scale"} <= model.state_dict().keys()  # saved with the weights


def test_scores_are_those_of_each_conversation_alone() -> None:
    model = model_for()
    pairs = [("Hi?", "No."), ("What is it?", "It is a long answer."), ("Why", "x"), ("", "")]
    alone = []
    with torch.no_grad():
        for question, answer in pairs:
            ids = conversation_ids(BYTES, question, answer)
            alone.append(model(torch.tensor([ids]), torch.tensor([len(ids)])))
    torch.testing.assert_close(score(model, BYTES, pairs), torch.cat(alone), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(score(model, BYTES, pairs, batch_size=3), torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert score(model, BYTES, []).shape == (0,)


def test_scoring_builds_no_graph() -> None:
    assert not score(model_for(), BYTES, [("a", "b")]).requires_grad


def test_rewards_are_float32_also_within_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        rewards = model_for()(torch.ones(2, 3, dtype=torch.long), torch.tensor([3, 2]))
    assert rewards.dtype == torch.float32


# --- batches ---


def test_a_batch_holds_each_ranking_whole_and_best_first() -> None:
    rankings = [Ranking(f"Q{i}?", (f"best {i}", "middle", "w" * i)) for i in range(5)]
    tokens, lengths = RankingBatches(BYTES, rankings, batch_size=4)[0]
    assert tokens.shape[:2] == lengths.shape == (4, 3)
    expected = [[conversation_ids(BYTES, r.question, answer) for answer in r.answers] for r in rankings]
    for row, row_lengths in zip(tokens, lengths, strict=True):
        read = [ids[:n].tolist() for ids, n in zip(row, row_lengths, strict=True)]
        assert read in expected
        assert all((ids[n:] == 0).all() for ids, n in zip(row, row_lengths, strict=True))


def test_the_loss_of_a_batch_is_bradley_terry_on_the_models_rewards() -> None:
    model = model_for()
    rankings = [Ranking("Q?", ("good", "bad", "worse")), Ranking("And?", ("fine", "so so", "no"))]
    tokens, lengths = RankingBatches(BYTES, rankings, batch_size=2)[0]
    rewards = torch.stack([model(tokens[b], lengths[b]) for b in range(2)])
    torch.testing.assert_close(ranking_loss(model, tokens, lengths), bradley_terry_loss(rewards))


def test_it_learns_a_ranking_and_leaves_the_policy_alone() -> None:
    gpt = GPT(CONFIG, torch.Generator().manual_seed(0))
    model = RewardModel(copy.deepcopy(gpt))
    before = copy.deepcopy(gpt.state_dict())
    rankings = [Ranking(f"Q{i}?", ("It is so.", "It is.", "Go away!")) for i in range(8)]
    config = TrainConfig(steps=40, learning_rate=1e-2, warmup=5, precision="float32")
    records = list(train(model, RankingBatches(BYTES, rankings, 4), config, loss=ranking_loss, progress=False))
    assert records[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert records[-1].loss < 0.1
    good, middle, bad = score(model, BYTES, [("Q3?", answer) for answer in rankings[0].answers]).tolist()
    assert good > middle > bad
    assert all(torch.equal(before[name], tensor) for name, tensor in gpt.state_dict().items())


def test_the_fingerprint_changes_with_the_rankings_and_their_order() -> None:
    one, swapped = Ranking("Q?", ("a", "b")), Ranking("Q?", ("b", "a"))
    variants = [
        RankingBatches(BYTES, [one, one], 2),
        RankingBatches(BYTES, [one, swapped], 2),
        RankingBatches(BYTES, [one, one], 1),
        RankingBatches(BYTES, [one, one], 2, seed=1),
    ]
    assert len({variant.fingerprint for variant in variants}) == 4


def test_rankings_that_cannot_be_batched_give_a_sentence() -> None:
    with pytest.raises(ValueError, match="1 rankings do not fill one batch of 16"):
        RankingBatches(BYTES, [Ranking("Q?", ("a", "b"))])
    with pytest.raises(ValueError, match="different numbers of answers"):
        RankingBatches(BYTES, [Ranking("Q?", ("a", "b")), Ranking("Q?", ("a", "b", "c"))], 2)


# --- agreement ---


@pytest.mark.parametrize("seed", range(5))
def test_agreement_is_the_share_of_pairs_in_the_same_order(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, gold = (torch.randint(4, (6, 4), generator=generator).float() for _ in range(2))
    points, pairs = 0.0, 0
    for given, wanted in zip(rewards.tolist(), gold.tolist(), strict=True):
        for a, b in itertools.combinations(range(4), 2):
            if wanted[a] != wanted[b]:
                pairs += 1
                if given[a] == given[b]:
                    points += 0.5
                elif (given[a] > given[b]) == (wanted[a] > wanted[b]):
                    points += 1
    assert agreement(rewards, gold) == pytest.approx(points / pairs)


def test_agreement_is_1_for_the_same_order_0_for_the_opposite_and_a_half_for_none() -> None:
    gold = torch.tensor([[3.0, 1.0, 2.0]])
    assert agreement(gold * 7 - 3, gold) == 1.0
    assert agreement(-gold, gold) == 0.0
    assert agreement(torch.zeros(1, 3), gold) == 0.5
    with pytest.raises(ValueError, match="no order to agree with"):
        agreement(gold, torch.ones(1, 3))


def test_rewards_that_are_all_the_same_cannot_be_scaled() -> None:
    model = RewardModel(GPT(CONFIG))
    for rewards in (torch.zeros(3), torch.tensor([0.5])):
        with pytest.raises(ValueError, match="all the same"):
            model.normalise(rewards)


def test_rankings_of_one_answer_are_refused() -> None:
    with pytest.raises(ValueError, match="holds no pair"):
        RankingBatches(BYTES, [Ranking("Who?", ("I.",))] * 16)
