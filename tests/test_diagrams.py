"""The drawings say the right shapes, nothing in them overlaps, and a screen reader is told what is drawn."""

from __future__ import annotations

from itertools import combinations

import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from course.show import diagrams

DRAWINGS = {
    "attention": diagrams.attention,
    "block": diagrams.block,
    "gpt": lambda: diagrams.gpt(5, 128, 1536),
    "large gpt": lambda: diagrams.gpt(96, 12_288, 50_257),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_label_fits_into_its_box_and_no_box_covers_another(name):
    picture = DRAWINGS[name]()
    assert picture.png[:4] == b"\x89PNG"
    axes = picture.figure.axes[0]
    boxes = [patch.get_window_extent() for patch in axes.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) >= 4 and not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for text in axes.findobj(Text):
        place = text.get_window_extent()
        inside = [box for box in boxes if box.contains(*((place.min + place.max) / 2))]
        for box in inside if text.get_text() else []:
            assert box.x0 <= place.x0 and place.x1 <= box.x1, f"“{text.get_text()}” is wider than its box"


def test_the_whole_gpt_shows_the_shapes_of_the_given_model():
    picture = diagrams.gpt(5, 128, 1536)
    said = [text.get_text() for text in picture.figure.axes[0].findobj(Text)]
    assert said.count("(T, 128)") == 3 and said.count("(T, 1,536)") == 2 and "5 blocks:\nlook, think" in said
    assert "5 blocks" in picture.alt and "1,536" in picture.alt
