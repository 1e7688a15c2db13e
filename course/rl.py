"""Step 3 of ChatGPT: the model tries answers, the reward model scores them, and good tries become likelier.

The module goes the way of notebook 10: REINFORCE, the plainest policy gradient; then what makes it steady: a value
function and GAE (whose tokens earned the reward?), PPO's clipping (not too far in one step), and a penalty on the
distance from the model that we started from, the KL leash (do not forget how to speak while hunting reward).
Williams 1992 (REINFORCE); Schulman et al. 2015, arXiv:1506.02438 (GAE); Schulman et al. 2017, arXiv:1707.06347
(PPO); Ziegler et al. 2019, arXiv:1909.08593 (for language models); Ouyang et al. 2022, arXiv:2203.02155.

Letters in shapes: B answers in a batch, T tokens of prompt and answer. What belongs to a token stands where that
token is predicted: index t is about tokens[:, t + 1]; so most tensors are (B, T - 1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course import loop
from course.generate import Sampling, generate
from course.optimizer import adamw, set_rate
from course.reward import RewardModel
from course.runtime import generator
from course.sft import pad_right
from course.train import PRECISIONS, Batches, next_token_loss, precision_for
from course.transformer import GPT


def token_log_probs(
    head: nn.Module, hidden: Tensor, tokens: Tensor, mask: Tensor | None = None, temperature: float = 1.0
) -> Tensor:
    """log π(token | what stands before it), where mask is True (default: everywhere), and 0 elsewhere.

    head: makes logits from `hidden` (B, T, D)   tokens: (B, T)   mask: (B, T - 1). Returns (B, T - 1), float32.
    temperature: at which the tokens were drawn; the policy is the distribution that they came from.
    The head makes V numbers of each position's D, the dearest step of a small model: so it sees the answers alone.
    """
    before, targets = hidden[:, :-1], tokens[:, 1:]
    if mask is None:
        return _log_probs(head(before.flatten(0, 1)) / temperature, targets.flatten()).view_as(targets)
    log_probs = _log_probs(head(before[mask]) / temperature, targets[mask])  # (N,): one for each True
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, log_probs)


def _log_probs(logits: Tensor, targets: Tensor) -> Tensor:
    """The logarithm of each target's probability. logits: (N, V)   targets: (N,). Returns (N,), float32."""
    return -F.cross_entropy(logits.float(), targets, reduction="none")


def reinforce_loss(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """-mean(log π(answer) · advantage): its gradient makes what went better than expected likelier.

    log_probs, advantages: (B,), one of each per answer. Williams 1992.
    """
    return -(log_probs * advantages).mean()


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor) -> Tensor:
    """KL(policy ‖ reference) of each answer, in nats, estimated from its own tokens: (B,), never below 0.

    All (B, T - 1). The mean of r - 1 - log r with r = π_ref / π has the KL as its expectation. While both models are
    close it has less noise than log π - log π_ref; far apart it has more: a single token that the reference finds much
    likelier can outweigh all others. Schulman 2020, "Approximating KL Divergence" (his k3; the other is k1).
    """
    log_ratio = reference_log_probs - log_probs
    return ((log_ratio.expm1() - log_ratio) * mask).sum(dim=1)


def against_own_tries(score: Tensor, tries: int) -> Tensor:
    """Each score less the mean over the tries at the same question; unchanged where each question is tried once.

    score: (B,), the tries at a question one behind the other. What is easy or hard about a question falls out, and what
    remains is what was better or worse about an answer. Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for
    Free!"; Shao et al. 2024, arXiv:2402.03300 (GRPO, which divides by the deviation as well).
    """
    if tries == 1:
        return score
    per_question = score.view(-1, tries)
    return (per_question - per_question.mean(dim=1, keepdim=True)).flatten()


def token_rewards(
    score: Tensor, log_probs: Tensor, reference_log_probs: Tensor, mask: Tensor, kl_coefficient: float
) -> Tensor:
    """What each token earns: minus β (log π - log π_ref) everywhere, and the answer's score at its last token.

    score: (B,)   the others: (B, T - 1). Returns (B, T - 1), 0 outside the answer. Ouyang et al. 2022, equation 2.
    """
    rewards = -kl_coefficient * (log_probs - reference_log_probs) * mask
    positions = torch.arange(mask.size(1), device=mask.device)
    last = (positions * mask).argmax(dim=1, keepdim=True)  # (B, 1): the answer's last token
    return rewards.scatter_add(1, last, score[:, None])


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation, from the last token back to the first.

        δ_t = r_t + γ V_{t+1} - V_t            A_t = δ_t + γ λ A_{t+1}            return_t = A_t + V_t

    rewards, values, mask: (B, T - 1). Returns advantages and returns of that shape, 0 outside the answer.
    Schulman et al. 2015, "High-Dimensional Continuous Control Using GAE", arXiv:1506.02438.
    """
    values = values * mask
    advantages = torch.zeros_like(rewards)
    advantage = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.size(1))):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantage = (delta + gamma * lam * advantage) * mask[:, t]
        advantages[:, t] = advantage
        next_value = values[:, t]
    return advantages, (advantages + values) * mask


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of x where mask is True: a scalar."""
    return (x * mask).sum() / mask.sum()


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and deviation 1 over the masked part: the size of a step no longer hangs on the reward's units."""
    mean = masked_mean(x, mask)
    deviation = masked_mean((x - mean) ** 2, mask).sqrt()
    return (x - mean) / (deviation + 1e-8) * mask


def ppo_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2
) -> Tensor:
    """-min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), with ρ = π / π_old, averaged over the answers' tokens.

    All (B, T - 1). Once a token has become 1 + ε times likelier (or 1 - ε), there is nothing more to gain from it in
    this batch. Schulman et al. 2017, equation 7, arXiv:1707.06347.
    """
    ratio = (log_probs - old_log_probs).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -masked_mean(torch.minimum(ratio * advantages, clipped * advantages), mask)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float = 0.2) -> Tensor:
    """Half the squared error of the value function, which may move by `clip` per batch at most. All (B, T - 1)."""
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (clipped - returns) ** 2), mask)


class ActorCritic(nn.Module):
    """The policy (a GPT) and, on the same body, the value function: what reward is to be expected from here."""

    def __init__(self, policy: GPT):
        super().__init__()
        self.policy = policy
        self.value_head = nn.Linear(policy.config.d_model, 1)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the tokens, 0 where the mask is False, and values everywhere.

        tokens: (B, T)   mask, temperature: as for `token_log_probs`. Returns two tensors (B, T - 1), both float32.
        """
        hidden = self.policy.hidden(tokens)  # (B, T, D)
        values = self.value_head(hidden[:, :-1]).squeeze(-1)
        return token_log_probs(self.policy.head, hidden, tokens, mask, temperature), values.float()


@dataclass(frozen=True)
class Rollout:
    """Answers of the present policy. tokens: (B, T)   lengths: (B,)   mask: (B, T - 1), True at answers' tokens."""

    tokens: Tensor
    lengths: Tensor
    mask: Tensor
    answers: list[list[int]]
    finished: Tensor


def rollout(
    policy: GPT,
    prompts: Sequence[Sequence[int]],
    end_token: int,
    max_new_tokens: int = 24,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
) -> Rollout:
    """Let the policy answer each prompt once. An answer that ends itself gets its end token; a cut one does not."""
    device = policy.token_embedding.weight.device
    rooms = [min(max_new_tokens, policy.config.context_length - len(prompt)) for prompt in prompts]
    answers = generate(policy, prompts, max_new_tokens, Sampling(temperature), {end_token}, generator)
    finished = [len(answer) < room for answer, room in zip(answers, rooms, strict=True)]
    rows = [
        [*prompt, *answer, *([end_token] if ended else [])]
        for prompt, answer, ended in zip(prompts, answers, finished, strict=True)
    ]
    tokens = pad_right(rows, 0).to(device)
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    places = torch.arange(1, tokens.size(1), device=device)  # index t speaks of token t + 1
    mask = (places >= starts[:, None]) & (places < lengths[:, None])
    return Rollout(tokens, lengths, mask, answers, torch.tensor(finished, device=device))


@dataclass(frozen=True)
class PPOConfig:
    """How to tune by reinforcement learning. `kl_coefficient` is the leash: 0 lets the policy run.

    rollouts: answers per iteration, `tries` of them to each question. epochs: how often each is learned from, in
    `minibatches` parts.
    anneal: let the rate fall along a line to 0, so that the last steps no longer follow the chance of one batch.
    pretraining_coefficient: the weight of the next-token loss on pretraining text, where `ppo` is given some.
    unfinished_penalty: taken from the score of an answer that was cut off; the reward model never saw one.
    """

    iterations: int = 100
    rollouts: int = 64
    tries: int = 4
    max_new_tokens: int = 48
    temperature: float = 1.0
    learning_rate: float = 2e-4
    anneal: bool = True
    epochs: int = 2
    minibatches: int = 1
    clip: float = 0.2
    value_coefficient: float = 0.02
    pretraining_coefficient: float = 0.5
    gamma: float = 1.0
    lam: float = 0.95
    kl_coefficient: float = 0.05
    unfinished_penalty: float = 1.0
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.rollouts < 2 or self.epochs < 1 or self.max_new_tokens < 1:
            raise ValueError("PPO needs 1 iteration, 2 rollouts, 1 epoch and 1 new token at the least.")
        if not self.temperature > 0 or not self.clip > 0:
            raise ValueError(f"temperature={self.temperature} and clip={self.clip} must be above 0.")
        if self.minibatches < 1 or self.rollouts % self.minibatches:
            raise ValueError(
                f"rollouts={self.rollouts} do not divide into minibatches={self.minibatches}; use a divisor."
            )
        if self.tries < 1 or self.rollouts % self.tries:
            raise ValueError(f"rollouts={self.rollouts} do not divide into tries={self.tries}; use a divisor.")
        if self.precision not in PRECISIONS:
            raise ValueError(f'precision="{self.precision}" is unknown; choose one of {", ".join(PRECISIONS)}.')
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate={self.learning_rate} must be above 0.")
        if self.kl_coefficient < 0:
            raise ValueError(f"kl_coefficient={self.kl_coefficient} would reward drifting away; use 0 or more.")


@dataclass(frozen=True)
class IterationRecord:
    """What one iteration showed. reward: the reward model's mean score (the proxy), less the penalty for unfinished
    answers. kl: the mean of log π - log π_ref over an answer, in nats.

    entropy: nats per token. prompts: which were asked. answers: their ids. replayed: from before a resumption.
    """

    iteration: int
    reward: float
    kl: float
    entropy: float
    length: float
    policy_loss: float
    value_loss: float
    clip_fraction: float
    seconds: float
    prompts: list[int]
    answers: list[list[int]]
    replayed: bool = False

    def summary(self) -> str:
        """For the bar."""
        return f"reward {self.reward:.2f}, KL {self.kl:.2f}"


def ppo(
    actor_critic: ActorCritic,
    reference: GPT,
    reward_model: RewardModel,
    prompts: Sequence[Sequence[int]],
    end_token: int,
    config: PPOConfig = PPOConfig(),
    *,
    pretraining: Batches | None = None,
    checkpoint: Path | None = None,
    save_seconds: float = 20.0,
    progress: bool | str = True,
) -> Iterator[IterationRecord]:
    """Tune the policy in `actor_critic` where it is, yielding a record after each iteration.

    An iteration: answer, score, ask the reference, estimate advantages, take a few clipped steps.
    pretraining: batches of (inputs, targets) as in `course.train`. With them each step also predicts a little text,
    so that what is never asked here is not forgotten ("PPO-ptx", Ouyang et al. 2022, equation 2, arXiv:2203.02155).
    checkpoint: as for `course.train.train`. `reference` and `reward_model` do not change.
    """
    device = actor_critic.value_head.weight.device
    dtype = precision_for(device, config.precision)
    autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
    weights = [weight for weight in actor_critic.parameters() if weight.requires_grad]
    optimizer = adamw(weights, config.learning_rate, weight_decay=0.0)

    def iteration(number: int) -> IterationRecord:
        started = time.perf_counter()
        set_rate(optimizer, config.learning_rate * (1 - config.anneal * number / config.iterations))
        chance = generator(config.seed * 1_000_003 + number)
        drawn = torch.randint(len(prompts), (config.rollouts // config.tries,), generator=chance)
        asked = drawn.repeat_interleave(config.tries).tolist()
        questions = [prompts[i] for i in asked]
        tried = rollout(
            actor_critic.policy, questions, end_token, config.max_new_tokens, config.temperature, chance
        )  # fmt: skip
        tokens, mask = tried.tokens, tried.mask
        with torch.no_grad(), autocast:
            old_log_probs, old_values = actor_critic(tokens, mask, config.temperature)
            reference_log_probs = token_log_probs(
                reference.head, reference.hidden(tokens), tokens, mask, config.temperature
            )
            score = reward_model(tokens, tried.lengths) - config.unfinished_penalty * ~tried.finished
        compared = against_own_tries(score, config.tries)
        rewards = token_rewards(compared, old_log_probs, reference_log_probs, mask, config.kl_coefficient)
        advantages, returns = gae(rewards, old_values, mask, config.gamma, config.lam)
        advantages = whiten(advantages, mask)
        sums = torch.zeros(3)
        step = number * config.epochs * config.minibatches
        for _ in range(config.epochs):
            order = torch.randperm(config.rollouts, generator=chance).to(device)
            for rows in order.chunk(config.minibatches):
                part = mask[rows]
                with autocast:
                    log_probs, values = actor_critic(tokens[rows], part, config.temperature)
                policy_part = ppo_policy_loss(log_probs, old_log_probs[rows], advantages[rows], part, config.clip)
                value_part = value_loss(values, old_values[rows], returns[rows], part, config.clip)
                loss = policy_part + config.value_coefficient * value_part
                if pretraining is not None:
                    inputs, targets = (t.to(device) for t in pretraining[step])
                    with autocast:
                        remembered = next_token_loss(actor_critic.policy, inputs, targets)
                    loss = loss + config.pretraining_coefficient * remembered
                if not loss.isfinite():
                    raise FloatingPointError(
                        f"The loss became {loss.item()} in iteration {number}. Look at the rewards (now "
                        f"{score.mean().item():.3g} on average), or try a third of the learning rate."
                    )
                loss.backward()
                step += 1
                nn.utils.clip_grad_norm_(actor_critic.parameters(), config.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                with torch.no_grad():
                    moved = ((log_probs - old_log_probs[rows]).exp() - 1).abs() > config.clip
                    sums += torch.stack((policy_part, value_part, masked_mean(moved, part))).cpu()
        policy_mean, value_mean, clipped = (sums / (config.epochs * config.minibatches)).tolist()
        return IterationRecord(
            iteration=number,
            reward=score.mean().item(),
            kl=(old_log_probs - reference_log_probs).sum(dim=1).mean().item(),  # both are 0 outside the answers
            entropy=-masked_mean(old_log_probs, mask).item(),
            length=mask.sum(dim=1).float().mean().item(),
            policy_loss=policy_mean,
            value_loss=value_mean,
            clip_fraction=clipped,
            seconds=time.perf_counter() - started,
            prompts=asked,
            answers=tried.answers,
        )

    identity = {
        "config": asdict(config),
        "precision": str(dtype),
        "prompts": [list(prompt) for prompt in prompts],
        "end_token": end_token,
        "pretraining": getattr(pretraining, "fingerprint", str(pretraining is not None)),
        "start": loop.weights_fingerprint(actor_critic, reference, reward_model),
    }
    yield from loop.run(
        iteration, config.iterations, IterationRecord, actor_critic, optimizer, identity,
        checkpoint=checkpoint, save_seconds=save_seconds, progress="PPO" if progress is True else progress,
    )  # fmt: skip
