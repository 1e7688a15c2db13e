"""A class that was judged, made without judging: for the tests of the report, the pages and the exports."""

from __future__ import annotations

import random
from collections.abc import Sequence

from course.grading.log import Result
from course.grading.similar import Alike
from course.grading.submission import Intake, Person, Submission
from course.practice import exercises

SET = (*exercises.of("02_attention"), *exercises.of("03_transformer"))
POSSIBLE = sum(exercise.points for exercise in SET)
HOSTILE = (  # names, and what stands in them for the reader
    "<script>document.title='taken'</script>",
    '"><img src=x onerror="document.title=\'taken\'">',
    "</script></style><!-- --><b>bold",
    "{{ 7 * 7 }}{% raw %}",
    "line\u2028end\u2029and\nmore",
    "abc\u202edcba\x1b[31mred",
    "half \ud800 a character",
    "javascript:alert(1)",
)


def result(learner: str, index: int, status: str = "passed", category: str = "", **more: object) -> Result:
    """The result of a learner for the exercise of this number."""
    exercise = SET[index]
    values = {"points": exercise.points if status == "passed" else 0, "seconds": 1.2345, "level": "bubblewrap"}
    values |= {"file": f"{learner}/02_attention.ipynb", "source": "", "spec": "", "cases": "", "grader": ""}
    return Result(learner=learner, exercise=exercise.id, status=status, category=category, **{**values, **more})


def results(learner: str, statuses: str) -> list[Result]:
    """A result per sign: "+" passed, "-" another value, "m" a known mistake, "!" raised, "." empty, "?" not judged."""
    kinds = {"+": ("passed", ""), "-": ("failed", "another value"), "!": ("raised", "raised IndexError"),
             ".": ("not attempted", ""), "?": ("not judged", "its sandbox broke down each time")}  # fmt: skip
    return [
        result(learner, i, *(("failed", SET[i].mistakes[0].says) if sign == "m" else kinds[sign]))
        for i, sign in enumerate(statuses)
    ]


def handed_in(learner: str, **more: object) -> Submission:
    """A file of a learner's."""
    return Submission(**{"learner": learner, "file": f"{learner}/02_attention.ipynb", **more})


def alike(learners: Sequence[str], exercise: str, how: str) -> Alike:
    """Answers that are alike."""
    return Alike(exercise, tuple(learners), how)


def crowd(number: int, seed: int = 0) -> tuple[list[Submission], list[Result]]:
    """Many learners with random results and some remarks."""
    chance = random.Random(seed)
    submissions, judged = [], []
    for i in range(number):
        learner = f"s{i:05d}"
        remarks = [f"Cell {i % 17} was turned into text; it was read."] if chance.random() < 0.2 else []
        submissions.append(handed_in(learner, name=f"Learner {chance.choice('ABCDEFG')}. {i}", remarks=remarks))
        judged += results(learner, "".join(chance.choices("+-m!.", (60, 15, 15, 5, 5), k=len(SET))))
    return submissions, judged


def roster(*ids: str) -> Intake:
    """An intake with people who handed in nothing."""
    return Intake(missing=[Person(name, f"Name of {name}", f"{name}@example.org") for name in ids])
