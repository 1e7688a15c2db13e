"""The exercises of notebook 05: temperature, top-k, top-p, a draw, one step with a cache, and one bug to find."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course import attention as library_of_attention
from course import generate as library
from course.practice.exercise import Exercise, Mistake, between, different, whole

CPU = torch.device("cpu")


def spread(n: int, chance: torch.Generator, gap: float = 0.4, more: float = 1.0) -> Tensor:
    """(n,) logits in a random order, any two at least `gap` apart: no tie, no doubt about the order.

    The likeliest never comes first: whoever forgets the order of the vocabulary is found out.
    """
    logits = (gap + more * torch.rand(n, generator=chance)).cumsum(0)
    logits = (logits - logits.mean())[torch.randperm(n, generator=chance)]
    return logits.roll(1) if n > 1 and logits.argmax() == 0 else logits


# --- temperature ----------------------------------------------------------------------------------------------------


def logits_and_temperature(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a_temperature = 1.5 + 0.5 * torch.rand((), generator=chance).item()
    yield {"logits": spread(5, chance), "temperature": 0.5}
    yield {"logits": spread(6, chance), "temperature": 0.0}
    yield {"logits": 200 + spread(4, chance), "temperature": a_temperature}  # exp(100) is too much for float32
    yield {"logits": torch.randn(1, generator=chance), "temperature": 0.7}


def wide_logits_and_temperature(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    V = whole(chance, 3, 30)
    for temperature in (0.0, between(chance, 0.2, 0.8), between(chance, 1.3, 3.0)):
        yield {"logits": spread(V, chance, 2 / V, 2 / V), "temperature": temperature}
    large = whole(chance, 150, 300) + spread(V, chance, 2 / V, 2 / V)
    yield {"logits": large, "temperature": between(chance, 1.2, 1.6)}
    yield {"logits": torch.randn(1, generator=chance), "temperature": between(chance, 0.2, 2.0)}


def with_temperature(logits: Tensor, temperature: float) -> Tensor:
    return library.next_token_distribution(logits, library.Sampling(temperature))


def greedy_or(otherwise: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    """Right at temperature 0, the mistake above it."""
    return lambda logits, temperature: (
        with_temperature(logits, 0.0) if temperature == 0 else otherwise(logits, temperature)
    )


def powers(logits: Tensor, temperature: float) -> Tensor:
    powers = (logits / temperature).exp()
    return powers / powers.sum()


# --- top-k and top-p ------------------------------------------------------------------------------------------------


def logits_and_k(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a_size = int(torch.randint(6, 10, (), generator=chance))
    for V, k in ((a_size, 3), (5, 1), (4, 4), (3, 50)):
        yield {"logits": spread(V, chance), "k": k}


def wide_logits_and_k(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    V = whole(chance, 5, 40)
    for k in (1, whole(chance, 2, V - 2), whole(chance, 2, V - 2), V, V + whole(chance, 1, 60)):
        yield {"logits": spread(V, chance, 2 / V, 2 / V), "k": k}


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    return library.next_token_distribution(logits, library.Sampling(top_k=k))


def below_kth(logits: Tensor, k: int, last: int = 0) -> Tensor:
    """(V,) booleans, True for all but the k likeliest (k + last of them)."""
    return logits.argsort(descending=True).argsort() >= k + last


def unit(weights: Tensor) -> Tensor:
    return weights / weights.sum()


def probs_and_p(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for V, kept in ((6, 3), (5, 1), (4, 4), (1, 1)):
        probs = spread(V, chance, gap=0.2, more=0.3).softmax(-1)
        ranked = probs.sort(descending=True).values
        if V == 6:  # the second, the likeliest, the others: neither in order nor nearly in ascending order
            probs = torch.cat((ranked[[1, 0]], ranked[2:][torch.randperm(4, generator=chance)]))
        inside = 0.2 + 0.6 * torch.rand((), generator=chance)  # p lies well inside what the last kept token adds
        yield {"probs": probs, "p": (ranked[: kept - 1].sum() + inside * ranked[kept - 1]).item()}


def wide_probs_and_p(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    V = whole(chance, 5, 30)
    for kept in (1, whole(chance, 2, V - 2), whole(chance, 2, V - 2), V):
        probs = spread(V, chance, 1 / V, 1 / V).softmax(-1)
        ranked = probs.sort(descending=True).values
        yield {"probs": probs, "p": (ranked[: kept - 1].sum() + between(chance, 0.2, 0.8) * ranked[kept - 1]).item()}
    exactly = torch.tensor([0.5, 0.25, 0.125, 0.125])  # the likeliest, or two of them, hold just p
    yield {"probs": exactly[torch.randperm(4, generator=chance)], "p": (0.5, 0.75)[whole(chance, 0, 1)]}


def keep_top_p(probs: Tensor, p: float) -> Tensor:
    return library.next_token_distribution(probs.log(), library.Sampling(top_p=p))


def nucleus(probs: Tensor, p: float, more: int = 0, likeliest_first: bool = True, beyond: bool = False) -> Tensor:
    """(V,) the probabilities of the kept tokens, 0 elsewhere, not renormalised. `more`: that many tokens too many.

    `beyond`: they hold more than p, where p itself is enough.
    """
    ranked, order = probs.sort(descending=likeliest_first)
    held = ranked.cumsum(0)
    count = int((held <= p if beyond else held < p).sum()) + 1 + more
    return torch.zeros_like(probs).scatter(0, order[:count], ranked[:count])


def in_the_order_of_the_vocabulary(probs: Tensor, p: float) -> Tensor:
    return unit(probs * (probs.cumsum(0) - probs < p))


def left_in_order_of_rank(probs: Tensor, p: float) -> Tensor:
    return keep_top_p(probs, p).sort(descending=True).values


# --- a draw ---------------------------------------------------------------------------------------------------------


def probs_and_u(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for target in (3, 1, 2):
        probs = spread(5, chance, gap=0.2, more=0.3).softmax(-1)
        probs = probs.sort().values if target == 1 else probs  # whoever sorts the other way gets another token
        inside = 0.2 + 0.6 * torch.rand((), generator=chance)
        yield {"probs": probs, "u": (probs[:target].sum() + inside * probs[target]).item()}
    likeliest_in_the_middle = spread(3, chance, gap=0.2, more=0.3).sort().values[[0, 2, 1]].softmax(-1)
    u = 1 - 0.4 * likeliest_in_the_middle[[0, -1]].min().item()  # the last token; 1 - u would be the first
    yield {"probs": likeliest_in_the_middle, "u": u}
    impossible_first = torch.cat((torch.zeros(1), spread(3, chance, gap=0.2, more=0.3).softmax(-1)))
    yield {"probs": impossible_first, "u": 0.0}
    yield {"probs": torch.ones(1), "u": torch.rand((), generator=chance).item() * 0.99}


def wide_probs_and_u(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    V = whole(chance, 6, 60)
    probs = spread(V, chance, 1 / V, 1 / V).softmax(-1)
    for target in (0, whole(chance, 1, V - 2), whole(chance, 1, V - 2), V - 1):
        yield {"probs": probs, "u": (probs[:target].sum() + between(chance, 0.2, 0.8) * probs[target]).item()}
    impossible = whole(chance, 1, 9)
    possible = spread(V, chance, 1 / V, 1 / V).softmax(-1)
    yield {"probs": torch.cat((torch.zeros(impossible), possible)), "u": 0.0}
    halves = torch.zeros(V)
    halves[different(chance, 2, 0, V)] = 0.5
    yield {"probs": halves, "u": 0.5}  # where one stretch ends and another begins


def draw(probs: Tensor, u: float) -> int:
    return int(library.draw(probs[None], torch.tensor([u])))


def by_rank(probs: Tensor, u: float) -> int:
    return draw(probs.sort(descending=True).values, u)


# --- one step with a cache ------------------------------------------------------------------------------------------


def one_token_and_caches(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for S, d in ((3, 4), (0, 8), (1, 6), (int(torch.randint(5, 9, (), generator=chance)), 16)):
        yield a_token_and_caches(chance, S, d)


def wide_token_and_caches(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for S, widest in ((0, 32), (1, 32), (whole(chance, 2, 9), 32), (whole(chance, 10, 40), 9)):
        yield a_token_and_caches(chance, S, whole(chance, 4, widest))


def a_token_and_caches(chance: torch.Generator, S: int, d: int) -> dict[str, Any]:
    q, k, v = torch.randn(3, 1, d, generator=chance).unbind()
    k_cache, v_cache = torch.randn(2, S, d, generator=chance).unbind()
    return {"q": 2 * q, "k": 2 * k, "v": v, "k_cache": 2 * k_cache, "v_cache": v_cache}


def cached_attention(q: Tensor, k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor) -> list[Tensor]:
    S, d = k_cache.shape
    cache = library_of_attention.KVCache(n_layer=1, batch=1, n_kv_head=1, length=S + 1, d_head=d)
    cache.append(0, k_cache[None, None], v_cache[None, None])
    cache.advance(S)
    keys, values = (kept[0, 0] for kept in cache.append(0, k[None, None], v[None, None]))
    return [library_of_attention.attention(q, keys, values), keys, values]


def unscaled(q: Tensor, k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor) -> list[Tensor]:
    output, *_ = cached_attention(q * math.sqrt(q.size(-1)), k, v, k_cache, v_cache)
    return [output, torch.cat((k_cache, k)), torch.cat((v_cache, v))]


def looks_at_the_past_alone(q: Tensor, k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor) -> list[Tensor]:
    _, keys, values = cached_attention(q, k, v, k_cache, v_cache)
    return [library_of_attention.attention(q, k_cache, v_cache), keys, values]


def sees_the_first_alone(q: Tensor, k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor) -> list[Tensor]:
    _, keys, values = cached_attention(q, k, v, k_cache, v_cache)
    return [values[:1], keys, values]


def softmax_over_the_query(q: Tensor, k: Tensor, v: Tensor, k_cache: Tensor, v_cache: Tensor) -> list[Tensor]:
    _, keys, values = cached_attention(q, k, v, k_cache, v_cache)
    return [values.sum(0, keepdim=True), keys, values]


# --- a bug: prompts of unequal length -------------------------------------------------------------------------------


def some_prompts(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for lengths in ((2, 5, 1), (3, 3), (1,), (4, 6)):
        prompts = [torch.randint(1, 100, (length,), generator=chance).tolist() for length in lengths]
        prompts[0][0] = 0 if len(prompts) == 3 else prompts[0][0]  # a token like any other
        yield {"prompts": prompts}


def wide_prompts(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    longest = whole(chance, 4, 14)
    for B in (1, whole(chance, 2, 3), whole(chance, 3, 6)):
        lengths = [whole(chance, 1, longest) for _ in range(B - 1)] + [longest]
        lengths = [lengths[i] for i in torch.randperm(B, generator=chance)]
        prompts = [torch.randint(1, 50_000, (length,), generator=chance).tolist() for length in lengths]
        prompts[whole(chance, 0, B - 1)][0] = 0  # a token like any other
        yield {"prompts": prompts if B < 3 else [*prompts, [0, whole(chance, 1, 50_000)]]}


def padded_prompts(prompts: list[list[int]]) -> list[Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    tokens, _ = library._pad_left(prompts, longest, CPU)
    mask, positions = library._mask_and_positions(amounts(prompts), longest)
    return [tokens, positions, mask[:, 0]]


def amounts(prompts: list[list[int]]) -> Tensor:
    """(B,) how much padding each prompt needs."""
    longest = max(len(prompt) for prompt in prompts)
    return torch.tensor([longest - len(prompt) for prompt in prompts])


def with_positions(of: Callable[[Tensor, Tensor], Tensor]) -> Callable[[list[list[int]]], list[Tensor]]:
    """Right but for the positions: of(place (T,), padding (B, 1))."""

    def computes(prompts: list[list[int]]) -> list[Tensor]:
        tokens, positions, mask = padded_prompts(prompts)
        return [tokens, of(torch.arange(positions.size(1)), amounts(prompts)[:, None]), mask]

    return computes


def padded_right(prompts: list[list[int]]) -> list[Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    place, real = torch.arange(longest), longest - amounts(prompts)
    mask = library_of_attention.causal_mask(longest) & (place < real[:, None])[:, None, :]
    return [tokens, place.expand(tokens.shape), mask | torch.eye(longest, dtype=torch.bool)]


def padding_is_seen(prompts: list[list[int]]) -> list[Tensor]:
    tokens, positions, mask = padded_prompts(prompts)
    return [tokens, positions, library_of_attention.causal_mask(mask.size(1)).expand(mask.shape)]


def zero_taken_for_padding(prompts: list[list[int]]) -> list[Tensor]:
    tokens, _, mask = padded_prompts(prompts)
    real = tokens != 0
    mask = library_of_attention.causal_mask(mask.size(1)) & real[:, None, :]
    positions = (real.cumsum(-1) - 1).clamp_min(0)
    return [tokens, positions, mask | torch.eye(mask.size(1), dtype=torch.bool)]


MULTIPLIED = "You multiply by the temperature; divide by it: a low temperature makes the differences larger."
NOT_UNIT = "What is kept does not sum to 1: divide it by its sum."

EXERCISES = (
    Exercise(
        id="05-with-temperature",
        title="Sharper or flatter",
        entry="with_temperature",
        points=1,
        level="warm-up",
        minutes=8,
        hints=(
            "Two cases. Above 0: divide the logits first, then make them probabilities. At 0: nothing can be divided.",
            "At temperature 0 start from torch.zeros_like(logits), and put a 1 where logits.argmax() says.",
            "Otherwise (logits / temperature).softmax(dim=-1); softmax takes care of very large logits.",
        ),
        cases=logits_and_temperature,
        wide=wide_logits_and_temperature,
        reference=with_temperature,
        mistakes=(
            Mistake(MULTIPLIED, greedy_or(lambda logits, temperature: (logits * temperature).softmax(-1))),
            Mistake(MULTIPLIED, lambda logits, temperature: (logits * temperature).softmax(-1)),
            Mistake(
                "At temperature 0 you divide by 0 and get nan: treat 0 on its own, all on the likeliest.",
                lambda logits, temperature: (logits / temperature).softmax(-1),
            ),
            Mistake(
                "At temperature 0 you draw as at temperature 1; it must be all on the likeliest, a 1 among zeros.",
                lambda logits, temperature: (logits / (temperature or 1.0)).softmax(-1),
            ),
            Mistake(
                "At temperature 0 you give the number of the token; give probabilities: a 1 there, 0 elsewhere.",
                lambda logits, temperature: logits.argmax() if temperature == 0 else (logits / temperature).softmax(-1),
            ),
            Mistake(
                "You divide the probabilities, so they do not sum to 1: divide the logits, before the softmax.",
                greedy_or(lambda logits, temperature: logits.softmax(-1) / temperature),
            ),
            Mistake(
                "You divide the probabilities and take a softmax again: divide the logits, and take one softmax.",
                greedy_or(lambda logits, temperature: (logits.softmax(-1) / temperature).softmax(-1)),
            ),
            Mistake(
                "Large logits give inf / inf = nan: exp(100) is more than float32 can hold. softmax takes the largest "
                "logit away first.",
                greedy_or(powers),
            ),
        ),
    ),
    Exercise(
        id="05-keep-top-k",
        title="Only the k likeliest",
        entry="keep_top_k",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "Find the k-th largest logit; everything below it may not be drawn. Which logit becomes probability 0?",
            "logits.topk(min(k, len(logits))).values holds the largest, in order: its last one is the border.",
            "logits.masked_fill(logits < border, -torch.inf), and then a softmax: it makes the rest sum to 1.",
        ),
        cases=logits_and_k,
        wide=wide_logits_and_k,
        reference=keep_top_k,
        mistakes=(
            Mistake(NOT_UNIT, lambda logits, k: logits.softmax(-1).masked_fill(below_kth(logits, k), 0.0)),
            Mistake(
                "The logits left out must be −∞, not 0: exp(0) = 1 is still a weight.",
                lambda logits, k: logits.masked_fill(below_kth(logits, k), 0.0).softmax(-1),
            ),
            Mistake(
                "You softmax twice: the probability 0 becomes a weight again, for exp(0) = 1.",
                lambda logits, k: logits.softmax(-1).masked_fill(below_kth(logits, k), 0.0).softmax(-1),
            ),
            Mistake(
                "You keep k − 1 tokens: the k-th itself belongs to them. Leave out what is below it, with <, not ≤.",
                lambda logits, k: logits.masked_fill(below_kth(logits, min(k, len(logits)), -1), -torch.inf).softmax(
                    -1
                ),
            ),
            Mistake(
                "You keep k + 1 tokens: count from 0, so that the k-th largest stands at place k − 1.",
                lambda logits, k: logits.masked_fill(below_kth(logits, k, 1), -torch.inf).softmax(-1),
            ),
            Mistake(
                "You keep the k unlikeliest: look for the largest logits, not the smallest.",
                lambda logits, k: logits.masked_fill(below_kth(-logits, k), -torch.inf).softmax(-1),
            ),
            Mistake(
                "You give the k kept probabilities alone; the result has a place for every token, 0 where it is "
                "left out.",
                lambda logits, k: logits.topk(min(k, len(logits))).values.softmax(-1),
            ),
            Mistake("Nothing is left out: every token keeps its probability.", lambda logits, k: logits.softmax(-1)),
        ),
    ),
    Exercise(
        id="05-keep-top-p",
        title="The nucleus",
        entry="keep_top_p",
        points=3,
        level="hard",
        minutes=20,
        hints=(
            "Sort from likely to unlikely and keep `order`, the places that they came from. How much probability do "
            "the likelier ones hold together, before each token?",
            "before = ranked.cumsum(0) - ranked. A token is kept while before < p: the one that crosses p is kept, and "
            "the first one always is.",
            "ranked[before >= p] = 0; result = torch.zeros_like(probs); result[order] = ranked; divide by its sum.",
        ),
        cases=probs_and_p,
        wide=wide_probs_and_p,
        reference=keep_top_p,
        mistakes=(
            Mistake(
                "The token that crosses p is missing, so you hold less than p (and nothing at all when the first "
                "token crosses it).",
                lambda probs, p: unit(nucleus(probs, p, more=-1)),
            ),
            Mistake(
                "The token that crosses p is missing, so you hold less than p (and nothing at all when the first "
                "token crosses it).",
                lambda probs, p: unit(nucleus(probs, p, more=-1, beyond=True)),
            ),
            Mistake(
                "You keep one token too many: the nucleus ends with the token that crosses p.",
                lambda probs, p: unit(nucleus(probs, p, more=1)),
            ),
            Mistake(
                "You keep one token too many: the nucleus ends with the token that crosses p.",
                lambda probs, p: unit(nucleus(probs, p, more=1, beyond=True)),
            ),
            Mistake(NOT_UNIT, nucleus),
            Mistake(
                "The probabilities stand in the order of their rank: put each back to the place of its token.",
                left_in_order_of_rank,
            ),
            Mistake(
                "You add up in the order of the vocabulary: sort first, the likeliest in front.",
                in_the_order_of_the_vocabulary,
            ),
            Mistake(
                "You begin with the unlikeliest: sort in descending order.",
                lambda probs, p: unit(nucleus(probs, p, likeliest_first=False)),
            ),
            Mistake(
                "You compare each probability with p; compare the sum of the likelier ones with it.",
                lambda probs, p: unit(probs.masked_fill(probs < p, 0.0)),
            ),
            Mistake(
                "A softmax over the kept probabilities flattens them, and makes each 0 a weight again: divide by the "
                "sum instead.",
                lambda probs, p: nucleus(probs, p).softmax(-1),
            ),
        ),
    ),
    Exercise(
        id="05-draw",
        title="From a number to a token",
        entry="draw",
        points=2,
        level="medium",
        minutes=12,
        hints=(
            "Draw the line from 0 to 1 on paper, each token's stretch after the other. Where does each stretch end?",
            "probs.cumsum(0) holds the ends. The token is the first whose end lies beyond u.",
            "That is the number of ends that are ≤ u: int((probs.cumsum(0) <= u).sum()).",
        ),
        cases=probs_and_u,
        wide=wide_probs_and_u,
        reference=draw,
        mistakes=(
            Mistake("You take the likeliest, whatever u is: that is greedy.", lambda probs, u: int(probs.argmax())),
            Mistake(
                "You stop at an end that equals u: a first token of probability 0 is drawn by u = 0. "
                "The end must lie beyond u (<, not ≤).",
                lambda probs, u: int((probs.cumsum(0) < u).sum()),
            ),
            Mistake(
                "You are one token too far: take the token in whose stretch u lies.",
                lambda probs, u: draw(probs, u) + 1,
            ),
            Mistake(
                "You are one token too early: take the token in whose stretch u lies.",
                lambda probs, u: draw(probs, u) - 1,
            ),
            Mistake(
                "You compare u with single probabilities: compare it with their running sum.",
                lambda probs, u: int((probs > u).int().argmax()),
            ),
            Mistake(
                "You sort first, and give the place in the sorted list: the stretches lie in the order of the "
                "vocabulary, no sorting.",
                by_rank,
            ),
            Mistake(
                "You sort first: the stretches lie in the order of the vocabulary, token 0 at the left.",
                lambda probs, u: int(probs.argsort(descending=True)[by_rank(probs, u)]),
            ),
            Mistake(
                "You count from the wrong end: token 0 owns the left of the line, where u is small.",
                lambda probs, u: draw(probs, 1 - u),
            ),
        ),
    ),
    Exercise(
        id="05-cached-attention",
        title="One step with a cache",
        entry="cached_attention",
        points=3,
        level="hard",
        minutes=20,
        hints=(
            "First make the caches longer by one row, k and v at their ends. Then it is attention, with one query.",
            "keys = torch.cat((k_cache, k)), values = torch.cat((v_cache, v)); scores = q @ keys.T, shape (1, S + 1). "
            "The query is the newest token: nothing lies in its future, so no mask is needed.",
            "weights = (q @ keys.T / math.sqrt(q.size(-1))).softmax(dim=-1); return [weights @ values, keys, values]",
        ),
        cases=one_token_and_caches,
        wide=wide_token_and_caches,
        reference=cached_attention,
        mistakes=(
            Mistake(
                "The new token cannot see itself: append its key and value first, and attend to all S + 1.",
                looks_at_the_past_alone,
            ),
            Mistake(
                "The output is right, and then the new key and value get lost: return the longer caches.",
                lambda q, k, v, k_cache, v_cache: [cached_attention(q, k, v, k_cache, v_cache)[0], k_cache, v_cache],
            ),
            Mistake(
                "The caches do not grow, and the new token cannot see itself: append its key and value before you "
                "attend.",
                lambda q, k, v, k_cache, v_cache: [
                    library_of_attention.attention(q, k_cache, v_cache),
                    k_cache,
                    v_cache,
                ],
            ),
            Mistake(
                "The new token stands in front: it is the latest, so it belongs at the end of the caches.",
                lambda q, k, v, k_cache, v_cache: [
                    cached_attention(q, k, v, k_cache, v_cache)[0],
                    torch.cat((k, k_cache)),
                    torch.cat((v, v_cache)),
                ],
            ),
            Mistake(
                "The value cache has got the new key: append v there.",
                lambda q, k, v, k_cache, v_cache: cached_attention(q, k, k, k_cache, v_cache),
            ),
            Mistake(
                "A causal mask of shape (1, S + 1) from a plain tril lets the query see key 0 alone. Your query is "
                "the last of all positions: it may see everything, without a mask.",
                sees_the_first_alone,
            ),
            Mistake("1/√d is missing: the scores grow with the width, and the softmax saturates.", unscaled),
            Mistake(
                "The softmax runs over the wrong axis: there is one query, so each weight became 1; take it over "
                "the keys, dim=-1.",
                softmax_over_the_query,
            ),
            Mistake(
                "The order is wrong: the output first, then the keys, then the values.",
                lambda **c: [*(made := cached_attention(**c))[1:], made[0]],
            ),
        ),
    ),
    Exercise(
        id="05-unequal-prompts",
        title="A bug: alone it answers, in company it babbles",
        entry="padded_prompts",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Call the function with one prompt alone, and then with a longer one beside it. What does it say about the "
            "same tokens, each time?",
            "The tokens are right, and the mask is right. At which position does the model believe the first real "
            "token of a short prompt to be?",
            "Positions count from each prompt's first token: (place - padding[:, None]).clamp_min(0).",
        ),
        cases=some_prompts,
        wide=wide_prompts,
        reference=padded_prompts,
        mistakes=(
            Mistake(
                "The bug is still there: the first token of a padded prompt must be at position 0.",
                with_positions(lambda place, padding: place + 0 * padding),
            ),
            Mistake(
                "Padding has positions below 0, and no row of the position table has such a number: use 0 there.",
                with_positions(lambda place, padding: place - padding),
            ),
            Mistake(
                "Positions start at 1; alone, the first token is at position 0.",
                with_positions(lambda place, padding: (place + 1 - padding).clamp_min(0)),
            ),
            Mistake(
                "You add the padding to the positions: take it away.",
                with_positions(lambda place, padding: place + padding),
            ),
            Mistake(
                "You pad on the right now: then the next token of a short prompt would follow its padding. "
                "Pad on the left, and count from the first real token.",
                padded_right,
            ),
            Mistake("The mask was right: padding must not be seen by the prompt's tokens.", padding_is_seen),
            Mistake(
                "Token 0 is a token, too: a prompt may hold it. Go by the lengths, not by tokens != 0.",
                zero_taken_for_padding,
            ),
        ),
    ),
)
