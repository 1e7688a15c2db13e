"""`kill -9` of any process of a grading run, at random moments: what is lost, what is judged twice, what lives on.

python benchmarks/grading_kills.py --moments 50

`course grade` runs on a class in which every answer differs. Every few seconds one of its processes is killed: the
main process, a judge, a sandbox, a helper. Where it was the main one, nothing may be left ten seconds later, and the
next run goes on with the same log.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import click
import psutil
from _timing import machine
from grading_scale import ROOT, hand_in  # type: ignore[import-not-found]

from course.grading.log import Result, read_log

GONE = 10.0  # seconds
MAIN = 0.2  # the share of the kills that hit the main process


def start(folder: Path, out: Path) -> subprocess.Popen[bytes]:
    """`course grade` as a teacher starts it."""
    command = [sys.executable, "-m", "course.cli", "grade", str(folder), "--out", str(out)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kind(process: psutil.Process, main: int) -> str:
    """What it is for."""
    if process.pid == main:
        return "main process"
    words = " ".join(process.cmdline())
    names = {"resource_tracker": "tracker", "forkserver": "judge or what it is forked from", "bwrap": "bubblewrap"}
    names["grading.worker"] = "sandbox"
    return next((name for part, name in names.items() if part in words), "other")


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there after ten seconds."""
    _, alive = psutil.wait_procs(processes, timeout=GONE)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@click.command()
@click.option("--moments", default=50, show_default=True)
@click.option("--learners", default=40, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(moments: int, learners: int, seed: int) -> None:
    """Kill, look, go on."""
    machine()
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    lost = twice = orphans = failures = wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder, out, turn = Path(name) / "in", Path(name) / "out", 0
        hand_in(folder, learners)
        kept: list[Result] = []
        while sum(killed.values()) < moments:
            started = start(folder, out)
            main_process = psutil.Process(started.pid)
            seen: dict[int, psutil.Process] = {}
            first = True
            while started.poll() is None:
                moment = time.monotonic() + chance.uniform(0.2, 20.0 if first else 4.0)
                while time.monotonic() < moment and started.poll() is None:
                    seen |= {one.pid: one for one in family(main_process)}
                    time.sleep(0.05)
                first, alive = False, family(main_process)
                alive = alive[1:] if alive[1:] and chance.random() > MAIN else alive[:1]
                if alive and started.poll() is None and sum(killed.values()) < moments:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        victim = chance.choice(alive)
                        name_of_it = kind(victim, started.pid)
                        victim.kill()
                        killed[name_of_it] += 1
            code = started.wait()
            failures += code not in (0, -signal.SIGKILL)
            if code not in (0, -signal.SIGKILL):
                click.echo(f"  a run ended with the exit code {code}")
            orphans += len(left(list(seen.values())))
            now = read_log(out / "results.jsonl")
            lost += now[: len(kept)] != kept
            twice += sum(number - 1 for number in Counter(result.key for result in now).values())
            wrong += sum(result.status != "passed" for result in now)
            kept = now
            if len(now) == 5 * learners:  # all is judged: what follows is a folder of results of its own
                turn += 1
                out, kept = Path(name) / f"out{turn}", []
        click.echo(f"  {sum(killed.values())} processes killed: {', '.join(f'{n} × {k}' for k, n in killed.items())}")
        click.echo(f"  {turn} classes of {learners} judged to their end")
    bad = lost + twice + orphans + failures + wrong
    click.echo(
        f"  lost: {lost}; judged twice: {twice}; alive after {GONE:g} s: {orphans}; runs that a helper's death ended: "
        f"{failures}; wrong results: {wrong}; to reach: 0 of each{'  MISSED' if bad else ''}"
    )


if __name__ == "__main__":
    main()
