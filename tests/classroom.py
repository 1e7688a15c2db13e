"""A small class for the grader's tests: notebooks with right and wrong answers, handed in."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nbformat

from course.practice import exercises

ROOT = Path(__file__).parent.parent
NOTEBOOK = "02_attention"
EXERCISES = exercises.of(NOTEBOOK)
POSSIBLE = sum(exercise.points for exercise in EXERCISES)
RELEASED = nbformat.read(ROOT / "exercises" / f"{NOTEBOOK}.ipynb", as_version=4)
SOLVED = nbformat.read(ROOT / "solutions" / f"{NOTEBOOK}.ipynb", as_version=4)
UPSIDE_DOWN = "def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).triu()"
ENDLESS = "def {0}(*arguments, **named):\n    while True:\n        pass"


def solved(base: Any = SOLVED, **changes: str) -> Any:
    """The notebook with every answer right, but those named by their function, which get another source."""
    notebook = copy.deepcopy(base)
    entries = {exercise.id: exercise.entry for exercise in exercises.everything().values()}
    for cell in notebook.cells:
        entry = entries.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if entry in changes:
            cell.source = changes[entry]
    return notebook


def own(number: int) -> dict[str, str]:
    """Right answers to the notebook that differ from everybody else's."""
    return {
        exercises.find(cell.metadata.nbgrader.grade_id).entry: f"{cell.source}\n# learner {number}"
        for cell in SOLVED.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


def hand_in(folder: Path, name: str, notebook: Any) -> Path:
    """Write a submission."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def without(notebook: Any, exercise: str) -> Any:
    """The notebook without the cell of an exercise."""
    found = copy.deepcopy(notebook)
    found.cells = [c for c in found.cells if c.metadata.get("nbgrader", {}).get("grade_id") != exercise]
    return found
