"""Tables that platforms take back as they are, and one of every result to calculate with.

A cell of text is never a formula: spreadsheets and platforms run what begins with "=", "+", "-", "@" or their
full-width forms, also behind spaces, quotes and line ends. Such a cell gets a "'" before it, as OWASP advises. Numbers
stay numbers. Who is not judged yet has an empty cell for the grade: nothing is written over.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from course.grading.book import UNJUDGED, Book, Learner, kind_of, mistake_of
from course.grading.pages import number
from course.grading.save import file_name, save, tidy
from course.grading.text import UNSEEN, clean

KEPT = "\n\u200c\u200d"  # unseen, but part of a text: a line end, and joiners, which Persian and Indic names need
QUOTES = "\"'`“”‘’„‚«»"
FORMULA = "=+-−@|%"
# Where a formula could begin: at the start, and behind what another country's spreadsheet takes for the end of a cell.
START = re.compile(rf"(^|[;\t\r\n])(?=[\s{QUOTES}\ufeff\u200c\u200d]*[{re.escape(FORMULA)}＝＋－＠｜％﹢﹣﹦﹪﹫])")
NUMBERS = {  # Canvas takes what is no letter out of names; Moodle puts its number behind the name
    "canvas": re.compile(r"[^_]+_(?:LATE_)?(\d+)_\d+_"),
    "moodle": re.compile(r".*_(\d+)_assignsubmission_"),
}


def safe(value: Any) -> Any:
    """A cell: numbers as they are; text without control characters, and never a formula."""
    if not isinstance(value, str):
        return value
    text = value
    if not text.isprintable():
        text = "".join(c if c in KEPT or unicodedata.category(c) not in UNSEEN else f"\\u{ord(c):04x}" for c in text)
    return START.sub(r"\1'", text)


def table(rows: Iterable[Sequence[Any]]) -> str:
    """The rows as CSV, with a mark at the beginning, so that spreadsheets read Japanese."""
    text = io.StringIO()
    csv.writer(text).writerows([[safe(value) for value in row] for row in rows])
    return "\ufeff" + text.getvalue()


def write(out: Path, book: Book, title: str) -> None:
    """results.csv and exports/ of a class."""
    save(out / "results.csv", table(result_rows(book)))
    folder, worksheet = out / "exports", list(worksheet_rows(book))
    for name, rows in (
        ("grades", grade_rows(book)),
        ("nbgrader", nbgrader_rows(book, title)),
        ("canvas", canvas_rows(book, title)),
        ("moodle", moodle_rows(book)),
        *([("moodle-worksheet", worksheet)] if len(worksheet) > 1 else []),
        ("blackboard", blackboard_rows(book, title)),
        ("classroom", classroom_rows(book, title)),
    ):
        save(folder / f"{name}.csv", table(rows))
    kept = set()
    for learner in book.learners:
        if not learner.unjudged:
            kept.add(file_name(learner.id))
            text = json.dumps(gradescope(book, learner), ensure_ascii=False)
            save(folder / "gradescope" / f"{file_name(learner.id)}.json", text)
    tidy(folder / "gradescope", ".json", kept)


def points_of(learner: Learner) -> int | float | str:
    """The grade: "" where an answer is not judged yet, or nothing was handed in (the platform has a rule for that)."""
    if learner.unjudged or not (learner.handed_in or learner.results):
        return ""
    return _plain(learner.points)


def _plain(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)


def _names(learner: Learner) -> tuple[str, str]:
    """Last and first name, as well as one can tell: of "Yamada, Taro" and "Taro Yamada"."""
    last, comma, first = learner.name.partition(",")
    if not comma:
        first, _, last = learner.name.rpartition(" ")
    return last.strip(), first.strip()


def comment(book: Book, learner: Learner) -> str:
    """What a learner is told in a line: each exercise's outcome and mistake, and remarks about the files."""
    parts = []
    for exercise in book.exercises:
        if (result := learner.results.get(exercise.id)) is not None:
            says = mistake_of(result)
            parts.append(f"{kind_of(result).sign} {exercise.title}{': ' + says if says else ''}")
    if learner.deduction:
        parts.append(f"late: {number(learner.deduction)} points less")
    return " / ".join([*parts, *book.told(learner)])


def result_rows(book: Book) -> Iterable[list[Any]]:
    """Every result and every remark."""
    yield ["learner", "name", "email", "exercise", "status", "points", "possible", "category", "carried", "seconds",
           "sandbox", "remarks"]  # fmt: skip
    for learner in book.learners:
        who = [learner.id, learner.name, learner.email]
        for exercise in book.exercises:
            if (found := learner.results.get(exercise.id)) is not None:
                yield [*who, exercise.id, found.status, "" if kind_of(found) is UNJUDGED else found.points,
                       exercise.points, clean(found.category), found.carried, found.seconds,
                       found.level, ""]  # fmt: skip
        if not learner.handed_in and not learner.results:
            yield [*who, "", "nothing handed in", 0, book.possible, "", "", "", "", ""]
        if learner.deduction:
            yield [*who, "", "late", -learner.deduction, "", "", "", "", "", ""]
        for remark in learner.remarks:
            yield [*who, "", "remark", "", "", "", "", "", "", remark]


def grade_rows(book: Book) -> Iterable[list[Any]]:
    """A row per learner."""
    yield ["learner", "name", "email", "answers", "late", "points", "possible", *(e.id for e in book.exercises)]
    for learner in book.learners:
        each = [learner.results.get(exercise.id) for exercise in book.exercises]
        points = ["" if found is None or kind_of(found) is UNJUDGED else found.points for found in each]
        yield [learner.id, learner.name, learner.email, _plain(learner.earned), _plain(-learner.deduction),
               points_of(learner), book.possible, *points]  # fmt: skip


def nbgrader_rows(book: Book, title: str) -> Iterable[list[Any]]:
    """As `nbgrader export` writes it."""
    yield [
        "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
        "late_submission_penalty", "score", "max_score",
    ]  # fmt: skip
    for learner in book.learners:
        if not learner.unjudged:
            when = max((s.when for s in learner.files if s.counts and s.when), default="", key=str)
            yield [title, "", str(when), learner.id, *_names(learner), learner.email, _plain(learner.earned),
                   _plain(learner.deduction), _plain(learner.points), book.possible]  # fmt: skip


def canvas_rows(book: Book, title: str) -> Iterable[list[Any]]:
    """Canvas's grade book. It finds people by its own number, else by the SIS's, else by name.

    Any row whose first cell holds "Points Possible" is the row of points to it: a learner of that name is written with
    a space that does not break.
    """
    yield ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", title]
    yield ["    Points Possible", "", "", "", "", book.possible]
    for learner in book.learners:
        name = re.sub(r"(?i)(points)\s+(possible)", "\\1\u00a0\\2", learner.name or learner.id)
        own = number_of(book, learner, "canvas")
        yield [name, own, "" if own else learner.id, "" if own else learner.login or learner.id, "", points_of(learner)]


def number_of(book: Book, learner: Learner, platform: str) -> str:
    """A platform's own number of a person, as the intake or the names of the platform's files say; "" if none."""
    if platform in book.intake.platform.lower():
        if learner.number:
            return learner.number
        for submission in learner.files:
            for part in submission.file.split("/"):
                if found := NUMBERS[platform].match(part):
                    return found[1]
    return ""


def moodle_rows(book: Book) -> Iterable[list[Any]]:
    """For Moodle's grade book: Grades, Import, CSV file."""
    yield ["ID number", "Full name", "Email address", "Grade", "Maximum Grade", "Feedback comments"]
    for learner in book.learners:
        yield [learner.id, learner.name, learner.email, points_of(learner), book.possible, comment(book, learner)]


def worksheet_rows(book: Book) -> Iterable[list[Any]]:
    """Moodle's offline grading worksheet, of those who are in a download of Moodle's."""
    yield ["Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
           "Last modified (submission)", "Last modified (grade)", "Feedback comments"]  # fmt: skip
    for learner in book.learners:
        if own := number_of(book, learner, "moodle"):
            yield [f"Participant {own}", learner.name, learner.email, "Submitted for grading", points_of(learner),
                   book.possible, "Yes", "", "", comment(book, learner)]  # fmt: skip


def blackboard_rows(book: Book, title: str) -> Iterable[list[Any]]:
    """For Blackboard's grade centre: Work Offline, Upload."""
    yield ["Last Name", "First Name", "Username", title, "Feedback to Learner"]
    for learner in book.learners:
        yield [*_names(learner), learner.login or learner.id, points_of(learner), comment(book, learner)]


def classroom_rows(book: Book, title: str) -> Iterable[list[Any]]:
    """As Google Classroom's own tables of grades, people by their e-mail address."""
    yield ["Last Name", "First Name", "Email Address", title]
    yield ["", "", "Points possible", book.possible]
    for learner in book.learners:
        yield [*_names(learner), learner.email or (learner.id if "@" in learner.id else ""), points_of(learner)]


def gradescope(book: Book, learner: Learner) -> dict[str, Any]:
    """A learner's results.json, as Gradescope's autograders write it."""
    tests = [
        {
            "name": exercise.title,
            "number": exercise.id,
            "score": found.points,
            "max_score": exercise.points,
            "status": "passed" if found.status == "passed" else "failed",
            "output": mistake_of(found) or kind_of(found).name,
        }
        for exercise in book.exercises
        if (found := learner.results.get(exercise.id)) is not None
    ]
    late = [f"Late: {number(learner.deduction)} points less."] if learner.deduction else []
    return {"score": _plain(learner.points), "output": "\n".join([*late, *book.told(learner)]), "tests": tests}
