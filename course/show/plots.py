"""Pictures: one style for the whole course, large enough for the back row, with colours that everybody can tell apart.

Each function returns a `Picture`, which a notebook shows as its cell's result: the figure with alternative text for
people who cannot see it, and a caption sentence below. A picture's title states what is to be seen in it.

    plots.curves({"loss": (steps, losses)}, "The loss falls below ln V at once", x="step", y="nats per token",
                 alt="A falling curve.", caption="Pretraining loss.")

What has no function here is painted by `draw`, in the same style. The figures are matplotlib's own objects, so nothing
is left open when a picture is done. Colours: Okabe and Ito 2008, "Color Universal Design".
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogFormatter, MaxNLocator, PercentFormatter
from PIL import Image

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#666666",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY)
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))  # told apart without colours, too
STYLE = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.2,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
PIXELS = 88  # on the page, per inch of a figure: its letters are a little larger than the page's
SHARPNESS = 1.6  # pixels in the file per pixel on the page, for fine screens and for the projector
CHAIN = ("text", "tokenizer", "base", "sft", "reward", "assistant")

Series = Mapping[str, tuple[Any, Any]]


class Picture:
    """A finished figure: what a notebook shows, and what a screen reader reads.

    alt: what is to be seen, in words. caption: a sentence below the figure. Raises ValueError without `alt`.
    """

    def __init__(self, figure: Figure, alt: str, caption: str = ""):
        if not alt.strip():
            raise ValueError('A picture needs alternative text: say in alt="..." what is to be seen in it.')
        self.figure, self.alt, self.caption = figure, alt, caption

    @cached_property
    def png(self) -> bytes:
        """The picture as a PNG file of at most 256 colours, which is a third of the size of one with all colours."""
        raw, small = io.BytesIO(), io.BytesIO()
        with matplotlib.rc_context({**STYLE, **_font()}):
            self.figure.savefig(raw, format="png", dpi=PIXELS * SHARPNESS, bbox_inches="tight")
        image = Image.open(raw).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        image.save(small, format="png", optimize=True)
        return small.getvalue()

    @property
    def width(self) -> int:
        """The picture's width on the page in pixels."""
        return round(Image.open(io.BytesIO(self.png)).width / SHARPNESS)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        data = base64.b64encode(self.png).decode()
        look = f'width="{self.width}" style="max-width: 100%; height: auto"'
        image = f'<img alt="{html.escape(self.alt)}" {look} src="data:image/png;base64,{data}">'
        caption = f"<figcaption><em>{html.escape(self.caption)}</em></figcaption>" if self.caption else ""
        return {
            "text/html": f'<figure style="margin: 0">{image}{caption}</figure>',
            "text/plain": " ".join(filter(None, [f"[Figure: {self.alt}]", self.caption])),
        }


def draw(
    paint: Callable[..., None], alt: str, caption: str = "", size: tuple[float, float] = (8.5, 4.2), columns: int = 1
) -> Picture:
    """A picture painted by your own function, in the course's style: paint(axes), or paint(axes, axes, ...)."""
    with matplotlib.rc_context({**STYLE, **_font()}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)[0]
        paint(*axes)
        for text in figure.findobj(Text):
            text.set_text(_spelt(text.get_text()))
        return Picture(figure, alt, caption)


def curves(
    series: Series,
    title: str,
    x: str,
    y: str,
    alt: str,
    caption: str = "",
    levels: Mapping[str, float] | None = None,
    smooth: int = 1,
    log: str = "",
    markers: bool = False,
    size: tuple[float, float] = (8.5, 4.2),
) -> Picture:
    """Lines. series: name -> (x values, y values). levels: name -> height of a horizontal line to compare with.

    smooth: each point of a long line is the mean of so many. log: the axes with a logarithmic scale, "x", "y" or "xy".
    """

    def paint(axes: Axes) -> None:
        _paint_lines(axes, series, smooth, "o" if markers else None)
        _paint_levels(axes, levels)
        axes.set(title=title, xlabel=x, ylabel=y)
        for axis in log:
            getattr(axes, f"set_{axis}scale")("log")
            scale = getattr(axes, f"{axis}axis")
            scale.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))  # 100, not 10²
            scale.set_minor_formatter(LogFormatter())
        _name_lines(axes)

    return draw(paint, alt, caption, size)


def _name_lines(axes: Axes, below: bool = False) -> None:
    """A legend where there is more than one line: in the picture up to four lines, since more fill it; then outside.

    below: below all panels of the figure, not at the right of these axes.
    """
    lines = len(axes.get_legend_handles_labels()[0])
    if lines > 4 and below:
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=(lines + 1) // 2)
    elif lines > 4:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    elif lines > 1:
        axes.legend()


def panels(
    parts: Mapping[str, tuple[Series, str]],
    x: str,
    alt: str,
    caption: str = "",
    size: tuple[float, float] = (12, 3.8),
    levels: Mapping[str, Mapping[str, float]] | None = None,
    smooth: int = 1,
) -> Picture:
    """Several line plots side by side over the same x. parts: title -> (series, label of the y axis).

    levels: title -> (name -> height of a horizontal line). smooth: each point of a long line is the mean of so many.
    """

    def paint(*axes: Axes) -> None:
        for ax, (title, (series, y)) in zip(axes, parts.items(), strict=True):
            _paint_lines(ax, series, smooth)
            _paint_levels(ax, (levels or {}).get(title))
            ax.set(title=title, xlabel=x, ylabel=y)
        _name_lines(axes[0], below=True)

    return draw(paint, alt, caption, size, columns=len(parts))


def bars(
    groups: Mapping[str, Sequence[float]],
    labels: Sequence[str],
    title: str,
    y: str,
    alt: str,
    caption: str = "",
    levels: Mapping[str, float] | None = None,
    form: str = "{:.2g}",
    size: tuple[float, float] = (8.5, 4.2),
) -> Picture:
    """Bars in groups, each with its value above. groups: name -> one height per label."""

    def paint(axes: Axes) -> None:
        width = 0.8 / len(groups)
        for i, (name, heights) in enumerate(groups.items()):
            places = np.arange(len(labels)) + (i - (len(groups) - 1) / 2) * width
            drawn = axes.bar(places, heights, width * 0.92, color=COLOURS[i % len(COLOURS)], label=name)
            axes.bar_label(drawn, [form.format(height) for height in heights], fontsize=11)
        _paint_levels(axes, levels)
        axes.set(title=title, ylabel=y)
        axes.set_xticks(np.arange(len(labels)), [_text(label) for label in labels], **_turned(labels, 30))
        axes.margins(y=0.12 if len(groups) == 1 else 0.3)  # room for the legend above the bars
        axes.grid(axis="x", visible=False)
        if form.endswith("%}"):  # shares: what lies above 100% is room for the legend alone
            top = min(1.0, axes.get_ylim()[1])
            axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top + 1e-9])
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if levels:
            axes.set_xlim(right=len(labels) + 0.1)  # room for their names beside the last bar
        if len(groups) > 1:
            axes.legend()

    return draw(paint, alt, caption, size)


def probabilities(
    tokens: Sequence[str], probs: Iterable[float], title: str, alt: str, caption: str = "", most: int = 12
) -> Picture:
    """The most probable next tokens as lying bars, the likeliest on top."""
    pairs = sorted(zip(tokens, (float(p) for p in probs), strict=True), key=lambda pair: -pair[1])[:most]

    def paint(axes: Axes) -> None:
        drawn = axes.barh(range(len(pairs)), [p for _, p in pairs], color=BLUE)
        axes.set_yticks(range(len(pairs)), [_text(token) for token, _ in pairs])  # two tokens may look the same
        axes.bar_label(drawn, [f" {p:.1%}" for _, p in pairs], fontsize=11)
        axes.invert_yaxis()
        axes.set(title=title, xlabel="probability", xlim=(0, min(1.15, max(p for _, p in pairs) * 1.2)))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y", visible=False)

    return draw(paint, alt, caption, (8.5, 0.9 + 0.34 * len(pairs)))


def heat(
    values: Any,
    title: str,
    alt: str,
    caption: str = "",
    rows: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    x: str = "",
    y: str = "",
    numbers: bool | None = None,
    limits: tuple[float, float] | None = None,
    size: tuple[float, float] | None = None,
    signed: bool = False,
) -> Picture:
    """A matrix as a picture, dark for large. values: (rows, columns). signed: white for 0, two colours away from it.

    numbers: write them into the fields (default: up to 100 fields); without them a scale stands beside the picture.
    A field that is not a number (NaN) is hatched: there is nothing.
    """
    matrix = array(values)
    size = size or (min(11.0, 2.6 + 0.62 * matrix.shape[1]), min(9.0, 1.6 + 0.5 * matrix.shape[0]))
    if signed:
        limits = limits or (-float(np.nanmax(abs(matrix))), float(np.nanmax(abs(matrix))))

    def paint(axes: Axes) -> None:
        _paint_heat(axes, matrix, title, rows, columns, x, y, numbers, limits, colours="PuOr" if signed else "Blues")

    return draw(paint, alt, caption, size)


def attention_map(
    weights: Any,
    tokens: Sequence[str],
    title: str,
    alt: str,
    caption: str = "",
    keys: Sequence[str] | None = None,
    numbers: bool | None = None,
) -> Picture:
    """Who looks at whom: row = the position that asks (query), column = the one looked at (key).

    weights: (T, S), or (H, T, S) for several heads side by side. keys: the columns' tokens, where they are others.
    """
    matrix = array(weights)
    columns = keys if keys is not None else tokens
    if matrix.ndim == 2:
        return heat(
            matrix, title, alt, caption, tokens, columns, x="looked at (key)", y="asks (query)", numbers=numbers,
            limits=(0, 1),
        )  # fmt: skip

    def paint(*axes: Axes) -> None:
        for h, ax in enumerate(axes):
            name, rows = (f"{title}\nhead {h}", tokens) if h == 0 else (f"\nhead {h}", [""] * len(tokens))
            y = "asks (query)" if h == 0 else ""
            last = h == len(axes) - 1
            _paint_heat(ax, matrix[h], name, rows, columns, "looked at (key)", y, False, (0, 1), scale=last)

    side = min(4.2, 1.4 + 0.3 * len(columns))
    return draw(paint, alt, caption, (min(15.0, 1.2 + side * len(matrix)), side + 1), columns=len(matrix))


def calibration(predicted: Any, outcome: Any, title: str, alt: str, caption: str = "", bins: int = 8) -> Picture:
    """What was predicted against how often it came true. predicted: probabilities   outcome: 0 or 1, or True."""
    chances, came = array(predicted), array(outcome).astype(float)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.digitize(chances, edges) - 1, 0, bins - 1)
    filled = [b for b in range(bins) if (place == b).any()]

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, ls=":", label="perfectly calibrated")
        means = [chances[place == b].mean() for b in filled]
        shares = [came[place == b].mean() for b in filled]
        errors = [math.sqrt(s * (1 - s) / (place == b).sum()) for s, b in zip(shares, filled, strict=True)]
        axes.errorbar(
            means, shares, yerr=errors, color=BLUE, marker="o", capsize=4, label="measured, ± one standard error"
        )
        axes.set(title=title, xlabel="predicted probability", ylabel="share that came true", xlim=(0, 1), ylim=(0, 1))
        axes.legend()

    return draw(paint, alt, caption, (6.2, 5.0))


def chain(lit: str) -> Picture:
    """The chain of the course, from text to assistant, with one link lit. Raises ValueError for an unknown link."""
    if lit not in CHAIN:
        raise ValueError(f'The chain has no link "{lit}"; its links are {", ".join(CHAIN)}.')
    notes = ("notebook", "01", "02–05", "08", "09", "10")
    arrow = {"arrowstyle": "-|>", "color": GREY, "lw": 2, "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0}

    def paint(axes: Axes) -> None:
        for i, (link, note) in enumerate(zip(CHAIN, notes, strict=True)):
            on = link == lit
            look: dict[str, Any] = {"fc": BLUE if on else "white", "ec": BLUE if on else GREY, "lw": 2}
            axes.add_patch(
                FancyBboxPatch((i - 0.34, -0.4), 0.68, 0.8, boxstyle="round,pad=0,rounding_size=0.1", **look)
            )
            shown = {"sft": "SFT", "reward": "reward\nmodel"}.get(link, link)
            colour, weight = ("white", "bold") if on else ("black", "normal")
            axes.text(i, 0, shown, ha="center", va="center", color=colour, weight=weight, linespacing=0.95)
            axes.text(i, -0.72, note, ha="center", va="center", fontsize=11, color=GREY)
            if i:
                axes.annotate("", (i - 0.36, 0), (i - 0.64, 0), arrowprops=arrow)
        start, end = CHAIN.index("sft"), CHAIN.index("assistant")  # PPO starts from SFT, the reward model is its judge
        axes.annotate("", (end, 0.42), (start, 0.42), arrowprops={**arrow, "connectionstyle": "arc3,rad=-0.16"})
        axes.set(xlim=(-0.5, len(CHAIN) - 0.5), ylim=(-0.95, 1.0))
        axes.axis("off")

    path = " → ".join(CHAIN)
    caption = "The chain of the course, and the notebooks that make each link; this one is about the blue link."
    return draw(paint, f"The chain of the course: {path}. Lit: {lit}.", caption, size=(11, 1.6))


def _paint_lines(axes: Axes, series: Series, smooth: int = 1, marker: str | None = None) -> None:
    for i, (name, (x, y)) in enumerate(series.items()):
        xs, ys = array(x).astype(float), array(y).astype(float)
        if 1 < smooth <= len(ys) / 3:  # a few points stay as they are
            ys = np.convolve(ys, np.ones(smooth) / smooth, mode="valid")
            xs = xs[smooth - 1 :]
        axes.plot(xs, ys, color=COLOURS[i % len(COLOURS)], ls=LINES[i % len(LINES)], marker=marker, label=name)


def _paint_levels(axes: Axes, levels: Mapping[str, float] | None) -> None:
    """Dotted lines across the picture, each with its name at the right end."""
    for name, height in (levels or {}).items():
        axes.axhline(height, color=GREY, lw=1.2, ls=":")
        axes.annotate(name, (1.0, height), xycoords=("axes fraction", "data"), fontsize=11, ha="right", va="bottom")


def _paint_heat(
    axes: Axes,
    matrix: np.ndarray,
    title: str,
    rows: Sequence[str] | None,
    columns: Sequence[str] | None,
    x: str,
    y: str,
    numbers: bool | None,
    limits: tuple[float, float] | None,
    scale: bool = True,
    colours: str = "Blues",
) -> None:
    low, high = limits or (float(np.nanmin(matrix)), float(np.nanmax(matrix)))
    axes.patch.set(hatch="////", edgecolor="#bbbbbb")  # seen through where the matrix holds no number
    shown = axes.imshow(matrix, cmap=colours, vmin=low, vmax=high, aspect="auto")
    if matrix.size <= 100 if numbers is None else numbers:
        for (i, j), number in np.ndenumerate(matrix):
            if np.isnan(number):
                continue
            dark = number > low + 0.6 * (high - low)
            axes.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=10, color="white" if dark else "black")
    elif scale:
        axes.figure.colorbar(shown, ax=axes, shrink=0.9, pad=0.02)
    axes.set(title=title, xlabel=x, ylabel=y)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    if columns is not None:
        axes.set_xticks(range(len(columns)), [_text(c) for c in columns], **_turned(columns, 60))
    if rows is not None:
        axes.set_yticks(range(len(rows)), [_text(r) for r in rows])
    axes.grid(visible=False)


def array(values: Any) -> np.ndarray:
    """A NumPy array from an array, nested lists or a torch tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().float().cpu().numpy()
    return np.asarray(values)


def _turned(labels: Sequence[str], angle: int) -> dict[str, Any]:
    """How to write labels below an axis: level while they are short, else turned so that they end at their place."""
    if max((len(label) for label in labels), default=0) * len(labels) <= 80:
        return {"rotation": 0}
    return {"rotation": angle, "ha": "right", "rotation_mode": "anchor"}


@cache
def _font() -> dict[str, Any]:
    """A font for Japanese where the machine has one, after the usual one."""
    names = {font.name for font in font_manager.fontManager.ttflist}
    wanted = ("Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "Meiryo", "IPAexGothic", "TakaoGothic", "MS Gothic")
    found = next((name for name in wanted if name in names), None)
    return {"font.family": ["DejaVu Sans", found] if found else ["DejaVu Sans"]}


@cache
def _drawable() -> frozenset[int]:
    """The characters that the fonts in use can draw."""
    from matplotlib.ft2font import FT2Font

    paths = [font_manager.findfont(family) for family in _font()["font.family"]]
    return frozenset(code for path in paths for code in FT2Font(path).get_charmap())


def _spelt(text: str) -> str:
    """A text without characters that no font here can draw: these are written as their code, U+65E5."""
    return "".join(c if ord(c) in _drawable() or c == "\n" else f"U+{ord(c):04X}" for c in text)


def _text(label: str) -> str:
    """A label taken letter by letter: a "$" would begin a formula, so it is escaped."""
    return _spelt(label).replace("$", r"\$")
