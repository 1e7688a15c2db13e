"""Looking inside a model while it reads and writes: pieces that move, made of what the model computes."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from heapq import heappop, heappush
from typing import Any

import torch

from course import induction
from course.decode import one_thread
from course.show import plots
from course.show.live import Piece, pack
from course.show.widgets import Html
from course.tokenizer import Tokenizer
from course.transformer import GPT

LONGEST = 24  # tokens that can be read one below the other


@torch.no_grad()
def attention_arcs(model: GPT, tokenizer: Tokenizer, text: str, layer: int = 0) -> Piece:
    """Who looks at whom, in every layer and head, as arcs; with heads to switch off, and what comes next without them.

    For each layer, all ways of switching some of its heads off are computed, with the other layers whole.
    Raises ValueError for a text of fewer than 2 or more than 24 tokens, and for a model with more than 6 heads.
    """
    config, ids = model.config, tokenizer.encode(text)
    if not 2 <= len(ids) <= LONGEST:
        raise ValueError(
            f"The text has {len(ids)} tokens; arcs can be read between 2 and {LONGEST}: take another text."
        )
    if config.n_head > 6:
        raise ValueError(f"{config.n_head} heads can be switched off in {2**config.n_head} ways; 6 heads are the most.")
    row = torch.tensor([ids], device=next(model.parameters()).device)
    weights = induction.looked_at(model, row)[0].cpu()  # (L, H, T, T)

    def next_tokens(quiet: Collection[tuple[int, int]]) -> list[tuple[str, float]]:
        with induction.silenced(model, quiet), one_thread(True):  # a short row: see `see_through`
            best = model(row)[0, -1].float().softmax(-1).topk(5)
        return [
            (tokenizer.token(i), round(p, 5)) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    every = range(config.n_head)
    ways = [[h for h in every if number >> h & 1] for number in range(2**config.n_head)]  # bit h: head h is off
    found = [[next_tokens([(at, h) for h in off]) for off in ways] for at in range(config.n_layer)]
    tokens = [tokenizer.token(i) for i in ids]
    still = plots.attention_map(
        weights[layer], tokens, f"Layer {layer}: who looks at whom",
        f"Attention weights of {config.n_head} heads in layer {layer} over the {len(tokens)} tokens of “{text}”.",
    )  # fmt: skip
    data = {
        "tokens": tokens, "layers": config.n_layer, "heads": config.n_head, "layer": layer, "weights": pack(weights),
        "next": found,
    }  # fmt: skip
    return Piece(
        "arcs", data, still, "Each head looks at other tokens, for reasons of its own",
        "Choose a layer, and move the token that looks. Then switch heads off, one and all of them: which one does the "
        "prediction need?",
    )  # fmt: skip


@torch.no_grad()
def glass(model: GPT, tokenizer: Tokenizer, text: str) -> Piece:
    """Every vector of a sentence: before the first block and after each, with what the output layer reads in it.

    Raises ValueError for a text of no or more than 12 tokens. Logit lens: nostalgebraist 2020, "interpreting GPT".
    """
    ids = tokenizer.encode(text)
    if not 1 <= len(ids) <= 12:
        raise ValueError(f"The text has {len(ids)} tokens; between 1 and 12 can be seen at once: take another text.")
    seen: list[torch.Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0])) for block in model.blocks]
    hooks.append(model.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0])))
    try:
        model(torch.tensor([ids], device=next(model.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    stream = torch.stack(seen).float()  # (1 + L, T, D)
    best = model.head(model.norm(stream)).softmax(-1).topk(5)  # (1 + L, T, 5)
    lens = [
        [[(tokenizer.token(i), round(p, 5)) for p, i in zip(*pair, strict=True)] for pair in zip(*row, strict=True)]
        for row in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
    tokens = [tokenizer.token(i) for i in ids]
    lines = [
        f"blocks done {h}: " + ", ".join(f"{cell[0][0]} {cell[0][1]:.0%}" for cell in row) for h, row in enumerate(lens)
    ]
    said = f"What the output layer reads at each place of “{text}”: " + "; ".join(lines)
    data = {
        "tokens": tokens, "heights": len(lens), "width": stream.size(-1), "vectors": pack(stream.cpu()), "lens": lens,
    }  # fmt: skip
    return Piece(
        "glass", data, Html(f"<p>{html.escape(said)}</p>", said), "From what was read to what comes, block by block",
        "Each field is a vector, and shows what the output layer would say of it. Walk with the arrow keys: in which "
        "block does a place stop saying its own token?",
    )  # fmt: skip


@torch.no_grad()
def see_through(
    model: GPT,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    shown: str,
    stop_tokens: Collection[int] = (),
    longest: int = 16,
    most: int = 40,
) -> Piece:
    """What a model writes, each token shaded by its probability; a click on another token goes on from there.

    prompt: ids. shown: what stands for them on the page. longest: tokens of a text. most: texts that are followed, the
    likeliest first; each is greedy after the token that was clicked. Raises ValueError for an empty prompt.
    """
    if not prompt:
        raise ValueError("The prompt is empty; give at least one token to go on from.")
    device = next(model.parameters()).device
    chains: list[list[Any]] = []
    waiting: list[tuple[float, int, list[int], list[Any], int]] = []  # what is not followed yet, the likeliest first

    def follow(ids: list[int], chain: list[Any], share: float) -> None:
        """Write greedily after these ids, and note what else could have been written."""
        number = len(chains)
        chains.append(chain)
        while len(ids) < len(prompt) + longest and not (len(ids) > len(prompt) and ids[-1] in stop_tokens):
            with one_thread(True):  # a row so short waits longer for a second thread than it saves
                best = model(torch.tensor([ids], device=device))[0, -1].float().softmax(-1).topk(4)
            others: list[Any] = []
            for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True):
                others.append([tokenizer.token(i), round(p, 5), number if not others else -1])
                if len(others) > 1:
                    heappush(waiting, (-share * p, i, ids, others, len(others) - 1))
            chain.append([others[0][0], others[0][1], others])
            ids, share = [*ids, int(best.indices[0])], share * others[0][1]

    follow(list(prompt), [], 1.0)
    while waiting and len(chains) < most:
        negative, token, ids, others, place = heappop(waiting)
        others[place][2] = len(chains)
        follow([*ids, token], [[*others[place][:2], others]], -negative)
    words = [f"{text} ({share:.0%})" for text, share, _ in chains[0]]
    said = f"{shown} {' '.join(words)}"
    return Piece(
        "tree", {"prompt": shown, "chains": chains}, Html(f"<p>{html.escape(said)}</p>", said),
        "The more orange a token, the less sure the model was",
        "Point at a token, or walk with the arrow keys: what else could have stood there? A click on another token "
        "goes on from there.",
    )  # fmt: skip
