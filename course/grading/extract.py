"""Out of a submitted notebook come the answer cells, found by their ids, and nothing else.

The file is read as data: no cell is run, and its outputs, tags, test cells and other metadata are ignored. Whatever
is wrong with a file becomes a sentence about that file; it never stops the others.
"""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from course.grading.submission import Submission
from course.grading.text import clean
from course.practice import exercises

MAX_FILE = 20_000_000  # bytes
MAX_SOURCE = 50_000  # characters of an answer
NO_ANSWERS = "No answer cell was found: the cells' ids are missing. Was it made from an exercise notebook?"


@dataclass
class Found:
    """What a notebook holds: exercise id -> source, sentences on what is odd, and why it could not be read, or ""."""

    answers: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    error: str = ""


def read_notebook(raw: bytes) -> Found:
    """The answers in a notebook's file. Never raises, whatever the bytes are."""
    submission = Submission("", "")
    try:
        take_answers(submission, _cells_of(raw))
    except ValueError as error:
        return Found(error=str(error))
    if not submission.answers:
        return Found(remarks=submission.remarks, error=NO_ANSWERS)
    return Found(submission.answers, submission.remarks)


def learner_of(relative: Path) -> str:
    """Whose file it is: the first folder's name, or the file's without the notebook's."""
    relative = Path(_readable(relative))
    if len(relative.parts) > 1:
        return unicodedata.normalize("NFC", relative.parts[0])
    name = unicodedata.normalize("NFC", relative.stem)
    for notebook in exercises.TOPICS:
        if notebook in name and name != notebook:
            return name.replace(notebook, "").strip(" _-.") or name
    return name


def _readable(path: Path) -> str:
    """A path as text that can be written: bytes that are no UTF-8, such as of Shift-JIS names, by their codes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def submissions(folder: Path) -> list[Submission]:
    """Every notebook in a folder and its folders, in the order of their names. Raises FileNotFoundError if none."""
    paths = sorted(path for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not paths:
        raise FileNotFoundError(f"There are no notebooks (*.ipynb) in {folder}; give the folder of the submissions.")
    found = [read(path, folder) for path in paths]
    first: dict[tuple[str, str], Submission] = {}
    for submission in found:
        for notebook in submission.notebooks:
            other = first.setdefault((submission.learner, notebook), submission)
            if other is not submission:
                submission.error = f"{submission.learner} handed in {notebook} twice; {other.file} counts, not this."
                submission.answers = {}
    return found


def read(path: Path, folder: Path) -> Submission:
    """One submission. What is wrong with it is in `error`."""
    relative = path.relative_to(folder)
    submission = Submission(learner_of(relative), _readable(relative))
    try:
        cells = _cells(path, folder)
    except (OSError, ValueError) as error:
        submission.error = str(error)
        return submission
    take_answers(submission, cells)
    if not submission.answers:
        submission.error = NO_ANSWERS
    return submission


def take_answers(submission: Submission, cells: list[Any]) -> None:
    """Put the answer cells' sources into the submission, and say what is odd about them."""
    for number, cell in enumerate(cells, 1):
        _take(submission, cell, number)


def _cells(path: Path, folder: Path) -> list[Any]:
    """The cells of a notebook. Raises ValueError with a sentence for whatever is no notebook of ours."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError("It is a link or no regular file; hand in the notebook itself.")
    if status.st_size > MAX_FILE:
        raise ValueError(f"It has {status.st_size / 1e6:.0f} MB; {MAX_FILE / 1e6:.0f} are allowed. Clear the outputs.")
    if status.st_size == 0:
        raise ValueError("It is empty.")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    with open(descriptor, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    return _cells_of(raw)


def _cells_of(raw: bytes) -> list[Any]:
    """The cells in a notebook's bytes. Raises ValueError with a sentence for whatever is no notebook of ours."""
    if len(raw) > MAX_FILE:
        raise ValueError(f"It has {len(raw) / 1e6:.0f} MB; {MAX_FILE / 1e6:.0f} are allowed. Clear the outputs.")
    if not raw:
        raise ValueError("It is empty.")
    try:
        notebook = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"It is not UTF-8 text (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"It is not a notebook: not JSON at line {error.lineno}. Was it broken off?") from None
    except (RecursionError, ValueError):
        raise ValueError("It is not a notebook: its JSON is nested too deeply, or holds an endless number.") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise ValueError("It is not a notebook: it has no list of cells. (Notebooks of format 3: save them anew.)")
    if notebook.get("nbformat") != 4:
        raise ValueError(f"It is a notebook of format {clean(str(notebook.get('nbformat')), 20)}; save it as format 4.")
    metadata = notebook.get("metadata")
    language = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    language = language.get("language") if isinstance(language, dict) else None
    if isinstance(language, str) and language.lower() != "python":
        raise ValueError(f"It is written in {clean(language, 20)}; the answers must be Python.")
    return list(notebook["cells"])


def _take(submission: Submission, cell: Any, number: int) -> None:
    """Take the cell's source if it is an answer cell."""
    try:
        name = cell["metadata"]["nbgrader"]["grade_id"]
        code = cell["cell_type"] == "code"
    except (KeyError, TypeError):
        return
    if not isinstance(name, str) or name not in exercises.everything():
        return
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not code or not isinstance(source, str):
        submission.remarks.append(f"Cell {number} ({name}) is not a code cell; it is passed over.")
    elif name in submission.answers:
        submission.remarks.append(f"Cell {number} is a second cell with the id {name}; the first counts.")
    elif len(source) > MAX_SOURCE:
        submission.remarks.append(f"Cell {number} ({name}) has {len(source):,} characters; {MAX_SOURCE:,} are allowed.")
        submission.answers[name] = ""
    else:
        submission.answers[name] = source
