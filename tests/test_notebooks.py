"""The notebooks: each is in good order as committed, and the whole chain runs as a learner would run it.

The run is one pytest of its own with nbval: every notebook in chain order, in a fresh artifact folder, with
the default settings and without network. Cells tagged `nbval-check-output` must print what is committed, all
others hold by their asserts. `python3 start.py test -k "runs and 04"` runs that one notebook.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from course.practice.predict import FIRST, MARK
from course.show.widgets import COMPARED, COMPARED_BELOW, FOLD, below_fold

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHAIN = (
    "00_welcome",
    "01_tokens",
    "02_attention",
    "03_transformer",
    "04_pretraining",
    "05_generation",
    "06_in_context",
    "08_sft",
    "09_reward_model",
    "10_rlhf_ppo",
    "11_dpo_and_grpo",
)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
CELL_LIMIT = 1800  # seconds, after which a cell hangs: the longest takes 4 minutes, 12 on a slow laptop
THREADS = 2
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|Users|opt|mnt|work|private|var)/|\b[A-Z]:\\\\?Users")


@dataclass
class Outcome:
    """What became of one notebook: its seconds, and a message per failed cell."""

    seconds: float = 0.0
    cells: int = 0
    failures: list[str] = field(default_factory=list)


def without_sentences(path: Path, copy: Path) -> Path:
    """A copy of a notebook without the sentences above what is folded, so that nbval compares what is below, too."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = below_fold(cell.outputs)
            cell.metadata["tags"] = [
                COMPARED if tag == COMPARED_BELOW else tag for tag in cell.metadata.get("tags", [])
            ]
    nbformat.write(notebook, copy)
    return copy


def run_in_chain_order(
    notebooks: list[Path], folder: Path, device: str, say: Callable[[str], None]
) -> dict[str, Outcome]:
    """Run notebooks under nbval in one pytest; returns stem -> Outcome and says the seconds of each."""
    (folder / "notebooks").mkdir()
    notebooks = [without_sentences(path, folder / "notebooks" / path.name) for path in notebooks]
    settings = folder / "nbval.ini"
    settings.write_text("[pytest]\n")  # not the project's settings, which are for its own tests
    report = folder / "report.xml"
    surroundings = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    surroundings |= {
        "COURSE_HOME": str(folder / "artifacts"),
        "COURSE_DEVICE": device,
        "COURSE_THREADS": str(THREADS),
        "OMP_NUM_THREADS": str(THREADS),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "offline"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
    }
    place = notebooks[0].parent
    command = [sys.executable, "-m", "pytest", "-c", str(settings), "--rootdir", str(place)]
    command += ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_LIMIT}"]
    command += ["-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-v", "--color=no", *map(str, sorted(notebooks))]
    outcomes = {path.stem: Outcome() for path in notebooks}
    said, current, ended = [], "", time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=place,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            said.append(line)
            cell = re.match(r"(?:.*[/\\])?([^/\\]+?)(?:\.ipynb|::ipynb)::Cell \d+ ([A-Z]+)", line)
            if cell is None:
                continue
            if cell[1] != current:
                current = cell[1]
                say(f"\n{current} on {device}: ")
            now = time.perf_counter()
            outcomes[current].seconds += now - ended
            ended = now
            say("." if cell[2] == "PASSED" else cell[2][0])
    assert report.exists(), "the run of the notebooks broke off:\n" + "".join(said[-40:])
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = outcomes[case.get("classname", "").removesuffix(".ipynb")]
        outcome.cells += 1
        for problem in [*case.findall("failure"), *case.findall("error")]:
            text = re.sub(r"(?:#x1B|\x1b)\[[0-9;]*m", "", problem.text or "")
            outcome.failures.append(f"{case.get('name')}: {text}")
    for stem, outcome in outcomes.items():
        say(f"\n{stem} on {device}: {outcome.seconds:.0f} s, {outcome.cells} cells, {len(outcome.failures)} failed")
    say("\n")
    return outcomes


@pytest.fixture(scope="module")
def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """device -> outcomes of the selected notebooks, run once per device."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    chosen = {
        item.callspec.params["notebook"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test_the_notebook_runs.__name__
    }
    done: dict[str, dict[str, Outcome]] = {}

    def say(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(text, end="", flush=True)

    def outcomes(device: str) -> dict[str, Outcome]:
        if device not in done:
            folder = tmp_path_factory.mktemp(f"chain-{device}")
            done[device] = run_in_chain_order(sorted(chosen), folder, device, say)
        return done[device]

    return outcomes


def test_the_chain_is_complete():
    missing = set(CHAIN) - {path.stem for path in NOTEBOOKS}
    assert not missing, f"missing in notebooks/: {sorted(missing)}"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(chain, notebook, device):
    outcome = chain(device)[notebook.stem]
    more = f"\n({len(outcome.failures) - 1} later cells failed too)" if len(outcome.failures) > 1 else ""
    if outcome.failures:
        pytest.fail(f"{notebook.stem}, {outcome.failures[0]}{more}", pytrace=False)
    assert outcome.cells > 0


def small_notebook(path: Path, *sources: str) -> Path:
    """Write a notebook of these code cells."""
    cells = [nbformat.v4.new_code_cell(source, outputs=[]) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_failing_cell_is_reported_with_its_message_and_the_network_is_blocked(tmp_path):
    good = small_notebook(tmp_path / "00_good.ipynb", "import os\nopen(os.environ['COURSE_HOME'], 'x').close()")
    bad = small_notebook(
        tmp_path / "01_bad.ipynb",
        "import os; assert os.path.exists(os.environ['COURSE_HOME']), 'the chain shares one artifact folder'",
        "import urllib.request; urllib.request.urlopen('http://example.org')",
        "assert 1 == 2, 'one is not two'",
    )
    said: list[str] = []
    outcomes = run_in_chain_order([bad, good], tmp_path, "cpu", said.append)
    assert outcomes["00_good"].failures == []
    first, second = outcomes["01_bad"].failures
    assert "Cell 1" in first and "The network is blocked in tests" in first
    assert "Cell 2" in second and "one is not two" in second
    assert "01_bad on cpu: " in "".join(said)


# --- as committed ---


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def committed(request: pytest.FixtureRequest) -> tuple[Path, Any]:
    """A notebook's path and content."""
    return request.param, nbformat.read(request.param, as_version=4)


def outputs(notebook: Any) -> Iterator[tuple[int, Any]]:
    """(number of the cell, output) for every output."""
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            yield number, output


def test_it_is_valid_small_and_for_any_python_3(committed):
    path, notebook = committed
    nbformat.validate(notebook)
    assert path.stat().st_size < 1_000_000, f"{path.name} has {path.stat().st_size / 1e6:.2f} MB, 1 MB is the limit"
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_it_begins_with_its_title(committed):
    path, notebook = committed
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.lstrip().startswith("# "), f"{path.name} begins with {first.source[:40]!r}, not with a title"


def test_it_holds_the_outputs_of_one_run_from_top_to_bottom(committed):
    path, notebook = committed
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), f"run {path.name} again: make notebooks ONLY={path.stem}"
    assert any(True for _ in outputs(notebook)), f"{path.name} has no outputs"


def test_it_shows_no_errors_and_no_warnings(committed):
    path, notebook = committed
    for number, output in outputs(notebook):
        assert output.output_type != "error", f"{path.name}, cell {number}: {output.get('evalue')}"
        noise = output.get("name") == "stderr"
        assert not noise, f"{path.name}, cell {number} prints to stderr: {output.get('text', '')[:200]}"


def test_no_progress_bar_is_left_over(committed):
    path, notebook = committed
    for number, output in outputs(notebook):
        shown = str(output.get("text", "")) + "".join(output.get("data", {}).get("text/plain", ""))
        assert not re.search(r"\d+%\|", shown), f"{path.name}, cell {number} leaves a progress bar: {shown[:80]}"


def asks_for_a_prediction(cell: Any) -> bool:
    """Is it a cell with `guess = predict(...)`?"""
    return cell.cell_type == "code" and cell.source.startswith("guess = predict(")


def test_it_has_prose_between_any_two_code_cells(committed):
    path, notebook = committed
    kinds = [cell.cell_type for cell in notebook.cells]
    asks = [asks_for_a_prediction(cell) for cell in notebook.cells]  # a question to click on is prose, too
    pairs = [n for n in range(1, len(kinds)) if kinds[n - 1] == kinds[n] == "code" and not asks[n - 1]]
    assert not pairs, f"{path.name}: no sentence before the code cells {pairs}"


def test_what_is_to_be_predicted_is_folded_until_the_cell_runs(committed):
    cells = committed[1].cells
    folded = [cell.metadata.get("jupyter", {}).get("outputs_hidden", False) for cell in cells]
    questions = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and "**Predict first" in cell.source]
    assert questions and not any(folded[: questions[0]]), "before the first question nothing is folded"
    for i, cell in enumerate(cells):
        assert not folded[i] or COMPARED not in cell.metadata.get("tags", []), f"give cell {i} {COMPARED_BELOW}"
        assert not folded[i] or (cell.outputs[0].metadata == FOLD and cell.outputs[0].data["text/html"] == FIRST), (
            f"JupyterLab shows the first line of what is folded, and of cell {i} that is no sentence: make notebooks"
        )
    for question in questions:
        shown = next(
            i
            for i in range(question + 1, len(cells))
            if cells[i].get("outputs") and not asks_for_a_prediction(cells[i])
        )
        assert folded[shown], f"cell {shown} answers the question of cell {question}"
    for i, cell in enumerate(cells):
        if cell.source.startswith("**Finding"):
            after = next((j for j in range(i + 1, len(cells)) if cells[j].get("outputs")), None)
            asked = any(i <= question < after for question in questions) if after else True
            assert asked or not folded[after], f"cell {after} comes after a finding, and no question"


def test_every_question_is_answered_by_a_click_before_the_result_opens(committed):
    path, notebook = committed
    cells = notebook.cells
    asked = [i for i, cell in enumerate(cells) if asks_for_a_prediction(cell)]
    questions = [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and "**Predict first" in cell.source]
    assert len(asked) == len(questions), f"{path.name}: {len(questions)} questions, {len(asked)} to click on"
    names = []
    for question, place, end in zip(questions, asked, [*questions[1:], len(cells)], strict=True):
        cell = cells[place]
        call = ast.parse(cell.source).body[0].value
        names.append(ast.literal_eval(call.args[0]))
        assert question < place < end and names[-1].startswith(path.name[:2] + " ")
        assert cell.metadata.get("jupyter", {}).get("source_hidden"), f"fold cell {place}: its source holds the answer"
        assert cell.source.split("\n")[0] == "guess = predict(", f"JupyterLab shows the first line of cell {place}"
        assert [output.metadata for output in cell.outputs] == [MARK] and "text/html" in cell.outputs[0].data
        assert cells[place + 1].metadata.get("jupyter", {}).get("outputs_hidden"), f"cell {place + 1} is not the result"
        told = [cells[i].source for i in range(place, end) if cells[i].cell_type == "code"]
        calls = re.findall(r"^guess\.tell\((.*)\)$", "\n".join(told), re.MULTILINE)
        right = any(keyword.arg == "right" for keyword in call.keywords)
        assert len(calls) == 1 and bool(calls[0]) != right, f"{names[-1]}: what came out is told once"
    assert len({*names}) == len(names)


def test_its_quiz_does_not_show_the_answers(committed):
    _, notebook = committed
    quizzes = [cell for cell in notebook.cells if cell.cell_type == "code" and re.search(r"^Quiz\(", cell.source, re.M)]
    assert len(quizzes) == 1
    assert quizzes[0].metadata.get("jupyter", {}).get("source_hidden"), "fold the cell: its source holds the answers"


def test_its_pictures_have_alternative_texts(committed):
    path, notebook = committed
    for number, output in outputs(notebook):
        data = output.get("data", {})
        html = "".join(data.get("text/html", ""))
        for picture in (kind for kind in data if kind.startswith("image/")):
            described = output.metadata.get("alt") or output.metadata.get(picture, {}).get("alt") or "alt=" in html
            assert described, f"{path.name}, cell {number}: a picture without alternative text"
        for tag in re.findall(r"<img\b[^>]*>", html):
            assert re.search(r"""\balt=(["'])\s*\S.*?\1""", tag, re.DOTALL), f"{path.name}, cell {number}: {tag[:80]}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell.source), f"{path.name}: a picture without alternative text"


def test_it_names_no_folder_of_the_machine_that_ran_it(committed):
    path, notebook = committed
    texts = [cell.source for cell in notebook.cells]
    for _, output in outputs(notebook):
        texts.append(str(output.get("text", "")))
        texts += [str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    for text in texts:
        text = re.sub(r"data:image/[^\"']*", "", text)
        found = MACHINE_PATH.search(text)
        assert not found, f"{path.name} names a machine's folder: …{text[max(0, found.start() - 40) :][:100]}…"
        assert str(Path.home()) not in text


def test_its_relative_links_resolve(committed):
    path, notebook = committed
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for link in re.findall(r"\]\((?!https?:|mailto:|#|attachment:)([^)#\s]+)", cell.source):
            assert (path.parent / link).exists(), f"{path.name} links to {link}, which does not exist"
