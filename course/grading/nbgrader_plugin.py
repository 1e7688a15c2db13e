"""Our judge inside nbgrader: its release, collection, formgrader and feedback stay as they are.

In `nbgrader_config.py`:

    from course.grading.nbgrader_plugin import configure
    configure(get_config())

Then `nbgrader autograde` never runs a learner's notebook: it takes the answers out, has them judged in the sandbox,
and writes into each check cell what nbgrader reads its points from. Since nothing is run, a test cell of the teacher's
own would give everybody its points: releasing and grading stop at such a cell, and name it. Cells that a person grades
are welcome.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution
from traitlets import Unicode

from course.grading.extract import take_answers
from course.grading.grade import jobs_of
from course.grading.jobs import Job, Judgement, fresh_sandbox, judge_job
from course.grading.secret import secret_of
from course.grading.submission import Submission
from course.practice import exercises
from course.practice.exercise import Exercise

CHECK = "-check"  # the id of a check cell is that of its exercise with this behind it


def checked_by(cell: Any) -> Exercise | None:
    """The exercise that this cell checks, if it is one of ours."""
    name = str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
    ours = cell.cell_type == "code" and name.endswith(CHECK)
    return exercises.everything().get(name.removesuffix(CHECK)) if ours else None


class OursOnly(NbGraderPreprocessor):  # type: ignore[misc]
    """Stops at a graded cell that neither our judge nor a person would judge: nbgrader gives it all its points."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Raise ValueError with the names of such cells; the notebook stays as it is."""
        others = [
            str(cell.metadata.nbgrader.get("grade_id", "without a name"))
            for cell in nb.cells
            if is_grade(cell) and not is_solution(cell) and cell.cell_type == "code" and checked_by(cell) is None
        ]
        if others:
            raise ValueError(
                f"The course's judge runs no test cells, so everybody would get the points of: {', '.join(others)}. "
                "Make them manually graded, or take them out."
            )
        return nb, resources


class CourseJudge(NbGraderPreprocessor):  # type: ignore[misc]
    """In the place of nbgrader's `Execute`: judges the answers, and fills the check cells' outputs."""

    secret_folder = Unicode(".", help="The folder of secret.key, which the hidden cases are drawn from.").tag(
        config=True
    )
    sandbox = Unicode("bubblewrap", help="The sandbox to use; see course.grading.sandbox.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Judge one notebook. Nothing in it is executed here."""
        submission = Submission("", "")
        take_answers(submission, nb.cells)
        secret = secret_of(Path(self.secret_folder))
        verdicts = {job.exercise: self.judged(job, secret) for job in jobs_of(submission)}
        for cell in nb.cells:
            exercise = checked_by(cell)
            if exercise is None:
                continue
            verdict = verdicts.get(exercise.id, Judgement("not attempted"))
            text = f"{exercise.title}: {verdict.status}" + (f" ({verdict.category})" if verdict.category else "")
            if verdict.status == "passed":
                cell.outputs = [new_output("stream", name="stdout", text=text)]
            else:
                cell.outputs = [new_output("error", ename="NotPassed", evalue=text, traceback=[text])]
        return nb, resources

    def judged(self, job: Job, secret: bytes) -> Judgement:
        """The judgement of an answer. Raises RuntimeError where the machine fails each time: that is not 0 points."""
        judgement = judge_job(job, secret, self.sandbox)
        if judgement.status == "not judged":
            fresh_sandbox(self.sandbox)
            judgement = judge_job(job, secret, self.sandbox)
        if judgement.status == "not judged":
            raise RuntimeError(
                f"{job.exercise} could not be judged: {judgement.category}. Run `nbgrader autograde` again."
            )
        return judgement


def configure(c: Any) -> None:
    """Let nbgrader judge with the course's judge, and leave the explanations out of what it releases."""
    c.Autograde.autograde_preprocessors = [
        "course.grading.nbgrader_plugin.OursOnly",
        "course.grading.nbgrader_plugin.CourseJudge",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.TagRemovePreprocessor.enabled = True
    c.TagRemovePreprocessor.remove_cell_tags = {"solution"}
    c.GenerateAssignment.preprocessors = [
        "course.grading.nbgrader_plugin.OursOnly",
        "nbconvert.preprocessors.TagRemovePreprocessor",
        "nbgrader.preprocessors.IncludeHeaderFooter",
        "nbgrader.preprocessors.ClearSolutions",
        "nbgrader.preprocessors.LockCells",
        "nbgrader.preprocessors.ComputeChecksums",
        "nbgrader.preprocessors.SaveCells",
        "nbgrader.preprocessors.CheckCellMetadata",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.ClearHiddenTests",
        "nbgrader.preprocessors.ClearMarkScheme",
        "nbgrader.preprocessors.ComputeChecksums",
    ]
