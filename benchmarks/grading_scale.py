"""Grading a whole university's folder: seconds, submissions per second, and the memory of all processes together.

python benchmarks/grading_scale.py --learners 10000
python benchmarks/grading_scale.py --learners 2000 --dask 4      # the same by a Dask cluster of 4 local workers

Every answer differs, so none is judged for another's sake. Memory is looked at from outside, every other second (more
often, and the looking itself takes a tenth of a core): the private pages of every process of the run and their parts of
the shared ones (PSS).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import psutil
from _timing import machine

from course.grading.log import read_log

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "02_attention"
MINUTES, MEMORY = 10.0, 1e9  # to reach with 10,000 submissions


def hand_in(folder: Path, learners: int) -> None:
    """Submissions as raw text: the solved notebook, each answer with a line of the learner's own."""
    notebook = json.loads((ROOT / "solutions" / f"{NOTEBOOK}.ipynb").read_text(encoding="utf-8"))
    answers = [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("solution")]
    sources = ["".join(cell["source"]) for cell in answers]
    for number in range(learners):
        for cell, source in zip(answers, sources, strict=True):
            cell["source"] = f"{source}\n# learner {number}\n"
        place = folder / f"learner{number:06}" / f"{NOTEBOOK}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_text(json.dumps(notebook), encoding="utf-8")


def memory(processes: list[psutil.Process]) -> int:
    """Bytes of all processes and what is below them; shared pages are counted once."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    total = 0
    for one in found.values():
        with contextlib.suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A Dask scheduler and its workers on this machine, as processes of their own; the address."""
    if not workers:
        yield "", []
        return
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as found:
        yield found.scheduler_address, [psutil.Process()]


@click.command()
@click.option("--learners", default=10_000, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--dask", default=0, show_default=True, help="Workers of a local Dask cluster; 0: without.")
def main(learners: int, workers: int, dask: int) -> None:
    """Grade them, and look at the clock and at the memory."""
    machine()
    with tempfile.TemporaryDirectory() as name, cluster(dask) as (address, beside):
        folder, out = Path(name) / "in", Path(name) / "out"
        hand_in(folder, learners)
        command = [sys.executable, "-m", "course.cli", "grade", str(folder), "--out", str(out)]
        command += ["--dask", address] if dask else ["--workers", str(workers)]
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT) as run:
            most, processes = 0, [psutil.Process(run.pid), *beside]
            while run.poll() is None:
                most = max(most, memory(processes))
                time.sleep(2)
        seconds = time.perf_counter() - started
        results = read_log(out / "results.jsonl")
    assert run.returncode == 0 and len(results) == 5 * learners
    assert {result.status for result in results} == {"passed"}
    how = f"{dask} Dask workers" if dask else f"{workers} workers"
    fits = seconds / learners * 10_000 <= 60 * MINUTES and most <= MEMORY
    click.echo(
        f"  {learners:,} submissions, {how}, with reading and reports: {seconds:.0f} s, {learners / seconds:.1f} per "
        f"second; at most {most / 1e6:.0f} MB{'' if fits else '  MISSED'}"
    )


if __name__ == "__main__":
    main()
