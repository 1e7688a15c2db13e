"""The command `course grade`.

Exit codes: 0, everything is judged; 1, an error, said in a sentence; 2, the command was written wrongly; 3, some
answers could not be judged, because the machine failed: give the command again; 130, interrupted by Ctrl-C.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from course.cli import debug_option, sentence_of

if TYPE_CHECKING:  # `course --help` does without torch
    from distributed import Client

    from course.grading.late import Rule
    from course.grading.submission import Intake

LINES = 15  # of a kind that are printed; the report has all
NOT_JUDGED = 3  # exit code


@click.command()
@click.argument("submissions", type=click.Path(exists=True, path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the results.")
@click.option("--title", default="course", show_default=True, help="The assignment's name in the reports.")
@click.option("--platform", metavar="NAME", help="Where the folder was downloaded (default: recognised).")
@click.option(
    "--roster",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A table of the class: id, name, email.",
)
@click.option(
    "--set",
    "assigned",
    metavar="NAMES",
    help="What was set, such as 02_attention,03-layer-norm (default: what most handed in).",
)
@click.option("--best", is_flag=True, help="Of several attempts the best counts, not the last.")
@click.option("--strict", is_flag=True, help="A wrong answer costs the later ones that call it their points, too.")
@click.option("--due", metavar="WHEN", help='When it was due, such as "2026-12-01 23:59 Asia/Tokyo".')
@click.option(
    "--late",
    metavar="RULE",
    help='What lateness costs: "10% a day", "2 points a day, at most 50%", "none" (no points).',
)
@click.option(
    "--budget", default=30.0, show_default=True, type=click.FloatRange(10), help="Seconds of judging for each learner."
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 256), help="Judges side by side.")
@click.option(
    "--sandbox",
    default="bubblewrap",
    show_default=True,
    type=click.Choice(["bubblewrap", "process"]),
    help="The weakest sandbox allowed.",
)
@click.option("--dask", metavar="ADDRESS", help="Judge on a Dask cluster, such as tcp://10.0.0.1:8786.")
@click.option("--watch", is_flag=True, help="Go on grading what arrives in the folder, until Ctrl-C.")
@debug_option
def grade(submissions: Path, watch: bool, **options: Any) -> None:
    """Judge the exercise notebooks that were handed in: a folder or a zip, as platforms write them.

    Writes OUT/report.html, OUT/results.csv, OUT/feedback for the learners, and OUT/exports for nbgrader, Canvas, Moodle
    and others. Keep OUT/secret.key to yourself: the hidden cases are drawn from it. Run it again at any time: what is
    judged stays.

    Exit codes: 0, all is judged; 1, an error; 3, the machine failed, and some answers are still to be judged.
    """
    from course.grading.assigned import chosen
    from course.grading.late import rule

    names = options.pop("assigned")
    due, late = options.pop("due"), options.pop("late")
    if late is not None and due is None:
        raise click.BadParameter("a rule for late work needs --due, the date.", param_hint="--late")
    set_ones = chosen(names) if names is not None else None
    judging = {**options, "set_ones": set_ones, "late": rule(due, late or "mark") if due is not None else None}
    with _cluster(judging.pop("dask")) as client:
        if not watch:
            unjudged = _round(submissions, client=client, **judging)
            if unjudged:
                click.get_current_context().exit(NOT_JUDGED)
            return
        _watch(submissions, client=client, **judging)


def _watch(submissions: Path, **judging: Any) -> None:
    """Round after round, until Ctrl-C."""
    from course.grading.watch import arrivals

    click.echo(f"Watching {submissions}; Ctrl-C ends it.")
    try:
        for _ in arrivals(submissions):
            click.echo(time.strftime("\n%H:%M:%S"))
            try:
                _round(submissions, **judging)
            except (OSError, ValueError, click.ClickException) as error:  # nothing there yet, or it changes: look again
                click.echo(error.message if isinstance(error, click.ClickException) else sentence_of(error), err=True)
    except KeyboardInterrupt:
        click.echo("\nNo longer watching. What is judged is kept; the same command goes on from there.")


def _round(submissions: Path, out: Path, title: str, sandbox: str, late: Rule | None, **judging: Any) -> int:
    """Judge what is there and write the reports. Returns how many answers could not be judged."""
    from tqdm import tqdm

    from course.grading import report, similar
    from course.grading.grade import deductions
    from course.grading.grade import grade as judge_all
    from course.grading.sandbox import SandboxError

    started, judged = time.perf_counter(), 0
    with tqdm(desc="answers", unit="", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            nonlocal judged
            bar.total, judged = total, done
            bar.update(done - bar.n)

        try:
            intake, results = judge_all(submissions, out, level=sandbox, progress=show, late=late, **judging)
        except SandboxError as error:
            raise click.ClickException(str(error)) from None
    seconds = time.perf_counter() - started
    off = deductions(intake, results, late) if late is not None else {}
    alike = similar.alike(_answers(intake, {result.exercise for result in results}))
    book = report.write(out, intake.submissions, results, title, intake=intake, alike=alike, deductions=off)
    _say(intake, out)
    click.echo(
        f"{len(book.learners):,} learners, {len(results):,} answers; {judged:,} of them judged now, in {seconds:.0f} s "
        f"({judged / seconds:.0f} per second)."
    )
    click.echo(f"The report: {out / 'report.html'}")
    unjudged = sum(result.status == "not judged" for result in results)
    if unjudged:
        click.echo(
            f"{unjudged:,} answers could not be judged, because the machine failed. They are not in the log: give the "
            "same command again.",
            err=True,
        )
    return unjudged


def _answers(intake: Intake, asked: set[str]) -> dict[str, dict[str, str]]:
    """learner -> exercise -> the source that counts, of what was set."""
    found: dict[str, dict[str, str]] = {}
    for submission in intake.submissions:
        if submission.counts:
            sources = {name: source for name, source in submission.answers.items() if name in asked}
            found.setdefault(submission.learner, {}).update(sources)
    return found


def _say(intake: Intake, out: Path) -> None:
    """What is to be said about the whole and about single files: a screenful of lines at most."""
    from course.grading.text import clean

    for note in intake.notes[:LINES]:
        click.echo(clean(note, 400), err=True)
    lines = [(one.file, one.error) for one in intake.submissions if one.error] + intake.nobody
    for file, why in lines[:LINES]:
        click.echo(f"{clean(file)}: {clean(why, 400)}", err=True)
    more = max(0, len(lines) - LINES) + max(0, len(intake.notes) - LINES)
    if more:
        click.echo(f"… and {more:,} more: see {out / 'report.html'}", err=True)


@contextmanager
def _cluster(address: str | None) -> Iterator[Client | None]:
    """The Dask cluster at an address."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise click.ClickException("--dask needs the package distributed: pip install distributed") from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"No Dask scheduler answers at {address}: {sentence_of(error)}") from None
    with client:
        yield client
