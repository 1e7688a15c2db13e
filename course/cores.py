"""How many of the processor's cores are free for us, measured while we compute.

A learner's computer is never alone: a browser draws, a call runs. A program that shares its products among all cores
then waits, at the end of each of a thousand small products, for the one thread that another program has pushed aside,
and becomes four to ten times slower instead of twice. With as many threads as there are free cores it goes at their
speed. This module says what others take and how many threads to use; `runtime` sets them.
"""

from __future__ import annotations

import math
import os
import time

DOWN, UP = 0.35, 0.2  # parts of a core that others take, from which a thread is one too many; up to which it is not


def usable() -> list[int]:
    """The numbers of the cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    return sorted(allowed(0)) if allowed else list(range(os.cpu_count() or 1))


class Cores:
    """What goes on on the cores that this process may use. Raises OSError where the system does not tell."""

    def __init__(self) -> None:
        self.places = usable()
        self.last = self._read()

    def _read(self) -> tuple[float, float, float]:
        """Seconds: of the clock, in which these cores had nothing to do, and that this process has computed."""
        import psutil  # type: ignore[import-untyped]  # here, since most programs never ask

        times = psutil.cpu_times(percpu=True)
        idle = sum(times[i].idle + getattr(times[i], "iowait", 0.0) for i in self.places if i < len(times))
        return time.perf_counter(), idle, time.process_time()

    @property
    def seconds(self) -> float:
        """How long ago `taken` was asked for."""
        return time.perf_counter() - self.last[0]

    def taken(self) -> float:
        """How many cores other programs have kept busy since this was last asked, on average: from 0 up."""
        now = self._read()
        seconds, idle, own = (after - before for after, before in zip(now, self.last, strict=True))
        self.last = now
        return min(max(len(self.places) - (idle + own) / seconds, 0.0), float(len(self.places)))


def threads_for(taken: float, present: int, most: int) -> int:
    """How many threads to go on with, when others take so many cores: from 1 to `most`.

    Between the two bounds it stays as it is. That is no indecision: a program that has to share its core with us gets
    less of it than it would like, and looks smaller than after we have made way.
    """
    fewest, largest = (max(1, most - math.floor(taken + 1 - bound)) for bound in (UP, DOWN))
    return min(max(present, fewest), largest)


def taken_now(seconds: float = 0.5) -> tuple[float, int]:
    """(cores that other programs keep busy at this moment, cores that this process may use); takes `seconds`.

    Raises as `Cores` does.
    """
    cores = Cores()
    time.sleep(seconds)
    return cores.taken(), len(cores.places)
