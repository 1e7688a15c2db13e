"""Our judge inside nbgrader: its release, collection, formgrader and feedback stay as they are.

In `nbgrader_config.py`:

    from course.grading.nbgrader_plugin import configure
    configure(get_config())

Then `nbgrader autograde` never runs a learner's notebook: it takes the answers out, has them judged in the sandbox,
and writes into each check cell what nbgrader reads its points from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

from course.grading.extract import take_answers
from course.grading.grade import jobs_of
from course.grading.jobs import Judgement, judge_job
from course.grading.secret import secret_of
from course.grading.submission import Submission
from course.practice import exercises

CHECK = "-check"  # the id of a check cell is that of its exercise with this behind it


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
        verdicts = {job.exercise: judge_job(job, secret, self.sandbox) for job in jobs_of(submission)}
        for cell in nb.cells:
            name = str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))
            exercise = exercises.everything().get(name.removesuffix(CHECK))
            if cell.cell_type != "code" or exercise is None or not name.endswith(CHECK):
                continue
            verdict = verdicts.get(exercise.id, Judgement("not attempted"))
            text = f"{exercise.title}: {verdict.status}" + (f" ({verdict.category})" if verdict.category else "")
            if verdict.status == "passed":
                cell.outputs = [new_output("stream", name="stdout", text=text)]
            else:
                cell.outputs = [new_output("error", ename="NotPassed", evalue=text, traceback=[text])]
        return nb, resources


def configure(c: Any) -> None:
    """Let nbgrader judge with the course's judge, and leave the explanations out of what it releases."""
    c.Autograde.autograde_preprocessors = [
        "course.grading.nbgrader_plugin.CourseJudge",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.TagRemovePreprocessor.enabled = True
    c.TagRemovePreprocessor.remove_cell_tags = {"solution"}
    c.GenerateAssignment.preprocessors = [
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
