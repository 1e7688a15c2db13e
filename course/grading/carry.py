"""Fair marks: a later answer that calls an earlier wrong one is judged again, with the given answer in its place.

The given answers are the worked solutions, `solutions/*.ipynb`. One never stands beside a learner's own answer to the
same exercise, nor where it would itself be the answer that is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from course.grading.jobs import LIBRARY, Job, hidden
from course.practice import exercises
from course.practice.exercise import Exercise, judge
from course.practice.plain import call

SOLUTIONS = LIBRARY.parent / "solutions"


@cache
def earlier(name: str) -> tuple[str, ...]:
    """The exercises whose answers are run before the one to this exercise, in the course's order."""
    direct = exercises.find(name).uses
    needed = {*direct, *(further for other in direct for further in earlier(other))}
    return tuple(other for other in exercises.everything() if other in needed)


def job_of(exercise: Exercise, answers: Mapping[str, str], given: Mapping[str, str] | None = None) -> Job:
    """The job for an exercise, out of a learner's answers; `given` ones stand in place of their own."""
    mine = {**answers, **(given or {})}
    return Job(exercise.id, tuple(mine.get(name, "") for name in (*earlier(exercise.id), exercise.id)))


@cache
def solutions(folder: Path = SOLUTIONS) -> dict[str, str]:
    """exercise -> the source of its worked solution; empty where there is no folder of solutions."""
    found = {}
    for notebook in exercises.TOPICS:
        path = folder / f"{notebook}.ipynb"
        if path.exists():
            for name, source in _answers(path):
                found[name] = source
    return found


def _answers(path: Path) -> Iterator[tuple[str, str]]:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if cell["cell_type"] == "code" and name in exercises.everything():
            yield name, "".join(cell["source"])


def given_for(exercise: Exercise, passed: Mapping[str, bool], secret: bytes) -> dict[str, str]:
    """The given answers with which a failed answer is judged again: those to earlier exercises that failed, too."""
    return {
        name: solutions()[name]
        for name in earlier(exercise.id)
        if not passed.get(name, False) and name in solutions() and not is_the_answer(name, exercise.id, secret)
    }


@cache
def is_the_answer(earlier_one: str, later: str, secret: bytes) -> bool:
    """Does the solution of an earlier exercise solve a later one as it is? Then whoever calls it would have done."""
    reference, exercise = exercises.find(earlier_one).reference, exercises.find(later)
    cases, expected = hidden(later, secret)
    return judge(exercise, cases, expected, [call(reference, case) for case in cases]).passed
