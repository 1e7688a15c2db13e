"""What is in a notebook: whatever editors and learners do to cells, a right answer keeps its points, with a remark."""

from __future__ import annotations

import copy
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from course.grading import blocks, jobs, notebook, source
from course.grading.extract import Found, read_notebook
from course.grading.jobs import Job, judge_job
from course.grading.text import clean
from course.practice import exercises

ROOT = Path(__file__).parent.parent
SECRET = b"a secret of sixteen or more bytes"
Cells = list[dict[str, Any]]


def book(name: str, folder: str = "solutions") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / folder / f"{name}.ipynb").read_text(encoding="utf-8"))
    return found


SOLVED = {name: book(name) for name in exercises.TOPICS}
ATTENTION = SOLVED["02_attention"]


def read(content: Any) -> Found:
    return read_notebook(content if isinstance(content, bytes) else json.dumps(content).encode())


def mark_of(cell: dict[str, Any]) -> str:
    return str(cell["metadata"].get("nbgrader", {}).get("grade_id", ""))


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def code(text: str, mark: str = "") -> dict[str, Any]:
    metadata = {"nbgrader": {"grade_id": mark}} if mark else {}
    return {"cell_type": "code", "metadata": metadata, "source": text, "outputs": [], "execution_count": None}


def answers_in(cells: Cells) -> list[int]:
    return [place for place, cell in enumerate(cells) if mark_of(cell) in exercises.everything()]


SOURCES = {
    mark_of(cell): text_of(cell) for content in SOLVED.values() for cell in content["cells"] if mark_of(cell)
}  # read here by an own, plainest way


def changed(change: Callable[[Cells, int], None], which: int = 0, name: str = "02_attention") -> dict[str, Any]:
    """The solved notebook after a change to one of its answers."""
    content = copy.deepcopy(SOLVED[name])
    change(content["cells"], answers_in(content["cells"])[which])
    return content


def judged(answers: dict[str, str]) -> dict[str, str]:
    """What the grader says of them."""
    found = {}
    for name, answer in answers.items():
        earlier = [answers.get(other, "") for other in exercises.find(name).uses]
        found[name] = judge_job(Job(name, (*earlier, answer)), SECRET, "bubblewrap").status
    return found


# --- what editors and learners do to an answer's cell -----------------------------------------------------------------


def id_lost(cells: Cells, i: int) -> None:
    del cells[i]["metadata"]["nbgrader"]


def old_id(cells: Cells, i: int) -> None:
    cells[i]["metadata"]["nbgrader"]["grade_id"] = "q3-old"


def id_written_otherwise(cells: Cells, i: int) -> None:
    cells[i]["metadata"]["nbgrader"]["grade_id"] = f" {mark_of(cells[i]).replace('-', '_').title()}"


def as_markdown(cells: Cells, i: int) -> None:
    cells[i]["cell_type"] = "markdown"


def as_raw(cells: Cells, i: int) -> None:
    cells[i]["cell_type"] = "raw"


def as_markdown_without_id(cells: Cells, i: int) -> None:
    as_markdown(cells, i)
    id_lost(cells, i)


def fenced(cells: Cells, i: int) -> None:
    as_markdown(cells, i)
    cells[i]["source"] = f"My answer:\n\n```python\n{text_of(cells[i])}\n```\n"


def timed(cells: Cells, i: int) -> None:
    cells[i]["source"] = "%%time\n" + text_of(cells[i])


def with_commands(cells: Cells, i: int) -> None:
    cells[i]["source"] = f"%matplotlib inline\n!pip install einops\n{text_of(cells[i])}\ntorch.ones?\n"


def checked_inside(cells: Cells, i: int) -> None:
    entry = exercises.find(mark_of(cells[i])).entry
    cells[i]["source"] = text_of(cells[i]) + f"\n\nresult = check({entry})\ndisplay(result); result\nhint({entry})"


def plotted_inside(cells: Cells, i: int) -> None:
    lines = "\n\nimport matplotlib.pyplot as plt\nfrom course.practice.check import check\nplt.show()"
    cells[i]["source"] = text_of(cells[i]) + lines


def split_before_the_function(cells: Cells, i: int) -> None:
    """As an editor does that copies the metadata to both halves."""
    first = copy.deepcopy(cells[i])
    first["source"] = "import math\nHALF = 0.5\n"
    cells.insert(i, first)


def split_inside_the_function(cells: Cells, i: int) -> None:
    """As an editor does that gives the second half no metadata."""
    lines = text_of(cells[i]).split("\n")
    cells[i]["source"] = "\n".join(lines[:3])
    cells.insert(i + 1, code("\n".join(lines[3:])))


def split_behind_the_docstring(cells: Cells, i: int) -> None:
    lines = text_of(cells[i]).split("\n")
    cells[i]["source"] = "\n".join(lines[:2])
    cells.insert(i + 1, code("\n".join(lines[2:]), mark_of(cells[i])))


def stub_left_and_answer_below(cells: Cells, i: int) -> None:
    entry = exercises.find(mark_of(cells[i])).entry
    cells.insert(i + 1, code(text_of(cells[i])))
    cells[i]["source"] = f'def {entry}(*a):\n    """It."""\n    # YOUR CODE HERE\n    raise NotImplementedError'


def broken_left_and_answer_below(cells: Cells, i: int) -> None:
    entry = exercises.find(mark_of(cells[i])).entry
    cells.insert(i + 1, code(text_of(cells[i])))
    cells[i]["source"] = f"def {entry}(*a:\n    return"


def written_into_the_check_cell(cells: Cells, i: int) -> None:
    check = next(cell for cell in cells if mark_of(cell) == mark_of(cells[i]) + "-check")
    check["source"] = text_of(cells[i]) + "\n" + text_of(check)
    cells[i]["source"] = ""


def stub_copied_above(cells: Cells, i: int) -> None:
    copied = copy.deepcopy(cells[i])
    stub_left_and_answer_below(cells, i)
    del cells[i + 1]
    cells.insert(i + 1, copied)


def windows_lines(cells: Cells, i: int) -> None:
    cells[i]["source"] = text_of(cells[i]).replace("\n", "\r\n")


def lines_without_ends(cells: Cells, i: int) -> None:
    cells[i]["source"] = text_of(cells[i]).split("\n")


def tabs(cells: Cells, i: int) -> None:
    cells[i]["source"] = text_of(cells[i]).replace("    ", "\t")


def half_character(cells: Cells, i: int) -> None:
    cells[i]["source"] = text_of(cells[i]) + "\n# \ud83d"


def pasted_with_prompts(cells: Cells, i: int) -> None:
    first, *rest = text_of(cells[i]).split("\n")
    cells[i]["source"] = "\n".join([f">>> {first}", *(f"... {line}" for line in rest)])


REMARKED: dict[Callable[[Cells, int], None], str] = {
    id_lost: "without their ids",
    old_id: "q3-old (cell",
    id_written_otherwise: "read as",
    as_markdown: "not code cells",
    as_raw: "not code cells",
    as_markdown_without_id: "not code cells",
    fenced: "not code cells",
    timed: "%%time",
    with_commands: "!pip install einops",
    checked_inside: "result = check(",
    plotted_inside: "plt.show()",
    split_before_the_function: "second cell with the id",
    split_inside_the_function: "Halves",
    split_behind_the_docstring: "Halves",
    stub_left_and_answer_below: "in the place of cell",
    broken_left_and_answer_below: "in the place of cell",
    written_into_the_check_cell: "in the place of cell",
    stub_copied_above: "second cell with the id",
}
SILENT = (windows_lines, lines_without_ends, tabs, half_character, pasted_with_prompts)


@pytest.mark.parametrize("change", [*REMARKED, *SILENT], ids=lambda change: change.__name__)
def test_whatever_happened_to_a_cell_its_answer_is_found_and_the_others_are_as_they_were(change):
    for name, content in SOLVED.items():
        for which, i in enumerate(answers_in(content["cells"])):
            exercise = mark_of(content["cells"][i])
            found = read(changed(change, which, name))
            assert found.error == ""
            kept = {other: answer for other, answer in found.answers.items() if other != exercise}
            asked = [e.id for e in exercises.of(name)]
            assert kept == {other: SOURCES[other] for other in asked if other != exercise}
            body = [line.strip() for line in SOURCES[exercise].split("\n") if line.strip()]
            got = [line.strip() for line in found.answers[exercise].split("\n")]
            assert [line for line in body if line not in got] == [], "every line of the answer is there"
            assert not [line for line in got if line.startswith(("%", "!", "check(", "display(", ">>>", "plt"))]
            said = [remark for remark in found.remarks if REMARKED.get(change, "nothing") in remark]
            assert len(said) == (change in REMARKED) and len(found.remarks) <= 2 * len(said), found.remarks
            assert all(exercise in remark for remark in said)


@pytest.fixture
def sandboxes(monkeypatch) -> Iterator[None]:
    """Sandboxes for one test."""
    monkeypatch.setattr(jobs, "_sandboxes", {})
    yield
    for sandbox in jobs._sandboxes.values():
        sandbox.close()


@pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
@pytest.mark.usefixtures("sandboxes")
def test_a_right_answer_keeps_its_points_in_every_situation():
    changes = [*REMARKED, *SILENT]
    given = {}
    for number, (name, content) in enumerate(SOLVED.items()):
        for which in range(len(answers_in(content["cells"]))):
            found = read(changed(changes[(5 * number + which) % len(changes)], which, name))
            exercise = mark_of(content["cells"][answers_in(content["cells"])[which]])
            given[exercise] = found.answers[exercise]
    assert set(given) == set(exercises.everything())
    assert {name: status for name, status in judged(given).items() if status != "passed"} == {}


@pytest.mark.parametrize("name", exercises.TOPICS)
def test_all_ids_lost_in_the_notebook_and_in_a_new_one(name):
    content = copy.deepcopy(SOLVED[name])
    expected = {mark: SOURCES[mark] for mark in (e.id for e in exercises.of(name))}
    for cell in content["cells"]:
        cell["metadata"] = {}
    assert read(content).answers == expected
    own = [code(text) for text in expected.values()]
    found = read({"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": own})
    assert found.answers == expected and len(found.remarks) == 1 and "in cell 1;" in found.remarks[0]
    together = read({"nbformat": 4, "cells": [code("\n\n".join(expected.values()))]})
    assert set(together.answers) == set(expected)


@pytest.mark.parametrize("name", exercises.TOPICS)
def test_nothing_in_a_released_notebook_is_taken_for_an_answer(name):
    released = book(name, "exercises")
    for with_ids in (True, False):
        for cell in released["cells"]:
            cell["metadata"] = cell["metadata"] if with_ids else {}
        found = read(released)
        assert set(found.answers) == {e.id for e in exercises.of(name)}
        assert all("raise NotImplementedError" in answer for answer in found.answers.values())
        assert bool(found.remarks) == (not with_ids)


def test_a_function_of_another_notebook_does_not_hand_that_notebook_in():
    content = copy.deepcopy(SOLVED["03_transformer"])
    content["cells"].insert(1, code(SOURCES["02-attention"]))
    assert {name[:2] for name in read(content).answers} == {"03"}
    for cell in content["cells"]:
        cell["metadata"] = {}
    assert {name[:2] for name in read(content).answers} == {"03"}


def test_colab_and_jupyterlite_and_old_formats_and_encodings():
    colab = copy.deepcopy(ATTENTION)
    colab |= {"nbformat_minor": 0, "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}}
    for cell in colab["cells"]:
        cell.pop("id", None)
    lite = {**ATTENTION, "metadata": {"kernelspec": {"language": "python", "name": "python"}, "language_info": 3}}
    ipython = {**ATTENTION, "metadata": {"language_info": {"name": "IPython"}}}
    plain = {key: value for key, value in ATTENTION.items() if key != "metadata"}
    text = json.dumps(ATTENTION)
    doubled = text.replace('{"cells":', '{"cells": [], "cells":', 1)
    assert doubled != text
    expected = {e.id: SOURCES[e.id] for e in exercises.of("02_attention")}
    same = [colab, lite, ipython, plain, b"\xef\xbb\xbf" + text.encode(), doubled.encode(), text.encode("utf-16-le")]
    same.append(text.replace('"nbformat_minor":', '"x": NaN, "y": -Infinity, "nbformat_minor":').encode())
    for content in (*same[:-2], same[-1]):
        assert read(content) == Found(expected)
    old = {
        "nbformat": 3,
        "metadata": {"name": ""},
        "worksheets": [{"cells": [{**c, "input": c["source"], "source": None} for c in ATTENTION["cells"]]}],
    }
    for cell in old["worksheets"][0]["cells"]:
        del cell["source"]
    for content, remark in ((old, "format 3"), (text.encode("utf-16"), "UTF-16")):
        found = read(content)
        assert found.answers == expected and [remark in said for said in found.remarks] == [True]


def test_another_language_is_an_error_only_where_the_answers_are_in_it():
    said = {"kernelspec": {"language": "julia"}}
    found = read({**ATTENTION, "metadata": said})
    assert found.answers and "julia" in found.remarks[-1]
    julia = [code("function causal_mask(T)\n  tril(trues(T, T))\nend", "02-causal-mask")]
    assert "written in julia" in read({"nbformat": 4, "metadata": said, "cells": julia}).error


# --- which of several cells counts ------------------------------------------------------------------------------------

FIRST, SECOND = "def causal_mask(T):\n    return 1", "def causal_mask(T):\n    return 2"
CHECK = code("check(causal_mask)", "02-causal-mask-check")


@pytest.mark.parametrize(
    ("cells", "counts"),
    [
        ([code(FIRST, "02-causal-mask"), code(SECOND, "02-causal-mask"), CHECK], SECOND),
        ([code(FIRST, "02-causal-mask"), CHECK, code(SECOND, "02-causal-mask")], FIRST),
        ([code(FIRST, "02-causal-mask"), CHECK, code(SECOND, "02-causal-mask"), CHECK], SECOND),
        ([code(FIRST, "02-causal-mask"), code(SECOND), CHECK], SECOND),
        ([code(FIRST, "02-causal-mask"), CHECK, code(SECOND)], FIRST),
        ([code(FIRST, "02-causal-mask"), code(SECOND)], FIRST),
        ([code(SECOND), code(FIRST, "02-causal-mask")], FIRST),
        ([code("", "02-causal-mask"), code(SECOND, "02-causal-mask")], SECOND),
        ([code(FIRST, "02-causal-mask"), code("pass", "02-causal-mask"), CHECK], FIRST),
    ],
)
def test_of_several_definitions_the_one_counts_that_check_would_judge_from_top_to_bottom(cells, counts):
    found = read({"nbformat": 4, "cells": cells})
    assert found.answers == {"02-causal-mask": counts}
    number = next(n for n, cell in enumerate(cells, 1) if cell["source"] == counts)
    assert any(f"cell {number}" in remark for remark in found.remarks), "the teacher is told which"


def test_what_the_check_of_ipython_judges_is_what_counts():
    """The rule against the thing itself: the cells are run in order, and what `check` got last is what counts."""
    chance = random.Random(7)
    pieces = [FIRST, SECOND, "def causal_mask(T):\n    raise NotImplementedError", "", "check(causal_mask)"]
    compared = 0
    for _ in range(300):
        texts = [chance.choice(pieces) for _ in range(chance.randint(1, 6))]
        cells = [code(text, "" if "check" in text else "02-causal-mask") for text in texts]
        got: list[Any] = []
        names: dict[str, Any] = {"check": got.append}
        for text in texts:
            if "check" not in text or "causal_mask" in names:
                exec(text, names)
        try:
            value = got[-1](3)
        except (IndexError, NotImplementedError):
            continue  # nothing was checked, or nothing written: there is nothing to compare with
        stubs_last = "NotImplementedError" in [text for text in texts if text.startswith("def")][-1]
        answer = read({"nbformat": 4, "cells": cells}).answers["02-causal-mask"]
        if not stubs_last:
            compared += 1
            assert f"return {value}" in answer, texts
    assert compared > 50


def test_former_ids_are_mapped(monkeypatch):
    monkeypatch.setitem(blocks.FORMER, "02-triangle", "02-causal-mask")
    found = read({"nbformat": 4, "cells": [code("mask = 3", "02-triangle")]})
    assert found.answers == {"02-causal-mask": "mask = 3"} and "02-triangle" in found.remarks[0]


def test_unknown_ids_are_told_beside_what_was_not_found():
    cells = [code("1", "02-something"), code(SOURCES["02-attention"], "02-attention")]
    said = " ".join(read({"nbformat": 4, "cells": cells}).remarks)
    assert "02-something (cell 1, passed over)" in said and "Nothing was found for 02-causal-mask" in said


# --- what an answer may have from other cells -------------------------------------------------------------------------


def test_imports_of_other_cells_are_added_and_helpers_further_away_are_not():
    uses = "def causal_mask(T):\n    return torch.tensor(np.tril(np.ones((T, T))) > zero())"
    cells = [
        code("import numpy as np\nimport os\nfrom course.attention import zero\nfrom math import pi as np2"),
        code("def zero():\n    return 0"),
        {"cell_type": "markdown", "metadata": {}, "source": "between"},
        code(uses, "02-causal-mask"),
    ]
    found = read({"nbformat": 4, "cells": cells})
    assert found.answers["02-causal-mask"] == f"import numpy as np\n{uses}"
    assert any("np of cell 1 for cell 4" in remark for remark in found.remarks)
    assert any("zero of cell 2" in remark for remark in found.remarks), "the teacher is told why it fails"
    del cells[2]  # beside the answer, it is a part of its cell
    found = read({"nbformat": 4, "cells": cells})
    assert found.answers["02-causal-mask"] == f"import numpy as np\ndef zero():\n    return 0\n{uses}"
    cells[1]["metadata"] = {"nbgrader": {"grade_id": "02-attention"}}  # but another exercise's answer is not
    assert "def zero" not in read({"nbformat": 4, "cells": cells}).answers["02-causal-mask"]


def test_of_a_neighbour_only_what_is_needed_is_added_and_in_order():
    before = code("import itertools\nHALF = 0.5\nprint('x')\nOTHER = 1 / 0\nTWICE = HALF * 2")
    after = code("def helper(n):\n    return itertools.count(n * TWICE)")
    answer = "def causal_mask(T):\n    return helper(T)"
    found = read({"nbformat": 4, "cells": [before, code(answer, "02-causal-mask"), after]})
    text = f"import itertools\nHALF = 0.5\nTWICE = HALF * 2\n{answer}\n{after['source']}"
    assert found.answers["02-causal-mask"] == text


def test_imports_from_the_future_stay_first():
    answer = "from __future__ import annotations\ndef causal_mask(T: np.ndarray):\n    return np.tri(T)"
    found = read({"nbformat": 4, "cells": [code("import numpy as np"), code(answer, "02-causal-mask")]})
    compile(found.answers["02-causal-mask"], "", "exec")
    assert "import numpy as np" in found.answers["02-causal-mask"]


def test_lines_that_an_answer_needs_are_never_passed_over():
    answer = (
        "TABLE = {}\nfor n in range(9):\n    TABLE[n] = n\ntorch.manual_seed(0)\ndef causal_mask(T):\n    return TABLE"
    )
    assert read({"nbformat": 4, "cells": [code(answer, "02-causal-mask")]}).answers["02-causal-mask"] == answer
    needed = "size = check(3)\ndef causal_mask(T):\n    return size"
    assert read({"nbformat": 4, "cells": [code(needed, "02-causal-mask")]}).answers["02-causal-mask"] == needed


# --- a notebook's own commands ----------------------------------------------------------------------------------------

COMMANDS = [
    "%matplotlib inline\nx = 1",
    "x = 1\n%timeit f(x)\ny = 2",
    "%time y = f(3)",
    "!ls -l 'it is",
    "!!ls",
    "files = !ls",
    "here = %pwd",
    "f?",
    "f.g??",
    "?f",
    "def f(x):\n    %time y = x\n    return y",
    "def f(x):\n    !ls\n    return x",
    's = """\n%matplotlib inline\n"""\n!ls',
    "y = (3\n%x)\n!ls",
    "y = 3 \\\n%x\n!ls",
    "# !ls\n%ls",
    's = \'a """ b\'\n!ls',
    "pip install x",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_commands_are_seen_where_ipython_sees_them(text):
    ours = source.plain(text)
    transformed = TransformerManager().transform_cell(text).split("\n")
    theirs = [n for n, line in enumerate(transformed) if "get_ipython()" in line] or [0] * text.startswith("pip")
    changed_lines = [n for n, (a, b) in enumerate(zip(text.split("\n"), ours.text.split("\n"), strict=True)) if a != b]
    assert changed_lines == theirs
    assert len(ours.harmless) + len(ours.missing) == len(theirs)
    assert source.parse(ours.text) is not None


def test_commands_that_change_the_meaning_are_said_and_never_passed_over_silently():
    for text in ("%%writefile a.py\n", "%%bash\n", "%%javascript\n", "%%python2\n", "%%\n", "%%time x\n%%html\n"):
        found = read({"nbformat": 4, "cells": [code(text + FIRST, "02-causal-mask")]})
        assert found.answers == {"02-causal-mask": ""}
        assert any("something else than Python" in remark for remark in found.remarks), text
    found = read({"nbformat": 4, "cells": [code(f"files = !ls\n%run a.py\n{FIRST}", "02-causal-mask")]})
    assert found.answers["02-causal-mask"] == f"pass\npass\n{FIRST}"
    assert "files = !ls" in found.remarks[0] and "%run a.py" in found.remarks[0] and "missing" in found.remarks[0]


# --- hostile files ----------------------------------------------------------------------------------------------------


def harmless(found: Found) -> bool:
    """Is everything that is shown short, few and of characters that can be shown?"""
    texts = [*found.remarks, found.error]
    return len(texts) <= 21 and all(len(text) < 2000 and clean(text, 2000) == text for text in texts)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not JSON at line 1"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"cells": ' + b"9" * 10_000 + b"}", "endless number"),
        (b'{"cells": "\xe9"}', "not UTF-8"),
        (b"\xff\xfe\x00", "not UTF-16"),
        (b"PK\x03\x04\x00\x00", "not"),
        (b"null", "no list of cells"),
        (b'{"nbformat": 3, "cells": []}', "format 3"),
        (b'{"nbformat": "\\ud800\\u001b[2J", "cells": []}', "format \\ud800\\u001b[2J"),
        (b'{"nbformat": [[[4]]], "cells": []}', "format list"),
        (b'{"nbformat": 4, "cells": [1, null, [], {"metadata": 3}, {"source": 5}]}', "No answer cell"),
        (
            b'{"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "\\ud800\\u202e\\n"}}}',
            "\\ud800\\u202e",
        ),
        (b'{"cells":[' + b"[]," * 2_000_000 + b"[]]}", "lists and tables"),
        (b" " * 20_000_001, "20 MB"),
    ],
    ids=range(16),
)
def test_what_is_no_notebook_gets_a_sentence(raw, sentence):
    found = read_notebook(raw)
    assert sentence in found.error and not found.answers
    assert harmless(found)


def nasty(chance: random.Random) -> Any:
    """A value where nobody expects it."""
    return chance.choice(
        [None, True, -1, 1e308, float("nan"), 10**400, "", "\ud800", "\x1b[2J\u202e\n", "=1+1", [], {}, [[[]]],
         ["a", 3], {"nbgrader": {"grade_id": "\ud83d"}}, {"grade_id": "02-attention"}, "def attention(", "\0", "%%x",
         "```", "(" * 300, "def attention(q):\n  return q", "from __future__ import braces", "lambda: (yield)",
         "\ufeffimport os", "'''"]
    )  # fmt: skip


def spoiled(value: Any, chance: random.Random, share: float) -> Any:
    """A copy in which a share of all parts, of whatever depth, is something else."""
    if chance.random() < share:
        return nasty(chance)
    if isinstance(value, dict):
        return {key: spoiled(part, chance, share) for key, part in value.items()}
    return [spoiled(part, chance, share) for part in value] if isinstance(value, list) else value


def test_whatever_is_in_the_fields_nothing_is_raised_and_what_is_said_can_be_shown():
    answered = 0
    for seed in range(300):
        chance = random.Random(seed)
        found = read(spoiled(ATTENTION, chance, 0.003 * (1 + seed % 20)))
        assert harmless(found), seed
        assert all(answer.encode() is not None for answer in found.answers.values())
        answered += bool(found.answers)
    assert answered > 100, "most of them are still notebooks"


def test_bytes_that_were_damaged_raise_nothing():
    raw = json.dumps(ATTENTION).encode()
    for seed in range(200):
        chance = random.Random(seed)
        damaged = bytearray(raw[: chance.randrange(len(raw))] if seed % 2 else raw)
        for _ in range(chance.randrange(20)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert harmless(read_notebook(bytes(damaged))), seed


def floods() -> dict[str, Cells]:
    """Cells that would take long, or say much."""
    ids = list(exercises.everything())
    entries = [exercises.find(name).entry for name in ids]
    own = [f"def {entry}(): return zzz" for entry in entries]
    return {
        "equal cells": [{"source": "x", "metadata": {"nbgrader": {"grade_id": "02-attention"}}}] * 200_000,
        "equal answers": [code(FIRST, "02-causal-mask")] * 100_000,
        "broken cells": [code(f"!x{i}\n" * 1300 + "def f(:", ids[i % len(ids)]) for i in range(500)],
        "commands": [code("%time x\n" * 6000 + "def f(:", name) for name in ids],
        "all functions in each": [code("\n".join(f"def {e}(): return {i}" for e in entries)) for i in range(2000)],
        "star imports": [code(f"from a{i} import *") for i in range(4000)] + list(map(code, own, ids)),
        "statements": [code("a;" * 480 + f"#{i}", ids[i % len(ids)]) for i in range(900)],
        "halves": [code("def causal_mask(T):\n  x", ids[6])] + [code(f"  y{i}") for i in range(4900)],
        "brackets": [code("(\n" * 90 + str(i), ids[0]) for i in range(4900)],
        "depth": [code(f"{'+'.join('1' * 20000)}+{i}", name) for i, name in enumerate(ids)],
        "quotes": [code("x?\n" + "'\"\\" * 16000, name) for name in ids],
        "fences": [{**code(f"```\n~~~\n{i}\n" * 3000, name), "cell_type": "markdown"} for i, name in enumerate(ids)],
        "ids": [code("x = 1", f"{i}" * 1000) for i in range(3000)] + [code("y", "02-attention")],
    }


FLOODS = floods()


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_takes_little_time_and_few_words(name):
    raw = json.dumps({"nbformat": 4, "cells": FLOODS[name]}).encode()
    assert len(raw) < notebook.MAX_FILE
    started = time.process_time()
    found = read_notebook(raw)
    assert time.process_time() - started < 4.0, "half a second to one and a half on a free machine"
    assert harmless(found) and len(found.remarks) <= 6 and not found.error
    assert all(len(answer) <= 2 * notebook.MAX_SOURCE for answer in found.answers.values())


def test_a_notebook_as_it_should_be_is_read_without_a_remark_and_fast():
    for name, content in SOLVED.items():
        assert read(content) == Found({e.id: SOURCES[e.id] for e in exercises.of(name)})
    raw = json.dumps(ATTENTION).encode()
    started = time.process_time()
    for _ in range(20):
        read_notebook(raw)
    assert (time.process_time() - started) / 20 < 0.03, "20 notebooks per second need far less than their share"
