"""Make the exercise notebooks from the solution notebooks: `make exercises`.

A solution notebook is written by people. What stands between `### BEGIN SOLUTION` and `### END SOLUTION` becomes a
line to be replaced by the learner, cells tagged "solution" (the explanations) are left out, and so are outputs. The
marks and the cells' metadata are nbgrader's, so its own tools do the same with the same files.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS, EXERCISES = ROOT / "solutions", ROOT / "exercises"
REGION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*$", re.DOTALL | re.MULTILINE)
STUB = "# YOUR CODE HERE\n{0}raise NotImplementedError  # take this line away when you begin"


def exercise_of(solution: Any) -> Any:
    """The notebook that learners get. Raises ValueError, naming the cell, where a mark is missing."""
    notebook = copy.deepcopy(solution)
    notebook.cells = [cell for cell in notebook.cells if "solution" not in cell.metadata.get("tags", ())]
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if not cell.metadata.get("nbgrader", {}).get("solution"):
            continue
        name = cell.metadata["nbgrader"]["grade_id"]
        cell.source, found = REGION.subn(lambda mark: mark[1] + STUB.format(mark[1]), cell.source)
        if not found or "### BEGIN" in cell.source or "### END" in cell.source:
            raise ValueError(f"{name}: the answer cell needs ### BEGIN SOLUTION and ### END SOLUTION, each in a line.")
    return notebook


def written(notebook: Any) -> str:
    """A notebook as the text of its file."""
    return str(nbformat.writes(notebook)) + "\n"


def main() -> int:
    """Write exercises/ anew; files that are up to date are left alone."""
    EXERCISES.mkdir(exist_ok=True)
    for path in sorted(SOLUTIONS.glob("*.ipynb")):
        try:
            text = written(exercise_of(nbformat.read(path, as_version=4)))
        except ValueError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        target = EXERCISES / path.name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
            print(f"{target.relative_to(ROOT)} is new")
    for path in sorted(EXERCISES.glob("*.ipynb")):
        if not (SOLUTIONS / path.name).exists():
            print(f"{path.relative_to(ROOT)} has no solution notebook; remove it or write one.", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
