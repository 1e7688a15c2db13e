"""Grading a class: from a folder of submissions to one result per learner and exercise.

Equal answers are judged once, and nothing that the log knows is judged again. Where a learner has several attempts at
a notebook that count, the best of them gives the points.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from course.grading import assigned, intake, pool
from course.grading.carry import SOLUTIONS, earlier, given_for, job_of, solutions
from course.grading.jobs import Job, grader_version
from course.grading.log import Log, Result
from course.grading.run import BUDGET, Judges, Question, Run, judged
from course.grading.sandbox import LEVELS, SandboxError, best_level
from course.grading.secret import secret_of
from course.grading.submission import Intake, Submission
from course.practice import exercises

if TYPE_CHECKING:
    from distributed import Client

    from course.grading.late import Rule

FAILED = ("failed", "raised", "not attempted", "timeout")  # what an earlier wrong answer may be to blame for


def grade(
    folder: Path,
    out: Path,
    workers: int = 2,
    level: str | None = None,
    client: Client | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    platform: str | None = None,
    roster: Path | None = None,
    set_ones: Sequence[str] | None = None,
    best: bool = False,
    strict: bool = False,
    budget: float = BUDGET,
    late: Rule | None = None,
) -> tuple[Intake, list[Result]]:
    """Judge what was handed in below a folder; the submissions, and one result per learner and exercise that was set.

    level: the weakest sandbox allowed (default: the strongest there is, bubblewrap). client: of a Dask cluster, which
    then judges. progress: told (answers judged, all to judge). platform, roster: see `intake.collect`. set_ones: the
    ids of the exercises that count (default: `assigned.majority`). best: of all attempts. strict: no second judging
    with given answers. budget: seconds of judging for each learner. late: the best attempt is chosen after its rule.

    A result with the status "not judged" means that the machine failed; the next run tries again. Raises SandboxError
    when the machine has no sandbox of that level, FileNotFoundError without submissions, OSError where nothing can be
    written.
    """
    level = _level(level or LEVELS[0], client is not None)
    with Log(out) as log:
        if client is None:
            pool.warm_up()  # while the files are read
        handed_in = intake.collect(folder, platform, roster)
        secret = secret_of(out, handed_in.notes.append)
        if log.strange:
            handed_in.notes.append(f"{log.path.name} has lines that are no results; passed over: {log.strange:,}.")
        ids = assigned.majority(handed_in) if set_ones is None else list(set_ones)
        attempts = [
            Attempt(submission, notebook, [e.id for e in exercises.of(notebook) if e.id in ids])
            for submission in handed_in.submissions
            if submission.counts or best
            for notebook in submission.notebooks
        ]
        if late is not None:
            handed_in.notes.append(str(late))
        for submission in handed_in.submissions:
            assigned.say_what_was_not_set(submission, ids)
        with Desk(log, secret, level, workers, client, budget, progress) as desk:
            _judge(attempts, desk, strict, handed_in)
        return handed_in, list(_best(attempts, best, late))


@cache
def _level(wanted: str, elsewhere: bool) -> str:
    """The sandbox to judge in: here the strongest there is, elsewhere the one asked for. Trying takes seconds."""
    if elsewhere:
        return wanted
    for last in (False, False, True):  # one that was killed while it was tried says nothing about the machine
        try:
            level = best_level()
        except SandboxError:
            if last:
                raise
            continue
        if LEVELS.index(level) <= LEVELS.index(wanted):
            return level
    raise SandboxError(
        f"Only the sandbox “{level}” works here, and “{wanted}” is asked for. Install bubblewrap, or allow less "
        f"with --sandbox {level} (then answers can read files: not for points that matter)."
    )


@dataclass
class Attempt:
    """A learner's file as an attempt at one notebook. results: exercise -> what came of it."""

    submission: Submission
    notebook: str
    asked: list[str]
    results: dict[str, Result] = field(default_factory=dict)

    def jobs(self) -> Iterator[Job]:
        """A job for every exercise that was set; an answer that is missing is an empty one."""
        for name in self.asked:
            yield job_of(exercises.find(name), self.submission.answers)

    def points(self, late: Rule | None) -> float:
        """What it is worth."""
        points = float(sum(result.points for result in self.results.values()))
        return points if late is None else points - late.deduct(points, self.submission)[0]


def jobs_of(submission: Submission) -> Iterator[Job]:
    """A job for each exercise of the notebooks that are in the file."""
    for notebook in submission.notebooks:
        yield from Attempt(submission, notebook, [e.id for e in exercises.of(notebook)]).jobs()


class Desk:
    """Answers questions out of the log, and has judged what it does not know."""

    def __init__(
        self,
        log: Log,
        secret: bytes,
        level: str,
        workers: int,
        client: Client | None,
        budget: float,
        progress: Callable[[int, int], None] | None,
    ):
        self.log, self.secret, self.level = log, secret, level
        self.workers, self.client, self.budget, self.progress = workers, client, budget, progress
        self.cases = hashlib.sha256(secret).hexdigest()[:8]
        self.known: dict[tuple[str, ...], Result] = {}
        self.judged: dict[tuple[str, ...], Result] = {}  # by whoever asked
        self.run: Run | None = None
        for result in log.results:
            self._remember(result)
        log.results = []

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *ignored: object) -> None:
        if self.run is not None:
            self.run.judges.close()

    def results(self, asked: Sequence[tuple[Submission, Job, str]]) -> list[Result]:
        """The results of answers: (whose, the job, for which exercises given answers stand in it)."""
        blanks = [self._blank(submission, job, carried) for submission, job, carried in asked]
        questions: dict[tuple[str, ...], Question] = {}
        apart = {(one.learner, one.file) for one, _, _ in asked if one.contested}
        seen = set()
        for blank, (_, job, _) in zip(blanks, asked, strict=True):
            if blank.asker in self.known or blank.asker in seen:
                continue
            if blank.question in self.judged:  # somebody else's answer is the same, word for word
                self._record(judged(blank, self.judged[blank.question]))
                continue
            seen.add(blank.asker)
            questions.setdefault(blank.question, Question(job, [], apart)).askers.append(blank)
        if questions:
            self.run = self.run or Run(self._judges(), self._record, self.budget, self.progress)
            self.run.ask(list(questions.values()))
        self.log.flush()
        return [replace(self.known[blank.asker], file=blank.file) for blank in blanks]

    def _judges(self) -> Judges:
        if self.client is None:
            return pool.Pool(self.workers, self.secret, self.level)
        from course.grading.cluster import Cluster

        return Cluster(self.client, self.secret, self.level)

    def _blank(self, submission: Submission, job: Job, carried: str) -> Result:
        """A result without its judgement."""
        return Result(
            submission.learner, job.exercise, submission.file, job.source_hash,
            exercises.find(job.exercise).fingerprint, self.cases, grader_version(), self.level, "", 0, "", 0.0, carried,
        )  # fmt: skip

    def _record(self, result: Result) -> None:
        if result.status != "not judged":
            self.log.add(result)
        self._remember(result)

    def _remember(self, result: Result) -> None:
        if result.budget and result.budget < self.budget:
            return  # with more time it may be another
        known = self.known.get(result.asker)
        if known is None or known.budget or not result.budget:
            self.known[result.asker] = result
        if result.common:
            self.judged[result.question] = result


# --- what becomes of attempts ---------------------------------------------------------------------------------------


def _judge(attempts: Sequence[Attempt], desk: Desk, strict: bool, handed_in: Intake) -> None:
    """Judge all attempts; then, unless strict, once more what may have failed for an earlier answer's sake."""
    asked = [(attempt, job) for attempt in attempts for job in attempt.jobs()]
    found = desk.results([(attempt.submission, job, "") for attempt, job in asked])
    for (attempt, job), result in zip(asked, found, strict=True):
        attempt.results[job.exercise] = result
    if strict:
        return
    if not solutions():
        handed_in.notes.append(
            f"The worked solutions are not in {SOLUTIONS}: answers that call an earlier wrong one are judged as they "
            "are."
        )
    again = [(attempt, name, given) for attempt in attempts for name, given in _carried(attempt, desk.secret)]
    found = desk.results(
        [
            (attempt.submission, job_of(exercises.find(name), attempt.submission.answers, given), ", ".join(given))
            for attempt, name, given in again
        ]
    )
    for (attempt, name, _), result in zip(again, found, strict=True):
        if result.status == "passed":
            category = f"with the given {result.carried} in place of their own"
            attempt.results[name] = replace(result, category=category)


def _carried(attempt: Attempt, secret: bytes) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The exercises to judge again, each with the given answers for it."""
    passed = {name: result.status == "passed" for name, result in attempt.results.items()}
    for name, result in attempt.results.items():
        before = [attempt.results[other].status for other in earlier(name) if other in attempt.results]
        if result.status in FAILED and attempt.submission.answers.get(name, "").strip() and "not judged" not in before:
            given = given_for(exercises.find(name), passed, secret)
            if given:
                yield name, given


def _best(attempts: Iterable[Attempt], best: bool, late: Rule | None) -> Iterator[Result]:
    """The results that count: of every learner and notebook those of the best attempt."""
    rivals: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        rivals[attempt.submission.learner, attempt.notebook].append(attempt)
    winners = set()
    for (_, notebook), tried in rivals.items():
        winner = max(tried, key=lambda attempt: (attempt.points(late), attempt.submission.counts))
        winners.add(id(winner.submission))
        if best and len(tried) > 1:
            winner.submission.remarks.append(f"The best of {len(tried)} attempts at {notebook}; it counts.")
        yield from winner.results.values()
    if best:
        for attempt in (attempt for tried in rivals.values() if len(tried) > 1 for attempt in tried):
            attempt.submission.counts = id(attempt.submission) in winners


def deductions(handed_in: Intake, results: Iterable[Result], late: Rule) -> dict[str, float]:
    """learner -> the points that lateness takes; why, is a remark at the file."""
    points: dict[tuple[str, str], float] = defaultdict(float)
    for result in results:
        points[result.learner, result.file] += result.points
    taken: dict[str, float] = defaultdict(float)
    for submission in handed_in.submissions:
        earned = points.pop((submission.learner, submission.file), None)  # a file parted in two is late once
        if earned is not None:
            off, why = late.deduct(earned, submission)
            taken[submission.learner] += off
            if why:
                submission.remarks.append(why)
    return {learner: off for learner, off in taken.items() if off}
