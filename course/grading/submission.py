"""What was handed in, as data: who, when, which file, which answers, and what is odd about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from course.practice import exercises


@dataclass
class Submission:
    """A file that somebody handed in.

    learner: the person's one id, by which results are kept and exported (the roster's, else the platform's, else the
    folder's or the file's name). file: the path as shown to people. answers: exercise id -> source. error: why the
    file could not be used. remarks: what is odd. name, email: as the roster or the platform has them. when: handed in,
    by the platform or the file's date. late: as the platform says. counts: is it the attempt that counts?
    """

    learner: str
    file: str
    answers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    remarks: list[str] = field(default_factory=list)
    name: str = ""
    email: str = ""
    when: datetime | None = None
    late: bool = False
    counts: bool = True

    @property
    def notebooks(self) -> list[str]:
        """The notebooks whose answers are in the file."""
        return [name for name in exercises.TOPICS if any(e.id in self.answers for e in exercises.of(name))]


@dataclass
class Intake:
    """A whole folder of submissions. platform: whose download it is. notes: sentences about the whole, for the teacher.

    nobody: (file, why) of what could not be attributed to anybody: it is listed, and no learner is invented for it.
    """

    submissions: list[Submission] = field(default_factory=list)
    platform: str = ""
    notes: list[str] = field(default_factory=list)
    nobody: list[tuple[str, str]] = field(default_factory=list)
