"""The exercises of notebook 02: masks, weights, attention, many heads, and one bug to find."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from course import attention as library
from course.practice.exercise import Exercise, Mistake, whole


def mask_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T in (4, 1, int(torch.randint(5, 12, (), generator=chance))):
        yield {"T": T}


def wide_mask_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T in (1, whole(chance, 2, 60), whole(chance, 61, 250), whole(chance, 150, 250)):
        yield {"T": T}


def causal_mask(T: int) -> Tensor:
    return library.causal_mask(T)


def q_and_k(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T, S, d in ((3, 3, 4), (2, 5, 16), (6, 4, 9)):
        yield {"q": 2 * torch.randn(T, d, generator=chance), "k": 2 * torch.randn(S, d, generator=chance)}


def wide_q_and_k(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    n = whole(chance, 2, 12)
    for T, S in ((n, n), (n, n + whole(chance, 1, 12)), (n + whole(chance, 1, 12), n)):
        d = whole(chance, 2, 40)
        yield {"q": 2 * torch.randn(T, d, generator=chance), "k": 2 * torch.randn(S, d, generator=chance)}


def attention_weights(q: Tensor, k: Tensor) -> Tensor:
    return library.attention_weights(q, k)


def q_k_v_and_mask(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for shape, S, masked in (((3, 4), 3, False), ((4, 8), 4, True), ((2, 3, 5, 16), 7, True)):
        *batch, T, d = shape
        k, v = (torch.randn(*batch, S, d, generator=chance) for _ in range(2))
        mask = library.causal_mask(T) if masked else None
        if masked and S != T:
            mask = any_mask(chance, T, S)
        yield {"q": 2 * torch.randn(shape, generator=chance), "k": 2 * k, "v": v, "mask": mask}


def any_mask(chance: torch.Generator, T: int, S: int) -> Tensor:
    """Not the causal one; every query may look somewhere."""
    mask = torch.rand(T, S, generator=chance) < 0.5
    mask[:, 0], mask[:, -1], mask[0, 1] = True, False, False
    return mask


def wide_q_k_v_and_mask(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for axes, masked in ((0, ""), (1, "causal"), (2, "any"), (3, "")):
        batch = [whole(chance, 1, 3) for _ in range(axes)]
        T, d = whole(chance, 2, 9), whole(chance, 2, 24)
        S = T if masked == "causal" else T + whole(chance, 1, 9)
        q, k, v = (torch.randn(*batch, n, d, generator=chance) for n in (T, S, S))
        mask = {"": None, "causal": library.causal_mask(T), "any": any_mask(chance, T, S)}[masked]
        yield {"q": 2 * q, "k": 2 * k, "v": v, "mask": mask}


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return library.attention(q, k, v, mask)


def unscaled(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return library.attention(q * math.sqrt(q.size(-1)), k, v, mask)


def inverted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return (scores if mask is None else scores.masked_fill(mask, -torch.inf)).softmax(-1) @ v


def masked_with_zero(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return (scores if mask is None else scores.masked_fill(~mask, 0.0)).softmax(-1) @ v


def masked_after_softmax(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    weights = library.attention_weights(q, k)
    return (weights if mask is None else weights * mask) @ v


def unmasked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    return library.attention(q, k, v)


def always_causal(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    causal = None if mask is None else torch.ones(mask.shape, dtype=torch.bool).tril()
    return library.attention(q, k, v, causal)


def over_queries(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    return (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-2) @ v


def projections(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, D, H in ((1, 3, 4, 1), (2, 4, 8, 2), (2, 5, 12, 4)):
        yield a_projection(chance, B, T, D, H)


def wide_projections(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for d_head, H in ((whole(chance, 2, 16), 1), (whole(chance, 2, 3), whole(chance, 2, 6)), (whole(chance, 5, 8), 3)):
        yield a_projection(chance, whole(chance, 1, 3), whole(chance, 3, 8), d_head * H, H)


def a_projection(chance: torch.Generator, B: int, T: int, D: int, H: int) -> dict[str, Any]:
    return {
        "x": torch.randn(B, T, D, generator=chance),
        "w_qkv": torch.randn(D, 3 * D, generator=chance) / math.sqrt(D),
        "w_out": torch.randn(D, D, generator=chance) / math.sqrt(D),
        "n_head": H,
    }


def multi_head(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in (x @ w_qkv).chunk(3, dim=-1))
    return library.attention(q, k, v, library.causal_mask(x.size(1))).transpose(1, 2).flatten(2) @ w_out


def heads_by_reshape(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    B, T, D = x.shape
    q, k, v = (part.reshape(B, n_head, T, D // n_head) for part in (x @ w_qkv).chunk(3, dim=-1))
    return library.attention(q, k, v, library.causal_mask(T)).reshape(B, T, D) @ w_out


def joined_by_reshape(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in (x @ w_qkv).chunk(3, dim=-1))
    return library.attention(q, k, v, library.causal_mask(x.size(1))).reshape(x.shape) @ w_out


def heads_see_the_future(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    q, k, v = (part.unflatten(-1, (n_head, -1)).transpose(1, 2) for part in (x @ w_qkv).chunk(3, dim=-1))
    return library.attention(q, k, v).transpose(1, 2).flatten(2) @ w_out


def without_output(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    return multi_head(x, w_qkv, torch.eye(x.size(-1)), n_head)


def scaled_by_model_width(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    q_part, rest = w_qkv.split((x.size(-1), 2 * x.size(-1)), dim=1)
    return multi_head(x, torch.cat((q_part / math.sqrt(n_head), rest), dim=1), w_out, n_head)


def one_head(x: Tensor, w_qkv: Tensor, w_out: Tensor, n_head: int) -> Tensor:
    return multi_head(x, w_qkv, w_out, 1)


FUTURE = "Your mask lets position t see t + 1: it shows the future."
UNSCALED = "1/√d is missing: the scores grow with the width, and the softmax saturates."
WRONG_AXIS = "The softmax runs over the wrong axis: each row (query) must sum to 1, over the keys."

EXERCISES = (
    Exercise(
        id="02-causal-mask",
        title="Who may look at whom",
        entry="causal_mask",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "Draw the 4 × 4 table on paper: row t is who looks, column s is who is looked at. Where is s ≤ t?",
            "True on and below the diagonal. torch has a function for the lower triangle: Tensor.tril.",
            "torch.ones(T, T, dtype=torch.bool).tril()",
        ),
        cases=mask_cases,
        wide=wide_mask_cases,
        reference=causal_mask,
        mistakes=(
            Mistake(FUTURE + " tril, not triu?", lambda T: causal_mask(T).T),
            Mistake(FUTURE + " The whole table is True.", lambda T: torch.ones(T, T, dtype=torch.bool)),
            Mistake(
                "Position t cannot see itself: the diagonal belongs to the mask (s ≤ t, not s < t).",
                lambda T: causal_mask(T).tril(-1),
            ),
            Mistake(FUTURE + " The diagonal above the main one is True, too.", lambda T: torch.ones(T, T).tril(1) > 0),
            Mistake(
                "The mask is the wrong way round: True must mean “may look”, and yours is True where it may not.",
                lambda T: ~causal_mask(T),
            ),
            Mistake("The mask holds numbers; it must hold booleans: True, False.", lambda T: torch.ones(T, T).tril()),
        ),
    ),
    Exercise(
        id="02-attention-weights",
        title="How much each query looks at each key",
        entry="attention_weights",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "Three steps: compare every query with every key, divide by √d, turn each row into shares that sum to 1.",
            "All comparisons at once: q @ k.T has shape (T, S). d is the width of a query, q.size(-1).",
            "scores = q @ k.T / math.sqrt(q.size(-1)), and then a softmax over the last axis.",
        ),
        cases=q_and_k,
        wide=wide_q_and_k,
        reference=attention_weights,
        mistakes=(
            Mistake(UNSCALED, lambda q, k: (q @ k.T).softmax(-1)),
            Mistake(WRONG_AXIS, lambda q, k: (q @ k.T / math.sqrt(q.size(-1))).softmax(0)),
            Mistake(
                "You divide by d; it must be √d, the typical size of a dot product of width d.",
                lambda q, k: (q @ k.T / q.size(-1)).softmax(-1),
            ),
            Mistake(
                "These are the scores before the softmax: make each row sum to 1.",
                lambda q, k: q @ k.T / math.sqrt(q.size(-1)),
            ),
            Mistake(
                "You scale by √S, the number of keys; it must be √d, the width of a query.",
                lambda q, k: (q @ k.T / math.sqrt(len(k))).softmax(-1),
            ),
            Mistake(
                "The table lies on its side: queries are rows and keys are columns, (T, S).",
                lambda q, k: (k @ q.T / math.sqrt(q.size(-1))).softmax(-1),
            ),
        ),
    ),
    Exercise(
        id="02-attention",
        title="Scaled dot-product attention",
        entry="attention",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "It is your attention_weights with two additions: the mask comes before the softmax, the values after it.",
            "A forbidden pair needs weight 0 after the softmax, so its score must be −∞ before it: masked_fill(~mask, "
            "-torch.inf). With more than two axes write k.transpose(-2, -1) instead of k.T.",
            "scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1)); mask if there is one; softmax(-1) @ v.",
        ),
        cases=q_k_v_and_mask,
        wide=wide_q_k_v_and_mask,
        reference=attention,
        mistakes=(
            Mistake(UNSCALED, unscaled),
            Mistake("The mask is the wrong way round: True means “may look”; fill where it is False.", inverted),
            Mistake("Forbidden scores must be −∞, not 0: exp(0) = 1 is still a weight.", masked_with_zero),
            Mistake("The mask comes after the softmax, so rows no longer sum to 1.", masked_after_softmax),
            Mistake("The mask is not used: position t sees t + 1.", unmasked),
            Mistake("Whatever the mask says, yours is the causal one; use the mask that is given.", always_causal),
            Mistake(WRONG_AXIS, over_queries),
        ),
    ),
    Exercise(
        id="02-multi-head",
        title="Many heads",
        entry="multi_head",
        points=4,
        level="hard",
        minutes=30,
        hints=(
            "Project once, x @ w_qkv, and cut the last axis into q, k and v of width D each: chunk(3, dim=-1).",
            "Each of them: (B, T, D) → (B, T, H, D/H) → (B, H, T, D/H): view or unflatten first, then transpose(1, 2). "
            "A reshape straight to (B, H, T, D/H) mixes up positions and heads.",
            "After attention go the same way back: transpose(1, 2), flatten(2), and multiply by w_out.",
        ),
        cases=projections,
        wide=wide_projections,
        reference=multi_head,
        uses=("02-causal-mask", "02-attention"),
        mistakes=(
            Mistake(
                "The heads are cut wrongly: reshape mixes positions and heads; view, then transpose.", heads_by_reshape
            ),
            Mistake("The heads are joined wrongly: transpose(1, 2) back before you flatten.", joined_by_reshape),
            Mistake("The causal mask is missing: position t sees t + 1.", heads_see_the_future),
            Mistake("The output projection is missing: multiply by w_out at the end.", without_output),
            Mistake("Each head has width D/H, so its scores are divided by √(D/H), not √D.", scaled_by_model_width),
            Mistake("There is only one head: cut the width into n_head parts.", one_head),
        ),
    ),
    Exercise(
        id="02-leaky-attention",
        title="A bug: it learns fast, and cannot write",
        entry="repaired_attention",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Give it random q, k, v and change only the last position of v. Which rows of the result change?",
            "Every row changes, although only the last one may. Look at what happens to weights between mask and "
            "values: do the rows sum to 1, and is each forbidden weight 0 at the end?",
            "Mask the scores with −∞ first, and take the softmax once, last.",
        ),
        cases=q_k_v_and_mask,
        wide=wide_q_k_v_and_mask,
        reference=attention,
        uses=("02-attention",),
        mistakes=(
            Mistake(
                "The second softmax is still there: it turns forbidden zeros into weights again.",
                lambda q, k, v, mask: masked_weights(q, k, mask).softmax(-1) @ v,
            ),
            Mistake(
                "The rows no longer sum to 1: take the softmax after the mask, not before it.", masked_after_softmax
            ),
            Mistake("The mask is gone altogether: position t sees t + 1.", unmasked),
            Mistake("Forbidden scores must be −∞, not 0: exp(0) = 1 is still a weight.", masked_with_zero),
            Mistake(UNSCALED, unscaled),
        ),
    ),
)


def masked_weights(q: Tensor, k: Tensor, mask: Tensor | None) -> Tensor:
    """What the code with the bug computes before its second softmax."""
    weights = library.attention_weights(q, k)
    return weights if mask is None else weights * mask
