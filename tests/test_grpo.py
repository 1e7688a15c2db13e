"""GRPO: the papers' formulas in loops and scalars, agreement with PPO where both are the same, a task to learn.

TRL is no dependency of the course, so its loss is written here from the papers.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from course.grpo import GRPOConfig, group_advantages, grpo, grpo_loss
from course.rl import ppo_policy_loss
from course.transformer import GPT, GPTConfig

CONFIG = GPTConfig(vocab_size=8, context_length=12, n_layer=1, n_head=2, d_model=16, tie_embeddings=False)
END, THOUGHT, RIGHT = 7, 5, 6
PROMPTS = [[1, 2], [3, 4, 1]]
SHORT = GRPOConfig(iterations=3, questions=2, tries=4, max_new_tokens=4, learning_rate=1e-2)
SEEDS = range(3)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def policy_for(seed: int = 0) -> GPT:
    return GPT(CONFIG, seeded(seed))


def ends_right(asked: Sequence[int], answers: Sequence[list[int]]) -> Tensor:
    return torch.tensor([float(answer[-1:] == [RIGHT]) for answer in answers])


def batch(seed: int, B: int = 6, T: int = 9) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """New and old log-probabilities, advantages, and a mask of answers of different lengths."""
    chance = seeded(seed)
    old = -torch.rand(B, T, generator=chance, dtype=torch.float64)
    new = old + 0.3 * torch.randn(B, T, generator=chance, dtype=torch.float64)
    lengths = torch.randint(1, T, (B, 1), generator=chance)
    place = torch.arange(T)
    return new, old, torch.randn(B, generator=chance, dtype=torch.float64), (place >= 1) & (place <= lengths)


# --- the parts ---


@pytest.mark.parametrize("seed", SEEDS)
def test_advantages_are_deviations_from_the_group(seed: int) -> None:
    rewards = torch.randn(12, generator=seeded(seed), dtype=torch.float64)
    found, doctor = group_advantages(rewards, 4), group_advantages(rewards, 4, by_deviation=False)
    for start in range(0, 12, 4):
        group = rewards[start : start + 4].tolist()
        for i, reward in enumerate(group):
            gap = reward - statistics.mean(group)
            assert found[start + i].item() == pytest.approx(gap / (statistics.stdev(group) + 1e-4), rel=1e-9)
            assert doctor[start + i].item() == pytest.approx(gap, rel=1e-9)


def test_a_group_of_equals_teaches_nothing() -> None:
    rewards = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0])
    assert group_advantages(rewards, 4).eq(0).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("longest", [None, 11])
def test_the_loss_is_the_papers_equation_3_or_dr_grpos(seed: int, longest: int | None) -> None:
    new, old, advantages, mask = batch(seed)
    total = 0.0
    for i in range(len(mask)):
        terms = []
        for t in mask[i].nonzero()[:, 0].tolist():
            ratio = math.exp(new[i, t].item() - old[i, t].item())
            A = advantages[i].item()
            terms.append(min(ratio * A, min(max(ratio, 0.8), 1.2) * A))
        total += sum(terms) / (longest or len(terms))
    assert grpo_loss(new, old, advantages, mask, 0.2, longest).item() == pytest.approx(-total / len(mask), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_for_answers_of_one_length_it_is_ppos_loss(seed: int) -> None:
    new, old, advantages, mask = batch(seed)
    mask = torch.ones_like(mask)
    expected = ppo_policy_loss(new, old, advantages[:, None].expand_as(new), mask)
    for longest in (None, mask.size(1)):
        torch.testing.assert_close(grpo_loss(new, old, advantages, mask, 0.2, longest), expected)


def test_a_long_wrong_answer_is_blamed_less_per_token_but_not_by_the_doctor() -> None:
    mask = torch.tensor([[True, True, True, True], [True, False, False, False]])
    for longest, expected in ((None, 4.0), (4, 1.0)):
        log_probs = torch.zeros(2, 4, requires_grad=True)
        loss = grpo_loss(log_probs, torch.zeros(2, 4), torch.tensor([-1.0, -1.0]), mask, 0.2, longest)
        (slope,) = torch.autograd.grad(loss, log_probs)
        assert (slope[1, 0] / slope[0, 0]).item() == pytest.approx(expected)
        assert slope[1, 1:].eq(0).all()


# --- the algorithm ---


@pytest.mark.parametrize("doctor", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_it_learns_what_the_judge_wants(seed: int, doctor: bool) -> None:
    policy = policy_for(seed)
    config = replace(SHORT, iterations=40, questions=4, tries=8, doctor=doctor, seed=seed)
    rewards = [record.reward for record in grpo(policy, PROMPTS, ends_right, END, config, progress=False)]
    assert sum(rewards[:5]) / 5 < 0.3
    assert sum(rewards[-5:]) / 5 > 0.9


def test_an_answer_without_an_end_earns_nothing() -> None:
    always = lambda asked, answers: torch.ones(len(answers))  # noqa: E731
    config = replace(SHORT, max_new_tokens=1, iterations=1)
    record = next(grpo(policy_for(), PROMPTS, always, END, config, progress=False))
    ended = [answer == [] for answer in record.answers]
    assert record.reward == pytest.approx(sum(ended) / len(ended))


def test_where_all_rewards_are_equal_no_weight_moves() -> None:
    policy = policy_for()
    before = copy.deepcopy(policy.state_dict())
    never = lambda asked, answers: torch.zeros(len(answers))  # noqa: E731
    records = list(grpo(policy, PROMPTS, never, END, SHORT, progress=False))
    assert all(record.idle == 1 for record in records)
    assert all(torch.equal(weight, before[name]) for name, weight in policy.state_dict().items())


def test_the_judge_sees_which_question_was_asked() -> None:
    seen: list[int] = []

    def judge(asked: Sequence[int], answers: Sequence[list[int]]) -> Tensor:
        seen.extend(asked)
        return torch.zeros(len(answers))

    records = list(grpo(policy_for(), PROMPTS, judge, END, SHORT, progress=False))
    assert seen == [i for record in records for i in record.prompts]
    assert all(len(set(record.prompts[i : i + 4])) == 1 for record in records for i in (0, 4))


def test_a_leash_keeps_the_policy_near_its_reference() -> None:
    moved = {}
    for beta in (0.0, 100.0):
        policy, reference = policy_for(), policy_for()
        config = replace(SHORT, iterations=10, kl_coefficient=beta, learning_rate=1e-3)
        list(grpo(policy, PROMPTS, ends_right, END, config, reference=reference, progress=False))
        tokens = torch.tensor([[1, 2, 5], [3, 4, 6]])
        moved[beta] = (policy(tokens).log_softmax(-1) - reference(tokens).log_softmax(-1)).abs().max().item()
    assert moved[100.0] < 0.5 * moved[0.0]


def test_a_leash_needs_something_to_be_fastened_to() -> None:
    with pytest.raises(ValueError, match="needs a reference"):
        next(grpo(policy_for(), PROMPTS, ends_right, END, replace(SHORT, kl_coefficient=0.1), progress=False))


def test_an_interrupted_training_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, parts = policy_for(), policy_for()
    expected = list(grpo(whole, PROMPTS, ends_right, END, SHORT, progress=False))
    for i, _ in enumerate(
        grpo(parts, PROMPTS, ends_right, END, SHORT, checkpoint=tmp_path, save_seconds=0, progress=False)
    ):
        if i == 1:
            break
    resumed = policy_for()
    records = list(grpo(resumed, PROMPTS, ends_right, END, SHORT, checkpoint=tmp_path, progress=False))
    assert [record.replayed for record in records] == [True, True, False] or records[0].replayed
    assert [record.answers for record in records] == [record.answers for record in expected]
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"tries": 1}, "use 2 or more"),
        ({"iterations": 0}, "1 iteration"),
        ({"clip": 0.0}, "above 0"),
        ({"kl_coefficient": -0.1}, "drifting away"),
        ({"precision": "float8"}, "unknown"),
    ],
)
def test_settings_without_sense_are_refused(setting: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GRPOConfig(**setting)  # type: ignore[arg-type]
