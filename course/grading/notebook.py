"""A submitted file's cells, read as data: from whatever editor, in whatever encoding; what is no notebook says why."""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from typing import Any

from course.grading.text import clean

MAX_FILE = 20_000_000  # bytes
MAX_THINGS = 1_500_000  # lists and dicts in a file: each takes some 70 bytes of memory, though two in the file
MAX_CELLS = 5_000
MAX_SOURCE = 50_000  # characters of a cell
KINDS = ("code", "markdown", "raw")


@dataclass(frozen=True)
class Cell:
    """A cell. number: from 1, as people count. kind: one of KINDS. mark: its grade id, or ""."""

    number: int
    kind: str
    mark: str
    text: str


@dataclass(frozen=True)
class Notebook:
    """A file's cells. language: as the file says, "" for Python. remarks: on the file as a whole."""

    cells: tuple[Cell, ...]
    language: str = ""
    remarks: tuple[str, ...] = ()


def parse_file(raw: bytes) -> Notebook:
    """The notebook in a file's bytes. Raises ValueError with a sentence for whatever is none."""
    if len(raw) > MAX_FILE:
        raise ValueError(f"It has {len(raw) / 1e6:.0f} MB; {MAX_FILE / 1e6:.0f} are allowed. Clear the outputs.")
    if not raw.strip():
        raise ValueError("It is empty.")
    encoding = json.detect_encoding(raw)
    if raw.count(b"[") + raw.count(b"{") > MAX_THINGS:
        raise ValueError(f"It holds more than {MAX_THINGS:,} lists and tables. Clear the outputs.")
    collects = gc.isenabled()
    gc.disable()  # nothing can be freed while the cells are read; to look for it takes two thirds of the time
    try:
        content = json.loads(raw.decode(encoding))
    except UnicodeDecodeError as error:
        raise ValueError(f"It is not {encoding.removesuffix('-sig').upper()} text (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"It is not a notebook: not JSON at line {error.lineno}. Was it broken off?") from None
    except (RecursionError, ValueError):
        raise ValueError("It is not a notebook: its JSON is nested too deeply, or holds an endless number.") from None
    finally:
        if collects:
            gc.enable()
    remarks = [] if encoding.startswith("utf-8") else [f"It was saved as {encoding.upper()}, not UTF-8."]
    cells = _listed(content, remarks)
    if len(cells) > MAX_CELLS:
        remarks.append(f"It has {len(cells):,} cells; the first {MAX_CELLS:,} are looked at.")
    return Notebook(cells_of(cells), _language(content.get("metadata")), tuple(remarks))


def _listed(content: Any, remarks: list[str]) -> list[Any]:
    """The list of cells, of the formats 3 and 4."""
    if not isinstance(content, dict):
        raise ValueError("It is not a notebook: it has no list of cells.")
    version = content.get("nbformat")
    sheets = content.get("worksheets")
    if isinstance(sheets, list) and not isinstance(content.get("cells"), list):
        parts = [sheet["cells"] for sheet in sheets if isinstance(sheet, dict) and isinstance(sheet.get("cells"), list)]
        remarks.append("It is a notebook of format 3, from before 2015; it is read nevertheless.")
        return [cell for part in parts for cell in part]
    if not isinstance(content.get("cells"), list):
        raise ValueError("It is not a notebook: it has no list of cells.")
    if version is None:
        remarks.append("It does not say which format it has; it is read as format 4.")
    elif version not in (4, "4"):
        said = str(version) if isinstance(version, (int, float, str)) else type(version).__name__
        raise ValueError(f"It is a notebook of format {clean(said, 20)}; save it as format 4.")
    return list(content["cells"])


def _language(metadata: Any) -> str:
    """What a file says that it is written in, "" for Python in any spelling, or for nothing."""
    metadata = metadata if isinstance(metadata, dict) else {}
    for place, name in (("kernelspec", "language"), ("language_info", "name")):
        part = metadata.get(place)
        language = part.get(name) if isinstance(part, dict) else None
        if isinstance(language, str) and language.strip():
            return "" if "python" in language.lower() else clean(language.strip(), 20)
    return ""


def cells_of(cells: list[Any]) -> tuple[Cell, ...]:
    """The cells, as many as are looked at, each with its text; what is no cell is passed over."""
    found = []
    for number, cell in enumerate(cells[:MAX_CELLS], 1):
        if not isinstance(cell, dict):
            continue
        metadata, kind = cell.get("metadata"), cell.get("cell_type")
        ours = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        mark = ours.get("grade_id") if isinstance(ours, dict) else None
        text = _text(cell["source"] if "source" in cell else cell.get("input"))  # "input" in format 3
        found.append(
            Cell(number, kind if kind in KINDS else "raw", mark if isinstance(mark, str) else "", text)  # type: ignore[arg-type]
        )
    return tuple(found)


def _text(source: Any) -> str:
    r"""A cell's text with `\n` at its lines' ends, whichever editor wrote it; "" for what is no text."""
    if isinstance(source, list):
        lines = [line for line in source if isinstance(line, str)]
        ended = len(lines) < 2 or any(line.endswith(("\n", "\r")) for line in lines)
        source = ("" if ended else "\n").join(lines)  # some write lists of lines without their ends
    if not isinstance(source, str):
        return ""
    text = source.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    return text.encode(errors="replace").decode() if not text.isascii() else text  # half characters become "?"
