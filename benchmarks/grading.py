"""Grading a batch of 100 submissions of one exercise notebook, beside nbgrader's own autograde on the same files.

python benchmarks/grading.py

Every submission differs, so none is judged for another's sake. nbgrader takes seconds for each, so it gets some of the
batch only; both are given per submission.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import nbformat
from _timing import machine

from course.grading import grade, intake
from course.grading.log import Result
from course.grading.pool import Pool
from course.grading.run import Question, Run

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "02_attention"
TARGET, RATIO = 20.0, 15.0


def hand_in(folder: Path, number: int) -> None:
    """One submission, all answers right, each cell a little different from everybody else's."""
    notebook = copy.deepcopy(nbformat.read(ROOT / "solutions" / f"{NOTEBOOK}.ipynb", as_version=4))
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source += f"\n# learner {number}\n"
    place = folder / f"learner{number:03}" / "ps1" / f"{NOTEBOOK}.ipynb"
    place.parent.mkdir(parents=True)
    nbformat.write(notebook, place)


def cold_rate(submitted: Path, out: Path, workers: int) -> float:
    """Submissions per second of a whole run, beginning with the import of torch."""
    started = time.perf_counter()
    _, results = grade.grade(submitted, out, workers)
    assert {result.status for result in results} == {"passed"}
    return len(list(submitted.iterdir())) / (time.perf_counter() - started)


def warm_rate(submitted: Path, workers: int) -> float:
    """Submissions per second of warm judges: the same files, judged by a pool that has judged before."""
    questions = []
    for submission in intake.collect(submitted).submissions:
        for job in grade.jobs_of(submission):
            blank = Result(submission.learner, job.exercise, "", "", "", "", "", "", "", 0, "", 0.0)
            questions.append(Question(job, [blank]))
    found: list[Result] = []
    with Pool(workers, b"a secret of the benchmark", "bubblewrap") as pool:
        Run(pool, found.append).ask(questions[: 2 * workers * pool.batch])
        found.clear()
        started = time.perf_counter()
        Run(pool, found.append).ask(questions)
        seconds = time.perf_counter() - started
    assert {result.status for result in found} == {"passed"} and len(found) == len(questions)
    return len(list(submitted.iterdir())) / seconds


def nbgrader(course: Path, number: int) -> float:
    """Seconds per submission of nbgrader's own autograde, which runs the notebooks."""
    (course / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'x'\n")
    (course / "source" / "ps1").mkdir(parents=True)
    nbformat.write(
        nbformat.read(ROOT / "solutions" / f"{NOTEBOOK}.ipynb", as_version=4),
        course / "source/ps1" / f"{NOTEBOOK}.ipynb",
    )
    for learner in range(number):
        hand_in(course / "submitted", learner)
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "COURSE_HOME": str(course / "home"), "OMP_NUM_THREADS": "2"}
    surroundings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def run(*arguments: str) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "nbgrader", *arguments]
        subprocess.run(command, cwd=course, env=surroundings, check=True, capture_output=True)

    run("generate_assignment", "ps1")
    started = time.perf_counter()
    run("autograde", "ps1")
    return (time.perf_counter() - started) / number


@click.command()
@click.option("--batch", default=100, show_default=True)
@click.option("--peer", default=8, show_default=True, help="Submissions for nbgrader.")
@click.option("--workers", default=2, show_default=True)
def main(batch: int, peer: int, workers: int) -> None:
    """Grade the same submissions both ways."""
    machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(batch):
            hand_in(folder / "submitted", number)
        cold = cold_rate(folder / "submitted", folder / "out", workers)
        rate = warm_rate(folder / "submitted", workers)
        (folder / "course").mkdir()
        seconds = nbgrader(folder / "course", peer)
    click.echo(f"  course, cold, with imports and reports' data   {cold:7.2f} submissions per second")
    held = "" if rate >= TARGET else "  MISSED"
    click.echo(f"  course, warm, {workers} workers                        {rate:7.2f}; to reach ≥ {TARGET:g}{held}")
    click.echo(f"  nbgrader's autograde                           {1 / seconds:7.2f}")
    held = "" if rate * seconds >= RATIO else "  MISSED"
    click.echo(f"  {rate * seconds:.0f} × as fast; to reach ≥ {RATIO:g}{held}")


if __name__ == "__main__":
    main()
