"""Run the notebooks in chain order and write their outputs back: `make notebooks [ONLY="04 05"]`.

All run on the CPU in one fresh artifact folder, so the committed outputs show what a newcomer sees. A
notebook is written only when every one of its cells succeeded. What changes from run to run without a
reason (times, random names of widgets, versions) is left out, so that a diff shows what really changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from course.practice.predict import FIRST, MARK
from course.show.widgets import COMPARED, COMPARED_BELOW, FOLD, below_fold

ROOT = Path(__file__).resolve().parent.parent
CELL_LIMIT = 1800  # seconds, after which a cell hangs: the longest takes 4 minutes, 12 on a slow laptop


def widgets_shown(notebook: Any) -> list[str]:
    """The random names of the stored widgets that are shown, each before what it is made of."""
    stored = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    state = stored.get("state", {})
    queue = [
        output.data["application/vnd.jupyter.widget-view+json"]["model_id"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    order: dict[str, None] = {}
    while queue:
        name = queue.pop(0)
        if name in state and name not in order:
            order[name] = None
            queue += re.findall(r"IPY_MODEL_([0-9a-f]{32})", json.dumps(state[name], sort_keys=True))
    return list(order)


def steady(notebook: Any, stem: str) -> Any:
    """The notebook without what differs between two equal runs."""
    widgets, order = notebook.metadata.get("widgets"), widgets_shown(notebook)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "file_extension": ".py"},
    }
    if widgets:
        notebook.metadata["widgets"] = widgets  # so that sliders are seen before anything has run
    for cell in notebook.cells:
        for name in ("execution", "lines_to_next_cell"):
            cell.metadata.pop(name, None)
    text = nbformat.writes(notebook)
    for number, name in enumerate(order):
        text = text.replace(name, hashlib.md5(f"{stem} {number}".encode()).hexdigest())
    return nbformat.reads(text, as_version=4)


def fold_predictions(notebook: Any) -> None:
    """Fold the outputs between "Predict first" and the finding, so that JupyterLab does not give the answer away.

    It unfolds them when the cell is run. A finding is a paragraph that begins so; a heading ends the question, too.
    Of what is folded JupyterLab shows the first line, so a sentence comes first. What asks stays open. Since no cell
    prints that sentence, nbval by itself could not compare the outputs below it: the project's tests do (their tag).
    """
    asked = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            asked = asked and not re.search(r"^(\*\*Finding|#{2,} )", cell.source, re.MULTILINE)
            asked = asked or "**Predict first" in cell.source
            continue
        folds = cell.metadata.pop("jupyter", {})
        folds.pop("outputs_hidden", None)
        asks = any(output.get("metadata") == MARK for output in cell.outputs)
        cell.outputs = below_fold(cell.outputs)
        tags = cell.metadata.get("tags", [])
        if COMPARED_BELOW in tags:
            tags[tags.index(COMPARED_BELOW)] = COMPARED
        if asked and cell.outputs and not asks:
            folds["outputs_hidden"] = True
            if COMPARED in tags:
                tags[tags.index(COMPARED)] = COMPARED_BELOW
            first = {"text/html": FIRST, "text/plain": FIRST}
            cell.outputs.insert(0, nbformat.v4.new_output("display_data", data=first, metadata=FOLD))
        if folds:
            cell.metadata["jupyter"] = folds


def leave_questions_as_text(notebook: Any) -> None:
    """Leave out the buttons of predictions: before the cell is run nobody hears them, and their text says the same."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("metadata") == MARK:
                output.data.pop("application/vnd.jupyter.widget-view+json", None)
    stored = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    shown = {*widgets_shown(notebook)}
    stored["state"] = {name: state for name, state in stored.get("state", {}).items() if name in shown}
    if not shown:
        notebook.metadata.pop("widgets", None)


class Client(NotebookClient):
    """A client that forgets the widgets that have been closed, as a browser does."""

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Handle a message of the kernel."""
        if msg["msg_type"] == "comm_close":
            self.widget_state.pop(msg["content"]["comm_id"], None)
        return super().process_message(msg, cell, cell_index)


def drop_closed_widgets(notebook: Any) -> None:
    """Leave out the outputs of widgets that are gone, such as a progress bar that has reached its end."""
    view = "application/vnd.jupyter.widget-view+json"
    stored = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    alive = stored.get("state", {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            views = [output for output in cell.outputs if view in output.get("data", {})]
            closed = [output for output in views if output.data[view]["model_id"] not in alive]
            cell.outputs = [output for output in cell.outputs if output not in closed]


def merge_streams(notebook: Any) -> None:
    """One text output per stream and place: prints arrive in as many pieces as the clock had it."""
    for cell in notebook.cells:
        merged: list[Any] = []
        for output in cell.get("outputs", ()):
            same = merged and output.output_type == "stream" and merged[-1].get("name") == output.name
            if same:
                merged[-1].text += output.text
            else:
                merged.append(output)
        if cell.cell_type == "code":
            cell.outputs = merged


def run(path: Path) -> float:
    """Run one notebook and write it back; returns the seconds. Raises CellExecutionError, writing nothing."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    client = Client(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute(stderr=subprocess.DEVNULL)  # the kernel's own log, not the cells' output
    seconds = time.perf_counter() - start
    drop_closed_widgets(notebook)
    leave_questions_as_text(notebook)
    merge_streams(notebook)
    fold_predictions(notebook)
    done = path.with_suffix(".ipynb.partial")
    nbformat.write(steady(notebook, path.stem), done)
    os.replace(done, path)
    return seconds


def main() -> int:
    """Run the notebooks that the command line names by their beginnings, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 04 (default: all)")
    parser.add_argument("--folder", default="notebooks", help="notebooks or solutions (default: notebooks)")
    parser.add_argument("--home", help="an artifact folder to go on with (default: a fresh one)")
    asked = parser.parse_args()
    paths = sorted((ROOT / asked.folder).glob("*.ipynb"))
    unknown = [name for name in asked.names if not any(path.name.startswith(name) for path in paths)]
    if unknown:
        parser.error(f"no notebook begins with {', '.join(unknown)}; there are {', '.join(p.stem for p in paths)}")
    chosen = [path for path in paths if not asked.names or path.name.startswith(tuple(asked.names))]
    os.environ.pop("MPLBACKEND", None)
    os.environ["COURSE_DEVICE"] = "cpu"
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="course-") as fresh:
        os.environ["COURSE_HOME"] = asked.home or fresh
        for path in chosen:
            print(f"{path.stem:<20}", end="", flush=True)
            try:
                seconds = run(path)
            except CellExecutionError as error:
                print(f"failed, and is left as it was.\n{error}", file=sys.stderr)
                return 1
            total += seconds
            print(f"{seconds:6.0f} s   {path.stat().st_size / 1e3:6.0f} kB", flush=True)
    print(f"{'together':<20}{total:6.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
