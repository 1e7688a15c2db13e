"""Reinforcement learning: closed forms, exact expectations, finite differences, and a task to learn."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from course import rl
from course.rl import (
    ActorCritic,
    IterationRecord,
    PPOConfig,
    Rollout,
    gae,
    kl_estimate,
    masked_mean,
    ppo,
    ppo_policy_loss,
    reinforce_loss,
    rollout,
    token_log_probs,
    token_rewards,
    value_loss,
    whiten,
)
from course.train import TokenBatches, TrainConfig, evaluate_loss, train
from course.transformer import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=12, context_length=16, n_layer=1, n_head=2, d_model=16, tie_embeddings=False)
END = 11
SEEDS = range(3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=seeded(seed), dtype=torch.float64)


def policy_for(seed: int = 0) -> GPT:
    model = GPT(CONFIG, seeded(seed))
    model.head.weight.data = torch.randn(12, 16, generator=seeded(seed)) / 4  # so that tokens differ in chance
    return model


def answer_mask(seed: int, B: int = 4, T: int = 9) -> Tensor:
    """Each row: a prompt, an answer of at least one token, padding."""
    generator = seeded(seed)
    begin = torch.randint(0, T - 3, (B, 1), generator=generator)
    length = torch.randint(1, 4, (B, 1), generator=generator)
    place = torch.arange(T)
    return (place >= begin) & (place < begin + length)


# --- log-probabilities ---


@pytest.mark.parametrize("seed", SEEDS)
def test_token_log_probs_are_those_of_each_next_token(seed: int) -> None:
    logits, tokens = draw(seed, 2, 5, 7), torch.randint(7, (2, 5), generator=seeded(seed))
    mask = torch.rand(2, 4, generator=seeded(seed)) < 0.5
    found = token_log_probs(nn.Identity(), logits, tokens)
    masked = token_log_probs(nn.Identity(), logits, tokens, mask)
    assert found.shape == masked.shape == (2, 4)
    for b, t in itertools.product(range(2), range(4)):
        expected = logits[b, t, tokens[b, t + 1]] - logits[b, t].logsumexp(0)
        assert found[b, t].item() == pytest.approx(expected.item(), abs=1e-6)
        assert masked[b, t].item() == pytest.approx(expected.item() if mask[b, t] else 0.0, abs=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_the_temperature_divides_the_logits(masked: bool) -> None:
    logits, tokens = draw(0, 2, 5, 7), torch.randint(7, (2, 5), generator=seeded(1))
    mask = torch.ones(2, 4, dtype=torch.bool) if masked else None
    found = token_log_probs(nn.Identity(), logits, tokens, mask, temperature=0.5)
    torch.testing.assert_close(found, token_log_probs(nn.Identity(), logits / 0.5, tokens))


# --- REINFORCE ---


def test_reinforces_gradient_is_the_exact_gradient_of_the_expected_reward() -> None:
    """A bandit with arms of probability 1/2, 1/4, 1/4, drawn as often: the mean is the expectation."""
    rewards = torch.tensor([1.0, 5.0, -2.0], dtype=torch.float64)
    theta = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log().requires_grad_()
    (exact,) = torch.autograd.grad(theta.softmax(0) @ rewards, theta)
    arms = torch.tensor([0, 0, 1, 2])
    for baseline in (0.0, 1.25, -7.0):  # no baseline changes the expectation
        loss = reinforce_loss(theta.log_softmax(0)[arms], rewards[arms] - baseline)
        (gradient,) = torch.autograd.grad(loss, theta)
        torch.testing.assert_close(-gradient, exact)


def test_reinforces_gradient_from_draws_comes_near_the_exact_one() -> None:
    """20,000 draws: each component's standard error is below 5/√20000 = 0.035; four are allowed."""
    rewards = torch.tensor([1.0, 5.0, -2.0, 0.0])
    theta = torch.tensor([0.3, -0.5, 1.0, 0.0], requires_grad=True)
    (exact,) = torch.autograd.grad(theta.softmax(0) @ rewards, theta)
    arms = torch.multinomial(theta.detach().softmax(0), 20_000, replacement=True, generator=seeded(0))
    (gradient,) = torch.autograd.grad(reinforce_loss(theta.log_softmax(0)[arms], rewards[arms]), theta)
    torch.testing.assert_close(-gradient, exact, rtol=0, atol=0.14)


def test_following_reinforce_finds_the_best_arm() -> None:
    rewards, theta = torch.tensor([0.1, 0.9, 0.3]), torch.zeros(3, requires_grad=True)
    optimizer, chance = torch.optim.SGD([theta], lr=2.0), seeded(0)
    for _ in range(100):
        arms = torch.multinomial(theta.detach().softmax(0), 32, replacement=True, generator=chance)
        optimizer.zero_grad()
        reinforce_loss(theta.log_softmax(0)[arms], rewards[arms] - rewards[arms].mean()).backward()
        optimizer.step()
    assert theta.softmax(0)[1].item() > 0.95


# --- KL ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_kl_estimate_is_unbiased(seed: int) -> None:
    """Over all answers of two tokens, weighted by their probabilities, its mean is the exact KL."""
    V = 5
    first, second = (
        draw(seed, 2, V).log_softmax(-1),
        draw(seed + 9, 2, V, V).log_softmax(-1),
    )  # policy, reference
    pairs = list(itertools.product(range(V), repeat=2))
    log_p, log_r = (torch.stack([torch.stack((first[i, a], second[i, a, b])) for a, b in pairs]) for i in (0, 1))
    probability = log_p.sum(1).exp()
    exact = (probability * (log_p.sum(1) - log_r.sum(1))).sum().item()
    estimates = kl_estimate(log_p, log_r, torch.ones(V * V, 2, dtype=torch.bool))
    assert (probability * estimates).sum().item() == pytest.approx(exact, rel=1e-9)
    assert (estimates >= 0).all()
    assert exact > 0.1


def test_the_kl_estimate_of_nearly_equal_models_is_not_lost_to_rounding() -> None:
    log_ratio = 1e-4 * torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    estimates = kl_estimate(torch.zeros(1000, 1), log_ratio, torch.ones(1000, 1, dtype=torch.bool))
    assert (estimates >= 0).all()
    torch.testing.assert_close(estimates, (log_ratio**2 / 2).squeeze(1), rtol=1e-2, atol=1e-12)


def test_the_kl_estimate_counts_the_answers_tokens_only_and_is_0_for_equal_models() -> None:
    log_p, log_r, mask = -draw(0, 4, 9).abs(), -draw(1, 4, 9).abs(), answer_mask(0)
    changed = torch.where(mask, log_p, torch.tensor(-3.0, dtype=torch.float64))
    assert torch.equal(kl_estimate(log_p, log_r, mask), kl_estimate(changed, log_r, mask))
    assert torch.equal(kl_estimate(log_p, log_p, mask), torch.zeros(4, dtype=torch.float64))


# --- rewards and advantages ---


@pytest.mark.parametrize("seed", SEEDS)
def test_the_score_is_earned_by_the_last_token_and_the_kl_by_each(seed: int) -> None:
    score, log_p, log_r, mask = draw(seed, 4), draw(seed + 1, 4, 9), draw(seed + 2, 4, 9), answer_mask(seed)
    rewards = token_rewards(score, log_p, log_r, mask, 0.3)
    for b in range(4):
        answer = mask[b].nonzero().flatten().tolist()
        for t in range(9):
            expected = -0.3 * (log_p[b, t] - log_r[b, t]).item() if t in answer else 0.0
            expected += score[b].item() if t == answer[-1] else 0.0
            assert rewards[b, t].item() == pytest.approx(expected)
    free = token_rewards(score, log_p, log_r, mask, 0.0)
    torch.testing.assert_close(free.sum(1), score)


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
@pytest.mark.parametrize("seed", SEEDS)
def test_gae_equals_the_sum_of_its_definition(seed: int, gamma: float, lam: float) -> None:
    """Equation 16: A_t = Σ_l (γλ)^l δ_{t+l}, over the answer's tokens; behind the last is nothing."""
    mask = answer_mask(seed)
    rewards, values = (
        draw(seed, 4, 9) * mask,
        draw(seed + 1, 4, 9),
    )  # values outside the answer must not matter
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for b in range(4):
        answer = mask[b].nonzero().flatten().tolist()
        delta = {
            t: rewards[b, t].item() + gamma * (values[b, t + 1].item() if t + 1 in answer else 0) - values[b, t].item()
            for t in answer
        }
        for t in range(9):
            expected = sum((gamma * lam) ** (s - t) * delta[s] for s in answer if s >= t) if t in answer else 0.0
            assert advantages[b, t].item() == pytest.approx(expected, abs=1e-12)
            wanted = expected + values[b, t].item() if t in answer else 0.0
            assert returns[b, t].item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_with_lambda_1_the_return_is_all_that_is_still_to_be_earned(seed: int) -> None:
    mask = answer_mask(seed)
    rewards = draw(seed, 4, 9) * mask
    _, returns = gae(rewards, draw(seed + 1, 4, 9), mask, gamma=1.0, lam=1.0)
    to_come = rewards.flip(1).cumsum(1).flip(1) * mask
    torch.testing.assert_close(returns, to_come)


def test_whitened_advantages_have_mean_0_and_deviation_1_within_the_mask() -> None:
    x, mask = 5 * draw(0, 4, 9) + 3, answer_mask(1)
    white = whiten(x, mask)
    assert (white[~mask] == 0).all()
    torch.testing.assert_close(white[mask], (x[mask] - x[mask].mean()) / x[mask].std(unbiased=False))
    assert masked_mean(x, mask).item() == pytest.approx(x[mask].mean().item())


# --- PPO's losses ---


@pytest.mark.parametrize("clip", [0.2, 0.05])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_policy_loss_is_the_papers_token_by_token(seed: int, clip: float) -> None:
    new, old, advantages, mask = (
        0.3 * draw(seed, 4, 9),
        0.3 * draw(seed + 1, 4, 9),
        draw(seed + 2, 4, 9),
        answer_mask(seed),
    )
    terms = []
    for b, t in mask.nonzero().tolist():
        ratio, a = math.exp(new[b, t] - old[b, t]), advantages[b, t].item()
        terms.append(min(ratio * a, min(max(ratio, 1 - clip), 1 + clip) * a))
    expected = -sum(terms) / len(terms)
    assert ppo_policy_loss(new, old, advantages, mask, clip).item() == pytest.approx(expected, rel=1e-12)


def test_a_token_moved_far_enough_has_nothing_more_to_gain() -> None:
    """Figure 1 of the paper: no slope beyond 1 + ε for A > 0 and below 1 - ε for A < 0, and only there."""
    ratio = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 0.9]], dtype=torch.float64)
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0]], dtype=torch.float64)
    log_probs = ratio.log().requires_grad_()
    mask = torch.ones(1, 6, dtype=torch.bool)
    ppo_policy_loss(log_probs, torch.zeros(1, 6, dtype=torch.float64), advantages, mask, 0.2).backward()
    assert log_probs.grad is not None
    assert (log_probs.grad == 0).tolist() == [[True, False, False, True, False, False]]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_value_loss_is_the_larger_of_the_free_and_the_clipped_error(seed: int) -> None:
    values, old, returns, mask = (
        draw(seed, 4, 9),
        draw(seed + 1, 4, 9),
        draw(seed + 2, 4, 9),
        answer_mask(seed),
    )
    terms = []
    for b, t in mask.nonzero().tolist():
        v, o, r = values[b, t].item(), old[b, t].item(), returns[b, t].item()
        terms.append(max((v - r) ** 2, (min(max(v, o - 0.2), o + 0.2) - r) ** 2) / 2)
    found = value_loss(values, old, returns, mask, 0.2).item()
    assert found == pytest.approx(sum(terms) / len(terms), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradients_are_those_of_finite_differences(seed: int) -> None:
    mask, old, other = answer_mask(seed), draw(seed + 1, 4, 9), draw(seed + 2, 4, 9)
    x = (old + 0.5 * draw(seed + 3, 4, 9)).requires_grad_()
    check: Any = torch.autograd.gradcheck
    assert check(lambda x: ppo_policy_loss(x, old, other, mask), (x,), eps=1e-6, atol=1e-6)
    assert check(lambda x: value_loss(x, old, other, mask), (x,), eps=1e-6, atol=1e-6)
    assert check(lambda x: kl_estimate(x, old, mask), (x,), eps=1e-6, atol=1e-6)
    assert check(lambda x: reinforce_loss((x * mask).sum(1), other[:, 0]), (x,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_at_the_first_step_ppo_is_reinforce_on_each_token(seed: int) -> None:
    mask, advantages = answer_mask(seed), draw(seed, 4, 9)
    log_probs = draw(seed + 1, 4, 9).requires_grad_()
    (found,) = torch.autograd.grad(ppo_policy_loss(log_probs, log_probs.detach(), advantages, mask), log_probs)
    (wanted,) = torch.autograd.grad(reinforce_loss(log_probs[mask], advantages[mask]), log_probs)
    torch.testing.assert_close(found, wanted)


# --- rollouts ---


def tried(seed: int = 0, max_new_tokens: int = 6) -> tuple[GPT, list[list[int]], Rollout]:
    policy = policy_for(seed)
    prompts = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10], [2, 2], [3], [1, 1, 1], [9]]
    return policy, prompts, rollout(policy, prompts, END, max_new_tokens, generator=seeded(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rollout_holds_prompt_answer_and_end_mark_and_masks_the_answer(seed: int) -> None:
    _, prompts, found = tried(seed)
    assert 0 < int(found.finished.sum()) < len(prompts), "the test needs answers of both kinds"
    for b, prompt in enumerate(prompts):
        length = int(found.lengths[b])
        row = found.tokens[b, :length].tolist()
        answer = [*found.answers[b], END] if found.finished[b] else found.answers[b]
        assert row == prompt + answer
        assert END not in found.answers[b]
        assert found.finished[b].item() == (len(found.answers[b]) < 6)
        assert (found.tokens[b, length:] == 0).all()
        assert found.tokens[b, 1:][found.mask[b]].tolist() == answer


@pytest.mark.parametrize("seed", SEEDS)
def test_the_log_probs_of_a_batch_are_those_of_each_row_alone(seed: int) -> None:
    policy, _, found = tried(seed)
    actor_critic = ActorCritic(policy)
    actor_critic.value_head.weight.data.normal_(generator=seeded(seed))
    with torch.no_grad():
        log_probs, values = actor_critic(found.tokens)
        for b, length in enumerate(found.lengths.tolist()):
            row = found.tokens[b : b + 1, :length]
            table = policy(row).log_softmax(-1)
            alone = torch.stack([table[0, t, row[0, t + 1]] for t in range(length - 1)])
            torch.testing.assert_close(log_probs[b, : length - 1], alone, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(values[b, : length - 1], actor_critic(row)[1][0], rtol=1e-4, atol=1e-5)
        answers_alone, _ = actor_critic(found.tokens, found.mask)  # the head on the answers' positions alone
        torch.testing.assert_close(answers_alone, log_probs * found.mask, rtol=1e-4, atol=1e-5)
        hidden = policy.hidden(found.tokens)[:, :-1]
        expected = (hidden @ actor_critic.value_head.weight[0]) + actor_critic.value_head.bias
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


def test_rollouts_are_drawn_as_often_as_the_policy_says() -> None:
    """2,000 answers of one token: within four standard errors of each, 4 · √(¼ / 2000) = 0.045."""
    policy = policy_for(1)
    with torch.no_grad():
        chances = policy(torch.tensor([[3]]))[0, -1].softmax(-1)
    found = rollout(policy, [[3]] * 2000, END, max_new_tokens=1, generator=seeded(0))
    first = torch.tensor([answer[0] if answer else END for answer in found.answers])
    shares = torch.bincount(first, minlength=12) / 2000
    torch.testing.assert_close(shares, chances, rtol=0, atol=0.045)


def test_an_answer_that_the_contexts_end_cuts_off_is_not_taken_for_a_finished_one() -> None:
    policy = policy_for(0)
    policy.norm.weight.data.zero_()
    policy.norm.bias.data.fill_(1.0)
    policy.head.weight.data[END] = -50.0  # it never ends by itself
    found = rollout(policy, [[1] * 12, [2] * 10], END, max_new_tokens=8, generator=seeded(0))
    assert found.finished.tolist() == [False, False]
    assert found.tokens.size(1) <= CONFIG.context_length
    assert END not in found.tokens


def test_the_value_function_trains_the_body_too() -> None:
    model = ActorCritic(policy_for())
    nn.init.ones_(model.value_head.weight)
    model(torch.tensor([[1, 2, 3]]))[1].pow(2).sum().backward()
    assert model.policy.blocks[0].mlp.up.weight.grad is not None


# --- the loop ---


class CountsSevens(nn.Module):
    """A reward that a program can verify: one point for each token 7, up to four."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)
        nn.init.ones_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        counts = torch.arange(tokens.size(1)) < lengths[:, None]
        return ((tokens == 7) & counts).sum(1).clamp_max(4).float()


PROMPTS = [[1], [2, 3], [4, 5, 6]]
QUICK = PPOConfig(
    iterations=12, rollouts=48, max_new_tokens=6, learning_rate=1e-2, kl_coefficient=0.01, precision="float32"
)


def tuning(
    config: PPOConfig = QUICK,
    actor_critic: ActorCritic | None = None,
    reference: GPT | None = None,
    reward: nn.Module | None = None,
    prompts: list[list[int]] = PROMPTS,
    end: int = END,
    **how: Any,
) -> Iterator[IterationRecord]:
    actor_critic, reference = actor_critic or ActorCritic(policy_for()), reference or policy_for()
    return ppo(
        actor_critic, reference, cast(Any, reward or CountsSevens()), prompts, end, config, progress=False, **how
    )


def tune(*what: Any, **how: Any) -> list[IterationRecord]:
    return list(tuning(*what, **how))


def test_ppo_raises_the_reward_and_moves_away_from_the_reference() -> None:
    records = tune()
    assert [record.iteration for record in records] == list(range(12))
    assert records[0].kl == pytest.approx(0, abs=1e-6)  # it starts as the reference itself
    assert records[0].reward < 1
    assert records[-1].reward > records[0].reward + 1.5
    assert records[-1].kl > 0.5
    assert records[-1].entropy < records[0].entropy


def test_scores_are_compared_with_the_other_tries_at_the_same_question() -> None:
    score = torch.tensor([1.0, 3.0, -2.0, -2.0, 7.0, 6.0])
    assert torch.equal(rl.against_own_tries(score, 1), score)
    assert rl.against_own_tries(score, 2).tolist() == [-1.0, 1.0, 0.0, 0.0, 0.5, -0.5]
    assert rl.against_own_tries(score, 3).tolist() == pytest.approx([1 / 3, 7 / 3, -8 / 3, -17 / 3, 10 / 3, 7 / 3])


@pytest.mark.parametrize("tries", [1, 4])
def test_each_question_is_tried_so_often_in_a_row(tries: int) -> None:
    record = tune(replace(QUICK, iterations=1, tries=tries))[0]
    rows = torch.tensor(record.prompts).view(-1, tries)
    assert (rows == rows[:, :1]).all() and len(rows) == 48 // tries
    assert len(set(map(tuple, record.answers))) > 24, "the tries at a question are drawn anew"


def test_what_a_question_is_worth_drops_out_where_each_is_tried_several_times() -> None:
    """A reward that hangs on the question alone teaches nothing: its advantages are those of the value head's noise."""

    class LikesAQuestion(CountsSevens):
        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            return 100.0 * (tokens[:, 0] == 1)

    seen: list[Tensor] = []
    original = rl.gae

    def noting(rewards: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        seen.append(rewards)
        return original(rewards, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rl, "gae", noting)
        for tries in (1, 4):
            how: dict[str, Any] = dict(kl_coefficient=0.0, unfinished_penalty=0.0)
            tune(replace(QUICK, iterations=1, tries=tries, **how), reward=LikesAQuestion())
    alone, together = seen
    assert alone.abs().max() == 100 and together.abs().max() < 1e-4


def test_a_short_leash_holds_the_policy_near_the_reference() -> None:
    free, held = tune(), tune(PPOConfig(**{**vars(QUICK), "kl_coefficient": 2.0}))
    assert held[-1].kl < 0.3 * free[-1].kl
    assert held[-1].reward < free[-1].reward


def test_a_record_says_what_was_seen() -> None:
    actor_critic = ActorCritic(policy_for())
    record = tune(PPOConfig(**{**vars(QUICK), "iterations": 1, "unfinished_penalty": 0.0}), actor_critic)[0]
    assert len(record.prompts) == len(record.answers) == 48
    assert set(record.prompts) == {0, 1, 2}
    assert record.reward == pytest.approx(sum(min(4, answer.count(7)) for answer in record.answers) / 48)
    lengths = [len(answer) + (len(answer) < 6) for answer in record.answers]
    assert record.length == pytest.approx(sum(lengths) / 48)
    assert 0 <= record.clip_fraction <= 1
    assert 0 < record.entropy <= math.log(12) + 0.1
    assert not record.replayed


def test_an_unfinished_answer_costs_its_penalty() -> None:
    """The same draws: the rewards differ by the share that was cut off."""
    one = PPOConfig(**{**vars(QUICK), "iterations": 1, "unfinished_penalty": 0.0})
    plain, fined = tune(one)[0], tune(PPOConfig(**{**vars(one), "unfinished_penalty": 3.0}))[0]
    assert plain.answers == fined.answers
    cut = sum(len(answer) == 6 for answer in plain.answers) / 48
    assert cut > 0
    assert plain.reward - fined.reward == pytest.approx(3 * cut, abs=1e-5)


def test_neither_reference_nor_reward_model_change() -> None:
    reference, reward = policy_for(), CountsSevens()
    before = copy.deepcopy((reference.state_dict(), reward.state_dict()))
    actor_critic = ActorCritic(policy_for())
    tune(QUICK, actor_critic, reference, reward)
    for old, new in zip(before, (reference.state_dict(), reward.state_dict()), strict=True):
        assert all(torch.equal(old[name], new[name]) for name in old)
    moved = actor_critic.policy.state_dict()
    assert not any(torch.equal(moved[name], old) for name, old in before[0].items())


@pytest.mark.parametrize("minibatches", [1, 3])
@pytest.mark.parametrize("stopped_after", [1, 2])
def test_an_interrupted_tuning_goes_on_to_the_same_weights(
    stopped_after: int, minibatches: int, tmp_path: Path
) -> None:
    config = PPOConfig(**{**vars(QUICK), "iterations": 4, "minibatches": minibatches})
    whole, broken, resumed = (ActorCritic(policy_for()) for _ in range(3))
    expected = tune(config, whole)
    how: dict[str, Any] = dict(checkpoint=tmp_path / "state", save_seconds=0.0)
    for _ in itertools.islice(tuning(config, broken, **how), stopped_after):
        pass
    records = tune(config, resumed, **how)
    assert [record.replayed for record in records] == [True] * stopped_after + [False] * (4 - stopped_after)
    assert [record.answers for record in records] == [record.answers for record in expected]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


class Noting:
    """Pretraining text that remembers which batches were read."""

    fingerprint = "noting"

    def __init__(self) -> None:
        self.read: list[int] = []

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        self.read.append(step)
        row = torch.randint(12, (2, 9), generator=seeded(step))
        return row[:, :-1], row[:, 1:]


def another_reward() -> CountsSevens:
    reward = CountsSevens()
    nn.init.zeros_(reward.head.weight)
    return reward


@pytest.mark.parametrize(
    "change",
    [
        lambda: {"actor_critic": ActorCritic(policy_for(1))},  # another beginning
        lambda: {"reference": policy_for(1)},
        lambda: {"reward": another_reward()},
        lambda: {"prompts": [[1], [2, 3], [4, 5, 7]]},
        lambda: {"end": 10},
        lambda: {"pretraining": Noting()},
        lambda: {"config": replace(QUICK, iterations=2, learning_rate=1e-3)},
    ],
)
def test_an_unfinished_tuning_of_something_else_is_not_taken_up(
    change: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    how: dict[str, Any] = dict(config=replace(QUICK, iterations=2), checkpoint=tmp_path / "state", save_seconds=0.0)
    tune(**how)
    assert all(record.replayed for record in tune(**how))
    assert not any(record.replayed for record in tune(**{**how, **change()}))


def test_each_iteration_draws_its_own_prompts_and_answers() -> None:
    records = tune(PPOConfig(**{**vars(QUICK), "iterations": 3, "learning_rate": 1e-12}))
    assert len({tuple(record.prompts) for record in records}) == 3
    assert len({str(record.answers) for record in records}) == 3
    other = tune(PPOConfig(**{**vars(QUICK), "iterations": 1, "seed": 1}))
    assert other[0].answers != records[0].answers


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (2, 3)])
def test_an_iteration_takes_a_step_for_each_part_of_each_epoch(
    epochs: int, minibatches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[None] = []
    take = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: (steps.append(None), take(self)))
    tune(PPOConfig(**{**vars(QUICK), "iterations": 2, "epochs": epochs, "minibatches": minibatches}))
    assert len(steps) == 2 * epochs * minibatches


def test_reading_along_keeps_what_the_reward_does_not_ask_for() -> None:
    """The policy knows a text by heart; the reward wants sevens only."""
    text = TokenBatches([1, 2, 3, 4, 5, 6, 8, 9] * 30, batch_size=4, context_length=16)
    scholar = policy_for()
    for _ in train(scholar, text, TrainConfig(steps=60, learning_rate=1e-2, precision="float32"), progress=False):
        pass
    lost = {}
    for name, how in (("alone", {}), ("reading along", {"pretraining": text})):
        actor_critic = ActorCritic(copy.deepcopy(scholar))
        # The scholar is so sure that several tries at one question would be the same: nothing to compare.
        records = tune(replace(QUICK, tries=1), actor_critic, **how)
        assert records[-1].reward > records[0].reward + 0.5
        lost[name] = evaluate_loss(actor_critic.policy, text, 5)
    assert lost["reading along"] < 0.5 * lost["alone"], lost


def test_every_step_reads_a_text_of_its_own() -> None:
    text = Noting()
    tune(replace(QUICK, iterations=2, epochs=2, minibatches=3), pretraining=text)
    assert text.read == list(range(2 * 2 * 3))


def test_what_is_read_along_counts_as_much_as_its_coefficient_says() -> None:
    alone, unheard, heard = (ActorCritic(policy_for()) for _ in range(3))
    tune(replace(QUICK, iterations=1), alone)
    tune(replace(QUICK, iterations=1, pretraining_coefficient=0.0), unheard, pretraining=Noting())
    tune(replace(QUICK, iterations=1, pretraining_coefficient=1.0), heard, pretraining=Noting())
    one, same, other = (model.policy.head.weight for model in (alone, unheard, heard))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(("anneal", "shares"), [(True, [1, 0.75, 0.5, 0.25]), (False, [1, 1, 1, 1])])
def test_the_rate_falls_along_a_line_or_stays(anneal: bool, shares: list[float], monkeypatch) -> None:
    rates = []
    step = torch.optim.AdamW.step

    def noting(self: torch.optim.AdamW, *how: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *how)

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    tune(PPOConfig(**{**vars(QUICK), "iterations": 4, "epochs": 1, "anneal": anneal}))
    assert rates == pytest.approx([share * QUICK.learning_rate for share in shares])


def test_gradients_are_clipped_and_nothing_decays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def spy(self: torch.optim.AdamW, *how: Any) -> Any:
        weights = [w for group in self.param_groups for w in group["params"]]
        seen.append(torch.cat([w.grad.flatten() for w in weights if w.grad is not None]).norm().item())
        assert all(group["weight_decay"] == 0 for group in self.param_groups)
        return step(self, *how)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    tune(replace(QUICK, iterations=2, max_grad_norm=1e-3))
    assert seen == pytest.approx([1e-3] * 4, rel=1e-2)


def test_gradients_left_over_do_not_enter_the_first_step() -> None:
    fresh, stained = ActorCritic(policy_for()), ActorCritic(policy_for())
    stained(torch.tensor([[1, 2, 3]]))[0].sum().backward()
    for actor_critic in (fresh, stained):
        tune(replace(QUICK, iterations=1), actor_critic)
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), stained.parameters(), strict=True))


def test_the_advantages_are_estimated_with_the_configs_gamma_and_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
        seen.append((gamma, lam))
        return gae(rewards, values, mask, gamma, lam)

    monkeypatch.setattr(rl, "gae", spy)
    tune(replace(QUICK, iterations=1, gamma=0.9, lam=0.7))
    assert seen == [(0.9, 0.7)]


def test_the_loss_of_a_record_is_the_mean_over_all_steps() -> None:
    """Without a learning rate every step sees the same model: one part or four, the losses are about the same."""
    config = replace(QUICK, iterations=1, learning_rate=1e-12)
    whole, parts = (tune(replace(config, minibatches=n))[0].value_loss for n in (1, 4))
    assert parts == pytest.approx(whole, rel=0.3)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_token_that_became_much_likelier_or_less_likely_counts_as_clipped(
    sign: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every token is e times likelier than when it was drawn, or e times less likely: all have moved too far."""
    forward, calls = ActorCritic.forward, itertools.count()

    def moved(self: ActorCritic, *how: Any) -> tuple[Tensor, Tensor]:
        log_probs, values = forward(self, *how)
        return log_probs + (sign if next(calls) else 0.0), values  # the first call is that of the drawing

    monkeypatch.setattr(ActorCritic, "forward", moved)
    assert tune(replace(QUICK, iterations=1, learning_rate=1e-12))[0].clip_fraction == pytest.approx(1.0)


def test_the_unit_of_the_reward_does_not_change_the_step() -> None:
    class Tenfold(CountsSevens):
        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            return 10 * super().forward(tokens, lengths)

    how: dict[str, Any] = dict(iterations=1, kl_coefficient=0.0, unfinished_penalty=0.0, value_coefficient=0.0)
    config = PPOConfig(**{**vars(QUICK), **how})
    losses = [tune(config, reward=reward)[0].policy_loss for reward in (CountsSevens(), Tenfold())]
    assert abs(losses[0]) > 1e-3
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"iterations": 0}, "PPO needs 1 iteration"),
        ({"rollouts": 1}, "2 rollouts"),
        ({"epochs": 0}, "1 epoch"),
        ({"rollouts": 64, "minibatches": 5}, "rollouts=64 do not divide into minibatches=5"),
        ({"rollouts": 64, "tries": 5}, "rollouts=64 do not divide into tries=5"),
        ({"kl_coefficient": -0.1}, "kl_coefficient=-0.1 would reward drifting away"),
    ],
)
def test_settings_that_make_no_sense_give_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        PPOConfig(**settings)


def test_each_answer_has_the_room_that_its_own_prompt_leaves() -> None:
    tried = rollout(policy_for(), [[3, 4], [5] * 13], 49, 12, generator=seeded(0))
    assert [len(answer) for answer in tried.answers] == [12, 3]
    assert not tried.finished.any() and tried.tokens.size(1) == 16


class Fixed(nn.Module):
    """A reward model that gives every answer the same."""

    def __init__(self, reward: float) -> None:
        super().__init__()
        self.reward = nn.Parameter(torch.tensor(reward))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.reward.detach().expand(len(tokens))


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_kl_and_entropy_are_those_of_the_distribution_that_was_drawn_from(temperature: float) -> None:
    """Answers of one token, so that both can be worked out; 4,096 of them, so within some percent."""
    policy, reference = policy_for(1), policy_for(2)
    with torch.no_grad():
        p, q = ((m(torch.tensor([[1, 2]]))[0, -1] / temperature).log_softmax(-1) for m in (policy, reference))
    config = PPOConfig(iterations=1, temperature=temperature, max_new_tokens=1, rollouts=4096, precision="float32")
    record = next(tuning(config, ActorCritic(policy), reference, Fixed(0.0), [[1, 2]]))
    assert record.kl == pytest.approx((p.exp() * (p - q)).sum().item(), rel=0.1)
    assert record.entropy == pytest.approx(-(p.exp() * p).sum().item(), rel=0.05)


def test_a_reward_that_is_no_number_stops_the_training_before_it_does_harm() -> None:
    actor_critic = ActorCritic(policy_for(1))
    config = PPOConfig(iterations=2, max_new_tokens=4, rollouts=4, precision="float32")
    with pytest.raises(FloatingPointError, match=r"iteration 0\. Look at the rewards"):
        tune(config, actor_critic, policy_for(1), Fixed(math.nan), [[1, 2]])
    assert all(weight.isfinite().all() for weight in actor_critic.parameters())


@pytest.mark.parametrize(
    "setting",
    [
        {"minibatches": 0},
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"clip": -1.0},
        {"tries": 0},
        {"learning_rate": -1e-4},
        {"precision": "float8"},
    ],
)
def test_ppo_settings_that_make_no_sense_give_a_sentence(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|above 0|use a divisor|choose one of"):
        PPOConfig(**setting)
