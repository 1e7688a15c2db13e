"""Judging on a Dask cluster. Its scheduler gives the work of a worker that dies to others.

Every worker needs Linux, bubblewrap, and the same version of the course as here. https://distributed.dask.org
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from distributed import Client, as_completed

from course.grading.jobs import DIED, Job, Judgement, grader_version, judge_some
from course.grading.run import Answered

BATCH = 20  # answers that travel together: half a second's work, beside which a task's few milliseconds are little


def judge_there(jobs: Sequence[Job], secret: bytes, level: str, fresh: bool, version: str) -> list[Judgement]:
    """What a worker of the cluster does. Raises ValueError where its course is another one."""
    if grader_version() != version:
        raise ValueError("The workers have another version of the course; install the same one everywhere.")
    return list(judge_some(jobs, secret, level, fresh))


class Cluster:
    """The workers of a cluster, seen as `Pool` sees its processes."""

    batch = BATCH

    def __init__(self, client: Client, secret: bytes, level: str):
        self.client, self.secret, self.level = client, secret, level
        self.done = as_completed()
        self.flying: dict[str, list[int]] = {}  # a future's key -> its questions
        if not self._threads():
            raise ValueError("The cluster has no workers; start some: dask worker ADDRESS --nthreads 1.")

    def _threads(self) -> dict[str, int]:
        """Worker -> how many answers it judges side by side. Workers come and go."""
        return {name: worker["nthreads"] for name, worker in self.client.scheduler_info(-1)["workers"].items()}

    @property
    def free(self) -> int:
        """How many batches it takes now: two for each thread, so that none waits for the next."""
        return max(1, 2 * sum(self._threads().values())) - len(self.flying)

    @property
    def alone(self) -> int:
        """How many answers can be judged with nothing beside them: one on each machine."""
        return max(1, len(self._machines()))

    def _machines(self) -> dict[str, str]:
        """Machine -> one of its workers."""
        return {worker["host"]: name for name, worker in self.client.scheduler_info(-1)["workers"].items()}

    def submit(self, questions: Sequence[tuple[int, Job]], fresh: bool = False) -> None:
        """Have answers judged by whichever worker is free."""
        jobs = [job for _, job in questions]
        future = self.client.submit(
            judge_there, jobs, self.secret, self.level, fresh, grader_version(), pure=False, retries=0
        )
        self.flying[future.key] = [number for number, _ in questions]
        self.done.add(future)

    def wait(self) -> list[Answered]:
        """What has been judged, as soon as there is something. What a dying worker took along is said to be so."""
        found: list[Answered] = []
        for future in self.done.next_batch(block=True):
            numbers = self.flying.pop(future.key)
            if future.status == "cancelled":
                raise OSError("The connection to the cluster is lost; what is judged so far is kept. Run it again.")
            judgements = self._result(future, len(numbers))
            found += zip(numbers, judgements, strict=True)
        return found

    def _result(self, future: Any, number: int) -> list[Judgement | None]:
        error = future.exception()
        if isinstance(error, ValueError):
            raise error
        if error is None:
            judgements: list[Judgement | None] = [*future.result()]
            return judgements + [None] * (number - len(judgements))
        return [Judgement("not judged", category=f"{DIED} ({type(error).__name__})")] * number

    def close(self) -> None:
        """Give up what is still flying; the client is the caller's."""
        with contextlib.suppress(Exception):
            self.done.clear()
