"""Who handed a file in, by the names that learning platforms give to files and folders.

Each platform is a function from a path to the senders that it names; none means that the platform writes no such
path. A learner's own choice of names is never looked at where the platform's name stands before it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from course.grading.files import File
from course.grading.names import copy_number, person_in, unmarked

Parts = tuple[str, ...]
LONGEST = 1_000  # characters of a name; no system allows more than 255, but a zip does


@dataclass(frozen=True)
class Sender:
    """Who handed a file in, as its path says. id: the platform's, else the name. rest: the path that the learner chose.

    when: by the platform's clock. late: None if the platform does not say. number: the platform's count of attempts.
    """

    id: str
    rest: Parts
    name: str = ""
    email: str = ""
    when: datetime | None = None
    late: bool | None = None
    number: int = 0


@dataclass
class Download:
    """What a platform says in other places than a file's path. folder: the name of the folder around everything."""

    folder: str = ""
    prefix: str = ""  # before each learner's name, in GitHub Classroom's repositories
    stamps: dict[str, datetime] = field(default_factory=dict)  # folder -> when, of nbgrader
    senders: dict[str, list[Sender]] = field(default_factory=dict)  # folder or file -> who, of Gradescope, Blackboard


@dataclass(frozen=True)
class Platform:
    """A way of writing downloads. vouches: the names that say who it was are the platform's, and no learner's choice.

    strict: such names are hardly ever written by anybody else, so they are looked for in folders, too. dated: files
    keep the dates that their learners' systems gave them.
    """

    key: str
    title: str
    reads: Callable[[Parts, Download], Sequence[Sender]]
    vouches: bool = True
    strict: bool = True
    dated: bool = True
    prepare: Callable[[Iterable[File], Download], None] = lambda files, download: None

    def whose(self, parts: Parts, download: Download) -> Sequence[Sender]:
        """Who is named by a path: mostly one, of a group's work all, () if nobody."""
        senders = self.reads(parts, download) if all(len(part) <= LONGEST for part in parts[:3]) else ()
        return [sender for sender in senders if any(c.isalnum() for c in sender.id)]


# --- platforms ----------------------------------------------------------------------------------------------

_CANVAS = re.compile(
    r"(?P<name>.*?)(?P<late>_LATE)?_(?P<id>\d+)_(?:(?P<submission>\d+)_(?P<file>.+)|(?:\d+_)?text\.html)", re.S
)
_ANONYMOUS = re.compile(r"anon_(?P<id>[A-Za-z0-9]{5})(?P<late>_LATE)?_(?P<submission>\d+)_(?P<file>.+)", re.S)
_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)_?(?P<file>.*)", re.S)
_BLACKBOARD = re.compile(
    r"(?P<work>.+)_(?P<id>[^_]+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|(?P<said>\.txt))", re.S
)
_GOOGLE = re.compile(r"(?P<name>.+?) [-–—] (?P<file>.+)", re.S)
SAKAI = re.compile(r"(?P<name>.+)\((?P<id>[^()]+)\)", re.S)
INBOUND = re.compile(r"(?P<id>[^+]+)\+(?P<work>[^+]+)\+(?P<when>[^+]+?)(?:\+.*)?", re.S)
REPOSITORIES = "-submissions"  # the end of the name of the folder that GitHub Classroom's program makes
TIMESTAMP, METADATA = "timestamp.txt", ("submission_metadata.yml",)
TEXT = "(text typed into the platform's field)"


def canvas(parts: Parts, download: Download) -> list[Sender]:
    """yamadataro_12345_67890_02_attention.ipynb, with LATE before the numbers, -1 behind a file handed in again."""
    found = _ANONYMOUS.fullmatch(parts[0]) or _CANVAS.fullmatch(parts[0])
    if found is None:
        return []
    name = found["name"] if "name" in found.re.groupindex else ""
    file = found["file"] or TEXT
    return [Sender(found["id"], (file, *parts[1:]), name, late=bool(found["late"]), number=copy_number(file))]


def moodle(parts: Parts, download: Download) -> list[Sender]:
    """Taro Yamada_1234567_assignsubmission_file_/02_attention.ipynb, with or without a folder for each learner."""
    found = _MOODLE.fullmatch(parts[0])
    if found is None:
        return []
    rest = parts[1:] if found["file"] in ("", ".zip") and len(parts) > 1 else (found["file"], *parts[1:])
    if found["kind"] == "onlinetext":
        rest = (TEXT,)
    return [Sender(found["id"], rest, found["name"])]


def blackboard(parts: Parts, download: Download) -> list[Sender]:
    """Lab 1_yamada01_attempt_2026-11-01-10-20-30_02_attention.ipynb; the .txt without a file's name says who it was."""
    found = _BLACKBOARD.fullmatch(parts[0])
    if found is None:
        return []
    when = moment(found["when"], "%Y-%m-%d-%H-%M-%S")
    known = download.senders.get(parts[0].split("_attempt_")[0], [])
    sender = known[0] if known else Sender(found["id"], ())
    return [replace(sender, rest=(found["file"] or "", *parts[1:]), when=when)]


def google(parts: Parts, download: Download) -> list[Sender]:
    """Taro Yamada - 02_attention.ipynb, as Classroom names the copies that it makes for each learner."""
    found = _GOOGLE.fullmatch(parts[0])
    if found is None:
        return []
    who = person_in(found["name"]) or person_in(unmarked(found["file"])[0])  # "02_attention - Taro Yamada", too
    return [Sender(who, (found["file"], *parts[1:]), who)] if who else []


def github(parts: Parts, download: Download) -> list[Sender]:
    """attention-taroyamada/02_attention.ipynb: a repository for each learner, all named after the assignment."""
    if len(parts) < 2 or not parts[0].startswith(download.prefix) or parts[0] == download.prefix:
        return []
    return [Sender(parts[0][len(download.prefix) :], parts[1:])]


def nbgrader(parts: Parts, download: Download) -> list[Sender]:
    """submitted/taro/ps2/02_attention.ipynb beside a timestamp.txt; or taro+ps2+2026-11-01 10:20:30 UTC/… (inbound)."""
    if len(parts) < 2:
        return []
    found = INBOUND.fullmatch(parts[0])
    if found is not None:
        return [Sender(found["id"], parts[1:], when=stamp(found["when"]))]
    if len(parts) < 3:
        return []
    return [Sender(parts[0], parts[1:], when=download.stamps.get("/".join(parts[:2])))]


def gradescope(parts: Parts, download: Download) -> list[Sender]:
    """submission_12345/02_attention.ipynb, with submission_metadata.yml to say whose it is: of one, or of a group."""
    return [replace(sender, rest=parts[1:]) for sender in download.senders.get(parts[0], ()) if len(parts) > 1]


def sakai(parts: Parts, download: Download) -> list[Sender]:
    """Yamada, Taro(yamada01)/Submission attachment(s)/02_attention.ipynb, beside a timestamp.txt."""
    found = SAKAI.fullmatch(parts[0])
    typed = len(parts) == 2 and parts[1].endswith("submissionText.html")
    if found is None or (not typed and (len(parts) < 3 or parts[1].startswith("Feedback"))):
        return []
    return [Sender(found["id"], (TEXT,) if typed else parts[2:], found["name"], when=download.stamps.get(parts[0]))]


def folders(parts: Parts, download: Download) -> list[Sender]:
    """One folder per learner (taro/…), or one file per learner (taro.ipynb, 02_attention_taro.ipynb), also in folders
    that are named after the work (02_attention/taro.ipynb)."""
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        who = person_in(part) if last or part.lower().endswith(".zip") else part if person_in(part) else ""
        if who:
            return [Sender(who, parts[position + (not last) :], who)]
    return []


# --- what stands elsewhere ----------------------------------------------------------------------------------


def moment(text: str, form: str) -> datetime | None:
    """A platform's time without a zone, taken as this machine's."""
    try:
        return datetime.strptime(text, form).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def stamp(text: str) -> datetime | None:
    """A time such as nbgrader's "2026-11-01 10:20:30.123456 UTC", or Sakai's "20261101102030123", without a zone."""
    if re.fullmatch(r"\d{14,17}", text.strip()):
        return moment(text.strip()[:14], "%Y%m%d%H%M%S")
    plain = re.sub(r"\s*(?:UTC|GMT|Z)$", "+00:00", text.strip()[:60])
    try:
        found = datetime.fromisoformat(plain)
        return found if found.tzinfo else found.astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _take(file: File, longest: int) -> str:
    try:
        return file.take(longest).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _stamps(files: Iterable[File], download: Download) -> None:
    """The times in the files timestamp.txt that nbgrader and Sakai write."""
    for file in files:
        if len(file.parts) in (2, 3) and file.name == TIMESTAMP and (when := stamp(_take(file, 200))):
            download.stamps["/".join(file.parts[:-1])] = when


def _named(files: Iterable[File], download: Download) -> None:
    """The full names in Blackboard's texts: the first line alone, since what the learner wrote stands below."""
    for file in files:
        found = _BLACKBOARD.fullmatch(file.parts[0])
        if found is None or not found["said"] or len(file.parts) > 1:
            continue
        line = (_take(file, 1_000_000).lstrip("\ufeff").splitlines() or [""])[0]
        said = re.fullmatch(r"[^:：]{1,30}[:：]\s*(?P<name>.*?)\s*\((?P<id>[^()]+)\)\s*", line[:500])
        start = file.parts[0].split("_attempt_")[0]
        if said and start.endswith(f"_{said['id']}"):  # an id may have a _ in it, too
            download.senders[start] = [Sender(said["id"], (), said["name"])]


def _prefix(files: Iterable[File], download: Download) -> None:
    """What all repositories' names begin with, up to a hyphen."""
    names = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    said = download.folder.removesuffix(REPOSITORIES) + "-"  # as GitHub's own program names it
    same = os.path.commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071  of letters, not of folders
    download.prefix = said if all(name.startswith(said) for name in names) else same[: same.rfind("-") + 1]


def _metadata(files: Iterable[File], download: Download) -> None:
    """Who handed in, of Gradescope's submission_metadata.yml."""
    import yaml  # type: ignore[import-untyped]

    for file in files:
        if file.parts != METADATA:
            continue
        try:
            found = yaml.load(file.take(50_000_000), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue
        for folder, entry in found.items() if isinstance(found, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get(":submitters"), list):
                when = entry.get(":created_at")
                when = when if isinstance(when, datetime) else stamp(str(when))
                if when is not None and when.tzinfo is None:  # the library turns times into UTC and drops the zone
                    when = when.replace(tzinfo=UTC)
                senders = [_submitter(one, when) for one in entry[":submitters"] if isinstance(one, dict)]
                download.senders[str(folder)] = [sender for sender in senders if sender.id]


def _submitter(entry: dict[Any, Any], when: datetime | None) -> Sender:
    name, sid, email = (str(entry.get(key) or "") for key in (":name", ":sid", ":email"))
    return Sender(sid or email or name, (), name, email, when)


PLATFORMS = {
    platform.key: platform
    for platform in (
        Platform("gradescope", "Gradescope", gradescope, prepare=_metadata),
        Platform("moodle", "Moodle", moodle),
        Platform("blackboard", "Blackboard", blackboard, prepare=_named),
        Platform("canvas", "Canvas", canvas),
        Platform("nbgrader", "nbgrader", nbgrader, strict=False, prepare=_stamps),
        Platform("sakai", "Sakai", sakai, strict=False, prepare=_stamps),
        Platform("github", "GitHub Classroom", github, strict=False, dated=False, prepare=_prefix),
        Platform("google", "Google Classroom", google, vouches=False, strict=False),
        Platform("folders", "a folder or a file for each learner", folders, vouches=False, strict=False),
    )
}
