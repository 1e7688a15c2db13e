"""One hostile learner among a hundred: how much longer the run takes, and whether anybody else's result changes.

python benchmarks/grading_hostile.py

The hostile notebook answers every exercise of the course, each time in the same bad way: it never ends, sleeps, takes
all memory, starts processes without end, or breaks down. The class without it is graded before and after.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from _timing import machine
from grading_scale import NOTEBOOK, ROOT, hand_in  # type: ignore[import-not-found]

from course.grading.log import read_log
from course.practice import exercises

LONGER = 30.0  # seconds, to reach
HARM = {
    "never ends": "while True: pass",
    "sleeps": "import time; time.sleep(1e6)",
    "takes all memory": "held = []\n    while True: held.append(bytearray(1 << 24))",
    "starts processes": "import os\n    while True: os.fork()",
    "breaks down": "import os; os.abort()",
}


def hostile(folder: Path, body: str) -> None:
    """The notebook of learner 0, as it was not meant."""
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code", "execution_count": None, "outputs": [],
            "metadata": {"nbgrader": {"grade_id": exercise.id, "solution": True}},
            "source": f"def {exercise.entry}(*given, **named):\n    {body}\n    # {number}\n",
        }
        for number, exercise in enumerate(exercises.everything().values())
    ]  # fmt: skip
    place = folder / "learner000000" / f"{NOTEBOOK}.ipynb"
    place.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8")


def graded(folder: Path, out: Path) -> tuple[float, dict[tuple[str, str], str], int]:
    """Seconds of a run, (learner, exercise) -> status of all but learner 0, and learner 0's points."""
    command = [sys.executable, "-m", "course.cli", "grade", str(folder), "--out", str(out)]
    command += ["--set", ",".join(exercises.TOPICS)]  # so that all answers of the hostile one are judged
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    results = read_log(out / "results.jsonl")
    others = {(r.learner, r.exercise): r.status for r in results if r.learner != "learner000000"}
    return seconds, others, sum(r.points for r in results if r.learner == "learner000000")


@click.command()
@click.option("--learners", default=100, show_default=True)
def main(learners: int) -> None:
    """Grade the class without and with each sort of hostile notebook."""
    machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "in"
        hand_in(folder, learners)
        quiet, found = [], {}
        quiet.append(graded(folder, Path(name) / "before"))
        for number, (what, body) in enumerate(HARM.items()):
            hostile(folder, body)
            found[what] = graded(folder, Path(name) / f"out{number}")
        hand_in(Path(name) / "again", learners)
        quiet.append(graded(Path(name) / "again", Path(name) / "after"))
    usual = statistics.mean(seconds for seconds, _, _ in quiet)
    click.echo(
        f"  {learners} honest learners: {usual:.0f} s ({', '.join(f'{seconds:.0f}' for seconds, _, _ in quiet)})"
    )
    for what, (seconds, others, points) in found.items():
        held = seconds - usual <= LONGER and others == quiet[0][1] and not points
        same = "nobody else's result changes" if others == quiet[0][1] else "OTHERS' RESULTS CHANGE"
        click.echo(
            f"  one that {what}, {len(exercises.everything())} times: {seconds - usual:+.0f} s, {same}, "
            f"{points} points; to reach ≤ {LONGER:g} s{'' if held else '  MISSED'}"
        )


if __name__ == "__main__":
    main()
