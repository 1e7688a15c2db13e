"""What is in a zip: read in memory, never unpacked to the disk, and bounded before anything is decompressed."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import BinaryIO

from course.grading.files import MAX_DEPTH, MAX_FILE, MAX_ZIP, File, decoded, leftover, too_large

MAX_MEMBERS = 1_000  # of a zip that a learner handed in
MAX_INDEX = 1_000_000  # bytes of its table of contents
MAX_WHOLE = 1_000_000_000  # bytes of a zip of everybody's files that lies in another zip
MAX_RATIO = 200  # of a member's size to its compressed size; a notebook full of equal outputs reaches 50
MAX_NESTED = 3  # zips in zips
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"
OPENABLE = ".zip"
ARCHIVE = re.compile(r"\.(rar|7z|tar|tgz|gz|bz2|xz|zst|lzh|cab)$", re.IGNORECASE)


def is_zip(name: str) -> bool:
    """By its ending."""
    return name.lower().endswith(OPENABLE)


def members(outer: File, whole: ExitStack | None = None) -> list[File]:
    """The files in a zip, their paths below the zip's own. Raises OSError or ValueError with a sentence if it is none.

    whole: it is the teacher's own download of everybody's files, which may be large and have any number of members;
    it stays open as long as this.
    """
    if whole is not None and outer.stream is not None:
        source: BinaryIO = whole.enter_context(outer.stream())
    else:
        raw = outer.take(MAX_ZIP if whole is None else MAX_WHOLE)
        if whole is None:
            _bounded(raw)
        source = io.BytesIO(raw)
    try:
        archive = zipfile.ZipFile(source)
        entries = archive.infolist()
    except Exception as error:  # whatever the library raises on bytes that somebody made up
        raise ValueError(f"It is no zip that can be opened ({type(error).__name__}). Was it broken off?") from None
    if len(entries) > MAX_MEMBERS and whole is None:
        raise ValueError(f"The zip holds {len(entries):,} files; {MAX_MEMBERS:,} are allowed. Hand in the notebooks.")
    found = []
    for entry in entries:
        parts = _parts(entry)
        folders = [part for part in parts[:-1] if part != ".." and leftover(part, folder=True)]
        if not parts or entry.filename.endswith("/") or folders or leftover(parts[-1]):
            continue
        inside = File(
            (*outer.parts, *parts),
            (*outer.key, entry.orig_filename, str(entry.header_offset)),
            entry.file_size,
            _date(entry),
            _taker(archive, entry),
            trouble=_trouble(entry, parts),
            before=outer.before,
        )
        found.append(inside)
    return found


def _bounded(raw: bytes) -> None:
    """Raise ValueError where the table of contents alone would fill the memory.

    It finds the table's end as the library does: the last 22 bytes, or else the last mark before a comment.
    """
    place = len(raw) - 22 if raw[-22:-18] == _END and raw[-2:] == b"\0\0" else raw.rfind(_END, -(1 << 16) - 22)
    if len(raw) < 22 or place < 0 or place + 22 > len(raw):
        raise ValueError("It is no zip that can be opened. Was it broken off?")
    (size,) = struct.unpack_from("<L", raw, place + 12)
    if size > MAX_INDEX or raw[max(0, place - 20) : max(0, place - 16)] == _END_64:
        raise ValueError(f"The zip holds too many files; {MAX_MEMBERS:,} are allowed. Hand in the notebooks.")


def _parts(entry: zipfile.ZipInfo) -> tuple[str, ...]:
    """The path of a member. Zips without the mark of UTF-8 hold names in the code of the system that wrote them."""
    name = entry.orig_filename
    if not entry.flag_bits & 0x800:
        try:
            raw = name.encode("cp437")
        except UnicodeEncodeError:
            raw = b""
        text = decoded(raw) if raw else name
        name = name if "\\x" in text else text
    if "/" not in name:  # some programs of Windows write its own separator
        name = name.replace("\\", "/")
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _date(entry: zipfile.ZipInfo) -> datetime | None:
    try:
        found = datetime(*entry.date_time)
    except ValueError:
        return None
    return found.astimezone() if found.year > 1980 else None  # 1980 is what programs write that know no date


def _trouble(entry: zipfile.ZipInfo, parts: tuple[str, ...]) -> str:
    """Why a member is not read, before anything is decompressed."""
    if ".." in parts or entry.orig_filename.startswith(("/", "\\")) or re.match("[A-Za-z]:", parts[0]):
        return "Its path in the zip leads out of the zip; it is not read."
    if len(parts) > MAX_DEPTH:
        return f"Folders are nested more than {MAX_DEPTH} deep here; it is not read."
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "It is a link or no regular file; hand in the notebook itself."
    if entry.flag_bits & 1:
        return "The zip is encrypted; hand it in without a password."
    if entry.compress_type not in _METHODS:
        return "The zip is packed in an unusual way; pack it with the system's own program."
    if entry.file_size > 1_000_000 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        return f"It would become more than {MAX_RATIO} times as large as in the zip; it is not unpacked."
    if entry.file_size > MAX_FILE and not is_zip(parts[-1]):
        return too_large(entry.file_size, MAX_FILE)
    return ""


def _taker(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[int], bytes]:
    """Reads a member, however large it says it is."""

    def take(longest: int) -> bytes:
        try:
            with archive.open(entry) as file:
                raw = file.read(longest + 1)
        except Exception as error:  # whatever the library raises on bytes that somebody made up
            raise ValueError(
                f"It cannot be taken out of the zip ({type(error).__name__}). Was it broken off?"
            ) from None
        if len(raw) > longest:
            raise ValueError(too_large(entry.file_size, longest))
        return raw

    return take
