"""Late work: what a rule such as "10% a day" takes off, by the platform's times."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from course.grading.submission import Submission

DAY = timedelta(days=1)
_RULE = re.compile(
    r"(?P<amount>\d+(?:[.,]\d+)?)\s*(?P<percent>%|percent|points?|p|pt|pts)?"
    r"\s*(?:a|per|each|every|/)\s*(?P<unit>day|hour|d|h)"
    r"(?:[,;]?\s*(?:at most|max\.?|up to)\s*(?P<most>\d+(?:[.,]\d+)?)"
    r"\s*(?P<most_percent>%|percent|points?|p|pt|pts)?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """What lateness costs. due: with its zone. amount: for each day (or hour) begun; percent: of the points earned.

    nothing: no points after the date. most: what is taken off at most; None for everything.
    """

    due: datetime
    amount: float = 0.0
    percent: bool = False
    unit: timedelta = DAY
    nothing: bool = False
    most: float | None = None
    most_percent: bool = False

    def deduct(self, points: float, handed_in: Submission) -> tuple[float, str]:
        """What is taken off some points, and the sentence that says why; (0, "") for what came in time.

        Only the platform's times and its word for late decide. A file's date may be that of the download: it is told
        and takes nothing off.
        """
        when = handed_in.when
        if when is None or handed_in.clock != "platform":
            if handed_in.late:  # how much is not known
                return self._taken(points, 1, "The platform calls it late and gives no time")
            if handed_in.clock == "file" and when is not None and when > self.due:
                return 0.0, (
                    f"The file's date, {self._shown(when)}, is after the due date, but the platform gives no time: "
                    "nothing is taken off."
                )
            return 0.0, ""
        over = when - self.due
        if over <= timedelta():
            return 0.0, ""
        text = f"Handed in {self._shown(when)}, {_span(over)} after the due date"
        return self._taken(points, math.ceil(over / self.unit), text)

    def _taken(self, points: float, units: int, text: str) -> tuple[float, str]:
        points = max(0.0, points)
        if self.nothing:
            return points, f"{text}: no points."
        if not self.amount:
            return 0.0, f"{text}; nothing is taken off."
        off = self.amount * units * (points / 100 if self.percent else 1)
        if self.most is not None:
            off = min(off, self.most * (points / 100 if self.most_percent else 1))
        off = round(min(points, off), 2)
        kind = f"{self.amount:g}% of {points:g} points" if self.percent else f"{self.amount:g} points"
        unit = "day" if self.unit == DAY else "hour"
        return off, f"{text}: {units} {unit}{'s' * (units > 1)}, {kind} for each{self._limit()}: −{off:g}."

    def _limit(self) -> str:
        return "" if self.most is None else f" (at most {self.most:g}{'%' if self.most_percent else ' points'})"

    def _shown(self, when: datetime) -> str:
        return f"{when.astimezone(self.due.tzinfo):%Y-%m-%d %H:%M %Z}"

    def __str__(self) -> str:
        """The rule in a sentence, for the report."""
        due = f"Due {self.due:%Y-%m-%d %H:%M %Z}"
        if self.nothing:
            return f"{due}; no points after it."
        if not self.amount:
            return f"{due}; later work is marked, and loses nothing."
        kind = f"{self.amount:g}%" if self.percent else f"{self.amount:g} points"
        return f"{due}; {kind} off for each {'day' if self.unit == DAY else 'hour'} begun{self._limit()}."


def rule(due: str, late: str = "mark") -> Rule:
    """A rule in the words of the command line.

    due: "2026-12-01 23:59" in this machine's zone, or with one: "2026-12-01 23:59 Asia/Tokyo", "... 23:59+09:00".
    late: "10% a day", "2 points a day", "1 point an hour, at most 50%", "none" (no points), "mark" (nothing off).
    Raises ValueError with a sentence.
    """
    moment = _moment(due)
    word = late.strip().lower()
    if word in ("none", "no", "nothing", "reject"):
        return Rule(moment, nothing=True)
    if word in ("", "mark", "accept", "0"):
        return Rule(moment)
    found = _RULE.fullmatch(re.sub(r"\ban\b", "a", word))
    if found is None:
        raise ValueError(
            f'The rule "{late}" is not understood; write such as "10% a day", "2 points a day, at most 50%", "none".'
        )
    most = found["most"]
    return Rule(
        moment,
        float(found["amount"].replace(",", ".")),
        _is_percent(found["percent"]),
        DAY if found["unit"].startswith("d") else timedelta(hours=1),
        most=float(most.replace(",", ".")) if most else None,
        most_percent=_is_percent(found["most_percent"]),
    )


def _is_percent(text: str | None) -> bool:
    return text in ("%", "percent")


def _moment(text: str) -> datetime:
    words = text.strip().split()
    zone: ZoneInfo | None = None
    if len(words) > 1 and re.match("[A-Za-z]", words[-1]):
        try:
            zone = ZoneInfo(words.pop())
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'The zone in "{text}" is not known; write such as Asia/Tokyo, UTC, or +09:00.') from None
    try:
        found = datetime.fromisoformat(" ".join(words))
    except ValueError:
        raise ValueError(f'The due date "{text}" is no date; write such as "2026-12-01 23:59".') from None
    if re.fullmatch(r"\d{4}-?\d\d-?\d\d", " ".join(words)):  # a day alone lasts until its end
        found = found.replace(hour=23, minute=59, second=59)
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone) if zone else found.astimezone()
    return found


def _span(over: timedelta) -> str:
    """A time span in the two largest units."""
    minutes = max(1, math.ceil(over.total_seconds() / 60))
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [(days, "d"), (hours, "h"), (rest, "min")]
    first = next(i for i, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
