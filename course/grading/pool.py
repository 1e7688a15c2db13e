"""Judging processes of this machine. Whichever dies is replaced; what it was judging is said to be not judged.

`concurrent.futures` gives up all its work when one process is killed, and its processes live on when theirs is. Here
each has a line of its own to the main process and shares no lock with anybody, so nothing that is killed holds up the
others; and the kernel ends each with the process that it comes from.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess

from course.grading.jobs import DIED, Job, Judgement, close_sandboxes, judge_some
from course.grading.run import Answered

BATCH = 10  # answers that travel together
SILENCE = 300.0  # seconds without a word, after which a process is held to be stuck
GOODBYE = 3.0  # seconds to tidy up


def warm_up() -> None:
    """Begin to import torch, once for all judging processes: they are forked from one that has it."""
    get_context("forkserver").set_forkserver_preload(["course.grading.forked"])
    ensure_running()


def serve(line: Connection, secret: bytes, level: str) -> None:
    """The judging process: judges what it is sent, one answer after the other, until nobody is there any more."""
    from course.grading.forked import end_with_parent

    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends this one
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs, fresh = line.recv()
            for judgement in judge_some(jobs, secret, level, fresh):
                line.send(judgement)
            line.send(None)
    close_sandboxes()


class Judge:
    """A judging process as the main process sees it."""

    def __init__(self, secret: bytes, level: str):
        self.line, theirs = get_context("forkserver").Pipe()
        self.process: BaseProcess = get_context("forkserver").Process(
            target=serve, args=(theirs, secret, level), daemon=True
        )
        self.process.start()
        theirs.close()
        self.numbers: list[int] = []  # questions that it has and has not answered
        self.busy = False  # until it has said that a batch is done
        self.heard = time.monotonic()

    def send(self, questions: Sequence[tuple[int, Job]], fresh: bool) -> None:
        """Give it work."""
        self.numbers, self.busy, self.heard = [number for number, _ in questions], True, time.monotonic()
        self.line.send(([job for _, job in questions], fresh))

    def hear(self) -> tuple[list[Answered], bool]:
        """What it has to say, and whether it is still there."""
        found: list[Answered] = []
        try:
            while self.line.poll():
                judgement = self.line.recv()
                self.heard = time.monotonic()
                if judgement is None:
                    found += [(number, None) for number in self.numbers]
                    self.numbers, self.busy = [], False
                else:
                    found.append((self.numbers.pop(0), judgement))
        except (EOFError, OSError):
            return found, False
        return found, not (self.busy and time.monotonic() - self.heard > SILENCE)

    def end(self) -> list[Answered]:
        """End it; what becomes of its questions: the one that it was at is not judged, the others are open."""
        self.line.close()  # which one without work takes for a goodbye
        if not self.busy:
            self.process.join(GOODBYE)
        self.process.kill()
        self.process.join(GOODBYE)
        lost: list[Answered] = [(number, Judgement("not judged", category=DIED)) for number in self.numbers[:1]]
        return lost + [(number, None) for number in self.numbers[1:]]


class Pool:
    """Several judging processes side by side."""

    batch = BATCH
    alone = 1

    def __init__(self, workers: int, secret: bytes, level: str):
        self.workers, self.secret, self.level = workers, secret, level
        warm_up()
        self.judges: list[Judge] = []
        while len(self.judges) < workers:
            self.judges.append(self._new())

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def close(self) -> None:
        """End all of them."""
        while self.judges:
            self.judges.pop().end()

    def _new(self) -> Judge:
        """A new process; started again where the one that it is forked from has just been killed as well."""
        for _ in range(10):
            with contextlib.suppress(OSError, EOFError):
                return Judge(self.secret, self.level)
            time.sleep(0.5)
        raise OSError("No process can be started for judging; what is judged so far is kept.")

    @property
    def free(self) -> int:
        """How many batches it takes now."""
        return sum(not judge.busy for judge in self.judges)

    def submit(self, questions: Sequence[tuple[int, Job]], fresh: bool = False) -> None:
        """Have answers judged, one after the other, by a process that is free; in a new sandbox if `fresh`."""
        judge = next(judge for judge in self.judges if not judge.busy)
        with contextlib.suppress(OSError):  # it has died: `wait` finds out
            judge.send(questions, fresh)

    def wait(self) -> list[Answered]:
        """What has been judged, as soon as there is something."""
        found: list[Answered] = []
        while not found and any(judge.busy for judge in self.judges):
            wait([judge.line for judge in self.judges], timeout=SILENCE / 10)
            for place, judge in enumerate(self.judges):
                heard, there = judge.hear()
                found += heard
                if not there:
                    found += judge.end()
                    self.judges[place] = self._new()
        return found
