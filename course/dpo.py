"""Preferences without a reward model: DPO and IPO learn from rankings directly, and best-of-n does not learn at all.

The best policy under a leash of strength β is known in closed form: π(y|x) ∝ π_ref(y|x) exp(r(x, y) / β). Solved for
the reward, every policy is the best one for the reward β log(π / π_ref). Rafailov et al. 2023, "Direct Preference
Optimization: Your Language Model is Secretly a Reward Model", arXiv:2305.18290, put this reward into the loss of
reward models, and so nothing but the policy is left to train.

Letters in shapes: B questions, K answers to each, T tokens of prompt and answer.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course.chat import answer_ids, prompt_ids
from course.reward import Ranking, bradley_terry_loss
from course.rl import token_log_probs
from course.sft import pad_right, shuffled_indices
from course.tokenizer import Tokenizer
from course.transformer import GPT


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float = 0.1) -> Tensor:
    """-log σ(β (chosen - rejected)), the mean over pairs: a scalar.

    chosen, rejected: (B,), log π(answer) - log π_ref(answer) of the better and of the worse answer to each question.
    Rafailov et al. 2023, equation 7, arXiv:2305.18290.
    """
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


def ipo_loss(chosen: Tensor, rejected: Tensor, beta: float = 0.1) -> Tensor:
    """(chosen - rejected - 1 / 2β)², the mean over pairs: a scalar. The arguments are those of `dpo_loss`.

    Where all annotators agree, DPO wants the gap to grow without end; here it is to be 1 / 2β, and no more.
    Azar et al. 2023, "A General Theoretical Paradigm to Understand Learning from Human Preferences", equation 17,
    arXiv:2310.12036.
    """
    return ((chosen - rejected - 1 / (2 * beta)) ** 2).mean()


def answer_log_probs(policy: GPT, tokens: Tensor, mask: Tensor) -> Tensor:
    """log π(answer | question), the sum over the answer's tokens: (B, K).

    tokens: (B, K, T)   mask: (B, K, T - 1), True where an answer's token is predicted (see `course.rl`).
    """
    flat = tokens.flatten(0, 1)  # (B · K, T)
    log_probs = token_log_probs(policy.head, policy.hidden(flat), flat, mask.flatten(0, 1))
    return log_probs.sum(dim=1).view(mask.shape[:2])


def rankings_loss(policy: GPT, tokens: Tensor, mask: Tensor, reference: GPT, beta: float = 0.1) -> Tensor:
    """DPO on rankings of K answers, the best first: the loss of a reward model whose reward is β log(π / π_ref).

    tokens: (B, K, T)   mask: (B, K, T - 1). Returns a scalar: the mean over all pairs of each ranking (for K = 2 this
    is `dpo_loss`), and over the rankings.
    """
    with torch.no_grad():
        expected = answer_log_probs(reference, tokens, mask)
    return bradley_terry_loss(beta * (answer_log_probs(policy, tokens, mask) - expected))


class AnswerBatches:
    """batches[step] is tokens (batch_size, K, T) and mask (batch_size, K, T - 1), each row's best answer first.

    The rankings of a batch are of like length (see `course.sft.shuffled_indices`): less padding.
    Raises ValueError when there are fewer rankings than one batch needs.
    """

    def __init__(self, tokenizer: Tokenizer, rankings: Sequence[Ranking], batch_size: int = 16, seed: int = 0):
        if len(rankings) < batch_size:
            raise ValueError(
                f"{len(rankings)} rankings do not fill one batch of {batch_size}; use a smaller batch_size."
            )
        self.rows = [
            (prompt_ids(tokenizer, ranking.question), [answer_ids(tokenizer, text) for text in ranking.answers])
            for ranking in rankings
        ]
        self.lengths = [len(prompt) + max(map(len, answers)) for prompt, answers in self.rows]
        self.batch_size, self.seed = batch_size, seed

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        indices = shuffled_indices(len(self.rows), self.batch_size, step, self.seed, self.lengths)
        chosen = [self.rows[i] for i in indices]
        tokens = pad_right([[*prompt, *answer] for prompt, answers in chosen for answer in answers], 0)
        counts = [[0] * (len(prompt) - 1) + [1] * len(answer) for prompt, answers in chosen for answer in answers]
        mask = pad_right(counts, 0).bool()  # (B · K, T - 1)
        return tokens.unflatten(0, (len(chosen), -1)), mask.unflatten(0, (len(chosen), -1))

    @property
    def fingerprint(self) -> str:
        """Changes when the data changes (see `TokenBatches.fingerprint`)."""
        return f"{zlib.crc32(repr(self.rows).encode()):08x}-{self.batch_size}-{self.seed}"


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n, in nats: how far the best of n draws can be from one draw, KL(best ‖ one).

    It is reached where no two answers have the same reward and no answer is likely; else the KL is smaller.
    Beirami et al. 2024, "Theoretical guarantees on the best-of-n alignment policy", arXiv:2401.01879.
    """
    if n < 1:
        raise ValueError(f"n={n}: at least one answer must be drawn.")
    return math.log(n) - (n - 1) / n


def best_of_n_distribution(probs: Tensor, rewards: Tensor, n: int) -> Tensor:
    """What the best of n independent draws is, in closed form: (M,), sums to 1.

    probs: (M,), of all possible answers   rewards: (M,), all different. The best is at most y when all n draws are: so
    with F the probability of a reward up to that of y, P(best = y) = F(y)ⁿ - (F(y) - π(y))ⁿ.
    """
    order = rewards.argsort()
    up_to = probs[order].cumsum(0)
    below = F.pad(up_to[:-1], (1, 0))
    return torch.empty_like(probs).index_put_((order,), up_to**n - below**n)
