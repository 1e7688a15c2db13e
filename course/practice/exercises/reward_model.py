"""The exercises of notebook 09: pairs from rankings, the Bradley-Terry loss, agreement, and calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course import reward
from course.practice.exercise import Exercise, Mistake, between, different, whole


def ranking_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for K in (4, 3, 5):
        yield {"ranking": torch.randperm(26, generator=chance)[:K].tolist()}


def wide_ranking_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for K, high in ((2, 2), (whole(chance, 3, 5), 9000), (whole(chance, 6, 10), 9000)):
        yield {"ranking": different(chance, K, 0, high)}


def pairs_of(ranking: list[int]) -> list[list[int]]:
    return [list(pair) for pair in combinations(ranking, 2)]


def reward_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, K, scale in ((2, 4, 2.0), (1, 5, 1.5), (2, 3, 300.0)):
        drawn = scale * torch.randn(B, K, generator=chance)
        if scale > 100:  # differences at which exp alone overflows, in both directions
            drawn = torch.tensor([[150.0, -150.0, 40.0], [-120.0, 30.0, 110.0]]) + torch.randn(B, K, generator=chance)
        yield {"rewards": drawn}


def wide_reward_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 5)):
        yield {"rewards": between(chance, 1, 3) * torch.randn(B, whole(chance, 3, 8), generator=chance)}
    far = 20 * torch.randn(whole(chance, 1, 3), whole(chance, 3, 6), generator=chance)
    far[:, 0] -= 140  # the best answer has the lowest reward, by far more than float32's exp can bear
    far[:, -1] += 140
    yield {"rewards": far}


def ranking_loss(rewards: Tensor) -> Tensor:
    return reward.bradley_terry_loss(rewards)


def differences(rewards: Tensor) -> Tensor:
    better, worse = torch.triu_indices(rewards.size(1), rewards.size(1), offset=1)
    return rewards[:, better] - rewards[:, worse]


def neighbours_only(rewards: Tensor) -> Tensor:
    return -F.logsigmoid(rewards[:, :-1] - rewards[:, 1:]).mean()


def hidden_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for lengths, T, D in (((3, 5), 6, 4), ((1, 4, 2), 5, 3), ((2, 6), 8, 5)):
        yield {
            "hidden": torch.randn(len(lengths), T, D, generator=chance),
            "lengths": torch.tensor(lengths),
            "weight": torch.randn(D, generator=chance),
        }


def wide_hidden_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 4), whole(chance, 3, 6)):
        T, D = whole(chance, 8, 14), whole(chance, 3, 16)
        yield {
            "hidden": torch.randn(B, T, D, generator=chance),
            "lengths": torch.tensor(different(chance, B, 1, T)),
            "weight": torch.randn(D, generator=chance),
        }


def last_token_rewards(hidden: Tensor, lengths: Tensor, weight: Tensor) -> Tensor:
    return hidden[torch.arange(len(hidden)), lengths - 1] @ weight


def mean_over_all(hidden: Tensor, lengths: Tensor, weight: Tensor) -> Tensor:
    real = torch.arange(hidden.size(1)) < lengths[:, None]
    return ((hidden @ weight) * real).sum(1) / lengths


def agreement_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for N, K in ((4, 4), (6, 3), (3, 5)):
        yield two_judges(chance, N, K)


def wide_agreement_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    few = whole(chance, 3, 4)
    for N, K in ((2, few + 3), (few, few), (whole(chance, 6, 12), few)):
        case = two_judges(chance, N, K)
        yield {name: between(chance, 0.1, 0.8) * scores for name, scores in case.items()}  # no whole numbers


def two_judges(chance: torch.Generator, N: int, K: int) -> dict[str, Any]:
    gold = torch.randint(0, 4, (N, K), generator=chance).float()
    gold[0, :3] = torch.tensor([2.0, 2.0, 1.0])  # two that gold cannot tell apart
    rewards = gold + 0.6 * torch.randn(N, K, generator=chance)
    rewards[0, :3] = torch.tensor([0.3, 0.9, 0.9])  # a tie of the rewards; and gold's right order, turned round
    rewards[1] = -gold[1] + 0.01 * torch.arange(K)  # a row that is wrong altogether
    gold[1, :2] = torch.tensor([3.0, 1.0])
    rewards[1, :2] = torch.tensor([-3.0, -1.0])
    return {"rewards": rewards, "gold": gold}


def agreement(rewards: Tensor, gold: Tensor) -> float:
    return reward.agreement(rewards, gold)


def signs(rewards: Tensor, gold: Tensor) -> tuple[Tensor, Tensor]:
    return differences(rewards).sign(), differences(gold).sign()


def ties_count(rewards: Tensor, gold: Tensor) -> float:
    given, wanted = signs(rewards, gold)
    return (given == wanted).double().mean().item()


def reward_ties_wrong(rewards: Tensor, gold: Tensor) -> float:
    given, wanted = signs(rewards, gold)
    return (given == wanted)[wanted != 0].double().mean().item()


def reward_ties_left_out(rewards: Tensor, gold: Tensor) -> float:
    given, wanted = signs(rewards, gold)
    return (given == wanted)[(wanted != 0) & (given != 0)].double().mean().item()


def best_only(rewards: Tensor, gold: Tensor) -> float:
    return (rewards.argmax(1) == gold.argmax(1)).double().mean().item()


def calibration_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, slope in ((60, 2.5), (90, 3.0), (80, 2.0)):
        yield some_choices(chance, n, slope)


def wide_calibration_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for slope in (0.7, 2.0, 3.0):
        yield some_choices(chance, whole(chance, 40, 120), slope * between(chance, 0.9, 1.1))


def some_choices(chance: torch.Generator, n: int, slope: float) -> dict[str, Any]:
    distance = 0.1 + 3 * torch.rand(n, generator=chance)
    sign = 1 - 2.0 * torch.randint(0, 2, (n,), generator=chance)
    chosen = torch.rand(n, generator=chance) < torch.sigmoid(sign * distance / slope)
    return {"differences": (sign * distance).tolist(), "chosen": chosen.tolist()}


def overconfidence(differences: list[float], chosen: list[bool]) -> list[float]:
    sure = [1 / (1 + math.exp(-abs(d))) for d in differences]
    right = [(d > 0) == c for d, c in zip(differences, chosen, strict=True)]
    claimed, kept = sum(sure) / len(sure), sum(right) / len(right)
    return [claimed, kept, claimed - kept]


def signed_confidence(differences: list[float], chosen: list[bool]) -> list[float]:
    claimed = sum(1 / (1 + math.exp(-d)) for d in differences) / len(differences)
    kept = overconfidence(differences, chosen)[1]
    return [claimed, kept, claimed - kept]


def share_chosen(differences: list[float], chosen: list[bool]) -> list[float]:
    claimed = overconfidence(differences, chosen)[0]
    kept = sum(chosen) / len(chosen)
    return [claimed, kept, claimed - kept]


def of_the_mean(differences: list[float], chosen: list[bool]) -> list[float]:
    mean = sum(map(abs, differences)) / len(differences)
    claimed, kept = 1 / (1 + math.exp(-mean)), overconfidence(differences, chosen)[1]
    return [claimed, kept, claimed - kept]


def pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T in ((3, 6), (2, 5), (4, 7)):
        yield some_pairs(chance, B, T)


def wide_pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 4), whole(chance, 4, 8)):
        yield some_pairs(chance, B, whole(chance, 5, 14))


def some_pairs(chance: torch.Generator, B: int, T: int) -> dict[str, Any]:
    lengths = torch.randint(1, T - 1, (2, B), generator=chance)
    per_token = torch.randn(2, B, T, generator=chance)
    return {
        "better": per_token[0], "worse": per_token[1],
        "better_lengths": lengths[0], "worse_lengths": lengths[1],
    }  # fmt: skip


def repaired_pair_loss(
    better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor, sign: float = 1.0
) -> Tensor:
    rows = torch.arange(len(better))
    gap = better[rows, better_lengths - 1] - worse[rows, worse_lengths - 1]
    return -F.logsigmoid(sign * gap).mean()


def mean_of_tokens(better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor) -> Tensor:
    places = torch.arange(better.size(1))
    first, second = (
        (x * (places < n[:, None])).sum(1) / n for x, n in ((better, better_lengths), (worse, worse_lengths))
    )
    return -F.logsigmoid(first - second).mean()


def last_column(better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor) -> Tensor:
    return -F.logsigmoid(better[:, -1] - worse[:, -1]).mean()


def one_length_for_both(better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor) -> Tensor:
    return repaired_pair_loss(better, worse, better_lengths, better_lengths)


def one_behind(better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor) -> Tensor:
    return repaired_pair_loss(better, worse, better_lengths + 1, worse_lengths + 1)


def sum_of_tokens(better: Tensor, worse: Tensor, better_lengths: Tensor, worse_lengths: Tensor) -> Tensor:
    places = torch.arange(better.size(1))
    first, second = ((x * (places < n[:, None])).sum(1) for x, n in ((better, better_lengths), (worse, worse_lengths)))
    return -F.logsigmoid(first - second).mean()


EXERCISES = (
    Exercise(
        id="09-pairs",
        title="A ranking is many choices",
        entry="pairs_of",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "Somebody who ranks A above B above C has made three choices: A over B, A over C, B over C.",
            "Two loops: over each answer, and over all that come after it in the ranking.",
            "[[a, b] for i, a in enumerate(ranking) for b in ranking[i + 1 :]]",
        ),
        cases=ranking_cases,
        wide=wide_ranking_cases,
        reference=pairs_of,
        mistakes=(
            Mistake(
                "Only neighbours are paired; the first is preferred to the third, too.",
                lambda ranking: [list(pair) for pair in pairwise(ranking)],
            ),
            Mistake(
                "Each pair stands there both ways round; only the better one may come first.",
                lambda ranking: [[a, b] for a in ranking for b in ranking if a != b],
            ),
            Mistake(
                "The pairs are the wrong way round: the better answer comes first.",
                lambda ranking: [p[::-1] for p in pairs_of(ranking)],
            ),
            Mistake(
                "An answer is paired with itself; nobody has chosen that.",
                lambda ranking: [[a, b] for i, a in enumerate(ranking) for b in ranking[i:]],
            ),
            Mistake(
                "Only the best is compared with the others; the rest of the ranking says something, too.",
                lambda ranking: [[ranking[0], b] for b in ranking[1:]],
            ),
        ),
    ),
    Exercise(
        id="09-ranking-loss",
        title="The Bradley-Terry loss of a ranking of K",
        entry="ranking_loss",
        points=4,
        level="hard",
        minutes=25,
        hints=(
            "For each pair of a row: how likely was this choice? σ(r_better − r_worse). The loss is −ln of it.",
            "All at once: better, worse = torch.triu_indices(K, K, offset=1); rewards[:, better] - rewards[:, worse].",
            "ln σ(x) for x = −200 must be −200, not −inf: F.logsigmoid(x). Then the mean over all pairs of all rows.",
        ),
        cases=reward_cases,
        wide=wide_reward_cases,
        reference=ranking_loss,
        mistakes=(
            Mistake(
                "Only neighbours of the ranking are compared; a ranking of K holds K (K − 1) / 2 pairs.",
                neighbours_only,
            ),
            Mistake(
                "The pairs are the wrong way round: with this loss the worst answer gets the highest reward.",
                lambda rewards: ranking_loss(-rewards),
            ),
            Mistake("The sign: −ln σ, so that likely choices cost little.", lambda rewards: -ranking_loss(rewards)),
            Mistake(
                "The logarithm is missing: the gradient of 1 − σ fades where the model is most wrong.",
                lambda rewards: 1 - differences(rewards).sigmoid().mean(),
            ),
            Mistake(
                "The loss of a very wrong pair becomes infinite, and the training breaks: log(sigmoid(x)), in whatever "
                "way it is written, is more than float32 can hold there. F.logsigmoid(x) can.",
                lambda rewards: -differences(rewards).sigmoid().log().mean(),
            ),
            Mistake(
                "This is the sum over the pairs; take the mean.",
                lambda rewards: ranking_loss(rewards) * differences(rewards).numel(),
            ),
        ),
    ),
    Exercise(
        id="09-last-token",
        title="One number for the whole answer",
        entry="last_token_rewards",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "Only the last token has seen the whole answer. Where is it in a row of length n? At place n − 1.",
            "One place per row: hidden[torch.arange(B), lengths - 1] has shape (B, D).",
            "hidden[torch.arange(len(hidden)), lengths - 1] @ weight",
        ),
        cases=hidden_cases,
        wide=wide_hidden_cases,
        reference=last_token_rewards,
        mistakes=(
            Mistake(
                "The last column is read, which is padding in shorter rows.",
                lambda hidden, lengths, weight: hidden[:, -1] @ weight,
            ),
            Mistake(
                "One place too far: a row of length n ends at place n − 1.",
                lambda hidden, lengths, weight: last_token_rewards(hidden, lengths + 1, weight),
            ),
            Mistake("This is the mean over the answer's tokens; most of them have not seen its end.", mean_over_all),
            Mistake(
                "The first token is read, which has seen nothing of the answer.",
                lambda hidden, lengths, weight: hidden[:, 0] @ weight,
            ),
            Mistake(
                "Each token has a reward here; an answer needs one, (B,).",
                lambda hidden, lengths, weight: hidden @ weight,
            ),
        ),
    ),
    Exercise(
        id="09-agreement",
        title="How often do two judges agree?",
        entry="agreement",
        points=3,
        level="hard",
        minutes=20,
        hints=(
            "For each pair within a row: does `rewards` order it as `gold` does? Compare the signs of the differences.",
            "Pairs that gold ties say nothing: leave them out, of what you divide by, too. A pair that only the "
            "rewards tie counts one half, as a coin would.",
            "(1 + (sign of the reward difference · sign of the gold difference)) / 2, averaged over the pairs with a "
            "gold difference other than 0.",
        ),
        cases=agreement_cases,
        wide=wide_agreement_cases,
        reference=agreement,
        mistakes=(
            Mistake("Pairs that gold ties are counted; they have no right order: leave them out.", ties_count),
            Mistake("A pair that the rewards tie counts as wrong here; it counts one half.", reward_ties_wrong),
            Mistake("A pair that only the rewards tie is left out here; it counts one half.", reward_ties_left_out),
            Mistake("This compares the best answers only; compare all pairs of a row.", best_only),
            Mistake("This is the disagreement: one minus it.", lambda rewards, gold: 1 - agreement(rewards, gold)),
            Mistake(
                "This is between −1 and 1; a share of pairs lies between 0 and 1.",
                lambda rewards, gold: 2 * agreement(rewards, gold) - 1,
            ),
        ),
    ),
    Exercise(
        id="09-overconfidence",
        title="Does it know how sure it may be?",
        entry="overconfidence",
        points=3,
        level="medium",
        minutes=20,
        hints=(
            "How sure is the model of a pair, whichever of the two it prefers? σ(|difference|), at least one half.",
            "It is right where the sign of the difference is that of the choice: (difference > 0) == chosen.",
            "[mean of σ(|d|), share of right pairs, the first minus the second]",
        ),
        cases=calibration_cases,
        wide=wide_calibration_cases,
        reference=overconfidence,
        mistakes=(
            Mistake(
                "σ(difference) is the probability of the first answer; it is σ(|difference|) sure of its own choice.",
                signed_confidence,
            ),
            Mistake("This is how often people chose the first answer; how often was the model right?", share_chosen),
            Mistake("σ of the mean is not the mean of σ: turn each difference into a probability first.", of_the_mean),
            Mistake(
                "The sign of the last number: what is claimed minus what is kept; above 0 means overconfident.",
                lambda differences, chosen: [*(x := overconfidence(differences, chosen))[:2], -x[2]],
            ),
            Mistake(
                "The first two have changed places: first what is claimed, then what is kept.",
                lambda differences, chosen: [(x := overconfidence(differences, chosen))[1], x[0], x[2]],
            ),
        ),
    ),
    Exercise(
        id="09-likes-long-answers",
        title="A bug: it prefers whatever is longer",
        entry="repaired_pair_loss",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Give both answers the same tokens, and one more padding behind. Does the loss change? It must not.",
            "A sum over tokens grows with their number. Which single token has read the whole answer?",
            "rows = torch.arange(B); gap = better[rows, better_lengths - 1] - worse[rows, worse_lengths - 1]; "
            "-F.logsigmoid(gap).mean()",
        ),
        cases=pair_cases,
        wide=wide_pair_cases,
        reference=repaired_pair_loss,
        uses=("09-ranking-loss",),
        mistakes=(
            Mistake(
                "The sum is still there: now over the real tokens, yet longer answers still have more of them.",
                sum_of_tokens,
            ),
            Mistake(
                "The sum is still there, over the padding as well.",
                lambda better, worse, better_lengths, worse_lengths: -F.logsigmoid((better - worse).sum(1)).mean(),
            ),
            Mistake("This is the mean over the tokens; read the last one, which has seen them all.", mean_of_tokens),
            Mistake("The last column is read: that is padding, which has read the padding.", last_column),
            Mistake(
                "Both answers are read at the place where the better one ends; each has its own end.",
                one_length_for_both,
            ),
            Mistake("One place too far: the last token of n stands at place n − 1.", one_behind),
            Mistake(
                "The pair is the wrong way round: the better answer's reward must come first.",
                lambda **c: repaired_pair_loss(**c, sign=-1.0),
            ),
        ),
    ),
)
