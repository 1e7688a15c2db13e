"""A run: questions go to whoever judges, each learner within a budget of time, and the machine's failures again.

A question is an answer that somebody asks to have judged; equal answers are one question. All are tried first. What
took too long, or met a machine that failed, is judged once more at the end, alone: nothing beside it, in a sandbox of
its own. Half of a learner's budget is for the first tries. Once it is used up, the rest waits for the end, where the
other half is: so a machine that is too slow for a while costs nobody a point, and fifty endless loops in one file cost
the class no more than the budget.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from course.grading.jobs import NO_SANDBOX, Job, Judgement
from course.grading.log import Result
from course.practice import exercises

BUDGET = 30.0  # seconds
TRIES = 5  # alone, of an answer that the machine fails, if its learner's time allows
FAILURES = 3  # of machines without a working sandbox, one after the other, that end a run


Answered = tuple[int, Judgement | None]  # the number of a question; None: it was not begun, ask again


class Judges(Protocol):
    """Who judges: processes of this machine (`Pool`), or a cluster (`Cluster`)."""

    batch: int  # answers that travel together

    @property
    def free(self) -> int:
        """How many batches they take now."""

    @property
    def alone(self) -> int:
        """How many answers can be judged with nothing beside them."""

    def submit(self, questions: Sequence[tuple[int, Job]], fresh: bool = False) -> None:
        """Have the questions of a batch judged; in a new sandbox if `fresh`."""

    def wait(self) -> list[Answered]:
        """Judgements as they come, with their questions' numbers; None for what has to be asked again."""

    def close(self) -> None:
        """Be done."""


@dataclass
class Question:
    """An answer to judge, and whose it is: results without a judgement. The first of them pays with their time.

    apart: (learner, file) of files that have a time of their own, since perhaps somebody else handed them in.
    """

    job: Job
    askers: list[Result]
    apart: Collection[tuple[str, str]] = ()
    first: Judgement | None = None  # what became of the last try, where that was no verdict
    tries: int = 0  # alone

    @property
    def payer(self) -> str:
        """Whose time it costs."""
        first = self.askers[0]
        return f"{first.learner}\0{first.file}" if (first.learner, first.file) in self.apart else first.learner


@dataclass
class Run:
    """Asks questions until all have their results. record: told every result.

    progress: told (questions answered, all questions). Where no sandbox works any more, `stopped` says so, and what
    is left is not judged.
    """

    judges: Judges
    record: Callable[[Result], None]
    budget: float = BUDGET
    progress: Callable[[int, int], None] | None = None
    stopped: bool = False
    used: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # of the first half of a budget
    used_alone: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # of the second
    failures: int = 0  # one after the other, of the machine
    answered: int = 0
    asked: int = 0

    def ask(self, questions: Sequence[Question]) -> None:
        """Have all of them judged."""
        self.asked += len(questions)
        first, last = deque(questions), deque[Question]()
        while first or last:
            self._together(first, last)
            self._alone(last, first)

    # --- the first tries --------------------------------------------------------------------------------------------

    def _together(self, waiting: deque[Question], last: deque[Question]) -> None:
        """Side by side and in batches. What is no verdict goes to `last`, and so does who has had their half."""
        flying: dict[int, Question] = {}
        held: dict[str, deque[Question]] = defaultdict(deque)  # of slow learners, one question flies at a time
        number = 0
        while waiting or flying:
            while waiting and self.judges.free:
                batch = []
                for question in self._batch(waiting, last, held, flying):
                    number += 1
                    flying[number] = question
                    batch.append((number, question.job))
                if batch:
                    self.judges.submit(batch)
            open_again: list[Question] = []
            for done, judgement in self.judges.wait() if flying or not self.judges.free else ():
                question = flying.pop(done)
                open_again += held.pop(question.payer, ())
                if judgement is None:
                    open_again.append(question)
                    continue
                self.used[question.payer] += judgement.cost
                self._look_after(judgement)
                if judgement.common:
                    self._answer(question, judgement)
                else:
                    question.first = judgement
                    last.append(question)
            waiting.extendleft(reversed(open_again))

    def _batch(
        self,
        waiting: deque[Question],
        last: deque[Question],
        held: dict[str, deque[Question]],
        flying: dict[int, Question],
    ) -> list[Question]:
        """The next questions that travel together; of a learner who has been slow, one, and only one at a time."""
        batch: list[Question] = []
        flown = {question.payer for question in flying.values()}
        while waiting and len(batch) < self.judges.batch:
            question = waiting.popleft()
            used = self.used[question.payer]
            if used >= self.budget / 2 or self.stopped:
                last.append(question)
            elif used < self.budget / 6:
                batch.append(question)
            elif question.payer in flown:
                held[question.payer].append(question)
            elif batch:
                waiting.appendleft(question)
                return batch
            else:
                return [question]
        return batch

    # --- what is judged alone ---------------------------------------------------------------------------------------

    def _alone(self, waiting: deque[Question], again: deque[Question]) -> None:
        """One after the other, or on a cluster one per machine. Who else gave the same answer asks `again`.

        Answers that were not tried for want of time come first: most need little.
        """
        flying: dict[int, Question] = {}
        tried = [question for question in waiting if question.first is not None]
        untried = [question for question in waiting if question.first is None]
        waiting.clear()
        waiting.extend([*untried, *tried])
        number = 0
        while waiting or flying:
            while waiting and len(flying) < self.judges.alone and self.judges.free:
                question = waiting.popleft()
                payer, limit = question.payer, exercises.find(question.job.exercise).seconds
                if self.stopped:
                    self._answer(question, Judgement("not judged", category=NO_SANDBOX), again)
                elif self.used_alone[payer] + limit > self.budget / 2:
                    self._answer(question, self._over(question), again, self.budget)
                else:
                    number += 1
                    flying[number] = question
                    self.judges.submit([(number, question.job)], fresh=question.first is not None)
            for done, judgement in self.judges.wait() if flying or not self.judges.free else ():
                question = flying.pop(done)
                if judgement is None:
                    waiting.appendleft(question)
                    continue
                self.used_alone[question.payer] += judgement.cost
                self._look_after(judgement)
                question.tries += 1
                failed = judgement.status == "not judged" and question.tries < TRIES
                if not failed and (judgement.common or question.first is not None):
                    self._answer(question, judgement, again)
                else:
                    question.first = judgement
                    waiting.append(question)

    def _look_after(self, judgement: Judgement) -> None:
        """Stop where sandbox after sandbox fails: every further answer would wait in vain."""
        self.failures = 0 if judgement.works else self.failures + 1
        self.stopped |= self.failures >= FAILURES

    def _over(self, question: Question) -> Judgement:
        """What is said of an answer for which there is no time left."""
        return question.first or Judgement(
            "over budget", category=f"the {self.budget:g} s for one learner's answers are used up"
        )

    def _answer(
        self, question: Question, judgement: Judgement, again: deque[Question] | None = None, budget: float = 0.0
    ) -> None:
        """Note the result of all who asked, or of the first alone, where it says nothing about the others.

        budget: where there was no time left, and more would perhaps lead to another result.
        """
        askers, others = (question.askers, []) if judgement.common else (question.askers[:1], question.askers[1:])
        for asker in askers:
            self.record(replace(judged(asker, judgement), budget=budget))
        if others and again is not None:
            again.append(Question(question.job, others, question.apart))
        else:
            self.answered += 1
        if self.progress is not None:
            self.progress(self.answered, self.asked)


def judged(blank: Result, judgement: Judgement | Result) -> Result:
    """The result with a judgement."""
    return replace(
        blank,
        status=judgement.status,
        points=judgement.points,
        category=judgement.category,
        seconds=judgement.seconds,
    )
