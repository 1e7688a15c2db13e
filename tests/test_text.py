"""What learners wrote can be shown anywhere."""

from __future__ import annotations

import pytest

from course.grading.text import SHOWN, clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('山田 太郎, "Taro" O\'Neil', '山田 太郎, "Taro" O\'Neil'),
        ("\x1b[2Jgone", "\\u001b[2Jgone"),
        ("one\r\ntwo\u2028three", "one\\u000d\\u000atwo\\u2028three"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("half \ud800", "half \\ud800"),
        ("cafe\u0301", "caf\u00e9"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_shown_by_its_code(text, shown):
    assert clean(text) == shown
    clean(text).encode("utf-8")


@pytest.mark.parametrize("text", ["x" * SHOWN, "x" * (SHOWN + 1), "\x00" * 10_000, "x" * 10**7])
def test_a_long_text_is_cut(text):
    assert len(clean(text)) <= SHOWN
    assert clean(text).endswith("…") == (len(text) > SHOWN)
