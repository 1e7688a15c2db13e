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
    by the platform or the file's date (clock: "platform" or "file"; "" if not known). late: as the platform says.
    counts: is it the attempt that counts? Where several of a learner for one notebook count, nothing decides between
    them (contested): the best of them counts, and the teacher is asked.
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
    clock: str = ""
    contested: bool = False

    @property
    def notebooks(self) -> list[str]:
        """The notebooks whose answers are in the file."""
        return [name for name in exercises.TOPICS if any(e.id in self.answers for e in exercises.of(name))]


@dataclass(frozen=True)
class Person:
    """Somebody of the class. id: as in results and exports. login, number: by which platforms know them, too.

    number: the platform's own, such as Canvas's "ID" or Moodle's participant.
    """

    id: str
    name: str = ""
    email: str = ""
    login: str = ""
    number: str = ""


@dataclass
class Intake:
    """A whole folder of submissions. platform: whose download it is. notes: sentences about the whole, for the teacher.

    nobody: (file, why) of what could not be attributed to anybody: it is listed, and no learner is invented for it.
    people: learner -> who it is, as roster or platform say. missing: who is in the roster and handed in nothing.
    """

    submissions: list[Submission] = field(default_factory=list)
    platform: str = ""
    notes: list[str] = field(default_factory=list)
    nobody: list[tuple[str, str]] = field(default_factory=list)
    people: dict[str, Person] = field(default_factory=dict)
    missing: list[Person] = field(default_factory=list)
