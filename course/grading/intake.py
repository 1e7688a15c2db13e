"""A whole folder as it was downloaded, turned into submissions: who handed in what, when, and which attempt counts.

First come the names alone: the platform is recognised, and every file gets its sender. Then each learner's files are
read, in bounds of their own, so that nobody's files cost another anything. What cannot be attributed is listed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from course.grading.archives import is_zip
from course.grading.attempts import choose
from course.grading.files import File, shown
from course.grading.handed import OTHER, Group, Piece, kind_of, may_be_work, read
from course.grading.names import NOTEBOOK, person_in, unmarked
from course.grading.platforms import METADATA, PLATFORMS, TIMESTAMP, Platform, Sender
from course.grading.recognise import Recognised, recognise
from course.grading.roster import Roster, joined, orders
from course.grading.roster import read as read_roster
from course.grading.submission import Intake, Person
from course.grading.text import clean

MAX_NAMED = 20  # files with one and the same trouble that are listed one by one
SHOWN = 3  # names in a sentence
SORTS = 10  # of troubles that the notes tell


def collect(folder: Path, platform: str | None = None, roster: Path | None = None) -> Intake:
    """Everything that was handed in below a folder, or in a zip that is given in its place.

    platform: one of `PLATFORMS`, where it is not to be recognised. roster: a table of the class, whose ids are then
    the learners'. Raises FileNotFoundError without a folder or anything in it, ValueError for an unknown platform or
    a roster that is none. Whatever else is wrong is said in what is returned.
    """
    if platform is not None and platform not in PLATFORMS:
        raise ValueError(f'No platform is called "{clean(platform)}"; there are: {", ".join(PLATFORMS)}.')
    people = read_roster(roster) if roster is not None else None
    if not folder.is_dir() and not (folder.is_file() and is_zip(folder.name)):
        raise FileNotFoundError(f"There is no folder {folder}; give the folder of the submissions.")
    with ExitStack() as stack:
        found = recognise(folder, stack, platform)
        if roster is not None and roster.resolve().is_relative_to(folder.resolve()):  # it may lie there, too
            own = roster.resolve().relative_to(folder.resolve()).parts
            found.files = [file for file in found.files if (*file.before, *file.parts) != own]
        return _collected(folder, found, people, platform is not None)


def _collected(folder: Path, found: Recognised, people: Roster | None, said: bool) -> Intake:
    """The submissions in the files that were found."""
    if not found.files:
        raise FileNotFoundError(f"There are no submissions in {folder}; give the folder of what was handed in.")
    intake = Intake(platform=found.platform.title, notes=[*found.notes, *(people.notes if people else [])])
    groups, lost = _attributed(found, people, intake)
    _ask_about_links(groups)
    _ask_about_names(groups)
    for learner, group in sorted(groups.items()):
        intake.submissions += choose(read(group, found.platform))
        intake.people[learner] = group.person
    if people is not None:
        intake.missing = [person for person in people.people if person.id not in groups]
    _tell(intake, found, said, groups, lost)
    return intake


# --- who ----------------------------------------------------------------------------------------------------


def _attributed(found: Recognised, people: Roster | None, intake: Intake) -> tuple[dict[str, Group], int]:
    """learner -> their files, and how many are nobody's.

    Where nothing but a name says who it is, only what may be work makes a learner.
    """
    groups: dict[str, Group] = {}
    nobody: dict[str, list[str]] = defaultdict(list)
    waiting: list[tuple[File, Sender]] = []
    sent = [(file, found.platform.whose(file.parts, found.download)) for file in found.files]
    ids = {sender.id for _, senders in sent for sender in senders}
    for file, senders in sent:
        if not senders and not _is_side_file(file, found.platform):
            nobody[file.trouble or _why_nobody(found.platform)].append(file.path)
        for sender in senders if found.platform.vouches else [_without_mark(sender, ids) for sender in senders]:
            if found.platform.vouches or len(file.parts) > 1 or _makes_a_learner(file):
                _add(groups, file, sender, found.platform, people, nobody)
            else:
                waiting.append((file, sender))
    names = {joined(learner) for learner in groups}
    for file, sender in waiting:  # such as taro.pdf: taro's, if there is a taro; but syllabus.pdf makes no learner
        if (people is not None and people.find(sender.id, sender.name)[0]) or joined(sender.id) in names:
            _add(groups, file, sender, found.platform, people, nobody)
        else:
            nobody["It is no notebook, and its name is nobody's who handed one in."].append(file.path)
    if not found.platform.vouches and people is None:
        idle = [name for name, group in groups.items() if not any(_may_be_work(piece.file) for piece in group.pieces)]
        for learner in idle:
            paths = [piece.file.path for piece in groups.pop(learner).pieces]
            nobody["It is no work, and lies in a folder without any."] += paths
    intake.nobody = list(_listed(nobody))
    return groups, sum(map(len, nobody.values()))


def _without_mark(sender: Sender, ids: set[str]) -> Sender:
    """The folder "taro (1)" beside "taro" is a second one of taro's; alone, it is whoever has that name."""
    stem, number = unmarked(sender.id)
    return replace(sender, id=stem, name=stem) if number and stem in ids else sender


def _makes_a_learner(file: File) -> bool:
    """Is a file that lies alone a notebook, a zip, or a learner's folder that is none (a link, an unreadable one)?"""
    return bool(NOTEBOOK.search(file.name) or is_zip(file.name) or (file.trouble and kind_of(file.name) == OTHER))


def _may_be_work(file: File) -> bool:
    return bool(file.trouble) or may_be_work(file.name)


def _is_side_file(file: File, platform: Platform) -> bool:
    """A file that the platform itself writes."""
    if platform.key == "sakai":
        return (
            file.parts == ("grades.csv",)
            or file.parts[1:2] in (("comments.txt",), (TIMESTAMP,))
            or (len(file.parts) > 1 and file.parts[1].lower().startswith("feedback"))
        )
    return file.parts == METADATA or (file.name == TIMESTAMP and platform.key == "nbgrader")


def _why_nobody(platform: Platform) -> str:
    if platform.key == "folders":
        return "No folder and no file's name on its path says whose it is."
    return f"It is not named as {platform.title} names what was handed in."


def _add(groups: dict[str, Group], file: File, sender: Sender, platform: Platform, people: Roster | None,
         nobody: dict[str, list[str]]) -> None:  # fmt: skip
    """Put a file to its learner: the roster's person, else the platform's; a name that the roster lacks is nobody."""
    person, why = people.find(sender.id, sender.name, sender.email) if people is not None else (None, "")
    if person is None and people is not None and not platform.vouches:
        nobody[f"Whose it is is not clear: {why}."].append(file.path)
        return
    known = person or Person(shown(sender.id), clean(sender.name), clean(sender.email))
    if platform.vouches and not known.number:  # by which the platform takes the results back
        known = replace(known, number=shown(sender.id))
    if people is not None and sender.when is None:
        sender = replace(sender, when=people.times.get(known.id))
    group = groups.setdefault(known.id, Group(known.id, known))
    if why and (text := f"Not found in the roster: {why}.") not in group.remarks:
        group.remarks.append(text)
    group.pieces.append(Piece(file, sender, _source(file, sender, platform)))


def _source(file: File, sender: Sender, platform: Platform) -> Hashable:
    """What vouches that files belong together: the platform's id, else the one folder that they lie in."""
    if platform.vouches:
        return sender.id
    outside = len(file.key) - len(sender.rest)
    in_folder = file.parts[: len(file.parts) - len(sender.rest)]
    return (file.before, file.key[:outside]) if in_folder and person_in(in_folder[-1]) else (file.before, file.key)


# --- what the teacher is asked ------------------------------------------------------------------------------


def _ask_about_links(groups: dict[str, Group]) -> None:
    """One file of the disk under two learners' names: both are told."""
    places: dict[tuple[int, int], list[tuple[Group, int]]] = defaultdict(list)
    for group in groups.values():
        for position, piece in enumerate(group.pieces):
            if piece.file.inode is not None:
                places[piece.file.inode].append((group, position))
    for found in places.values():
        for group, position in found:
            others = [other.pieces[i].file.path for other, i in found if other is not group]
            if others:
                text = f"It is one and the same file on the disk (a hard link) as {_some(others)}: whose is it?"
                group.pieces[position] = replace(group.pieces[position], remark=text)


def _ask_about_names(groups: dict[str, Group]) -> None:
    """A file that is named after another learner than the one it lies with; learners of one name."""
    known: dict[str, set[str]] = defaultdict(set)
    for group in groups.values():
        for text in (group.learner, group.person.name):
            for key in orders(text) if len(text) < 100 else ():
                known[key].add(group.learner)
    for group in groups.values():
        for position, piece in enumerate(group.pieces):
            rest = piece.sender.rest[-1] if piece.sender.rest else ""
            named = known.get(joined(person_in(rest)), set()) if rest else set()
            if named and group.learner not in named:
                other = groups[min(named)]
                text = f"It lies with {group.learner}, and its name is that of {other.learner}: whose is it?"
                group.pieces[position] = replace(piece, remark=" ".join(filter(None, [piece.remark, text])))
                said = f"A file with {group.learner} bears this learner's name ({shown(piece.file.path)}): whose is it?"
                if len(other.remarks) < SHOWN:
                    other.remarks.append(said)
    for group in groups.values():
        twins = known.get(joined(group.person.name), set()) - {group.learner}
        if twins and group.person.name:
            group.remarks.append(f"Another learner has the same name: {_some(sorted(twins))}.")


def _some(names: Iterable[str]) -> str:
    listed = [shown(name) for name in names]
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN:,} more" if len(listed) > SHOWN else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _listed(nobody: dict[str, list[str]]) -> Iterable[tuple[str, str]]:
    """(file, why), the first ones of each reason by name, and the rest as a number."""
    for why, paths in nobody.items():
        yield from ((shown(path), clean(why, 400)) for path in paths[:MAX_NAMED])
        if len(paths) > MAX_NAMED:
            yield f"{len(paths) - MAX_NAMED:,} more files", clean(why, 400)


def _tell(intake: Intake, found: Recognised, said: bool, groups: dict[str, Group], lost: int) -> None:
    """The notes: whose download it is, and what cannot be read, each trouble once."""
    of = f"{_count(len(found.files), 'file')} of {_count(len(groups), 'learner')}"
    what = f"{found.platform.title}{' (as you said)' if said else ''}: {of}."
    intake.notes.insert(0, f"Read as {what}" if found.platform.key == "folders" else f"Read as a download from {what}")
    troubles: dict[str, list[str]] = defaultdict(list)
    for submission in intake.submissions:
        if submission.error:
            troubles[re.sub(r"\d+", "…", submission.error)].append(submission.file)
    for files in sorted(troubles.values(), key=len, reverse=True)[:SORTS]:
        error = next(s.error for s in intake.submissions if s.file == files[0] and s.error)
        many = f"{len(files):,} files cannot be used ({_some(files)})"
        intake.notes.append(f"{many if len(files) > 1 else files[0]}: {error}")
    if len(troubles) > SORTS:
        intake.notes.append(f"And {len(troubles) - SORTS:,} other sorts of trouble; the report tells them.")
    if lost:
        intake.notes.append(f"{_count(lost, 'file')} could not be attributed to anybody: see the list.")
    if intake.missing:
        names = _some(person.name or person.id for person in intake.missing)
        intake.notes.append(f"Nothing was handed in by {len(intake.missing):,} of the roster: {names}.")
