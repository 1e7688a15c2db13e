"""A folder of submissions, walked and read so that nothing in it can stop, mislead or leave the folder.

Links are never followed, and only regular files are opened: each folder on the way to a file is opened in the one
before it, so neither a path of any length nor a folder that becomes a link in between leads elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from course.grading.text import clean

MAX_FILE = 20_000_000  # bytes of a notebook
MAX_ZIP = 100_000_000  # bytes of a zip that a learner handed in
MAX_DEPTH = 20  # folders in folders
MAX_BESIDE = 20_000  # files and folders below one entry of the folder, such as a learner's
MAX_LISTED = 1_000_000  # entries of one folder

# What systems and tools leave behind: nobody handed it in, and nobody wants to read about it.
LEFTOVERS = frozenset(("__macosx", "thumbs.db", "desktop.ini", "node_modules", "venv", "__pycache__", "$recycle.bin"))
_KANA_OR_KANJI = "[\u3040-\u30ff\u3400-\u9fff\uff66-\uff9f]"
# Two of them, or one that is not in the middle of a Western word: the bytes of "Jörg" are valid Japanese, too.
_JAPANESE = re.compile(f"{_KANA_OR_KANJI}{{2}}|(?<![A-Za-z]){_KANA_OR_KANJI}|{_KANA_OR_KANJI}(?![A-Za-z])")
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
# Without waiting: a pipe that nobody writes into would otherwise hold the run for ever.
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_KINDS = {
    stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


@dataclass
class File:
    """A file as handed in. parts: its folders (and zips) and its name, as text; key: the same, exact, to tell apart.

    before: what stands before the parts, such as the folder of an assignment.

    take: reads at most so many bytes; raises OSError or ValueError with a sentence. stream: opens it, where that is
    possible. trouble: why it is not to be read. inode: (device, number) of a file that has several names on the disk.
    """

    parts: tuple[str, ...]
    key: tuple[str, ...]
    size: int = 0
    modified: datetime | None = None
    take: Callable[[int], bytes] = field(default=lambda longest: b"", repr=False)
    stream: Callable[[], BinaryIO] | None = field(default=None, repr=False)
    inode: tuple[int, int] | None = None
    trouble: str = ""
    before: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its own name."""
        return self.parts[-1]

    @property
    def path(self) -> str:
        """Where it lies, for people."""
        return "/".join((*self.before, *self.parts))


@dataclass
class Tree:
    """All files below a folder, those that lie near first. repositories: folders with a .git in them."""

    files: list[File] = field(default_factory=list)
    repositories: set[tuple[str, ...]] = field(default_factory=set)


def decoded(raw: bytes) -> str:
    """A name as text, whatever system wrote it: UTF-8, else Japanese (cp932), else with codes for what is no text."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        japanese = raw.decode("cp932")
    except UnicodeDecodeError:
        japanese = ""
    return japanese if _JAPANESE.search(japanese) else raw.decode("utf-8", "backslashreplace")


def leftover(name: str, folder: bool = False) -> bool:
    """Does a system or a tool leave such a thing behind? All folders whose names begin with a dot are such."""
    lower = name.lower()
    hidden = name.startswith(".") and (folder or not lower.endswith(".ipynb"))
    return lower in LEFTOVERS or hidden or name.startswith(("._", "~$"))


def walk(folder: Path, base: tuple[str, ...] = ()) -> Tree:
    """The tree below folder/base. Bounded in depth, and for each entry of the folder in what may lie below it.

    What exceeds a bound, or cannot be read, is a file with `trouble`.
    """
    tree = Tree()
    below: Counter[str] = Counter()
    empty: set[tuple[str, ...]] = set()  # of the folder's own folders: a learner's that is empty is told
    waiting = deque([base])
    while waiting:
        place = waiting.popleft()
        inside = place[len(base) :]
        try:
            descriptor = _open(folder, place, _FOLDER)
        except OSError as error:
            tree.files.append(_troubled(place, len(base), f"The folder cannot be read ({reason(error)})."))
            continue
        try:
            entries = _listed(descriptor)
            for name, status in entries:
                here = (*place, name)
                top = here[len(base)]
                is_folder = status is not None and stat.S_ISDIR(status.st_mode)
                if is_folder and name == ".git":
                    tree.repositories.add(tuple(_readable(inside)))
                if leftover(name, is_folder):
                    continue
                below[top] += 1
                if below[top] > MAX_BESIDE:
                    if below[top] == MAX_BESIDE + 1:
                        more = f"More than {MAX_BESIDE:,} files; the others are not looked at."
                        tree.files.append(_troubled(here[: len(base) + 1], len(base), more))
                    continue
                if is_folder and len(inside) >= MAX_DEPTH:
                    deep = f"Folders are nested more than {MAX_DEPTH} deep here; what is below is not read."
                    tree.files.append(_troubled(here, len(base), deep))
                elif is_folder:
                    waiting.append(here)
                    if not inside:
                        empty.add(here)
                else:
                    tree.files.append(_file(folder, here, len(base), status))
                empty.discard(place)
        except OSError as error:
            tree.files.append(_troubled(place, len(base), f"The folder cannot be read ({reason(error)})."))
        finally:
            os.close(descriptor)
    tree.files += [_troubled(place, len(base), "The folder is empty.") for place in sorted(empty)]
    return tree


def lone(path: Path) -> Tree:
    """A file alone, such as the zip of a download."""
    return Tree([_file(path.parent, (path.name,), 0, path.stat())])


def reason(error: Exception) -> str:
    """What the system said, without paths."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__)[:120]


def _listed(descriptor: int) -> list[tuple[str, os.stat_result | None]]:
    """The entries of an open folder in the order of their names; the status is None of what vanished meanwhile."""
    found: list[tuple[str, os.stat_result | None]] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            try:
                found.append((entry.name, entry.stat(follow_symlinks=False)))
            except OSError:
                found.append((entry.name, None))
            if len(found) >= MAX_LISTED:
                break
    return sorted(found, key=lambda entry: entry[0])


def _readable(place: tuple[str, ...]) -> Iterator[str]:
    return (decoded(os.fsencode(part)) for part in place)


def _troubled(place: tuple[str, ...], skip: int, trouble: str) -> File:
    before, inside = (place[:skip], place[skip:]) if len(place) > skip else ((), place)
    return File(tuple(_readable(inside)), inside, trouble=trouble, before=tuple(_readable(before)))


def _file(folder: Path, place: tuple[str, ...], skip: int, status: os.stat_result | None) -> File:
    if status is None:
        return _troubled(place, skip, "It was gone before it could be read.")
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return _troubled(
            place, skip, f"It is {_KINDS.get(kind, 'no regular file')}, not a file; hand in the notebook itself."
        )
    inside = place[skip:]
    return File(
        tuple(_readable(inside)),
        inside,
        status.st_size,
        local_time(status.st_mtime),
        lambda longest: _read(folder, place, longest),
        lambda: _stream(folder, place),
        (status.st_dev, status.st_ino) if status.st_nlink > 1 else None,
        before=tuple(_readable(place[:skip])),
    )


def local_time(seconds: float) -> datetime | None:
    """A file's date with the zone of this machine; None if it is out of the calendar."""
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except (OverflowError, OSError, ValueError):
        return None


def _open(folder: Path, place: tuple[str, ...], flags: int) -> int:
    """A descriptor of folder/place, with no link followed on the way below the folder."""
    descriptor = os.open(folder, _FOLDER)
    for position, part in enumerate(place):
        last = position == len(place) - 1
        try:
            following = os.open(part, (flags if last else _FOLDER) | _NO_LINK, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


def _stream(folder: Path, place: tuple[str, ...]) -> BinaryIO:
    """The open file. Raises ValueError if it is no regular one."""
    file = open(_open(folder, place, _FILE), "rb")  # noqa: SIM115  the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("It is no regular file; hand in the notebook itself.")
    return file


def _read(folder: Path, place: tuple[str, ...], longest: int) -> bytes:
    """The bytes of a regular file. Raises ValueError for anything else, and where there are more than `longest`."""
    with _stream(folder, place) as file:
        size = os.fstat(file.fileno()).st_size
        if size > longest:
            raise ValueError(too_large(size, longest))
        raw = file.read(longest + 1)
    if len(raw) > longest:
        raise ValueError("It grew while it was read; hand in a finished file.")
    return raw


def shown(text: str, longest: int = 200) -> str:
    """A path or an id for people, the middle of a long one cut out: different texts stay different."""
    seen = clean(text, 100_000)
    if len(seen) <= longest:
        return seen
    known = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    half = (longest - len(known) - 2) // 2
    return f"{seen[:half]}…{known}…{seen[-half:]}"


def too_large(size: int, longest: int) -> str:
    """The sentence about a file that is too large."""
    return f"It has {size / 1e6:,.0f} MB; {longest / 1e6:.0f} are allowed. Clear the outputs of the notebook."
