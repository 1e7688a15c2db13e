"""Generation: ask for the next token, take one, append it, ask again.

How to take one is the art: always the likeliest (greedy), or a draw from the distribution, made sharper or flatter
(temperature) and cut off (top-k, top-p). The cache of keys and values makes each step cost one token, not all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from course.decode import Decoder, one_thread
from course.runtime import adapt_threads
from course.transformer import GPT

SMALL_PROMPT = 32_000_000  # multiplications: 32 tokens of the course's model are read in one thread, more in all


@dataclass(frozen=True)
class Sampling:
    """How to choose the next token.

    temperature: 0 takes the likeliest token; 1 draws as the model believes; more is more adventurous.
    top_k: draw among the k likeliest (Fan et al. 2018, arXiv:1805.04833).
    top_p: draw among the fewest tokens that hold a probability of p together (Holtzman et al. 2019, arXiv:1904.09751).
    Raises ValueError when a number makes no sense.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.temperature != 0 and not 1e-4 <= self.temperature < math.inf:
            raise ValueError(
                f"temperature={self.temperature} must be 0 (greedy), or a number from 0.0001 up; 0.7 is a good start."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k={self.top_k} leaves no token to choose; use 1 or more, or None.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p} is not a probability above 0 and up to 1.")


GREEDY = Sampling(temperature=0.0)


def next_token_distribution(logits: Tensor, sampling: Sampling = Sampling()) -> Tensor:
    """The probabilities that the next token is drawn from. logits: (..., V). Returns (..., V), each row sums to 1."""
    if sampling.temperature == 0:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1.0)
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.size(-1):
        kept = logits.topk(sampling.top_k, dim=-1)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, kept.indices, kept.values)
    probs = logits.softmax(dim=-1)
    if sampling.top_p is not None and sampling.top_p < 1:
        ranked, order = probs.sort(dim=-1, descending=True)
        before = ranked.cumsum(dim=-1) - ranked  # probability of all likelier tokens together
        ranked = ranked.masked_fill(before >= sampling.top_p, 0.0)
        probs = torch.zeros_like(probs).scatter_(-1, order, ranked)
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs


def draw(probs: Tensor, darts: Tensor) -> Tensor:
    """Throw a dart at [0, 1), on which each token owns a stretch as long as its probability.

    probs: (B, V)   darts: (B,) in [0, 1). Returns (B,) ids. One number per row makes a row's draw independent of the
    other rows, so that a batch gives what its prompts would give alone with the same darts.
    """
    edges = probs.cumsum(dim=-1)  # (B, V): where each token's stretch ends
    darts = darts.to(edges) * edges[:, -1]  # rounding: the last edge may not be exactly 1
    return torch.searchsorted(edges, darts[:, None], right=True).squeeze(1).clamp_max(probs.size(-1) - 1)


@torch.inference_mode()
def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int = 32,
    sampling: Sampling = GREEDY,
    stop_tokens: Collection[int] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> list[list[int]]:
    """Continue each prompt until a stop token (not returned), `max_new_tokens`, or the end of the context.

    prompts: lists of ids, of any lengths from 1 up. Returns a list of new ids for each.
    generator: a CPU generator; the same seed gives the same text, with and without the cache, on any device.
    Raises ValueError for an empty prompt and for one that fills the whole context.
    """
    replies: list[list[int]] = [[] for _ in prompts]
    for rows, tokens in _steps(model, prompts, max_new_tokens, sampling, stop_tokens, generator, use_cache):
        for row, token in zip(rows, tokens, strict=True):
            replies[row].append(token)
    return replies


@torch.inference_mode()
def stream(
    model: GPT,
    prompt: Sequence[int],
    max_new_tokens: int = 32,
    sampling: Sampling = GREEDY,
    stop_tokens: Collection[int] = (),
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """The same for one prompt, each token as soon as it is there."""
    for _, tokens in _steps(model, [prompt], max_new_tokens, sampling, stop_tokens, generator, use_cache=True):
        yield from tokens


def _steps(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling,
    stop_tokens: Collection[int],
    generator: torch.Generator | None,
    use_cache: bool,
) -> Iterator[tuple[list[int], list[int]]]:
    """One step at a time: the rows still running, and the token that each takes now.

    Its callers turn gradients off: a generator that does so itself pays for it at every step.
    """
    if len(prompts) == 0:
        return
    longest = _check(model, prompts)
    device = model.token_embedding.weight.device
    context = model.config.context_length
    limit = longest + min(max_new_tokens, context - min(map(len, prompts)))  # may pass the context: padding is no text
    stop = set(stop_tokens)
    tokens, padding = _pad_left(prompts, limit, device)
    mask, positions = (None, None) if padding is None else _mask_and_positions(padding, limit)
    rows = list(range(len(prompts)))  # which prompt each row of the batch continues
    ended: set[int] = set()  # the prompts among them that have met a stop token
    decoder: Decoder | None = None
    mixed = torch.is_autocast_enabled(device.type)
    exact = torch.autocast(device.type, enabled=False) if mixed else nullcontext()  # the decoder's buffers have a dtype
    chosen = tokens[:, 0]  # (rows,): the newest token of each row, once there is one
    for end in range(longest, limit):
        adapt_threads()
        if decoder is not None:  # one new token per row: the fast path
            with exact:
                logits = decoder.step(chosen)  # (rows, V)
        else:
            seen = None if mask is None else mask[:, :, :end, :end]
            places = None if positions is None else positions[:, :end]
            cache = model.new_cache(len(prompts), limit) if use_cache else None
            with one_thread(len(rows) * end * model.n_parameters < SMALL_PROMPT):
                logits = model.head(model.hidden(tokens[:, :end], mask=seen, positions=places, cache=cache)[:, -1])
            decoder = None if cache is None else Decoder(model, cache, padding)
        if sampling.temperature == 0:
            chosen = logits.argmax(dim=-1)
        else:
            darts = torch.rand(len(prompts), generator=generator)  # for ended rows too: the others' must not change
            darts = darts if len(rows) == len(prompts) else darts[rows]
            chosen = draw(next_token_distribution(logits.float(), sampling), darts.to(device))
        new = chosen.tolist()
        full: set[int] = set()  # rows without room for this token
        if end >= context:
            full = {row for row in rows if len(prompts[row]) + end - longest == context}
        if full or ended or not stop.isdisjoint(new):
            ended.update(full, (row for row, token in zip(rows, new, strict=True) if token in stop))
            going = [place for place, row in enumerate(rows) if row not in ended]
            if not going:
                return
            yield [rows[place] for place in going], [new[place] for place in going]
        else:
            going = list(range(len(rows)))
            yield rows, new
        if decoder is None:
            tokens[:, end] = chosen
        if full or len(going) <= 0.75 * len(rows):  # drop ended rows: they would only cost time, or have no position
            index = torch.tensor(going, device=device)
            rows = [rows[place] for place in going]
            chosen, tokens = chosen[index], tokens[index]
            mask = None if mask is None else mask[index]
            positions = None if positions is None else positions[index]
            if decoder is not None:
                decoder.keep(index)


def _check(model: GPT, prompts: Sequence[Sequence[int]]) -> int:
    """The length of the longest prompt, once all are fit to be continued."""
    if any(isinstance(prompt, int) for prompt in prompts):
        raise ValueError("Give a list of prompts, each a list of ids: [ids] for a single one.")
    lengths = [len(prompt) for prompt in prompts]
    if min(lengths) == 0:
        raise ValueError(f"Prompt {lengths.index(0)} is empty; give at least one token to continue from.")
    if max(lengths) >= model.config.context_length:
        raise ValueError(
            f"A prompt of {max(lengths)} tokens leaves no room in the model's context of "
            f"{model.config.context_length}; shorten it."
        )
    largest, vocab_size = max(map(max, prompts)), model.config.vocab_size
    if largest >= vocab_size:
        raise ValueError(
            f"Token {largest} does not exist for a model with vocab_size={vocab_size}; encode the prompt with the "
            "tokenizer that the model was trained with."
        )
    return max(lengths)


def _pad_left(prompts: Sequence[Sequence[int]], limit: int, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Line the prompts up at their ends, so that all rows take their next token at the same place.

    Returns tokens (B, limit), and how many of the first do not count in each row, (B,): None if all do.
    """
    longest = max(len(prompt) for prompt in prompts)
    padding = [longest - len(prompt) for prompt in prompts]
    rows = [[0] * pad + [*prompt] + [0] * (limit - longest) for pad, prompt in zip(padding, prompts, strict=True)]
    return torch.tensor(rows, device=device), torch.tensor(padding, device=device) if any(padding) else None


def _mask_and_positions(padding: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """What the model needs to know about padding (B,).

    Returns the mask (B, 1, limit, limit), True = may look; positions (B, limit), 0 at each prompt's first token.
    """
    place = torch.arange(limit, device=padding.device)
    real = place >= padding[:, None]  # (B, limit)
    causal = place[:, None] >= place  # (limit, limit)
    itself = torch.eye(limit, dtype=torch.bool, device=padding.device)  # padding looks at itself: somewhere it must
    mask = (causal & real[:, None, :]) | itself  # (B, limit, limit)
    return mask[:, None], (place - padding[:, None]).clamp_min(0)
