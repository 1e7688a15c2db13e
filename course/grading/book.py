"""The grade book: the results sorted per learner and per exercise, and what a teacher wants to know of them.

Whatever a learner wrote (names, names of files, remarks about them) is one harmless line here: see `text.clean`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from typing import NamedTuple

from course.grading.log import Result
from course.grading.similar import Alike
from course.grading.submission import Intake, Submission
from course.grading.text import clean
from course.practice import exercises
from course.practice.exercise import Exercise

FEW = 0.5  # whoever has less than this share of the points needs help
SHOWN = 5  # of many remarks, names or files
READ = 50  # remarks about one learner that are looked at; the rest is counted
# A word is what stands between spaces, marks and underlines, or a single sign of a writing without spaces.
WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|[^\W_\u2e80-\u9fff\uac00-\ud7af]+")
ASKS = re.compile(r"\bwhose is it|\byou decide|\bAnother learner\b|\bAsk\b|roster", re.IGNORECASE)


class Kind(NamedTuple):
    """A sort of outcome: its sign and its name, for all pages and tables."""

    key: str
    sign: str
    name: str


RIGHT = Kind("right", "✓", "right")
CARRIED = Kind("carried", "↪", "right, with an earlier answer put right")
WRONG = Kind("wrong", "✗", "wrong")
STOPPED = Kind("stopped", "!", "raised an error or was stopped")
EMPTY = Kind("empty", "○", "no answer")
UNJUDGED = Kind("unjudged", "?", "not judged yet")
KINDS = (RIGHT, CARRIED, WRONG, STOPPED, EMPTY, UNJUDGED)
OVER = "over budget"  # status: the learner's time was used up
MACHINE = ("timeout", "killed", "unreadable")  # categories that tell how the answer's process ended
WORDS = {  # the categories of the judge, as sentences for the learner
    "another value": "It returns another value than expected.",
    "another shape": "It returns a tensor of another shape than expected.",
    "another dtype": "It returns a tensor of another dtype than expected.",
    "another type": "It returns another type than expected.",
    "another length": "It returns a list of another length than expected.",
    "another form": "Its result has another form than expected.",
    "not a finite number": "It returns inf or nan where a number is expected.",
    "a property does not hold": "What it returns lacks a property that the exercise asks for.",
    "timeout": "It took longer than allowed: is there an endless loop?",
    OVER: "It was not run: the time for all answers together was used up before.",
    "killed": "It was stopped: it used more memory than allowed, or ended its own process.",
    "unreadable": "What it returned cannot be read: return numbers, text, tensors, lists or dicts of these.",
}


def kind_of(result: Result) -> Kind:
    """What sort of outcome a result is."""
    if result.status == "passed":
        return CARRIED if result.carried else RIGHT
    if result.status == "failed" and result.category not in MACHINE:
        return WRONG
    if result.status in ("failed", "raised", "timeout", OVER):
        return STOPPED
    return EMPTY if result.status == "not attempted" else UNJUDGED


def mistake_of(result: Result) -> str:
    """What went wrong, as a sentence without any value of a case; "" for what is right, empty or not judged."""
    if kind_of(result) not in (WRONG, STOPPED):
        return ""
    return _sentence(result.status, result.category)


@lru_cache(10_000)
def _sentence(status: str, category: str) -> str:
    if category.startswith("raised "):
        return f"It raised {clean(category.removeprefix('raised '))}."
    return WORDS.get(status) or WORDS.get(category) or clean(category, 400)


@dataclass
class Learner:
    """One person: what was handed in, and what came of it.

    login, number: by which the platform knows the person, too. results: exercise id -> result, of what is set.
    """

    id: str
    name: str = ""
    email: str = ""
    login: str = ""
    number: str = ""
    files: list[Submission] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    deduction: float = 0.0
    alike: list[Alike] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """The name to show: the person's, else the id."""
        return clean(self.name or self.id)

    @property
    def earned(self) -> float:
        """The points of the answers."""
        return sum(result.points for result in self.results.values())

    @property
    def points(self) -> float:
        """What counts: the points of the answers, less what lateness takes."""
        return max(0, self.earned - self.deduction)

    @property
    def handed_in(self) -> bool:
        """Is there any file?"""
        return any(submission.file for submission in self.files)

    @property
    def late(self) -> bool:
        """Is a file that counts late, as the platform says?"""
        return any(submission.late and submission.counts for submission in self.files)

    @property
    def unjudged(self) -> bool:
        """Is an answer still without a verdict, through no fault of the learner's?"""
        return any(kind_of(result) is UNJUDGED for result in self.results.values())

    @property
    def contested(self) -> bool:
        """Did several files come in of which nothing says which one counts?"""
        return any(submission.contested for submission in self.files)

    @cached_property
    def said(self) -> list[str]:
        """What is to be said about the files, each once: the first lines, and then as many that only count."""
        found = Counter(
            (submission.file, text)
            for submission in self.files
            for text in (submission.error, *submission.remarks)
            if text
        )
        lines = [
            clean(f"{file}: {text}" if file else text, 400) + (f" ({times:,} times)" if times > 1 else "")
            for (file, text), times in islice(found.items(), READ)
        ]
        return lines + [""] * (len(found) - len(lines))

    @property
    def remarks(self) -> list[str]:
        """What is to be said; of many the first, and how many more there are."""
        return _few(self.said)


def _few(lines: list[str]) -> list[str]:
    return lines[:SHOWN] + ([f"… and {len(lines) - SHOWN:,} more remarks."] if len(lines) > SHOWN else [])


class Look(NamedTuple):
    """Something to look at by hand: what, where (the first few), and how often."""

    what: str
    places: list[str]
    times: int


class Mistake(NamedTuple):
    """A mistake that learners share: the letter that stands for it in the table, the sentence, who made it."""

    letter: str
    says: str
    learners: list[Learner]


class Book:
    """The results of a class, sorted. deductions: learner's id -> points taken off for lateness."""

    def __init__(
        self,
        submissions: Sequence[Submission],
        results: Iterable[Result],
        intake: Intake | None = None,
        alike: Iterable[Alike] = (),
        deductions: Mapping[str, float] | None = None,
    ):
        self.intake = intake or Intake()
        self.alike = list(alike)
        people: dict[str, Learner] = {}
        for person in (*self.intake.people.values(), *self.intake.missing):
            people[person.id] = Learner(person.id, person.name, person.email, person.login, person.number)
        for submission in submissions:  # who handed in a broken file, or nothing, is listed with 0 points
            learner = people.setdefault(submission.learner, Learner(submission.learner))
            learner.name, learner.email = learner.name or submission.name, learner.email or submission.email
            learner.files.append(submission)
        for result in results:
            people.setdefault(result.learner, Learner(result.learner)).results[result.exercise] = result
        for learner_id, points in (deductions or {}).items():
            if learner_id in people:
                people[learner_id].deduction = points
        for pair in self.alike:
            for learner_id in pair.learners:
                if learner_id in people:
                    people[learner_id].alike.append(pair)
        self._index: dict[str, list[tuple[str, Learner]]] = defaultdict(list)  # the first word of a name -> name, whose
        for learner in people.values():
            for name in {clean(learner.id).casefold(), clean(learner.name).casefold()}:
                if (first := WORD.search(name)) and len(name) > 2:
                    self._index[first[0]].append((name, learner))
        used = {name for learner in people.values() for name in learner.results}
        self.people = people
        self.learners = sorted(people.values(), key=lambda learner: (learner.shown.casefold(), learner.id))
        self.exercises = [exercise for name, exercise in exercises.everything().items() if name in used]
        self.possible = sum(exercise.points for exercise in self.exercises)
        self._outcomes: dict[str, Counter[Kind]] = {exercise.id: Counter() for exercise in self.exercises}
        for learner in self.learners:
            for name, result in learner.results.items():
                if name in self._outcomes:
                    self._outcomes[name][kind_of(result)] += 1
        self.mistakes = {exercise.id: self._mistakes(exercise) for exercise in self.exercises}

    # --- exercises --------------------------------------------------------------------------------------------------

    def outcomes(self, exercise: Exercise) -> Counter[Kind]:
        """How often each outcome came, among those with a result for the exercise."""
        return self._outcomes[exercise.id]

    def solved(self, exercise: Exercise) -> float:
        """The share of right answers among those that were tried and judged; 1 if none was."""
        outcomes = self.outcomes(exercise)
        right = outcomes[RIGHT] + outcomes[CARRIED]
        tried = right + outcomes[WRONG] + outcomes[STOPPED]
        return right / tried if tried else 1.0

    def hardest(self) -> Exercise | None:
        """The exercise that the smallest share of those who tried it got right; None if every answer is right."""
        hardest = min(self.exercises, key=self.solved, default=None)
        return hardest if hardest is not None and self.solved(hardest) < 1 else None

    def _mistakes(self, exercise: Exercise) -> list[Mistake]:
        """The mistakes of an exercise, the commonest first."""
        made: dict[str, list[Learner]] = defaultdict(list)
        for learner in self.learners:
            if exercise.id in learner.results and (says := mistake_of(learner.results[exercise.id])):
                made[says].append(learner)
        common = sorted(made.items(), key=lambda item: (-len(item[1]), item[0]))
        letters = "abcdefghijklmnopqrstuvwxyz"  # the 27th and later mistakes, made by few, have none
        return [Mistake(letters[i] if i < len(letters) else "", says, who) for i, (says, who) in enumerate(common)]

    # --- learners ---------------------------------------------------------------------------------------------------

    def needs(self, learner: Learner) -> list[str]:
        """Why a learner needs help; empty if not."""
        if not learner.handed_in and not learner.results:
            return ["handed in nothing"]
        reasons = []
        if any(result.status in ("timeout", OVER) for result in learner.results.values()):
            reasons.append("ran out of time")
        if learner.points < FEW * self.possible and not learner.unjudged:
            reasons.append("few points")
        kinds = [kind_of(learner.results[e.id]) if e.id in learner.results else EMPTY for e in self.exercises]
        last = max((i for i, kind in enumerate(kinds) if kind is not EMPTY), default=None)
        if last is not None and kinds[last] in (WRONG, STOPPED) and len(kinds) - last > 2:
            reasons.append(f"stuck at {last + 1}")
        return reasons

    def helpless(self) -> list[tuple[Learner, list[str]]]:
        """Who needs help, and why; fewest points first."""
        found = [(learner, reasons) for learner in self.learners if (reasons := self.needs(learner))]
        return sorted(found, key=lambda item: (item[0].points, not item[0].handed_in))

    def told(self, learner: Learner) -> list[str]:
        """The remarks that a learner may read: none that asks the teacher something, or names somebody else."""
        return _few([line for line in learner.said if not ASKS.search(line) and not self._names(line, learner)])

    def _names(self, line: str, reader: Learner) -> bool:
        """Does a line hold the id or the name of somebody else?"""
        lower = line.casefold()
        for word in set(WORD.findall(lower)):
            for name, learner in self._index.get(word, ()):
                if learner is not reader and name in lower:
                    return True
        return False

    # --- what to look at by hand ------------------------------------------------------------------------------------

    def looks(self) -> dict[str, list[Look]]:
        """What a teacher should look at: title -> entries. What was said of many files is one entry."""
        groups: dict[str, dict[str, list[tuple[str, str]]]] = {
            title: defaultdict(list)
            for title in ("Not judged yet", "To decide", "Nobody's files", "Files that could not be used", "Remarks")
        }
        for learner in self.learners:
            for exercise in self.exercises:
                if exercise.id in learner.results and kind_of(learner.results[exercise.id]) is UNJUDGED:
                    says = clean(learner.results[exercise.id].category or "Run the command again.")
                    groups["Not judged yet"][says].append((f"{learner.shown}, {exercise.id}", says))
            for submission in learner.files:
                texts = [("Files that could not be used", submission.error)] if submission.error else []
                texts += [
                    ("To decide" if submission.contested or ASKS.search(text) else "Remarks", text)
                    for text in submission.remarks
                ]
                for title, text in texts:
                    kind = text
                    for other in learner.files[:READ] if len(learner.files) > 1 else ():
                        kind = kind.replace(other.file, "…") if other.file else kind
                    kind = re.sub(r"\d[\d,.]*", "…", kind)  # "Cell 7 …" and "Cell 9 …" are one kind of remark
                    groups[title][kind].append((submission.file or learner.shown, text))
        for file, why in self.intake.nobody:
            groups["Nobody's files"][why].append((file, why))
        looks = {
            title: sorted((_look(said) for said in group.values()), key=lambda look: -look.times)
            for title, group in groups.items()
        }
        similar = [
            Look(
                f"{clean(pair.exercise)}: {clean(pair.how)}",
                [self.people[name].shown if name in self.people else clean(name) for name in pair.learners[:SHOWN]],
                len(pair.learners),
            )
            for pair in self.alike
        ]
        return {
            title: found for title, found in {**looks, "Answers alike (a hint, no proof)": similar}.items() if found
        }


def _look(said: list[tuple[str, str]]) -> Look:
    places = dict.fromkeys(place for place, _ in said)
    return Look(clean(said[0][1], 400), [clean(place) for place in islice(places, SHOWN)], len(said))


def tried(outcomes: Counter[Kind]) -> int:
    """How many answers have a verdict: neither empty nor unjudged."""
    return sum(number for kind, number in outcomes.items() if kind not in (EMPTY, UNJUDGED))
