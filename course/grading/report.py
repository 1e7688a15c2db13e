"""What a teacher gets: a page to read, tables to calculate with, and files for the systems that schools use."""

from __future__ import annotations

import csv
import hashlib
import html
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from course.grading.grade import Result
from course.grading.submission import Submission
from course.practice import exercises
from course.practice.exercise import Exercise

SIGNS = {"passed": "✓", "failed": "✗", "raised": "✗", "not attempted": "○"}
STYLE = """
body { font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; line-height: 1.5 }
table { border-collapse: collapse; margin: 1rem 0 } th, td { border: 1px solid #bbb; padding: 0.25rem 0.6rem }
th { background: #f2f2f2; text-align: left } td.n { text-align: right } .passed { color: #00664a }
.failed, .raised { color: #9c3d00 } .none { color: #555 } h1, h2 { line-height: 1.2 }
"""


class Book:
    """The results, sorted: per learner, per exercise."""

    def __init__(self, submissions: Sequence[Submission], results: Iterable[Result]):
        self.submissions = submissions
        self.by_learner: dict[str, dict[str, Result]] = defaultdict(dict)
        for result in results:
            self.by_learner[result.learner][result.exercise] = result
        for submission in submissions:
            self.by_learner.setdefault(submission.learner, {})  # who handed in a broken file is listed, with 0 points
        used = {name for found in self.by_learner.values() for name in found}
        self.exercises = [exercise for name, exercise in exercises.everything().items() if name in used]
        self.learners = sorted(self.by_learner)
        self.possible = sum(exercise.points for exercise in self.exercises)

    def points(self, learner: str) -> int:
        """A learner's points in all."""
        return sum(result.points for result in self.by_learner[learner].values())

    def remarks(self, learner: str) -> list[str]:
        """What is to be said about a learner's files."""
        return [
            f"{submission.file}: {text}"
            for submission in self.submissions
            if submission.learner == learner
            for text in filter(None, [submission.error, *submission.remarks])
        ]

    def of(self, exercise: Exercise) -> list[Result]:
        """All results of an exercise."""
        return [found[exercise.id] for found in self.by_learner.values() if exercise.id in found]


def write(out: Path, submissions: Sequence[Submission], results: Iterable[Result], title: str = "course") -> Book:
    """Write report.html, results.csv and the exports into `out`; returns the sorted results."""
    book = Book(submissions, results)
    (out / "report.html").write_text(page(book, title), encoding="utf-8")
    _table(out / "results.csv", _result_rows(book))
    exports = out / "exports"
    (exports / "gradescope").mkdir(parents=True, exist_ok=True)
    _table(exports / "nbgrader.csv", _nbgrader_rows(book, title))
    _table(exports / "canvas.csv", _canvas_rows(book, title))
    _table(exports / "moodle.csv", _moodle_rows(book))
    for learner in book.learners:
        name = quote(learner, safe=" ")
        if len(name) > 120:  # cut short; the end tells learners apart whose names begin alike
            name = f"{name[:100]}-{hashlib.sha256(learner.encode()).hexdigest()[:8]}"
        text = json.dumps(gradescope(book, learner), ensure_ascii=False, indent=1)
        (exports / "gradescope" / f"{name}.json").write_text(text, encoding="utf-8")
    return book


def safe(text: Any) -> Any:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _table(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:  # with a mark, so that spreadsheets read Japanese
        csv.writer(file).writerows([[safe(value) for value in row] for row in rows])


def _result_rows(book: Book) -> Iterable[list[Any]]:
    yield ["learner", "exercise", "status", "points", "possible", "category", "seconds", "sandbox", "remarks"]
    for learner in book.learners:
        for exercise in book.exercises:
            found = book.by_learner[learner].get(exercise.id)
            if found is not None:
                yield [
                    learner, exercise.id, found.status, found.points, exercise.points, found.category, found.seconds,
                    found.level, "",
                ]  # fmt: skip
        for remark in book.remarks(learner):
            yield [learner, "", "remark", "", "", "", "", "", remark]


def _nbgrader_rows(book: Book, title: str) -> Iterable[list[Any]]:
    yield [
        "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
        "late_submission_penalty", "score", "max_score",
    ]  # fmt: skip
    for learner in book.learners:
        points = book.points(learner)
        yield [title, "", "", learner, "", "", "", points, 0.0, points, book.possible]


def _canvas_rows(book: Book, title: str) -> Iterable[list[Any]]:
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    yield ["    Points Possible", "", "", "", "", book.possible]
    for learner in book.learners:
        yield [learner, "", "", learner, "", book.points(learner)]


def _moodle_rows(book: Book) -> Iterable[list[Any]]:
    yield ["ID number", "Grade", "Maximum Grade", "Feedback comments"]
    for learner in book.learners:
        found = book.by_learner[learner]
        words = [f"{SIGNS.get(found[e.id].status, '')} {e.title}" for e in book.exercises if e.id in found]
        yield [learner, book.points(learner), book.possible, "; ".join([*words, *book.remarks(learner)])]


def gradescope(book: Book, learner: str) -> dict[str, Any]:
    """A learner's results.json, as Gradescope's autograders write it."""
    tests = [
        {
            "name": exercise.title,
            "number": exercise.id,
            "score": found.points,
            "max_score": exercise.points,
            "status": "passed" if found.status == "passed" else "failed",
            "output": found.category or found.status,
        }
        for exercise in book.exercises
        if (found := book.by_learner[learner].get(exercise.id)) is not None
    ]
    return {"score": book.points(learner), "output": "\n".join(book.remarks(learner)), "tests": tests}


def page(book: Book, title: str) -> str:
    """The report: the class, every exercise, common mistakes, every learner, and what was odd."""
    total = [book.points(learner) for learner in book.learners]
    mean = sum(total) / len(total) if total else 0.0
    parts = [
        f"<h1>{html.escape(title)}: {len(book.learners)} learners</h1>",
        f"<p>{mean:.1f} of {book.possible} points on average; {sum(p == book.possible for p in total)} have all.</p>",
        "<h2>The exercises</h2>",
        _html_table(["exercise", "points", "tried", "passed", "common mistakes"], map(_exercise_row, *_each(book))),
        "<h2>The learners</h2>",
        _html_table(
            ["learner", "points", *(exercise.id for exercise in book.exercises)],
            ([learner, book.points(learner), *_marks(book, learner)] for learner in book.learners),
        ),
    ]
    odd = [[learner, text] for learner in book.learners for text in book.remarks(learner)]
    if odd:
        parts += ["<h2>To look at</h2>", _html_table(["learner", "file, and what is odd"], odd)]
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _each(book: Book) -> tuple[list[Exercise], list[list[Result]]]:
    return book.exercises, [book.of(exercise) for exercise in book.exercises]


def _exercise_row(exercise: Exercise, found: list[Result]) -> list[Any]:
    tried = [result for result in found if result.status != "not attempted"]
    passed = sum(result.status == "passed" for result in tried)
    common = Counter(result.category for result in tried if result.status != "passed").most_common(3)
    share = f"{passed} ({passed / len(tried):.0%})" if tried else "0"
    mistakes = "; ".join(f"{number} × {category}" for category, number in common)
    return [f"{exercise.id}: {exercise.title}", exercise.points, len(tried), share, mistakes]


def _marks(book: Book, learner: str) -> list[str]:
    found = book.by_learner[learner]
    return [
        f"{SIGNS.get(found[e.id].status, '')} {found[e.id].category}".strip() if e.id in found else "—"
        for e in book.exercises
    ]


def _html_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    def cell(value: Any) -> str:
        text = html.escape(str(value))
        kind = {"✓": "passed", "✗": "failed", "○": "none"}.get(text[:1], "n" if isinstance(value, (int, float)) else "")
        return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"

    lines = ("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
