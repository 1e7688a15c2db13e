"""Grading a folder of submissions: equal answers judged once, in sandboxes side by side, every result kept at once.

The log is a file that is only appended to. A result's key says all that decided it: learner, exercise, source, what
was asked, which cases, which grader. So a run that was killed goes on where it stopped, and a second run over the same
folder judges nothing again. What leaves here is passed or not, points, and a category: never a case's values.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from course.grading.extract import submissions
from course.grading.sandbox import LEVELS, Sandbox, SandboxError, best_level
from course.grading.submission import Submission
from course.practice import exercises
from course.practice.exercise import PRELUDE, judge
from course.practice.progress import append

LIBRARY = Path(__file__).parents[1]
BATCH = 50  # jobs that travel together


@dataclass(frozen=True)
class Job:
    """An answer to judge: the exercise, and the sources to run, the answer last."""

    exercise: str
    sources: tuple[str, ...]

    @property
    def source_hash(self) -> str:
        """Equal for equal sources."""
        return hashlib.sha256(json.dumps(self.sources).encode(errors="surrogatepass")).hexdigest()[:24]


@dataclass(frozen=True)
class Result:
    """A line of the log."""

    learner: str
    exercise: str
    file: str
    source: str
    spec: str
    cases: str
    grader: str
    level: str
    status: str
    points: int
    category: str
    seconds: float

    @property
    def key(self) -> tuple[str, ...]:
        """What decided the result."""
        return (self.learner, *self.question)

    @property
    def question(self) -> tuple[str, ...]:
        """What decided it, whoever asked."""
        return (self.exercise, self.source, self.spec, self.cases, self.grader, self.level)


def secret_of(out: Path) -> bytes:
    """The secret that the hidden cases are drawn from: made at the first run, readable by the teacher alone."""
    path = out / "secret.key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes()
        if len(secret) < 16:
            raise ValueError(
                f"{path} holds {len(secret)} bytes; a secret has 16 or more. Remove it for a new one."
            ) from None
        return secret
    with open(descriptor, "wb") as file:
        secret = os.urandom(32)
        file.write(secret)
    return secret


def seed_of(secret: bytes, exercise: str) -> int:
    """The seed of an exercise's hidden cases: the same for everybody, known to nobody without the secret."""
    return int.from_bytes(hmac.new(secret, exercise.encode(), "sha256").digest()[:7], "big")


@cache
def grader_version() -> str:
    """Changes when any line of the library does: the references call it, and so does the judge.

    Results of another version are not reused.
    """
    digest = hashlib.sha256()
    for path in sorted(LIBRARY.rglob("*.py")):
        digest.update(path.relative_to(LIBRARY).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


# --- one answer -----------------------------------------------------------------------------------------------------

_sandboxes: dict[tuple[int, int, str], Sandbox] = {}


def sandbox_here(level: str) -> Sandbox:
    """The warm sandbox of this process and thread."""
    key = (os.getpid(), threading.get_ident(), level)
    if key not in _sandboxes:
        torch.set_num_threads(1)  # the workers share the cores
        _sandboxes[key] = Sandbox(level)
    return _sandboxes[key]


@cache
def hidden(name: str, secret: bytes) -> tuple[list[dict[str, Any]], list[Any]]:
    """The hidden cases of an exercise and what is expected. Only the grader's own processes call this."""
    exercise = exercises.find(name)
    cases = exercise.draw(seed_of(secret, name))
    return cases, exercise.expected(cases)


def judge_job(job: Job, secret: bytes, level: str) -> dict[str, Any]:
    """status, points, category and seconds of one answer."""
    exercise = exercises.find(job.exercise)
    cases, expected = hidden(job.exercise, secret)
    outcome = sandbox_here(level).run([PRELUDE, *job.sources], exercise.entry, cases, exercise.seconds)
    verdict = judge(exercise, cases, expected, outcome.results)
    return {
        "status": verdict.status,
        "points": exercise.points if verdict.passed else 0,
        "category": verdict.category if outcome.ended == "returned" else outcome.ended,
        "seconds": round(outcome.seconds, 4),
    }


def judge_batch(jobs: list[Job], secret: bytes, level: str) -> list[dict[str, Any]]:
    """Several answers, one after the other: what a worker of a pool or a cluster does."""
    return [judge_job(job, secret, level) for job in jobs]


# --- a class --------------------------------------------------------------------------------------------------------


def jobs_of(submission: Submission) -> Iterator[Job]:
    """A job for each exercise of the notebooks that are in the file; an answer that is missing is an empty one."""
    for notebook in submission.notebooks:
        for exercise in exercises.of(notebook):
            earlier = tuple(submission.answers.get(name, "") for name in exercise.uses)
            answer = submission.answers.get(exercise.id)
            yield Job(exercise.id, (*earlier, "" if answer is None else answer))


def read_log(path: Path) -> list[Result]:
    """The results so far. A last line that was broken off by a kill is passed over."""
    found = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(Result(**json.loads(line)))
            except (ValueError, TypeError):
                continue
    return found


def grade(
    folder: Path,
    out: Path,
    workers: int = 2,
    level: str | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Submission], list[Result]]:
    """Judge every answer in a folder; the submissions, and one result per learner and exercise.

    level: the weakest sandbox allowed (default: the strongest there is, bubblewrap). executor: judges elsewhere, such
    as `dask.distributed.Client(...).get_executor()`. progress: told (answers judged, all answers to judge).
    Raises SandboxError when the machine has no sandbox of that level, FileNotFoundError without submissions.
    """
    wanted = level or LEVELS[0]
    level = wanted if executor is not None else best_level()
    if LEVELS.index(level) > LEVELS.index(wanted):
        raise SandboxError(
            f"Only the sandbox “{level}” works here, and “{wanted}” is asked for. Install bubblewrap, or allow less "
            f"with --sandbox {level} (then answers can read files: not for points that matter)."
        )
    handed_in = submissions(folder)
    out.mkdir(parents=True, exist_ok=True)
    secret, log = secret_of(out), out / "results.jsonl"
    old = read_log(log)
    known, judged = {result.key: result for result in old}, {result.question: result for result in old}
    final: dict[tuple[str, ...], Result] = {}
    waiting: dict[tuple[str, ...], list[Result]] = {}
    jobs: dict[tuple[str, ...], Job] = {}
    ready = []
    for submission in handed_in:
        for job in jobs_of(submission):
            blank = _blank(submission, job, secret, level)
            if blank.key in known:
                final[blank.key] = known[blank.key]
            elif blank.question in judged:  # somebody else's answer is the same, word for word
                ready.append(_filled(blank, asdict(judged[blank.question])))
            else:
                waiting.setdefault(blank.question, []).append(blank)
                jobs.setdefault(blank.question, job)
    append(log, map(asdict, ready))
    final |= {result.key: result for result in ready}
    questions = list(jobs)
    size = max(1, min(BATCH, -(-len(questions) // max(1, workers))))
    batches = [questions[i : i + size] for i in range(0, len(questions), size)]
    own = executor is None and bool(batches)
    pool = executor or (ProcessPoolExecutor(workers, get_context("spawn")) if own else None)
    done = 0
    try:
        running: dict[Future[list[dict[str, Any]]], list[tuple[str, ...]]] = {
            pool.submit(judge_batch, [jobs[q] for q in batch], secret, level): batch for batch in batches if pool
        }
        for future in as_completed(running):
            batch = running[future]
            found = [
                _filled(blank, verdict)
                for question, verdict in zip(batch, future.result(), strict=True)
                for blank in waiting[question]
            ]
            append(log, map(asdict, found))
            final |= {result.key: result for result in found}
            done += len(batch)
            if progress is not None:
                progress(done, len(questions))
    finally:
        if own and isinstance(pool, ProcessPoolExecutor):
            pool.shutdown(cancel_futures=True)
    return handed_in, list(final.values())


def _blank(submission: Submission, job: Job, secret: bytes, level: str) -> Result:
    """A result without its verdict."""
    cases = hashlib.sha256(secret).hexdigest()[:8]
    spec, grader = exercises.find(job.exercise).fingerprint, grader_version()
    return Result(
        submission.learner, job.exercise, submission.file, job.source_hash, spec, cases, grader, level, "", 0, "", 0.0
    )


def _filled(blank: Result, verdict: dict[str, Any]) -> Result:
    """The result with a verdict."""
    names = ("status", "points", "category", "seconds")
    return Result(**{**asdict(blank), **{name: verdict[name] for name in names}})
