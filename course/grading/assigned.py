"""What was set: the exercises that count. Nobody earns points for others, and they do not raise what can be reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from course.grading.submission import Intake, Submission
from course.practice import exercises

FEW = 3  # learners; of fewer, a cell that is in nobody's file was taken out by themselves, perhaps


def chosen(names: str) -> list[str]:
    """The ids of exercises named by a teacher: notebooks ("02_attention") and exercises, separated by commas.

    Raises ValueError, naming what there is.
    """
    found: list[str] = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name in exercises.TOPICS:
            found += [exercise.id for exercise in exercises.of(name)]
        elif name in exercises.everything():
            found.append(name)
        else:
            raise ValueError(
                f'"{name}" is neither a notebook ({", ".join(exercises.TOPICS)}) nor an exercise such as '
                f"{next(iter(exercises.everything()))}."
            )
    if not found:
        raise ValueError("Nothing is set: name notebooks or exercises, such as 02_attention,03-layer-norm.")
    return [name for name in exercises.everything() if name in found]


def majority(intake: Intake) -> list[str]:
    """The ids of the exercises that the class was set, judging by what it handed in.

    A notebook counts that at least half of the learners handed in (where no notebook is one, every one counts); of
    such a notebook every exercise, but those whose cell is in nobody's file. What does not count is said in a note.
    """
    holders: dict[str, set[str]] = defaultdict(set)
    for submission in intake.submissions:
        for name in submission.answers:
            holders[name].add(submission.learner)
    everybody = set().union(*holders.values())
    handed_in = {name: set().union(*(holders[e.id] for e in exercises.of(name))) for name in exercises.TOPICS}
    common = [name for name, learners in handed_in.items() if learners and 2 * len(learners) >= len(everybody)]
    rest = [name for name, learners in handed_in.items() if learners and name not in common]
    if not common:
        common, rest = rest, []
    found = []
    for notebook in common:
        for exercise in exercises.of(notebook):
            if holders[exercise.id] or len(handed_in[notebook]) < FEW:
                found.append(exercise.id)
            else:
                intake.notes.append(f"{exercise.id} is in nobody's file; it is taken as not set.{_how(common)}")
    if rest:
        fewer = ", ".join(f"{name} ({len(handed_in[name])} of {len(everybody)} learners)" for name in rest)
        intake.notes.append(f"Taken as not set, because fewer than half handed it in: {fewer}.{_how([*common, *rest])}")
    return found


def _how(names: Sequence[str]) -> str:
    return f" If it was set, say so: --set {','.join(names)}"


def say_what_was_not_set(submission: Submission, set_ones: Collection[str]) -> None:
    """Note at a submission which of its answers do not count."""
    others = [name for name in submission.answers if name not in set_ones]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        submission.remarks.append(f"Not set, so not judged: {', '.join(others[:3])}{more}.")
