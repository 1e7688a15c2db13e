"""A page for each learner to send back: what is right, which mistake was made, a hint, and what was odd about the file.

Nothing else stands in it: no case and no value, nobody else's name or answer, nothing about the machine that judged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from course.grading.book import CARRIED, EMPTY, RIGHT, UNJUDGED, Book, Learner, kind_of, mistake_of
from course.grading.pages import number, render
from course.grading.save import file_name, save, tidy
from course.practice.exercise import Exercise

HINTS = 2  # of an exercise's hints: the last one nearly is the answer
SAYS = {
    RIGHT: "All cases are right.",
    CARRIED: "Your answer is right: its results are, once the earlier answer that it calls is put right.",
    EMPTY: "There is no answer yet.",
    UNJUDGED: "It is not judged yet, through no fault of yours. Your teacher will run it again.",
}


def write(folder: Path, book: Book, title: str) -> None:
    """One page per learner into the folder; pages of earlier runs that are nobody's any more are removed."""
    names = {learner.id: file_name(learner.id) for learner in book.learners}
    for learner in book.learners:
        save(folder / f"{names[learner.id]}.html", page(book, learner, title))
    tidy(folder, ".html", set(names.values()))


def page(book: Book, learner: Learner, title: str) -> str:
    """The page of one learner."""
    late = "handed in late" if learner.late else ""
    if learner.deduction:
        late = f"{number(learner.earned)} for the answers, less {number(learner.deduction)} for lateness"
    return render(
        "feedback.html",
        title=title,
        shown=learner.shown,
        points=number(learner.points),
        possible=book.possible,
        late=late,
        handed_in=learner.handed_in or bool(learner.results),
        marks=[_mark(learner, exercise) for exercise in book.exercises if exercise.id in learner.results],
        remarks=book.told(learner),
    )


def _mark(learner: Learner, exercise: Exercise) -> dict[str, Any]:
    result = learner.results[exercise.id]
    kind = kind_of(result)
    return {
        "key": kind.key,
        "sign": kind.sign,
        "title": exercise.title,
        "points": "?" if kind is UNJUDGED else number(result.points),
        "possible": exercise.points,
        "says": SAYS.get(kind) or mistake_of(result),
        "hints": [] if kind in (RIGHT, CARRIED, UNJUDGED) else exercise.hints[: min(HINTS, len(exercise.hints) - 1)],
    }
