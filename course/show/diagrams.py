"""Drawings of machines: boxes and arrows with the shapes of what flows, in the style of `course.show.plots`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch

from course.show.plots import BLUE, GREEN, GREY, ORANGE, Picture, draw

ARROW = {"arrowstyle": "-|>", "color": GREY, "lw": 2, "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0}


def _box(axes: Axes, x: float, y: float, width: float, height: float, text: str, edge: str) -> None:
    """A rounded box with its lower left corner at (x, y)."""
    shape = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, fc="white", ec=edge, lw=3, zorder=2))
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", zorder=3)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], **how: Any) -> None:
    axes.annotate("", end, start, arrowprops={**ARROW, **how})


def _plus(axes: Axes, x: float, y: float) -> None:
    axes.add_patch(Circle((x, y), 0.27, fc="white", ec="black", lw=2, zorder=3))
    axes.text(x, y, "+", ha="center", va="center", fontsize=15, zorder=4)


def _finish(axes: Axes, title: str, width: tuple[float, float], height: tuple[float, float]) -> None:
    axes.set(xlim=width, ylim=height, title=title)
    axes.set_aspect("equal")
    axes.axis("off")


def attention() -> Picture:
    """Scaled dot-product attention as a machine: q, k and v go in, and each step shows its shape."""

    def paint(axes: Axes) -> None:
        for y, name, shape, colour in (
            (2.6, "q", "(T, d)", BLUE),
            (1.2, "k", "(S, d)", ORANGE),
            (-0.7, "v", "(S, d)", GREEN),
        ):
            _box(axes, 0, y, 1.1, 0.8, name, colour)
            axes.text(0.55, y - 0.25, shape, ha="center", va="center", fontsize=11, color=GREY)
        steps = (
            (2.4, 2.2, "q · kᵀ\ncompare", "(T, S)"),
            (5.4, 2.0, "÷ √d\nscale", "(T, S)"),
            (8.1, 2.9, "mask\nforbidden: −∞", "(T, S)"),
            (11.6, 2.2, "softmax\nshares", "(T, S)"),
        )
        for x, width, text, shape in steps:
            _box(axes, x, 1.75, width, 1.1, text, GREY)
            axes.text(x + width / 2, 1.5, shape, ha="center", va="center", fontsize=11, color=GREY)
        _arrow(axes, (1.1, 3.0), (2.4, 2.55))
        _arrow(axes, (1.1, 1.6), (2.4, 2.05))
        for start, end in ((4.6, 5.4), (7.4, 8.1), (11.0, 11.6)):
            _arrow(axes, (start, 2.3), (end, 2.3))
        _box(axes, 14.8, -0.85, 2.3, 1.1, "weights · v\nmix", GREY)
        axes.text(15.95, -1.1, "(T, d)", ha="center", va="center", fontsize=11, color=GREY)
        axes.plot([13.8, 15.95], [2.3, 2.3], color=GREY, lw=2)
        _arrow(axes, (15.95, 2.3), (15.95, 0.25))
        _arrow(axes, (1.1, -0.3), (14.8, -0.3))
        _arrow(axes, (17.1, -0.3), (18.0, -0.3))
        axes.text(18.1, -0.3, "out", va="center")
        _finish(axes, "Attention: compare, scale, mask, share out, mix", (-0.2, 19), (-1.4, 3.6))

    return draw(
        paint,
        "Boxes from left to right: q of shape (T, d) and k of shape (S, d) are compared; the scores of shape (T, S) "
        "are divided by the root of d, forbidden ones become minus infinity, a softmax makes shares of them, and these "
        "mix the rows of v, of shape (S, d), to the result of shape (T, d).",
        "T tokens ask, S tokens are asked. Only the width d disappears on the way, and comes back with the values.",
        (13, 3.9),
    )


def block() -> Picture:
    """One block: the stream as a line from left to right; each part hangs above it, reads from it and adds to it."""

    def paint(axes: Axes) -> None:
        _arrow(axes, (0, 0), (11.4, 0), color="black", lw=4)
        axes.text(-0.1, 0, "x", ha="right", va="center", fontsize=15, style="italic")
        axes.text(11.5, 0, "to the\nnext block", va="center")
        for left, norm, part, does, colour in (
            (0.7, "norm1", "attention", "look around", BLUE),
            (6.0, "norm2", "MLP", "think", ORANGE),
        ):
            axes.plot([left, left], [0, 1.5], color=GREY, lw=2)
            for start, end in ((left, left + 0.4), (left + 1.7, left + 2.1)):
                _arrow(axes, (start, 1.5), (end, 1.5))
            axes.plot([left + 4.1, left + 4.4], [1.5, 1.5], color=GREY, lw=2)
            _arrow(axes, (left + 4.4, 1.5), (left + 4.4, 0.27))
            _box(axes, left + 0.4, 1.0, 1.3, 1.0, norm, GREY)
            _box(axes, left + 2.1, 1.0, 2.0, 1.0, part, colour)
            axes.text(left + 3.1, 2.15, does, ha="center", va="bottom", color=GREY)
            _plus(axes, left + 4.4, 0)
        _finish(axes, "A block reads the stream twice, and adds to it twice", (-0.6, 13), (-0.5, 2.7))

    return draw(
        paint,
        "A thick line, the stream, from left to right. Attention hangs above it behind a normalisation, reads from the "
        "line and adds its result to it; further to the right the MLP does the same.",
        "One block. x ← x + attention(norm1(x)), then x ← x + MLP(norm2(x)). A GPT stacks several of these.",
        (11, 3.2),
    )


def gpt(n_layer: int, d_model: int, vocab_size: int) -> Picture:
    """The whole GPT: ids, vectors, blocks, and a probability for every token."""

    def paint(axes: Axes) -> None:
        parts = (
            (0.0, 2.3, "token ids", GREY, "(T)"),
            (3.2, 3.2, "embedding\n+ position", GREEN, f"(T, {d_model})"),
            (7.3, 3.4, f"{n_layer} blocks:\nlook, think", BLUE, f"(T, {d_model})"),
            (11.6, 2.4, "last\nnorm", GREY, f"(T, {d_model})"),
            (14.9, 2.6, "output\nlayer", ORANGE, f"(T, {vocab_size:,})"),
            (18.4, 2.6, "softmax", GREY, f"(T, {vocab_size:,})"),
        )
        for x, width, text, colour, shape in parts:
            _box(axes, x, 0, width, 1.5, text, colour)
            axes.text(x + width / 2, -0.35, shape, ha="center", va="center", fontsize=12, color=GREY)
        for (x, width, *_), (start, *_) in pairwise(parts):
            _arrow(axes, (x + width, 0.75), (start, 0.75))
        _arrow(axes, (21.0, 0.75), (21.9, 0.75))
        axes.text(22.0, 0.75, "what comes\nnext?", va="center")
        _finish(axes, "The whole GPT: from ids to a probability for every next token", (-0.2, 25), (-0.7, 2.0))

    return draw(
        paint,
        f"Boxes from left to right: token ids; embedding plus position, width {d_model}; {n_layer} blocks; the last "
        f"normalisation; the output layer with {vocab_size:,} scores; the softmax, which makes probabilities.",
        "Below each box the shape of what leaves it. Every position gets an answer of its own, all at once.",
        (13, 2.3),
    )
