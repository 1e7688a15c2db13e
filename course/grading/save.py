"""Files for the teacher, written so that a reader never meets half of one, under names that every disk takes."""

from __future__ import annotations

import hashlib
import os
import secrets
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

LONGEST = 60  # characters of a person's name in the name of a file
RESERVED = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))))


def save(path: Path, text: str) -> None:
    """Write a file whole: into a new file beside it, which then takes its place. Raises OSError with what to do."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OSError(
            f"{path} could not be written ({error.strerror or error}). Free space there, close the file if a program "
            "holds it, or name another folder with --out; then run again: what was judged is kept."
        ) from error


def file_name(text: str) -> str:
    """A person's id as the name of a file, without an ending: readable, and no two ids share one.

    A plain id (small letters, digits, "-" and "_") is its own name. Any other gets the hash of the whole behind "~", so
    that ids that begin alike, or differ in small and capital letters only, keep apart on every disk.
    """
    letters = "".join(c if c.isalnum() or c in "-_" else "_" for c in unicodedata.normalize("NFC", text[:LONGEST]))
    if letters == text == unicodedata.normalize("NFKC", text).casefold() and text not in RESERVED and text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{letters[:30]}~{digest}"


def tidy(folder: Path, ending: str, kept: Collection[str]) -> None:
    """Remove the files of earlier runs: those with this ending whose names (without it) are not kept."""
    for path in folder.glob(f"*{ending}"):
        if path.name.removesuffix(ending) not in kept:
            path.unlink(missing_ok=True)
