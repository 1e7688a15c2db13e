"""Late work loses what the rule says, by the platform's times, and the report says what and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from course.grading.late import Rule, rule
from course.grading.submission import Submission

DUE = "2026-12-01 23:59 Asia/Tokyo"
MOMENT = datetime(2026, 12, 1, 14, 59, tzinfo=UTC)


def handed_in(after: timedelta, clock: str = "platform", late: bool = False) -> Submission:
    return Submission("taro", "a.ipynb", when=MOMENT + after, clock=clock, late=late)


@pytest.mark.parametrize(
    ("words", "hours", "off"),
    [
        ("10% a day", -1, 0), ("10% a day", 0, 0), ("10% a day", 0.1, 1.2), ("10% a day", 24, 1.2),
        ("10% a day", 24.1, 2.4), ("10 % per day", 24 * 30, 12), ("10%/day, at most 50%", 24 * 30, 6),
        ("2 points a day", 25, 4), ("2/day", 25, 4), ("2 points a day, max 3 points", 25, 3), ("0.5 p / d", 1, 0.5),
        ("1 point an hour, at most 50%", 2.5, 3), ("100% a day", 1, 12), ("500% each day", 1, 12),
        ("none", 0.1, 12), ("none", -0.1, 0), ("mark", 100, 0),
    ],
)  # fmt: skip
def test_a_rule_takes_off_what_it_says(words, hours, off):
    found, text = rule(DUE, words).deduct(12, handed_in(timedelta(hours=hours)))
    assert found == pytest.approx(off)
    assert bool(text) == (hours > 0)


def test_nobody_gets_less_than_nothing():
    for words in ("3 points a day", "none", "90% a day"):
        for points in (0, 2, 0.5):
            off, _ = rule(DUE, words).deduct(points, handed_in(timedelta(days=9)))
            assert 0 <= off <= points


def test_the_sentence_names_the_time_the_zone_the_rule_and_the_loss():
    _, text = rule(DUE, "10% a day").deduct(12, handed_in(timedelta(days=1, hours=2, minutes=30)))
    assert text == (
        "Handed in 2026-12-03 02:29 JST, 1 d 2 h after the due date: 2 days, 10% of 12 points for each: −2.4."
    )
    assert (
        str(rule(DUE, "10% a day, at most 50%"))
        == "Due 2026-12-01 23:59 JST; 10% off for each day begun (at most 50%)."
    )
    assert str(rule(DUE, "none")) == "Due 2026-12-01 23:59 JST; no points after it."


def test_only_the_platforms_clock_takes_points():
    found = rule(DUE, "10% a day")
    off, text = found.deduct(12, handed_in(timedelta(days=9), clock="file"))
    assert off == 0 and "the platform gives no time: nothing is taken off" in text
    assert found.deduct(12, Submission("taro", "a.ipynb")) == (0.0, "")
    off, text = found.deduct(12, Submission("taro", "a.ipynb", late=True))
    assert off == pytest.approx(1.2) and "The platform calls it late and gives no time" in text
    off, text = found.deduct(12, handed_in(timedelta(days=-9), clock="file", late=True))
    assert off == pytest.approx(1.2), "the platform's word goes before the file's date"
    assert found.deduct(12, handed_in(timedelta(hours=-1), late=True)) == (0.0, ""), "its time goes before its word"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01 23:59+09:00", datetime(2026, 12, 1, 14, 59, tzinfo=UTC)),
        ("2026-12-01T23:59 UTC", datetime(2026, 12, 1, 23, 59, tzinfo=UTC)),
        ("2026-12-01 Asia/Tokyo", datetime(2026, 12, 1, 14, 59, 59, tzinfo=UTC)),
        ("2026-12-01 23:59", datetime(2026, 12, 1, 23, 59).astimezone()),
    ],
)
def test_due_dates_have_a_zone(text, moment):
    assert rule(text).due == moment and rule(text).due.tzinfo is not None


@pytest.mark.parametrize("due", ["", "tomorrow", "2026-13-01", "2026-12-01 23:59 Mars/Olympus", "01.12.2026"])
def test_a_date_that_is_none_is_a_sentence(due):
    with pytest.raises(ValueError, match=r"no date|not known"):
        rule(due)


@pytest.mark.parametrize("words", ["10%", "a day", "-5% a day", "ten percent a day", "10% a day or so", "nan% a day"])
def test_a_rule_that_is_none_is_a_sentence(words):
    with pytest.raises(ValueError, match="is not understood"):
        rule(DUE, words)


def test_zones_are_compared_as_moments():
    found = Rule(MOMENT, 1.0)
    for hours in (-11, 0, 9):
        when = (MOMENT + timedelta(minutes=1)).astimezone(timezone(timedelta(hours=hours)))
        assert found.deduct(12, Submission("t", "f", when=when, clock="platform"))[0] == 1
