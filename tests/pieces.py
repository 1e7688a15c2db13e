"""One small example of every picture that moves, with the numbers of an untrained model where it needs one."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from course.generate import Sampling
from course.runtime import generator
from course.show import inside, live
from course.show.live import Piece
from course.tokenizer import Tokenizer
from course.transformer import GPT, GPTConfig

RHYME = "How much wood would a woodchuck chuck if a woodchuck could chuck wood? 木 </script> $x$ \\ 😀"
KEYS = {"cake": (2, 0), "coffee": (0, 2), "chocolate": (1, 1)}
PRICES = {"cake": 300, "coffee": 500, "chocolate": 400}
QUERY, KEY = torch.randn(2, 8, generator=generator(1)).tolist()


@cache
def model() -> tuple[GPT, Tokenizer]:
    """A small untrained model, and a tokenizer for it."""
    tokenizer = Tokenizer.train([RHYME * 2], 290)
    size = tokenizer.vocab_size
    config = GPTConfig(vocab_size=size, context_length=64, n_layer=2, n_head=2, d_model=16)
    gpt = GPT(config, generator(0)).eval()
    with torch.no_grad():
        gpt.token_embedding.weight.mul_(20)  # so that some tokens are likelier than others
    return gpt, tokenizer


@cache
def logits() -> dict[str, torch.Tensor]:
    """Scores of 300 tokens after two texts: one is sure, one is not."""
    noise = torch.randn(2, 300, generator=generator(2))
    return {"sure": 6 * noise[0], '<open> & "wide"': noise[1]}


def clip(epsilon: float) -> tuple[str, dict[str, np.ndarray]]:
    """The clipped objective over five ratios."""
    rho = np.linspace(0.4, 1.8, 5)
    return f"clipped at {epsilon}", {"A = 1": np.minimum(rho, 1 + epsilon), "A = −1": -np.maximum(rho, 1 - epsilon)}


def shares(beta: float, plain: bool) -> tuple[str, dict[str, list[float]]]:
    """Two groups of bars."""
    return f"β = {beta}", {"before": [0.5, 0.5], "after": [0.5, 0.5] if plain else [1 / (1 + beta), beta / (1 + beta)]}


STEPS = [1, 2, 4, 8]
RUNS = {"without the leash": [0.3, 0.4, 0.45, 0.5], "with the leash": [0.3, 0.32, 0.33, 0.33]}
SAID = {"without the leash": ["It is Tokyo.", "Yes!", "Of course!", "Thanks!"], "with the leash": ["It is Tokyo."] * 4}
MAKERS = {
    "clock": lambda: live.clock(QUERY, KEY),
    "dictionary": lambda: live.soft_dictionary(KEYS, PRICES, (2, 0), ("sweet", "bitter"), "yen"),
    "roulette": lambda: live.roulette(logits(), [f"t{i}" for i in range(300)], Sampling(1.0, None, 0.95)),
    "merges": lambda: live.next_merge(RHYME, first=3),
    "curves": lambda: live.curves(
        clip, np.linspace(0.4, 1.8, 5), "ratio", "value", "Two bent lines", "Turn it.", epsilon=(0.05, 0.5, 0.05, 0.2)
    ),
    "bars": lambda: live.bars(
        shares, ["right", "polite"], "share", "Four bars", "Turn it.", percent=True, beta=[1.0, 2.0, 4.0], plain=True
    ),
    "scrub": lambda: live.scrub(STEPS, {"proxy": RUNS, "gold": RUNS}, SAID, "They part", "Two lines that part"),
    "stages": lambda: live.stages(["Where?", "When?"], {"base": ["And?", "So?"], "SFT": [("Here.", "right"), "Now."]}),
    "taste": lambda: live.taste(
        ["Where?", "When?", "Who?"], [["Here.", "Of course. Here."], ["Now.", "Go away."], ["I.", "You."]],
        [[[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 0]]], ["right", "polite", "rude"],
    ),
    "arcs": lambda: inside.attention_arcs(*model(), "How much wood"),
    "glass": lambda: inside.glass(*model(), "How much wood"),
    "tree": lambda: inside.see_through(*model(), model()[1].encode("How much"), "How much", longest=5, most=8),
}  # fmt: skip


@cache
def piece(name: str) -> Piece:
    """The example of this name."""
    return MAKERS[name]()


def page(name: str) -> str:
    """The HTML of the example of this name, as a notebook holds it."""
    return piece(name)._repr_mimebundle_()["text/html"]
