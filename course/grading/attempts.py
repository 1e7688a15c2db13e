"""Which of a learner's attempts counts: by the platform's order, the files' dates, or the copies' numbers, and said so.

Never by the alphabet. An attempt in which nothing is filled in takes no other's place. Where nothing decides, or where
nobody vouches that a file is the learner's own, all count (the best of them), and the teacher is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from course.grading.source import parse
from course.grading.submission import Submission
from course.practice import exercises

SAME = 2.0  # seconds: dates in zips are no finer, and files that were unpacked together differ by as little
MAX_STUB = 20_000  # characters; what is longer is no empty answer
SHOWN = 3  # files that a remark names


@dataclass(eq=False)
class Attempt:
    """A submission, and what orders it among others. source: who vouches that they belong together.

    late, number: by the platform. date: the file's. copy: which copy it is by its own name.
    """

    submission: Submission
    source: Hashable = ""
    late: bool = False
    number: int = 0
    date: datetime | None = None
    copy: int = 0


def choose(attempts: Sequence[Attempt]) -> list[Submission]:
    """A learner's submissions, with `counts`, `contested` and a remark where several are of one notebook.

    A file with several notebooks' answers of which only some count is parted into two submissions.
    """
    rivals: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        for notebook in attempt.submission.notebooks:
            rivals[notebook].append(attempt)
    verdicts = {notebook: _decide(notebook, found) for notebook, found in rivals.items() if len(found) > 1}
    chosen: list[Submission] = []
    for attempt in attempts:
        of = {notebook: verdicts.get(notebook, {}).get(id(attempt)) for notebook in attempt.submission.notebooks}
        groups: dict[tuple[bool, bool], list[str]] = defaultdict(list)
        for notebook, verdict in of.items():
            groups[(verdict.counts, verdict.contested) if verdict else (True, False)].append(notebook)
        if not groups:
            chosen.append(attempt.submission)
        for (counts, contested), notebooks in groups.items():
            ids = {exercise.id for notebook in notebooks for exercise in exercises.of(notebook)}
            part = attempt.submission
            if len(groups) > 1:
                part = replace(part, answers={name: text for name, text in part.answers.items() if name in ids})
            said = [verdict.text for notebook in notebooks if (verdict := of[notebook])]
            chosen.append(replace(part, counts=counts, contested=contested, remarks=[*part.remarks, *said]))
    return chosen


@dataclass
class _Verdict:
    counts: bool
    contested: bool
    text: str


def _decide(notebook: str, rivals: list[Attempt]) -> dict[int, _Verdict]:
    """id of the attempt -> what becomes of it."""
    filled = [rival for rival in rivals if not _blank(rival.submission, notebook)]
    blank = [rival for rival in rivals if filled and rival not in filled]
    rest = filled or rivals
    sources = {rival.source for rival in rest}
    winners: list[Attempt] = []
    why = ""
    if len(sources) == 1:
        winners, why = _last(rest)
    else:  # the newest of each source; between the sources nothing decides
        for source in sources:
            winners += _last([rival for rival in rest if rival.source == source])[0]
    contested = len(winners) > 1 and not _same(winners, notebook)
    if len(winners) > 1 and not contested:  # the same answers: whichever it is
        winners, why = winners[:1], "its answers are the same"
    names = _names([rival.submission for rival in winners])
    verdicts: dict[int, _Verdict] = {}
    for rival in rivals:
        others = [other.submission for other in rivals if other is not rival]
        if rival in winners and contested:
            reason = "only their names say whose they are" if len(sources) > 1 else "nothing says which is the newest"
            text = (
                f"{notebook} was handed in more than once (also {_names(others)}), and {reason}: the best counts "
                "until you decide."
            )
        elif rival in winners:
            because = why or ("in the others nothing is filled in" if blank else "it is the newest")
            text = f"{notebook} was handed in {len(rivals)} times; this one counts, not {_names(others)}: {because}."
        elif rival in blank:
            text = f"For {notebook}, {names} counts, not this: here nothing is filled in."
        else:
            text = f"For {notebook}, {names} counts, not this{': ' + why if why and len(sources) == 1 else ''}."
        verdicts[id(rival)] = _Verdict(rival in winners, rival in winners and contested, text)
    return verdicts


def _last(rivals: list[Attempt]) -> tuple[list[Attempt], str]:
    """The newest of some attempts, or those between which nothing decides; and by what it was found."""
    if len(rivals) == 1:
        return rivals, ""
    steps: list[tuple[str, Callable[[Attempt], Any]]] = [
        ("it is the newest by the platform's times", _time),
        ("it came after the date that the platform calls late", lambda rival: rival.late),
        ("it has the platform's highest number", lambda rival: rival.number),
        ("it is the newest by the files' dates", lambda rival: rival.date),
        ("no date tells them apart, and it has the highest number", lambda rival: rival.copy),
    ]
    found = rivals
    for text, key in steps:
        if any(key(rival) is None for rival in found):
            continue  # such as a time that only one of them has
        best = max(key(rival) for rival in found)
        near = [rival for rival in found if _near(key(rival), best)]
        if len(near) == 1:
            return near, text
        found = near
    return found, ""


def _time(rival: Attempt) -> datetime | None:
    """When it was handed in, if the platform knows."""
    return rival.submission.when if rival.submission.clock == "platform" else None


def _near(one: Any, best: Any) -> bool:
    if isinstance(one, datetime):
        return bool((best - one).total_seconds() <= SAME)
    return bool(one == best)


def _same(rivals: Sequence[Attempt], notebook: str) -> bool:
    """Are the answers to a notebook's exercises the same in all?"""
    ids = [exercise.id for exercise in exercises.of(notebook)]
    found = [[rival.submission.answers.get(name) for name in ids] for rival in rivals]
    return all(answers == found[0] for answers in found)


def _names(submissions: Sequence[Submission]) -> str:
    names = [submission.file for submission in submissions]
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _blank(submission: Submission, notebook: str) -> bool:
    """Is nothing filled in, in any of the notebook's answers?"""
    return all(blank(submission.answers.get(exercise.id, "")) for exercise in exercises.of(notebook))


def blank(source: str) -> bool:
    """Does an answer do nothing: no line, `pass`, `...`, or what the exercise had there when it was given out?"""
    if len(source) > MAX_STUB:
        return False
    python = parse(source)
    return python is not None and all(
        statement.stub or statement.kind == "import" or statement.text in ("pass", "...")
        for statement in python.statements
    )
