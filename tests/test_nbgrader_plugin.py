"""Our judge inside nbgrader: what it cannot judge stops the grading, and is never worth all points, or none."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from nbgrader.utils import determine_grade
from traitlets.config import Config

from course.grading import nbgrader_plugin
from course.grading.jobs import Judgement
from course.grading.nbgrader_plugin import CourseJudge, OursOnly, configure
from course.practice import exercises
from course.practice.check import check

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
ROOT = Path(__file__).parent.parent
NOTEBOOK = "02_attention"
SOLVED = nbformat.read(ROOT / "solutions" / f"{NOTEBOOK}.ipynb", as_version=4)


def cell(kind: str, name: str, grade: bool, solution: bool) -> Any:
    """A cell of the teacher's own, as nbgrader's toolbar makes it."""
    made = nbformat.v4.new_code_cell("assert True") if kind == "code" else nbformat.v4.new_markdown_cell("Why?")
    made.metadata["nbgrader"] = {
        "grade_id": name, "grade": grade, "solution": solution, "locked": not solution, "task": False,
        "schema_version": 3, "cell_type": kind, "points": 5,
    }  # fmt: skip
    return made


def with_cells(*cells: Any) -> Any:
    notebook = copy.deepcopy(SOLVED)
    notebook.cells += cells
    return notebook


def test_a_graded_cell_that_nobody_would_judge_is_named():
    notebook = with_cells(cell("code", "my-own-test", True, False), cell("code", "02-strange-check", True, False))
    with pytest.raises(ValueError, match=r"the points of: my-own-test, 02-strange-check\. Make"):
        OursOnly().preprocess(notebook, {})


def test_what_a_person_grades_and_what_gives_no_points_is_welcome():
    notebook = with_cells(
        cell("code", "a-program-to-read", True, True),
        cell("markdown", "an-essay", True, True),
        cell("code", "a-cell-that-is-only-locked", False, False),
    )
    assert OursOnly().preprocess(notebook, {})[0] is notebook


def test_releasing_and_grading_both_begin_with_this_question():
    config = Config()
    configure(config)
    name = "course.grading.nbgrader_plugin.OursOnly"
    assert config.Autograde.autograde_preprocessors[0] == config.GenerateAssignment.preprocessors[0] == name


WITH_NBGRADER = """
import json, shutil, sys
from pathlib import Path
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config
from course.grading.nbgrader_plugin import configure

def api(ours):
    config = Config()
    config.CourseDirectory.course_id, config.CourseDirectory.root = "chatgpt", sys.argv[1]
    config.CourseJudge.secret_folder = sys.argv[1]
    if ours:
        configure(config)
    return NbGraderAPI(CourseDirectory(config=config), config=config)

refused = api(True).generate_assignment("ps1")
released = api(False).generate_assignment("ps1")  # without us, and then graded by us
shutil.copytree("release/ps1", "submitted/aiko/ps1")
graded = api(True).autograde("ps1", "aiko")
scores = [submission["score"] for submission in api(True).get_submissions("ps1")]
Path("found.json").write_text(json.dumps([refused, released, graded, scores]))
"""


def test_nbgrader_gives_no_points_where_a_cell_is_not_ours(tmp_path):
    (tmp_path / "source" / "ps1").mkdir(parents=True)
    source = with_cells(cell("code", "my-own-test", True, False))
    nbformat.write(source, tmp_path / "source" / "ps1" / f"{NOTEBOOK}.ipynb")
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter")}
    surroundings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it calls alembic
    command = [sys.executable, "-W", "ignore", "-c", WITH_NBGRADER, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env=surroundings, check=True, capture_output=True)
    refused, released, graded, scores = json.loads((tmp_path / "found.json").read_text())
    for run in (refused, graded):
        assert not run["success"] and "everybody would get the points of: my-own-test" in run["log"]
    assert released["success"] and scores == [0.0]


@pytest.mark.parametrize("failures", [0, 1])
def test_an_answer_that_the_machine_did_not_let_be_judged_is_judged_again(failures, tmp_path, monkeypatch):
    judged: list[str] = []

    def judge_job(job: Any, secret: bytes, level: str) -> Judgement:
        judged.append(job.exercise)
        failed = job.exercise == "02-attention" and judged.count("02-attention") <= failures
        return Judgement("not judged", category="its sandbox broke down") if failed else Judgement("passed", 1)

    monkeypatch.setattr(nbgrader_plugin, "judge_job", judge_job)
    monkeypatch.setattr(nbgrader_plugin, "fresh_sandbox", lambda level: judged.append("fresh"))
    notebook, _ = CourseJudge(secret_folder=str(tmp_path)).preprocess(copy.deepcopy(SOLVED), {})
    checks = [c for c in notebook.cells if nbgrader_plugin.checked_by(c)]
    assert checks and all(c.outputs[0].output_type == "stream" for c in checks), "all passed"
    assert judged.count("fresh") == failures and judged.count("02-attention") == 1 + failures


def test_an_answer_that_can_never_be_judged_stops_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(
        nbgrader_plugin, "judge_job", lambda *a: Judgement("not judged", category="its sandbox broke down")
    )
    monkeypatch.setattr(nbgrader_plugin, "fresh_sandbox", lambda level: None)
    with pytest.raises(RuntimeError, match=r"02-.* could not be judged: its sandbox broke down\. Run"):
        CourseJudge(secret_folder=str(tmp_path)).preprocess(copy.deepcopy(SOLVED), {})


def test_nbgraders_validate_hears_of_what_is_not_right(capsys, monkeypatch):
    def causal_mask(T: int) -> Any:
        return torch.ones(T, T, dtype=torch.bool).triu()

    check(causal_mask)
    assert capsys.readouterr().err == "", "in a notebook, the feedback is enough"
    monkeypatch.setenv("NBGRADER_VALIDATING", "1")
    check(causal_mask)
    said = capsys.readouterr().err
    checked = cell("code", "02-causal-mask-check", True, False)
    checked.outputs = [nbformat.v4.new_output("stream", name="stderr", text=said)]
    assert "tril" in said and determine_grade(checked) == (0, 5)
    check(exercises.find("causal_mask").reference)
    assert capsys.readouterr().err == ""
