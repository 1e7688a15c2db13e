"""Watching a folder into which work arrives."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

LOOK = 2.0  # seconds between two looks
LONGEST = 30.0  # seconds that arriving files are given to become whole; what comes still later gets the next round


def arrivals(folder: Path, look: float = LOOK) -> Iterator[None]:
    """Yields at once, and then whenever something has arrived or changed, and has come to rest. Never ends."""
    graded: dict[str, tuple[int, int]] | None = None
    while True:
        seen = _state(folder)
        deadline = time.monotonic() + LONGEST
        while seen != graded and time.monotonic() < deadline:
            time.sleep(look)
            before, seen = seen, _state(folder)
            if before == seen:
                break
        if seen != graded:
            graded = seen
            yield
        else:
            time.sleep(look)


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder (or the one file that it is), with its time and size."""
    found = {}
    places = [os.fspath(folder)] if folder.is_file() else []
    places += [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    for place in places:
        try:
            status = os.lstat(place)
        except OSError:  # it has just gone
            continue
        found[place] = (status.st_mtime_ns, status.st_size)
    return found
