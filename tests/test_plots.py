"""The pictures: what they show is what they were given, and everybody can see or hear it."""

from __future__ import annotations

import base64
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from PIL import Image

from course.show import plots
from course.show.plots import Picture

NOWHERE = "\U000f0000"  # a private character that no font draws
TOKENS = ["The", "·capital", "·of", "·Japan"]
WEIGHTS = np.tril(np.ones((4, 4))) / np.arange(1, 5)[:, None]
LOSS = (np.arange(100), np.linspace(7, 1, 100))

EVERY: dict[str, Callable[[str], Picture]] = {  # each kind of picture, with a word in every place that takes one
    "curves": lambda w: plots.curves({w: LOSS, "b": LOSS}, w, x=w, y=w, alt=w, caption=w, levels={w: 3.0}),
    "panels": lambda w: plots.panels(
        {w: ({w: LOSS, "b": LOSS}, w), "b": ({w: LOSS}, w)}, x=w, alt=w, caption=w, levels={w: {w: 2.0}}
    ),
    "bars": lambda w: plots.bars({w: [1, 2], "b": [2, 1]}, [w, "b"], w, y=w, alt=w, caption=w, levels={w: 1.5}),
    "probabilities": lambda w: plots.probabilities([w, "b"], [0.7, 0.3], w, alt=w, caption=w),
    "heat": lambda w: plots.heat(WEIGHTS, w, alt=w, caption=w, rows=[w] * 4, columns=[w] * 4, x=w, y=w),
    "heat with a scale": lambda w: plots.heat(np.eye(20), w, alt=w, caption=w, x=w, y=w),
    "attention_map": lambda w: plots.attention_map(WEIGHTS, [w] * 4, w, alt=w, caption=w),
    "heads": lambda w: plots.attention_map(np.stack([WEIGHTS] * 3), [w] * 4, w, alt=w, caption=w),
    "calibration": lambda w: plots.calibration([0.1, 0.4, 0.9], [0, 1, 1], w, alt=w, caption=w),
    "draw": lambda w: plots.draw(lambda axes: axes.set(title=w, xlabel=w, ylabel=w), alt=w, caption=w),
}


def axes_of(picture: Picture, number: int = 0):
    return picture.figure.axes[number]


def texts_of(picture: Picture) -> list[str]:
    """All words in a picture, tick labels included, as drawn."""
    picture.figure.canvas.draw()
    return [text.get_text() for text in picture.figure.findobj(Text) if text.get_visible() and text.get_text()]


# --- everybody can read them ---


@pytest.mark.parametrize("alt", ["", "  "])
def test_a_picture_without_alternative_text_is_refused_with_advice(alt):
    with pytest.raises(ValueError, match="alternative text: say in alt="):
        Picture(Figure(), alt)


@pytest.mark.parametrize("kind", EVERY)
def test_every_picture_shows_its_alternative_text_and_caption_escaped(kind):
    bundle = EVERY[kind]('a "low" <loss> & more')._repr_mimebundle_()
    page = bundle["text/html"]
    assert 'alt="a &quot;low&quot; &lt;loss&gt; &amp; more"' in page
    assert "<em>a &quot;low&quot; &lt;loss&gt; &amp; more</em></figcaption>" in page
    assert bundle["text/plain"] == '[Figure: a "low" <loss> & more] a "low" <loss> & more'
    assert set(bundle) == {"text/html", "text/plain"}, "a raw image would have no alternative text in JupyterLab"


@pytest.mark.parametrize("kind", EVERY)
def test_every_picture_is_a_small_png_as_wide_as_it_says_and_sharper(kind):
    picture = EVERY[kind]("word")
    page = picture._repr_mimebundle_()["text/html"]
    png = base64.b64decode(re.search(r'src="data:image/png;base64,([^"]+)"', page)[1])
    image = Image.open(io.BytesIO(png))
    width = int(re.search(r'<img [^>]*width="(\d+)"', page)[1])
    assert png == picture.png and image.format == "PNG"
    assert len(png) < 60_000
    assert 300 <= width <= 1400
    assert image.width / width == pytest.approx(plots.SHARPNESS, rel=0.01)


@pytest.mark.parametrize("kind", EVERY)
def test_the_same_picture_has_the_same_bytes(kind):
    assert EVERY[kind]("word").png == EVERY[kind]("word").png


@pytest.mark.parametrize("kind", EVERY)
def test_a_character_that_no_font_draws_is_spelt_and_never_an_empty_box(kind):
    picture = EVERY[kind](f"a{NOWHERE}b")  # a missing glyph would warn, and warnings are errors here
    assert picture.png
    shown = " ".join(texts_of(picture))
    assert NOWHERE not in shown and "aU+F0000b" in shown


@pytest.mark.parametrize("text", ["東京", "한국", "😀", "·Ünïcode"])
def test_any_script_is_drawn_or_spelt_without_a_warning(text):
    assert plots.probabilities([text, "b"], [0.6, 0.4], text, alt=text).png


def test_a_dollar_sign_in_a_token_begins_no_formula():
    picture = plots.probabilities(["$", r"$\frac$", "b"], [0.5, 0.3, 0.2], r"the root $\sqrt{d}$", alt="x")
    assert picture.png  # \frac without its arguments would be an error
    assert r"\$\frac\$" in texts_of(picture)
    assert axes_of(picture).get_title(loc="left") == r"the root $\sqrt{d}$", "a title may hold a formula"


def test_letters_are_large_enough_for_the_back_row():
    for kind, make in EVERY.items():
        smallest = min(text.get_fontsize() for text in make("w").figure.findobj(Text) if text.get_text())
        assert smallest >= 10, kind
        assert axes_of(make("w")).xaxis.label.get_fontsize() >= 13, kind


# --- colours ---

# Viénot, Brettel and Mollon 1999, "Digital Video Colourmaps for Checking the Legibility of Displays by Dichromats":
# what red-blind and green-blind people see, in linear RGB. The blue-blind matrix is that of Machado et al. 2009.
SEEN_BY = {
    "everybody": np.eye(3),
    "red-blind": np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]]),
    "green-blind": np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]]),
    "blue-blind": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour: str) -> np.ndarray:
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of a linear RGB colour, for white daylight: a distance of 2 is just seen, one of 10 at a glance."""
    ratio = TO_XYZ @ rgb / (TO_XYZ @ np.ones(3))
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio, from 1 to 21."""
    a, b = sorted((TO_XYZ[1] @ linear(colour) for colour in (one, other)), reverse=True)
    return (a + 0.05) / (b + 0.05)


@pytest.mark.parametrize("eyes", SEEN_BY)
def test_all_eyes_tell_any_two_colours_apart(eyes):
    seen = {colour: lab((SEEN_BY[eyes] @ linear(colour)).clip(0, 1)) for colour in plots.COLOURS}
    near = {
        (one, other): np.linalg.norm(seen[one] - seen[other]) for one, other in itertools.combinations(plots.COLOURS, 2)
    }
    assert min(near.values()) > 10, min(near, key=near.get)


def test_red_and_green_of_equal_lightness_would_not_pass():
    red, green = (lab((SEEN_BY["green-blind"] @ linear(colour)).clip(0, 1)) for colour in ("#c00000", "#6f7400"))
    assert np.linalg.norm(red - green) < 10


def test_words_stand_out_from_what_is_behind_them():
    assert contrast(plots.GREY, "white") >= 4.5
    assert contrast("white", plots.BLUE) >= 4.5, "the lit link of the chain"
    assert contrast(plots.BLUE, "white") >= 3 and contrast(plots.RED, "white") >= 3


def test_lines_differ_without_colours_too():
    series = {str(i): LOSS for i in range(7)}
    looks = [repr(line.get_linestyle()) + repr(line._dash_pattern) for line in axes_of(
        plots.curves(series, "t", x="x", y="y", alt="a")
    ).lines]  # fmt: skip
    assert len(set(looks)) == 7


def test_numbers_in_a_map_are_light_on_dark_and_dark_on_light():
    axes = axes_of(plots.heat(np.array([[0.0, 1.0]]), "t", alt="a"))
    assert [(text.get_text(), text.get_color()) for text in axes.texts] == [("0.00", "black"), ("1.00", "white")]


# --- nothing is left behind ---


def test_drawing_leaves_no_global_state():
    before = dict(matplotlib.rcParams)
    for make in EVERY.values():
        assert make("word").png
    plots.chain("sft")
    assert dict(matplotlib.rcParams) == before


def test_a_failure_while_painting_leaves_no_style_behind():
    before = dict(matplotlib.rcParams)
    with pytest.raises(ZeroDivisionError):
        plots.draw(lambda axes: 1 / 0, alt="never drawn")
    assert dict(matplotlib.rcParams) == before


def test_pictures_need_neither_torch_nor_pyplot():
    program = (
        "import sys; from course.show import plots; plots.chain('base').png; "
        "print([name for name in ('torch', 'matplotlib.pyplot', 'tkinter') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


# --- they show what they were given ---


def test_curves_pass_through_their_points_and_name_their_axes():
    axes = axes_of(plots.curves({"loss": LOSS}, "It falls", x="step", y="nats", alt="a", log="xy", markers=True))
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack(LOSS, axis=1))
    assert (axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()) == ("It falls", "step", "nats")
    assert (axes.get_xscale(), axes.get_yscale(), line.get_marker()) == ("log", "log", "o")
    assert axes.get_legend() is None, "one line needs no legend"


@pytest.mark.parametrize("seed", range(3))
def test_smoothing_takes_the_mean_of_the_points_before_and_leaves_short_lines_alone(seed):
    y = np.random.default_rng(seed).normal(size=100)
    short = (np.arange(4), y[:4])
    axes = axes_of(plots.curves({"long": (range(100), y), "short": short}, "t", x="x", y="y", alt="a", smooth=5))
    smooth, kept = (line.get_xydata() for line in axes.lines)
    assert smooth[0, 0] == 4
    np.testing.assert_allclose(smooth[:, 1], [y[i - 4 : i + 1].mean() for i in range(4, 100)], atol=1e-12)
    np.testing.assert_array_equal(kept, np.stack(short, axis=1))


def test_levels_are_horizontal_lines_with_names():
    picture = plots.curves({"loss": LOSS}, "t", x="x", y="y", alt="a", levels={"ln V": 7.3, "bigrams": 2.0})
    heights = [line.get_ydata()[0] for line in axes_of(picture).lines[1:]]
    assert heights == [7.3, 2.0]
    assert {"ln V", "bigrams"} <= set(texts_of(picture))


def test_tensors_are_drawn_wherever_they_come_from():
    y = torch.linspace(0, 1, 10, requires_grad=True, dtype=torch.bfloat16)
    (line,) = axes_of(plots.curves({"loss": (torch.arange(10), y)}, "t", x="x", y="y", alt="a")).lines
    np.testing.assert_allclose(line.get_ydata(), y.detach().float().numpy())
    assert plots.heat(torch.eye(3, requires_grad=True), "t", alt="a").png
    assert plots.probabilities(["a", "b"], torch.tensor([0.25, 0.75]), "t", alt="a").png


def test_bars_have_their_heights_and_say_them():
    picture = plots.bars(
        {"SFT": [0.8, 0.3], "PPO": [0.9, 0.0]}, ["right", "rude"], "t", y="share", alt="a", form="{:.0%}"
    )
    heights = [patch.get_height() for patch in axes_of(picture).patches]
    assert heights == [0.8, 0.3, 0.9, 0.0]
    assert max(axes_of(picture).get_yticks()) == pytest.approx(1.0), "a share above 100% is none"
    assert {"80%", "30%", "90%", "0%", "right", "rude", "SFT", "PPO"} <= set(texts_of(picture))


def test_probabilities_put_the_likeliest_on_top_and_show_at_most_a_dozen():
    probs = np.linspace(0.01, 0.1, 30)
    axes = axes_of(plots.probabilities([f"t{i}" for i in range(30)], probs, "t", alt="a"))
    assert [patch.get_width() for patch in axes.patches] == sorted(probs, reverse=True)[:12]
    assert axes.yaxis_inverted()
    assert axes.get_yticklabels()[0].get_text() == "t29"


def test_probabilities_need_a_name_for_each():
    with pytest.raises(ValueError, match="zip"):
        plots.probabilities(["a"], [0.5, 0.5], "t", alt="a")


def test_an_attention_map_has_a_row_per_query_and_a_column_per_key():
    weights = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    axes = axes_of(plots.attention_map(weights, ["q0", "q1"], "t", alt="a", keys=["k0", "k1", "k2"]))
    np.testing.assert_array_equal(axes.images[0].get_array(), weights)
    assert axes.images[0].get_clim() == (0, 1), "the same shade means the same weight in every picture"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["q0", "q1"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["k0", "k1", "k2"]
    assert ("query" in axes.get_ylabel(), "key" in axes.get_xlabel()) == (True, True)


def test_several_heads_stand_side_by_side_on_one_scale():
    weights = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)).softmax(-1)
    picture = plots.attention_map(weights, TOKENS, "t", alt="a")
    *heads, scale = picture.figure.axes
    assert len(heads) == 3
    for head, axes in zip(weights, heads, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), head.numpy())
        assert axes.images[0].get_clim() == (0, 1)
    assert scale.get_ylim() == (0, 1)


@pytest.mark.parametrize(("side", "numbers", "scales"), [(10, 100, 0), (11, 0, 1)])
def test_a_small_map_has_numbers_and_a_large_one_a_scale(side, numbers, scales):
    picture = plots.heat(np.random.default_rng(0).random((side, side)), "t", alt="a")
    assert len(axes_of(picture).texts) == numbers
    assert len(picture.figure.axes) == 1 + scales


def test_calibration_shows_the_share_that_came_true_in_each_bin():
    chances = np.array([0.05] * 4 + [0.95] * 4 + [1.0])
    came = np.array([0, 0, 0, 1, 1, 1, 1, 0, 1])
    axes = axes_of(plots.calibration(chances, came, "t", alt="a", bins=10))
    line = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(line.get_xydata(), [[0.05, 0.25], [0.96, 0.8]])


def test_calibrated_predictions_lie_on_the_diagonal():
    chance = np.random.default_rng(0)
    predicted = chance.random(40_000)
    axes = axes_of(plots.calibration(predicted, chance.random(40_000) < predicted, "t", alt="a"))
    line = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(line.get_xydata()[:, 0], line.get_xydata()[:, 1], atol=0.03)  # 4 deviations


@pytest.mark.parametrize("lit", plots.CHAIN)
def test_the_chain_lights_one_link(lit):
    picture = plots.chain(lit)
    boxes = [patch for patch in axes_of(picture).patches if isinstance(patch, FancyBboxPatch)]
    blue = [np.allclose(box.get_facecolor()[:3], to_rgb(plots.BLUE)) for box in boxes]
    assert blue == [link == lit for link in plots.CHAIN]
    assert picture.alt.endswith(f"Lit: {lit}.")


def test_the_chain_has_no_unknown_link():
    with pytest.raises(ValueError, match='no link "ppo"; its links are text, tokenizer'):
        plots.chain("ppo")


def test_panels_stand_side_by_side_each_with_its_own_axis():
    series = {"with leash": LOSS, "without": LOSS}
    picture = plots.panels(
        {"Gold": (series, "score"), "KL": ({"with leash": LOSS}, "nats")},
        x="step",
        alt="a",
        levels={"Gold": {"best": 3}},
    )
    gold, kl = picture.figure.axes
    assert [ax.get_title(loc="left") for ax in (gold, kl)] == ["Gold", "KL"]
    assert [ax.get_ylabel() for ax in (gold, kl)] == ["score", "nats"]
    assert (len(gold.lines), len(kl.lines)) == (3, 1)
    assert gold.get_legend() is not None


def test_two_tokens_that_look_alike_have_a_bar_each() -> None:
    picture = plots.probabilities(["Paris", "Paris", "London"], [0.4, 0.35, 0.25], "t", "a")
    axes = picture.figure.axes[0]
    assert len({round(bar.get_y(), 3) for bar in axes.patches}) == 3
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Paris", "Paris", "London"]
