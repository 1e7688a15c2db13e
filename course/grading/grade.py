"""Grading a folder of submissions: equal answers judged once, in sandboxes side by side, every result kept at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from course.grading.extract import submissions
from course.grading.jobs import Job, Judgement, grader_version, judge_batch
from course.grading.log import Result, append, read_log
from course.grading.sandbox import LEVELS, SandboxError, best_level
from course.grading.secret import secret_of
from course.grading.submission import Submission
from course.practice import exercises

BATCH = 50  # jobs that travel together


def jobs_of(submission: Submission) -> Iterator[Job]:
    """A job for each exercise of the notebooks that are in the file; an answer that is missing is an empty one."""
    for notebook in submission.notebooks:
        for exercise in exercises.of(notebook):
            earlier = tuple(submission.answers.get(name, "") for name in exercise.uses)
            answer = submission.answers.get(exercise.id)
            yield Job(exercise.id, (*earlier, "" if answer is None else answer))


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
                ready.append(_filled(blank, judged[blank.question]))
            else:
                waiting.setdefault(blank.question, []).append(blank)
                jobs.setdefault(blank.question, job)
    append(log, ready)
    final |= {result.key: result for result in ready}
    questions = list(jobs)
    size = max(1, min(BATCH, -(-len(questions) // max(1, workers))))
    batches = [questions[i : i + size] for i in range(0, len(questions), size)]
    own = executor is None and bool(batches)
    pool = executor or (ProcessPoolExecutor(workers, get_context("spawn")) if own else None)
    done = 0
    try:
        running: dict[Future[list[Judgement]], list[tuple[str, ...]]] = {
            pool.submit(judge_batch, [jobs[q] for q in batch], secret, level): batch for batch in batches if pool
        }
        for future in as_completed(running):
            batch = running[future]
            found = [
                _filled(blank, verdict)
                for question, verdict in zip(batch, future.result(), strict=True)
                for blank in waiting[question]
            ]
            append(log, found)
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


def _filled(blank: Result, verdict: Result | Judgement) -> Result:
    """The result with a verdict."""
    return replace(
        blank, status=verdict.status, points=verdict.points, category=verdict.category, seconds=verdict.seconds
    )
