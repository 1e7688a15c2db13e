"""DPO, IPO and best-of-n: the papers' formulas written out, enumeration, simulation, and the policy that is known.

TRL is no dependency of the course, so its losses are written here from the papers, in loops and scalars.
"""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torch import Tensor

from course.chain import store
from course.chat import answer_ids, prompt_ids
from course.dpo import (
    AnswerBatches,
    answer_log_probs,
    best_of_n_distribution,
    best_of_n_kl,
    dpo_loss,
    ipo_loss,
    rankings_loss,
)
from course.reward import Ranking
from course.tokenizer import Tokenizer
from course.train import TrainConfig, train
from course.transformer import GPT, GPTConfig

SEEDS = range(3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaps(seed: int, B: int = 6) -> tuple[Tensor, Tensor]:
    chosen, rejected = 4 * torch.randn(2, B, generator=seeded(seed), dtype=torch.float64)
    return chosen, rejected


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return store.load_tokenizer()


def small(tokenizer: Tokenizer, seed: int = 0) -> GPT:
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=48, n_layer=1, n_head=2, d_model=16)
    return GPT(config, seeded(seed))


RANKINGS = [
    Ranking("What is the capital of Japan?", ("It is Tokyo.", "Tokyo.", "It is Kyoto.")),
    Ranking("Where is Peru?", ("In South America.", "It is in Peru, I think.", "No.")),
    Ranking(("Where is Chad?", "In Africa.", "And its capital?"), ("N'Djamena.", "Lima.", "Chad.")),
]


# --- losses ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("beta", [0.05, 0.1, 1.0])
def test_dpo_is_the_papers_equation_7(seed: int, beta: float) -> None:
    chosen, rejected = gaps(seed)
    expected = [-math.log(1 / (1 + math.exp(-beta * (w - v)))) for w, v in zip(chosen, rejected, strict=True)]
    assert dpo_loss(chosen, rejected, beta).item() == pytest.approx(sum(expected) / len(expected), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_of_dpo_is_the_papers(seed: int) -> None:
    """-β σ(r_worse - r_better) for the better answer, and the opposite for the worse one (its section 4)."""
    chosen, rejected = (row.requires_grad_() for row in gaps(seed))
    up, down = torch.autograd.grad(dpo_loss(chosen, rejected, 0.3), (chosen, rejected))
    expected = -0.3 * torch.sigmoid(0.3 * (rejected - chosen)) / len(chosen)
    torch.testing.assert_close(up, expected)
    torch.testing.assert_close(down, -expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_ipo_is_the_papers_equation_17(seed: int) -> None:
    chosen, rejected = gaps(seed)
    expected = [(w - v - 1 / (2 * 0.25)) ** 2 for w, v in zip(chosen.tolist(), rejected.tolist(), strict=True)]
    assert ipo_loss(chosen, rejected, 0.25).item() == pytest.approx(sum(expected) / len(expected), rel=1e-9)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_where_all_agree_ipo_stops_at_its_gap_and_dpo_does_not(beta: float) -> None:
    found = {}
    for loss in (dpo_loss, ipo_loss):
        gap = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        for _ in range(4000):
            (slope,) = torch.autograd.grad(loss(gap, torch.zeros(1), beta), gap)
            gap.data -= 0.4 * slope
        found[loss] = gap.item()
    assert found[ipo_loss] == pytest.approx(1 / (2 * beta), rel=1e-6)
    assert found[dpo_loss] > 2 * found[ipo_loss]


@pytest.mark.parametrize("seed", SEEDS)
def test_dpo_finds_the_policy_that_is_best_under_the_leash(seed: int) -> None:
    """Preferences by Bradley and Terry from known rewards, all pairs with their exact shares: the minimum of the loss
    is π ∝ π_ref exp(r / β), the closed form of the leashed problem, which the loss never sees."""
    chance, beta, M = seeded(seed), 0.5, 4
    reference = torch.randn(M, generator=chance, dtype=torch.float64).log_softmax(0)
    rewards = torch.randn(M, generator=chance, dtype=torch.float64)
    theta = reference.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([theta], max_iter=400, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        gap = theta.log_softmax(0) - reference
        loss = torch.zeros((), dtype=torch.float64)
        for a, b in itertools.permutations(range(M), 2):
            loss = loss + torch.sigmoid(rewards[a] - rewards[b]) * dpo_loss(gap[a : a + 1], gap[b : b + 1], beta)
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = (reference + rewards / beta).softmax(0)
    torch.testing.assert_close(theta.detach().softmax(0), expected, rtol=0, atol=1e-5)


# --- with a model ---


def test_an_answers_log_prob_is_that_of_its_tokens_one_by_one(tokenizer: Tokenizer) -> None:
    model = small(tokenizer)
    tokens, mask = AnswerBatches(tokenizer, RANKINGS, 3, seed=0)[0]
    found = answer_log_probs(model, tokens, mask)
    assert found.shape == (3, 3)
    rows = {tuple(row.tolist()): value.item() for row, value in zip(tokens.flatten(0, 1), found.flatten(), strict=True)}
    for ranking in RANKINGS:
        for text in ranking.answers:
            prompt, answer = prompt_ids(tokenizer, ranking.question), answer_ids(tokenizer, text)
            expected = 0.0
            for i, token in enumerate(answer):
                logits = model(torch.tensor([[*prompt, *answer[:i]]]))[0, -1]
                expected += logits.log_softmax(0)[token].item()
            padded = (*prompt, *answer, *[0] * (tokens.size(2) - len(prompt) - len(answer)))
            assert rows[padded] == pytest.approx(expected, abs=1e-4)


def test_a_ranking_of_two_is_dpo_on_a_pair_and_of_three_the_mean_of_its_pairs(tokenizer: Tokenizer) -> None:
    policy, reference = small(tokenizer, 0), small(tokenizer, 1)
    tokens, mask = AnswerBatches(tokenizer, RANKINGS, 3)[0]
    gap = answer_log_probs(policy, tokens, mask) - answer_log_probs(reference, tokens, mask)
    pairs = [dpo_loss(gap[:, a], gap[:, b], 0.2).item() for a, b in ((0, 1), (0, 2), (1, 2))]
    assert rankings_loss(policy, tokens, mask, reference, 0.2).item() == pytest.approx(sum(pairs) / 3, rel=1e-5)
    two = rankings_loss(policy, tokens[:, :2], mask[:, :2], reference, 0.2)
    assert two.item() == pytest.approx(pairs[0], rel=1e-5)


def test_training_raises_the_gap_and_leaves_the_reference_alone(tokenizer: Tokenizer) -> None:
    policy = small(tokenizer)
    reference = copy.deepcopy(policy)
    before = [weight.clone() for weight in reference.parameters()]
    batches = AnswerBatches(tokenizer, RANKINGS, 3)
    config = TrainConfig(steps=20, learning_rate=1e-2, warmup=2, weight_decay=0.0)
    losses = [
        record.loss
        for record in train(
            policy, batches, config, loss=lambda *given: rankings_loss(*given, reference, 0.5), progress=False
        )
    ]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5)  # both are the same model
    assert losses[-1] < 0.3
    assert all(torch.equal(old, new) for old, new in zip(before, reference.parameters(), strict=True))
    tokens, mask = batches[0]
    gap = answer_log_probs(policy, tokens, mask) - answer_log_probs(reference, tokens, mask)
    assert (gap[:, 0] > gap[:, 2]).all()


def test_batches_say_what_is_missing(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="smaller batch_size"):
        AnswerBatches(tokenizer, RANKINGS, 4)
    assert AnswerBatches(tokenizer, RANKINGS, 3).fingerprint != AnswerBatches(tokenizer, RANKINGS[:2], 2).fingerprint


# --- the best of n ---


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_best_of_n_is_distributed_as_enumeration_says(seed: int, n: int) -> None:
    probs = torch.rand(5, generator=seeded(seed), dtype=torch.float64)
    probs, rewards = probs / probs.sum(), torch.randn(5, generator=seeded(seed + 9), dtype=torch.float64)
    expected = torch.zeros(5, dtype=torch.float64)
    for drawn in itertools.product(range(5), repeat=n):
        best = max(drawn, key=lambda i: rewards[i].item())
        expected[best] += math.prod(probs[i].item() for i in drawn)
    torch.testing.assert_close(best_of_n_distribution(probs, rewards, n), expected)


@pytest.mark.parametrize("n", [1, 2, 4, 16, 64])
def test_the_formula_bounds_the_kl_and_many_equal_answers_reach_it(n: int) -> None:
    for M in (2, 5, 40_000):
        probs = torch.full((M,), 1 / M, dtype=torch.float64)
        best = best_of_n_distribution(probs, torch.arange(M), n)
        kl = torch.special.xlogy(best, best / probs).sum().item()
        assert kl <= best_of_n_kl(n) + 1e-9
    assert kl == pytest.approx(best_of_n_kl(n), abs=n / 40_000)  # of many equally likely answers


def test_one_draw_is_no_distance_and_none_is_an_error() -> None:
    assert best_of_n_kl(1) == 0
    with pytest.raises(ValueError, match="at least one"):
        best_of_n_kl(0)
