"""Pictures that move: what is turned or dragged answers at once, in JupyterLab, on a page and on a slide.

A piece computes in the page, with the numbers that the notebook gave it. It is one HTML output with its script and its
numbers inside, because that alone is the same with and without a kernel, in JupyterLab, exported pages, slides and the
web edition. Where no script may run (a notebook that is not trusted yet, paper, GitHub), the picture for the first
values stands in its place, as an image with alternative text. Axes are fixed: bars move, scales do not. What the
kernel must answer, the learner's own sentence, comes through `widgets.typed`, which shows such a piece anew.

The scripts are in `course/show/scripts`: core.js for all, and one file per piece. A test holds what they compute equal
to the library's numbers.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from course.show import plots
from course.show.plots import BLUE, ORANGE, Picture
from course.show.widgets import Html, control_for
from course.tokenizer import PATTERN, Tokenizer, learn_merges, split

if TYPE_CHECKING:
    from course.generate import Sampling

SCRIPTS = Path(__file__).parent / "scripts"
MOST_NUMBERS = 40_000  # that a piece may carry: about 250 kB


class Piece:
    """A picture that moves, as a cell shows it.

    name: of its script. data: what the script draws, as JSON. still: what is seen with the first values, which stands
    where no script runs; its words describe the piece, too. title: says what is to be seen. hint: what to try.
    """

    def __init__(self, name: str, data: Mapping[str, Any], still: Picture | Html, title: str, hint: str):
        self.name, self.still = name, still
        alt = still.alt if isinstance(still, Picture) else still.text
        self.data = {**data, "title": title, "alt": alt, "hint": hint}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        still = self.still._repr_mimebundle_()
        data = json.dumps(self.data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        start = f"piece(new Live(document.currentScript.parentElement, {data}));"
        script = f"<script>(() => {{\n{_script('core')}{_script(self.name)}{start}\n}})();</script>"
        run = "<p><em>Run this cell in JupyterLab, and the picture moves.</em></p>"
        hint = self.data["hint"]
        return {
            "text/html": f'<div class="course-live">{still["text/html"]}<p>{html.escape(hint)}</p>{run}{script}</div>',
            "text/plain": f"{still['text/plain']} {hint}",
        }


@cache
def _script(name: str) -> str:
    """A script without indentation and comment lines."""
    text = (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")
    return re.sub(r"(?m)^[ ]*//.*\n|^[ ]+", "", text)


def pack(values: Any) -> str:
    """Numbers as float32 in base64, as `unpack` of core.js reads them."""
    return base64.b64encode(np.ascontiguousarray(plots.array(values), dtype="<f4").tobytes()).decode()


def clock(q: Any, k: Any, places: tuple[int, int] = (7, 2), most: int = 60) -> Piece:
    """Rotary positions as the hands of clocks: one clock per pair of numbers, and the score that they give.

    q, k: (d,) one query and one key. places: where they stand first. most: the last place.
    Raises ValueError when they are not two vectors of one even width.
    Su et al. 2021, "RoFormer", arXiv:2104.09864.
    """
    query, key = plots.array(q).astype(float), plots.array(k).astype(float)
    if query.ndim != 1 or query.shape != key.shape or len(query) % 2:
        raise ValueError(f"A clock needs q and k of one even width (d,); they are {query.shape} and {key.shape}.")
    pairs = len(query) // 2
    theta = 10000.0 ** (-np.arange(pairs) / pairs)  # as course.attention.rotary_angles
    hands = [
        (row[:pairs] + 1j * row[pairs:]) * np.exp(1j * place * theta)  # turning is multiplying by e^(i · angle)
        for row, place in zip((query, key), places, strict=True)
    ]
    score = float((hands[0] * hands[1].conj()).real.sum())

    def paint(*clocks: Axes) -> None:
        for i, axes in enumerate(clocks):
            for row, colour, style, name in zip(hands, (BLUE, ORANGE), ("-", ":"), ("query", "key"), strict=True):
                axes.plot([0, row[i].real], [0, row[i].imag], color=colour, ls=style, lw=4, label=name)
            reach = float(np.abs(hands).max())
            axes.set(title=f"pair {i}", xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
            axes.set_aspect("equal")
        clocks[0].legend(loc="lower left")

    alt = f"{pairs} clocks with a hand for the query and one for the key, at places {places[0]} and {places[1]}; "
    still = plots.draw(paint, f"{alt}their score is {score:.2f}.", size=(2.6 * pairs, 3), columns=pairs)
    data = {"q": query.tolist(), "k": key.tolist(), "theta": theta.tolist(), "first": places, "most": most}
    return Piece(
        "clock", data, still, "Both hands turn, and only the distance counts",
        "Blue: the query. Orange, dotted: the key. Move one of them. Then tick “keep the distance”, and move again: "
        "every hand turns, and no bar moves.",
    )  # fmt: skip


def soft_dictionary(
    keys: Mapping[str, Sequence[float]],
    values: Mapping[str, float],
    wish: Sequence[float],
    axes: tuple[str, str],
    unit: str = "",
) -> Piece:
    """A dictionary that forgives: the wish and the keys are points to drag; weights and answer follow.

    keys: name -> two numbers, named by `axes`. values: name -> a number in `unit`. wish: two numbers.
    Raises ValueError when a key has no value, or not two numbers. Bahdanau et al. 2014, arXiv:1409.0473.
    """
    if keys.keys() != values.keys() or not all(len(point) == 2 for point in (wish, *keys.values())):
        raise ValueError("Each key needs two numbers and a value of the same name, and the wish two numbers.")
    scores = np.array(list(keys.values()), dtype=float) @ np.array(wish, dtype=float)
    weights = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    answer = float(weights @ np.array([values[name] for name in keys]))
    shares = ", ".join(f"{name} {weight:.2f}" for name, weight in zip(keys, weights, strict=True))
    title = f"The answer: about {answer:.0f} {unit}".strip()
    still = plots.bars(
        {"weight": weights.tolist()}, list(keys), title, "weight", f"Bars of weights for the wish {(*wish,)}: {shares}."
    )
    data = {
        "names": list(keys), "keys": [list(key) for key in keys.values()], "values": [values[name] for name in keys],
        "wish": list(wish), "axes": axes, "unit": unit,
    }  # fmt: skip
    return Piece(
        "dictionary", data, still, "The nearer a key points to the wish, the more its value counts",
        "Drag the wish, or focus it and press the arrow keys: to (0, 0), then far out. Where does it ask for one value "
        "alone, and where for the mean of all? Then drag a key.",
    )  # fmt: skip


def roulette(
    texts: Mapping[str, Any], names: Sequence[str], sampling: Sampling | None = None, cut: bool = True
) -> Piece:
    """The distribution of the next token under temperature, top-k and top-p, and darts that draw from it.

    texts: text -> the model's logits for what follows, (V,). names: the V tokens. sampling: the knobs' first values.
    cut: with knobs for top-k and top-p. Raises ValueError when there are not as many names as logits.
    """
    from course.generate import Sampling, next_token_distribution  # with torch, which a page does without

    sampling = sampling or Sampling()
    for text, logits in texts.items():
        if tuple(logits.shape) != (len(names),):
            raise ValueError(
                f"{len(names)} names, but logits of shape {tuple(logits.shape)} after {text!r}: give (V,)."
            )
    text, logits = next(iter(texts.items()))
    probs = next_token_distribution(logits.cpu(), sampling)
    best = probs.topk(10)
    tokens = [names[i] for i in best.indices.tolist()]
    still = plots.probabilities(
        tokens, best.values, f"What comes after “{text}”, at temperature {sampling.temperature:g}",
        f"Bars for the likeliest tokens after {text!r}; the first is {tokens[0]} with {best.values[0]:.0%}.",
    )  # fmt: skip
    first = {"temperature": sampling.temperature, "k": sampling.top_k or 100, "p": sampling.top_p or 1.0}
    data = {
        "texts": list(texts), "logits": [pack(logits) for logits in texts.values()], "names": list(names), "cut": cut,
        "first": first, "seed": 1,
    }  # fmt: skip
    title = "The temperature moves the shares, and leaves the order"
    hint = "Make it cold, then hot: in a text where the model is sure, and in one where much may follow."
    if cut:
        title = "The knobs move the shares; the dart decides"
        hint = "Cut the tail by top-k, then by top-p, and change the text: which of the two adapts? Then throw darts."
    return Piece("roulette", data, still, title, hint)


def next_merge(text: str, first: int = 0, most: int = 200) -> Piece:
    """Byte-pair encoding of a text of one's own, merge by merge, computed in the page.

    first: merges that are done when it opens. most: how many there can be.
    Raises ValueError for an empty text, and for one of more than 2,000 characters.
    """
    if not 1 <= len(text) <= 2000:
        raise ValueError(f"The text has {len(text)} characters; between 1 and 2,000 can be followed by eye.")
    merges = learn_merges(Counter(split(text)), first)
    pieces = Tokenizer(merges).pieces(text)
    said = f"After {len(merges)} merges the text has {len(pieces)} tokens: {'│'.join(pieces)}"
    still = Html(f'<p style="font-family: monospace">{html.escape(said).replace("│", "│<wbr>")}</p>', said)
    data = {"pattern": PATTERN, "text": text, "first": first, "most": most}
    return Piece(
        "merges", data, still, "Each merge makes the commonest pair of neighbours one token",
        "Say which pair comes next, then press “Next merge”. Then put in a text of your own: a rhyme, names, code.",
    )  # fmt: skip


def scrub(
    steps: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    said: Mapping[str, Sequence[str]],
    title: str,
    alt: str,
    x: str = "iteration",
) -> Piece:
    """Runs to scrub through: what was measured, and beside it what the model said at that step.

    panels: title -> (run -> one number per step). said: run -> one text per step; the same runs everywhere.
    Raises ValueError when a run is missing somewhere, or has another length.
    """
    names = list(said)
    for part, runs in {**panels, "said": said}.items():
        if list(runs) != names or any(len(row) != len(steps) for row in runs.values()):
            raise ValueError(
                f'"{part}" needs one entry for each of {len(steps)} steps, for each of {", ".join(names)}.'
            )
    still = plots.panels(
        {part: ({name: (steps, row) for name, row in runs.items()}, "") for part, runs in panels.items()}, x, alt
    )
    shown = [
        {"title": part, "series": [_rounded(row) for row in runs.values()], "limits": _limits(list(runs.values()))}
        for part, runs in panels.items()
    ]
    data = {
        "steps": list(steps), "panels": shown, "names": names, "xlabel": x,
        "said": [list(row) for row in zip(*said.values(), strict=True)],
    }  # fmt: skip
    return Piece(
        "scrub", data, still, title,
        "Drag the slider, or press the arrow keys, and read what is said: at which step do the lines part, and what "
        "happens to the words?",
    )  # fmt: skip


def stages(questions: Sequence[str], answers: Mapping[str, Sequence[str | tuple[str, str]]]) -> Piece:
    """The same question to several models, side by side.

    answers: model -> one answer per question, or (answer, a note on it). Raises ValueError when one is missing.
    """
    for name, row in answers.items():
        if len(row) != len(questions) or not questions:
            raise ValueError(f"{name} has {len(row)} answers to {len(questions)} questions; each needs one.")
    rows = [(name, [(one, "") if isinstance(one, str) else tuple(one) for one in row]) for name, row in answers.items()]
    lines = [f"{name}: {row[0][0]}" + (f" ({row[0][1]})" if row[0][1] else "") for name, row in rows]
    page = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    still = Html(
        f"<p><strong>{html.escape(questions[0])}</strong></p><ul>{page}</ul>", "\n".join([questions[0], *lines])
    )
    data = {"questions": list(questions), "stages": rows}
    return Piece(
        "stages", data, still, "One question, and what each stage makes of it",
        "Go through the questions. Before you look: which stage will answer, which will only go on writing?",
    )  # fmt: skip


def taste(
    questions: Sequence[str], answers: Sequence[Sequence[str]], marks: Any, names: Sequence[str], pairs: int = 30
) -> Piece:
    """Two answers to a question, of which the reader clicks the better one; a small reward model learns the taste.

    answers: a row per question. marks: (questions, answers, marks), what can be seen in an answer. names: of the marks.
    Pairs that differ in few marks come first. Raises ValueError for other shapes, and where no two answers differ.
    Bradley and Terry 1952, "Rank Analysis of Incomplete Block Designs"; the weights are kept small by `decay`.
    """
    seen = plots.array(marks).astype(float)
    if seen.shape[:1] != (len(questions),) or seen.shape[-1] != len(names) or len(answers) != len(questions):
        raise ValueError(f"Marks of shape {seen.shape} for {len(questions)} questions and {len(names)} marks.")
    found = []
    for question, row, its in zip(questions, answers, seen, strict=True):
        for a, b in combinations(range(len(row)), 2):
            if (its[a] != its[b]).any() and row[a] != row[b]:
                found.append((int((its[a] != its[b]).sum()), question, (row[a], row[b]), (its[a] - its[b]).tolist()))
                break  # one pair of each question
    if not found:
        raise ValueError("No two answers to a question differ in a mark: there is nothing to choose between.")
    found.sort(key=lambda pair: pair[0])
    shown = [{"question": q, "answers": both, "marks": difference} for _, q, both, difference in found[:pairs]]
    first = shown[0]
    page = "".join(f"<li>{html.escape(answer)}</li>" for answer in found[0][2])
    said = f"Which answer is better? {first['question']} {' / '.join(found[0][2])}"
    still = Html(
        f"<p>Which answer is better?</p><p><strong>{html.escape(found[0][1])}</strong></p><ul>{page}</ul>", said
    )
    return Piece(
        "taste", {"pairs": shown, "names": list(names), "decay": 0.05}, still, "A reward model of your own taste",
        "Click the better answer, ten times or more. After how many clicks does it foresee you? Then start again, and "
        "let manners alone decide: what does it value now?",
    )  # fmt: skip


# --- curves and bars for every setting of the knobs ---


def curves(
    make: Callable[..., tuple[str, Mapping[str, Any]]],
    x: Any,
    xlabel: str,
    ylabel: str,
    alt: str,
    hint: str,
    limits: tuple[float, float] | None = None,
    percent: bool = False,
    **knobs: Any,
) -> Piece:
    """Curves that follow knobs. make(**values) -> (title, {name: one height per x}), the same names each time.

    All settings are computed here, once; the page only draws. knobs: as in `widgets.explore`. limits: of the y axis.
    Raises ValueError when that are too many numbers to carry.
    """
    places = plots.array(x)
    frames, settings, limits = _frames(make, len(places), limits, knobs)
    title, series = frames[_first(settings)]
    names = list(series)
    still = plots.curves({name: (places, series[name]) for name in names}, title, x=xlabel, y=ylabel, alt=alt)
    data = {
        "kind": "curves", "knobs": settings, "names": names, "x": _rounded(places), "xlabel": xlabel, "ylabel": ylabel,
        "limits": limits, "form": "%" if percent else 2,
        "frames": [[said, [_rounded(found[name]) for name in names]] for said, found in frames],
    }  # fmt: skip
    return Piece("frames", data, still, title, hint)


def bars(
    make: Callable[..., tuple[str, Mapping[str, Any]]],
    labels: Sequence[str],
    ylabel: str,
    alt: str,
    hint: str,
    limits: tuple[float, float] | None = None,
    percent: bool = False,
    **knobs: Any,
) -> Piece:
    """Lying bars that follow knobs. make(**values) -> (title, {name: one height per label}); else as `curves`."""
    frames, settings, limits = _frames(make, len(labels), limits, knobs)
    title, series = frames[_first(settings)]
    form = "{:.0%}" if percent else "{:.2f}"
    still = plots.bars(
        {name: list(map(float, row)) for name, row in series.items()}, labels, title, ylabel, alt, form=form
    )
    data = {
        "kind": "bars", "knobs": settings, "names": list(series), "labels": list(labels), "ylabel": ylabel,
        "limits": (min(0.0, limits[0]), limits[1]), "form": "%" if percent else 2,
        "frames": [[said, [_rounded(row) for row in found.values()]] for said, found in frames],
    }  # fmt: skip
    return Piece("frames", data, still, title, hint)


def _frames(
    make: Callable[..., tuple[str, Mapping[str, Any]]],
    length: int,
    limits: tuple[float, float] | None,
    knobs: Mapping[str, Any],
) -> tuple[list[tuple[str, Mapping[str, Any]]], list[tuple[str, list[Any], int, str]], tuple[float, float]]:
    """What `make` gives for every setting, the knobs as (name, values, place of the first, sort), and the y limits."""
    settings = [_settings(name, knob) for name, knob in knobs.items()]
    frames = [
        make(**dict(zip(knobs, values, strict=True))) for values in product(*(values for _, values, _, _ in settings))
    ]
    names = list(frames[0][1])
    for title, series in frames:
        if list(series) != names or any(len(row) != length for row in series.values()):
            raise ValueError(
                f'"{title}" needs {length} numbers for each of {", ".join(names)}, as the first setting has.'
            )
    total = len(frames) * len(names) * length
    if total > MOST_NUMBERS:
        raise ValueError(
            f"{len(frames)} settings make {total:,} numbers; keep to {MOST_NUMBERS:,}: fewer steps or points."
        )
    return frames, settings, limits or _limits([plots.array(row) for _, found in frames for row in found.values()])


def _settings(name: str, knob: Any) -> tuple[str, list[Any], int, str]:
    """A knob's label, all of its values, the place of the first, and its sort: slider, menu or tick."""
    control_for(name, knob)  # it says what is wrong with a knob
    label = name.replace("_", " ")
    if isinstance(knob, bool):
        return label, [False, True], int(knob), "tick"
    if isinstance(knob, list):
        return label, knob, 0, "menu"
    low, high, step, first = knob
    values = [round(low + i * step, 10) for i in range(round((high - low) / step) + 1)]
    return label, values, round((first - low) / step), "slider"


def _first(settings: Sequence[tuple[str, list[Any], int, str]]) -> int:
    """The number of the frame that the knobs' first values ask for."""
    at = 0
    for _, values, first, _ in settings:
        at = at * len(values) + first
    return at


def _limits(rows: Sequence[Any]) -> tuple[float, float]:
    """A little more than the range of all these numbers."""
    low, high = min(float(min(row)) for row in rows), max(float(max(row)) for row in rows)
    room = 0.05 * (high - low) or 1.0
    return round(low - room, 6), round(high + room, 6)


def _rounded(values: Any) -> list[float]:
    """Numbers as short as a picture needs them: five digits."""
    return [float(f"{value:.5g}") for value in plots.array(values).astype(float).tolist()]
