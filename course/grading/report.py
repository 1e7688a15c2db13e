"""What a teacher gets: a page to read, a page per learner to send back, and tables for the platforms of schools.

The page answers at a glance: who needs help, which exercise failed the class and by which mistake, what to look at by
hand. It is one file that works offline, and without a script too; the script sorts, filters and pages the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from course.grading import exports, feedback
from course.grading.book import KINDS, Book, Learner, kind_of, mistake_of, tried
from course.grading.log import Result
from course.grading.pages import number, render
from course.grading.save import file_name, save
from course.grading.similar import Alike
from course.grading.submission import Intake, Submission
from course.grading.text import clean
from course.practice.exercise import Exercise

ROWS = 20_000  # learners in the table
FIRST = 20  # of those who need help, of the entries of a list
COMMON = 3  # mistakes of an exercise that stand open
BINS = 20  # bars of the histogram at most
STATES = {  # what the table can be filtered by
    "help": "who needs help",
    "hand": "to look at by hand",
    "nothing": "handed in nothing",
    "unjudged": "not judged yet",
    "late": "late",
    "full": "all points",
}


def write(
    out: Path,
    submissions: Sequence[Submission],
    results: Iterable[Result],
    title: str = "course",
    *,
    intake: Intake | None = None,
    alike: Iterable[Alike] = (),
    deductions: Mapping[str, float] | None = None,
) -> Book:
    """Write report.html, results.csv, feedback/ and exports/ into `out`; returns the sorted results.

    alike: answers that are alike, of `similar.alike`. deductions: learner's id -> points taken off for lateness.
    Raises OSError with what to do where a file cannot be written.
    """
    book = Book(submissions, results, intake, alike, deductions)
    save(out / "report.html", page(book, clean(title)))
    exports.write(out, book, clean(title))
    feedback.write(out / "feedback", book, clean(title))
    return book


def page(book: Book, title: str) -> str:
    """The report as one page."""
    helpless = book.helpless()
    looks = book.looks()
    states = {learner.id: _states(book, learner) for learner in book.learners}
    counts = Counter(state for found in states.values() for state in found)
    listed = book.learners
    if len(listed) > ROWS:
        listed = sorted(listed, key=lambda learner: learner.points)[:ROWS]
    late = any(learner.deduction or learner.late for learner in listed)
    hardest = book.hardest()
    letters = {
        exercise.id: {mistake.says: mistake.letter for mistake in book.mistakes[exercise.id]}
        for exercise in book.exercises
    }
    return render(
        "report.html",
        "report.css",
        "report.js",
        title=title,
        when=datetime.now().astimezone().strftime("%d %B %Y, %H:%M"),
        notes=[clean(note, 400) for note in book.intake.notes[:FIRST]],
        learners=len(book.learners),
        possible=book.possible,
        cards=_cards(book, counts, looks),
        hardest=None if hardest is None else _hardest(book, hardest),
        **_histogram(book),
        helpless=[_line(learner, reasons) for learner, reasons in helpless[:FIRST]],
        helpless_count=len(helpless),
        kinds=KINDS,
        exercises=[_exercise(book, i, late, hardest) for i in range(len(book.exercises))],
        looks=[
            {
                "title": name,
                "count": sum(look.times for look in found),
                "looks": found[:FIRST],
                "more": len(found[FIRST:]),
            }
            for name, found in looks.items()
        ],
        states=[(state, what, counts[state]) for state, what in STATES.items() if counts[state]],
        late=late,
        rows=[_row(book, learner, states[learner.id], letters) for learner in listed],
    )


def _href(learner: Learner) -> str:
    """The address of a learner's page, from the report's place."""
    return f"feedback/{quote(file_name(learner.id))}.html"


def _points(learner: Learner) -> str:
    return f"{number(learner.points)} ?" if learner.unjudged else number(learner.points)


def _percent(share: float) -> str:
    return f"{share:.0%}"


def _states(book: Book, learner: Learner) -> list[str]:
    """What the table's filter finds a learner by."""
    holds = {
        "help": bool(book.needs(learner)),
        "hand": bool(learner.alike or learner.unjudged or learner.said),
        "nothing": not learner.handed_in and not learner.results,
        "unjudged": learner.unjudged,
        "late": bool(learner.late or learner.deduction),
        "full": bool(book.possible) and learner.points == book.possible,
    }
    return [state for state in STATES if holds[state]]


def _cards(book: Book, counts: Counter[str], looks: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The figures at the top."""
    points = [learner.points for learner in book.learners if learner.handed_in or learner.results]
    mean = sum(points) / len(points) if points else 0.0
    cards: list[dict[str, Any]] = [
        {"figure": f"{mean:.1f}", "what": f"of {book.possible} points on average"},
        {"figure": f"{counts['full']:,}", "what": "have all points"},
        {"figure": f"{counts['help']:,}", "what": "need help", "href": "#help"},
        {"figure": f"{counts['nothing']:,}", "what": "handed in nothing"},
        {"figure": f"{sum(map(len, looks.values())):,}", "what": "to look at by hand", "href": "#hand"},
        {"figure": f"{counts['unjudged']:,}", "what": "not judged yet", "href": "#hand", "call": True},
    ]
    always = cards[:3]
    return [{"href": "", "call": False, **card} for card in cards if card in always or card["figure"] != "0"]


def _hardest(book: Book, exercise: Exercise) -> dict[str, Any]:
    mistakes = book.mistakes[exercise.id]
    return {
        "number": book.exercises.index(exercise) + 1,
        "title": exercise.title,
        "share": _percent(book.solved(exercise)),
        "mistake": mistakes[0].says if mistakes else "",
        "count": len(mistakes[0].learners) if mistakes else 0,
    }


def _histogram(book: Book) -> dict[str, Any]:
    """The bars of the histogram of all points, in percent of the width and in pixels of the height, and as a text."""
    points = [learner.points for learner in book.learners if learner.handed_in or learner.results]
    if not points or not book.possible:
        return {"bins": [], "histogram": ""}
    step = -(-(book.possible + 1) // BINS)  # points that share a bar
    counts = Counter(int(value // step) for value in points)
    number_of_bins = book.possible // step + 1
    tallest, wide = max(counts.values()), 100 / number_of_bins
    bins, words = [], []
    for i in range(number_of_bins):
        height = round(120 * counts[i] / tallest)
        last = min(book.possible, (i + 1) * step - 1)
        label = f"{i * step}" if step == 1 else f"{i * step}–{last}"
        crowded = number_of_bins > 12 and i % 2  # every other label, where they would touch
        bins.append({
            "x": round(i * wide + 0.1 * wide, 2), "width": round(0.8 * wide, 2), "middle": round((i + 0.5) * wide, 2),
            "y": 148 - height, "height": height, "count": counts[i], "label": "" if crowded else label,
        })  # fmt: skip
        if counts[i]:
            words.append(f"{label} points: {counts[i]}")
    return {"bins": bins, "histogram": "; ".join(words)}


def _line(learner: Learner, reasons: Sequence[str]) -> dict[str, Any]:
    return {"href": _href(learner), "shown": learner.shown, "points": _points(learner), "reasons": reasons}


def _exercise(book: Book, index: int, late: bool, hardest: Exercise | None) -> dict[str, Any]:
    """A row of the table of the exercises."""
    exercise = book.exercises[index]
    outcomes = book.outcomes(exercise)
    total, x, parts = sum(outcomes.values()), 0.0, []
    for kind in KINDS:
        if outcomes[kind]:
            width = 100 * outcomes[kind] / total
            parts.append({"key": kind.key, "sign": kind.sign, "count": f"{outcomes[kind]:,}", "x": round(x, 2),
                          "width": round(width, 2), "middle": round(x + width / 2, 2)})  # fmt: skip
            x += width
    mistakes = [
        {
            "letter": mistake.letter,
            "says": mistake.says,
            "count": len(mistake.learners),
            "names": [learner.shown for learner in mistake.learners[:5]],
        }
        for mistake in book.mistakes[exercise.id]
    ]
    return {
        "number": index + 1,
        "column": index + 2 + late,
        "id": exercise.id,
        "title": exercise.title,
        "points": exercise.points,
        "worst": exercise is hardest,
        "outcomes": ", ".join(f"{outcomes[kind]} {kind.name}" for kind in KINDS if outcomes[kind]),
        "parts": parts,
        "tried": tried(outcomes),
        "share": _percent(book.solved(exercise)) if tried(outcomes) else "",
        "share_value": round(book.solved(exercise), 4),
        "mistakes": mistakes[:COMMON],
        "more": mistakes[COMMON : COMMON + FIRST],
        "rest": len(mistakes[COMMON:]),
    }


def _row(book: Book, learner: Learner, states: list[str], letters: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """A row of the table of the learners."""
    marks = []
    for exercise in book.exercises:
        result = learner.results.get(exercise.id)
        if result is None:
            marks.append(("empty", "—"))
        else:
            kind = kind_of(result)
            marks.append((kind.key, kind.sign + letters[exercise.id].get(mistake_of(result), "")))
    notes = book.needs(learner)
    notes += ["late"] if learner.late and not learner.deduction else []
    notes += ["not judged yet"] if learner.unjudged else []
    said = len(learner.said)
    notes += ["to decide"] if learner.contested else []
    notes += [f"{said:,} remarks" if said > 1 else "1 remark"] if said else []
    notes += ["answers alike"] if learner.alike else []
    return {
        "state": " ".join(states),
        "href": _href(learner),
        "shown": learner.shown,
        "id": clean(learner.id) if clean(learner.id) != learner.shown else "",
        "points": _points(learner),
        "value": number(learner.points) if learner.unjudged else "",  # to sort by, where the text is no number
        "off": number(learner.deduction),
        "late": f"−{number(learner.deduction)}" if learner.deduction else "",
        "marks": marks,
        "notes": ", ".join(notes),
    }
