"""The exercise notebooks: made from the solutions, in step with the exercises they ask, and they run.

An unanswered exercise says that it was not attempted; a solved one passes every check. Both folders run under nbval.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

from course.practice import exercises
from course.practice.exercise import PRELUDE

ROOT = Path(__file__).parent.parent
NAMES = tuple(exercises.TOPICS)
FOLDERS = ("solutions", "exercises")
LIMIT = 360  # seconds, for all of them together


def load(path: Path) -> ModuleType:
    """A file of the project that is no module of the course."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def read(folder: str, name: str) -> Any:
    return nbformat.read(ROOT / folder / f"{name}.ipynb", as_version=4)


def text_of(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


each = pytest.mark.parametrize("name", NAMES)


def test_every_notebook_that_teaches_code_has_exercises():
    taught = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} - {"00_welcome"}
    assert set(NAMES) == taught
    for folder in FOLDERS:
        assert {path.stem for path in (ROOT / folder).glob("*.ipynb")} == taught
    assert len(exercises.everything()) >= 40


@each
def test_exercises_are_made_from_solutions_and_have_not_drifted(name):
    maker = load(ROOT / "tools" / "exercises.py")
    wanted = maker.written(maker.exercise_of(read("solutions", name)))
    assert (ROOT / "exercises" / f"{name}.ipynb").read_text(encoding="utf-8") == wanted, "run `make exercises`"


@each
def test_no_solution_is_left_in_an_exercise_notebook(name):
    notebook = read("exercises", name)
    text = str(notebook)
    assert "SOLUTION" not in text and "**The idea.**" not in text
    answers = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len(answers) == len(exercises.of(name))
    for cell in answers:
        assert "raise NotImplementedError" in cell.source and not cell.outputs


@each
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_notebook_says_of_its_exercises_what_is_declared(name, folder):
    notebook, asked = read(folder, name), exercises.of(name)
    text = text_of(notebook)
    minutes, points = sum(e.minutes for e in asked), sum(e.points for e in asked)
    words = {5: "Five", 6: "Six", 7: "Seven", 8: "Eight"}
    assert f"{words[len(asked)]} exercises, about {minutes} minutes, {points} points" in re.sub(r"\s+", " ", text)
    for number, exercise in enumerate(asked, 1):
        unit = "point" if exercise.points == 1 else "points"
        head = f"**{exercise.points} {unit} · {exercise.level} · {exercise.minutes} minutes**"
        assert f"## {number}. {exercise.title}\n\n{head}" in text, exercise.id
        assert f"`{exercise.entry}(" in text, f"{exercise.id}: the text names the function and its arguments"
    assert text.count("**The idea.**") == (len(asked) if folder == "solutions" else 0)


@each
@pytest.mark.parametrize("folder", FOLDERS)
def test_cells_carry_nbgraders_metadata(name, folder):
    cells = {
        cell.metadata.nbgrader["grade_id"]: cell for cell in read(folder, name).cells if "nbgrader" in cell.metadata
    }
    for exercise in exercises.of(name):
        answer, check = cells[exercise.id], cells[exercise.id + "-check"]
        assert answer.metadata.nbgrader["solution"] and not answer.metadata.nbgrader["grade"]
        assert check.metadata.nbgrader["grade"] and check.metadata.nbgrader["locked"]
        assert check.metadata.nbgrader["points"] == exercise.points
        assert check.source == f"check({exercise.entry})"
        assert f"def {exercise.entry}(" in answer.source
    assert len(cells) == 2 * len(exercises.of(name))


@each
def test_the_first_cell_imports_what_a_grader_has_ready(name):
    first = next(cell for cell in read("exercises", name).cells if cell.cell_type == "code")
    assert PRELUDE in first.source


@each
def test_solution_notebooks_hold_their_outputs_without_errors(name):
    for cell in read("solutions", name).cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error" and output.get("name") != "stderr", cell.source
        if cell.cell_type == "code" and cell.source.startswith("check("):
            (output,) = cell.outputs
            assert output.data["text/plain"].startswith("✓"), cell.source


def test_all_of_them_run_in_time_and_say_passed_or_not_attempted(tmp_path):
    runner = load(ROOT / "tests" / "test_notebooks.py")
    seconds = 0.0
    for folder in FOLDERS:
        place = tmp_path / folder
        place.mkdir()
        strict = []
        for name in NAMES:
            notebook = read(folder, name)
            for cell in notebook.cells:
                if cell.cell_type == "code" and cell.source.startswith("check("):
                    status = "passed" if folder == "solutions" else "not attempted"
                    cell.source = f"{cell.source}.verdict.status"
                    cell.source = f"assert {cell.source} == {status!r}"
            strict.append(place / f"{name}.ipynb")
            nbformat.write(notebook, strict[-1])
        outcomes = runner.run_in_chain_order(strict, place, "cpu", lambda text: None)
        for name, outcome in outcomes.items():
            assert not outcome.failures and outcome.cells, f"{folder}/{name}: {outcome.failures}"
            seconds += outcome.seconds
    assert seconds <= LIMIT, f"{seconds:.0f} s for all exercises and solutions, {LIMIT} s are allowed"


def test_a_missing_mark_is_named(tmp_path):
    maker = load(ROOT / "tools" / "exercises.py")
    notebook = read("solutions", "02_attention")
    cell = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    cell.source = cell.source.replace("### END SOLUTION", "")
    with pytest.raises(ValueError, match="02-causal-mask: the answer cell needs"):
        maker.exercise_of(notebook)
