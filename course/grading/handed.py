"""What one learner handed in, read: notebooks, also in zips, and a word on everything else. In bounds of their own."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from course.grading.archives import ARCHIVE, MAX_NESTED, is_zip, members
from course.grading.attempts import Attempt
from course.grading.extract import NO_ANSWERS, read_notebook
from course.grading.files import MAX_BESIDE, MAX_FILE, File, reason, shown
from course.grading.names import NOTEBOOK, copy_number, notebook_in, version_of
from course.grading.platforms import TEXT, Platform, Sender
from course.grading.submission import Person, Submission

MAX_READ = 100  # notebooks of one learner
MAX_BYTES = 200_000_000  # of one learner's notebooks and zips
MAX_BROKEN = 5  # of a learner's files that cannot be used, each with a line of its own
SHOWN = 3  # names in a sentence
DISGUISED = re.compile(r"\.ipynb\.(txt|json|download|bak)$|\.ipynb \(\d+\)$|\.json$", re.IGNORECASE)
KINDS = {
    "a PDF": "pdf", "a Word document": "docx doc", "a text document": "odt pages rtf", "a Python file": "py",
    "a web page": "html htm", "a text": "txt md", "a picture": "png jpg jpeg heic gif", "a video": "mp4 mov",
    "a link": "url lnk webloc gdoc gslides",
}  # fmt: skip
OTHER = "a file of another kind"
KIND = {ending: kind for kind, endings in KINDS.items() for ending in endings.split()}
WORK = frozenset(ending for ending, kind in KIND.items() if kind not in ("a text", "a picture"))  # may hold answers


@dataclass(frozen=True)
class Piece:
    """A file and its sender. source: what vouches that it is the learner's. remark: what is odd about it."""

    file: File
    sender: Sender
    source: Hashable
    remark: str = ""


@dataclass
class Group:
    """All that one learner handed in. remarks: what is odd about the learner."""

    learner: str
    person: Person
    pieces: list[Piece] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def kind_of(name: str) -> str:
    """What sort of file it is, by its ending: "a PDF"."""
    ending = name.lower().rpartition(".")[2] if "." in name else ""
    return KIND.get(ending) or ("a packed file that is no zip" if ARCHIVE.search(name) else OTHER)


def may_be_work(name: str) -> bool:
    """Is it a notebook, or what people hand in instead of one?"""
    ending = name.lower().rpartition(".")[2]
    return is_zip(name) or ending in WORK or any(form.search(name) for form in (NOTEBOOK, DISGUISED, ARCHIVE))


def read(group: Group, platform: Platform) -> list[Attempt]:
    """A learner's notebooks, with what is wrong with each; one entry that says why if there is none."""
    found = _Reading(group, platform)
    for piece in _opened(group):
        found.take(piece)
    return found.attempts()


def _opened(group: Group) -> Iterator[Piece]:
    """The files and what is in their zips, those that lie near and bear no number of a copy first."""
    left: dict[Hashable, int] = defaultdict(lambda: MAX_BYTES)
    seen = Counter[Hashable]()

    def near(piece: Piece) -> tuple[int, int, str]:
        return len(piece.file.parts), copy_number(piece.file.name), piece.file.path

    waiting = [(piece, 0) for piece in sorted(group.pieces, key=near, reverse=True)]
    while waiting:
        piece, depth = waiting.pop()
        file = piece.file
        if not is_zip(file.name) or file.trouble:
            yield piece
            continue
        try:
            if depth >= MAX_NESTED:
                raise ValueError(f"Zips lie in zips more than {MAX_NESTED} deep here; it is not opened.")
            left[piece.source] -= file.size
            if left[piece.source] < 0:
                raise ValueError(_too_much())
            inner = members(file)
            if not inner:
                raise ValueError("The zip is empty.")
            seen[piece.source] += len(inner)
            if seen[piece.source] > MAX_BESIDE:
                raise ValueError(f"The zips hold more than {MAX_BESIDE:,} files; the others are not looked at.")
        except (OSError, ValueError) as error:
            file.trouble = reason(error)
            yield piece
            continue
        parts = [Piece(found, piece.sender, piece.source, piece.remark) for found in inner]
        waiting += [(part, depth + 1) for part in sorted(parts, key=near, reverse=True)]


def _too_much() -> str:
    return f"Of one learner, {MAX_READ} notebooks and {MAX_BYTES / 1e6:.0f} MB are read; this is more."


class _Reading:
    """A learner's files so far."""

    def __init__(self, group: Group, platform: Platform):
        self.group, self.platform = group, platform
        self.used: list[Attempt] = []
        self.broken: list[Attempt] = []
        self.unasked: list[str] = []  # notebooks without an answer
        self.others: list[File] = []
        self.more = Counter[str]()  # broken files without a line of their own
        # For each source by itself: a file that only claims to be the learner's takes nothing from theirs.
        self.left: dict[Hashable, int] = defaultdict(lambda: MAX_BYTES)
        self.count = Counter[Hashable]()
        paths = [set(piece.file.parts[:-1]) for piece in group.pieces]
        self.course = any("exercises" in path for path in paths) and any("solutions" in path for path in paths)

    def take(self, piece: Piece) -> None:
        """Read a file, or note that it is none."""
        file = piece.file
        disguised = not NOTEBOOK.search(file.name)
        if not file.trouble and disguised and not DISGUISED.search(file.name):
            self.others.append(file)
            return
        if self.course and "solutions" in file.parts[:-1]:
            return  # who hands in the whole course does not hand in its solutions as their own
        submission = self._submission(piece)
        if not file.trouble and (self.count[piece.source] >= MAX_READ or self.left[piece.source] < file.size):
            file.trouble = _too_much()
        try:
            if file.trouble:
                raise ValueError(file.trouble)
            raw = file.take(MAX_FILE)
            if not raw:
                raise ValueError("It is empty.")
        except (OSError, ValueError) as error:
            submission.error = f"It cannot be read ({reason(error)})." if isinstance(error, OSError) else str(error)
        else:
            self.left[piece.source] -= len(raw)
            self.count[piece.source] += 1
            found = read_notebook(raw)
            if disguised and not found.answers:
                self.others.append(file)
                return
            if disguised:
                submission.remarks.append("It is a notebook under another ending; hand it in as .ipynb.")
            submission.answers, submission.error = found.answers, found.error
            submission.remarks += found.remarks
            if found.error == NO_ANSWERS and not submission.remarks:
                self.unasked.append(submission.file)
        self._keep(piece, submission)

    def _submission(self, piece: Piece) -> Submission:
        sender, file, person = piece.sender, piece.file, self.group.person
        when = sender.when or (file.modified if self.platform.dated else None)
        return Submission(
            self.group.learner,
            shown(file.path),
            remarks=[piece.remark] if piece.remark else [],
            name=person.name,
            email=person.email,
            when=when,
            clock="platform" if sender.when else "file" if when else "",
            late=bool(sender.late),
        )

    def _keep(self, piece: Piece, submission: Submission) -> None:
        sender = piece.sender
        version = max(map(version_of, piece.file.parts[:-1]), default=0)
        date = piece.file.modified if self.platform.dated else None
        number, copy = sender.number or version, copy_number(piece.file.name)
        attempt = Attempt(submission, piece.source, bool(sender.late), number, date, copy)
        if not submission.error:
            self.used.append(attempt)
        elif len(self.broken) < MAX_BROKEN:
            self.broken.append(attempt)
        else:
            self.more[submission.error] += 1

    def attempts(self) -> list[Attempt]:
        """All, with the remarks that concern several files on the first."""
        found = self.used + self.broken
        if self.used and self.unasked:  # lessons and drafts beside the work
            found = [attempt for attempt in found if attempt.submission.file not in self.unasked]
            self._remark(found, f"Beside it, without answers: {_some(self.unasked)}.")
        for error, count in self.more.most_common(SHOWN):
            extra = self._nothing(f"{count:,} more files", error)
            found.append(extra)
        work = [file for file in self.others if may_be_work(file.name) or file.parts[-1] == TEXT]
        if self.used and work and self.platform.key != "github":
            self._remark(found, f"Beside it, not read: {_some([shown(file.path) for file in work])}.")
        if not found:
            found.append(self._instead())
        for text in self.group.remarks:
            self._remark(found, text)
        for attempt in self.used:
            self._warn(attempt)
        return found

    def _warn(self, attempt: Attempt) -> None:
        """Say on a notebook that is read which other file of its name is not."""
        broken = [other.submission.file for other in self.broken if other.submission.file not in self.unasked]
        mine = attempt.submission.notebooks
        if names := [name for name in broken if notebook_in(name.rpartition("/")[2]) in mine]:
            text = f"Another file of this name cannot be used: {_some(names)}. Ask, if it is newer."
            attempt.submission.remarks.append(text)

    def _instead(self) -> Attempt:
        """What stands for a learner without any notebook."""
        kinds: dict[str, str] = {}
        for file in self.others:
            kinds.setdefault(TEXT if file.name == TEXT else kind_of(file.name), shown(file.name))
        said = ", ".join(kind if kind == TEXT else f"{kind} ({name})" for kind, name in list(kinds.items())[:SHOWN])
        piece = self.group.pieces[0]
        return self._nothing(shown(piece.file.path), f"No notebook; handed in: {said or 'nothing'}.")

    def _nothing(self, file: str, error: str) -> Attempt:
        piece = self.group.pieces[0]
        submission = self._submission(piece)
        submission.file, submission.error, submission.remarks = file, error, []
        return Attempt(submission, piece.source)

    @staticmethod
    def _remark(found: list[Attempt], text: str) -> None:
        if found and text not in found[0].submission.remarks:
            found[0].submission.remarks.append(text)


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
