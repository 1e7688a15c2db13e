"""Grading a class: every file gets its due, whatever is wrong with it; nothing is lost, nothing is judged twice."""

from __future__ import annotations

import copy
import csv
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from classroom import EXERCISES, NOTEBOOK, POSSIBLE, RELEASED, ROOT, SOLVED, UPSIDE_DOWN, hand_in, solved, without

from course.cli import main
from course.grading import grade, intake, jobs, report
from course.grading.log import Result, read_log
from course.grading.sandbox import Sandbox, SandboxError, bubblewrap
from course.grading.submission import Submission
from course.practice import progress

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")


def results_of(results: list[Result], learner: str) -> dict[str, Result]:
    return {result.exercise: result for result in results if result.learner == learner}


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """Folders for submissions and results."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


def test_right_and_wrong_and_missing_answers_get_their_points(place):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    hand_in(folder, "ben.ipynb", solved(causal_mask=UPSIDE_DOWN))
    hand_in(folder, "carol.ipynb", RELEASED)
    hand_in(folder, "dan.ipynb", solved(multi_head="def multi_head(:", attention="1 / 0"))
    hand_in(folder, "eve.ipynb", without(solved(), "02-attention"))
    handed_in, results = grade.grade(folder, out)
    assert [submission.error for submission in handed_in.submissions] == [""] * 5
    points = Counter()
    for result in results:
        points[result.learner] += result.points
    assert points["aiko"] == POSSIBLE
    assert {r.status for r in results_of(results, "carol").values()} == {"not attempted"}
    ben = results_of(results, "ben")
    assert ben["02-causal-mask"].status == "failed" and "tril, not triu" in ben["02-causal-mask"].category
    assert ben["02-attention"].status == "passed"
    dan = results_of(results, "dan")
    assert dan["02-multi-head"].category == "raised SyntaxError"
    assert dan["02-attention"].category == "raised ZeroDivisionError"
    assert dan["02-causal-mask"].status == dan["02-leaky-attention"].status == "passed"
    eve = results_of(results, "eve")
    assert eve["02-attention"].status == "raised" and eve["02-attention"].points == 0
    assert eve["02-multi-head"].status == "passed", "it calls the missing one, for which the given one stands"
    assert all(result.level == "bubblewrap" for result in results)


def test_an_answer_may_use_earlier_ones_and_nothing_else_of_the_notebook(place):
    folder, out = place
    own = "def multi_head(x, w_qkv, w_out, n_head):\n    return helper(x, w_qkv, w_out, n_head)"
    notebook = solved(multi_head=own)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("def helper(*a): ..."))
    hand_in(folder, "aiko.ipynb", notebook)
    hand_in(folder, "ben.ipynb", solved())
    _, results = grade.grade(folder, out)
    assert results_of(results, "aiko")["02-multi-head"].category == "raised NameError"
    assert results_of(results, "ben")["02-multi-head"].status == "passed", "its solution calls attention, causal_mask"


def bad_files(folder: Path) -> dict[str, str]:
    """Write files that are no good; name -> part of what must be said."""
    text = nbformat.writes(solved())
    (folder / "a broken one.ipynb").write_text(text[: len(text) // 2])
    (folder / "empty.ipynb").write_text("")
    (folder / "空の 名前.ipynb").write_text("{}")
    (folder / "latin.ipynb").write_bytes(b'{"cells": "\xe9"}')
    (folder / "list.ipynb").write_text("[1, 2]")
    (folder / "deep.ipynb").write_text("[" * 200_000)
    (folder / "digits.ipynb").write_text('{"cells": ' + "9" * 10_000 + "}")
    (folder / "old.ipynb").write_text(json.dumps({"nbformat": 3, "cells": []}))
    (folder / "r.ipynb").write_text(
        json.dumps({"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "R"}}})
    )
    (folder / "strange.ipynb").write_text(json.dumps({"nbformat": 4, "cells": [1, None, {"metadata": 3}, []]}))
    with (folder / "huge.ipynb").open("wb") as file:
        file.truncate(200_000_000)
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "loop.ipynb").symlink_to(folder / "loop.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "folder.ipynb").mkdir()
    return {
        "a broken one.ipynb": "Was it broken off",
        "empty.ipynb": "empty",
        "空の 名前.ipynb": "no list of cells",
        "latin.ipynb": "not UTF-8",
        "list.ipynb": "no list of cells",
        "deep.ipynb": "nested too deeply",
        "digits.ipynb": "endless number",
        "old.ipynb": "format 3",
        "r.ipynb": "written in R",
        "strange.ipynb": "No answer cell",
        "huge.ipynb": "200 MB",
        "link.ipynb": "a link",
        "loop.ipynb": "a link",
        "pipe.ipynb": "a pipe, not a file",
        "folder.ipynb": "folder is empty",
    }


def test_bad_files_get_a_sentence_each_and_the_batch_goes_on(place):
    folder, out = place
    expected = bad_files(folder)
    good = hand_in(folder, "zoe.ipynb", solved())
    before = good.read_bytes()
    started = time.perf_counter()
    ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert time.perf_counter() - started < 60
    handed_in = intake.collect(folder)
    said = dict([(one.file, one.error) for one in handed_in.submissions if one.error] + handed_in.nobody)
    for name, sentence in expected.items():
        assert sentence in said[name], (name, said)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(sentence in page for sentence in expected.values())
    assert sum(r.points for r in read_log(out / "results.jsonl") if r.learner == "zoe") == POSSIBLE
    assert good.read_bytes() == before, "a learner's file is never changed"


def test_a_second_cell_with_the_same_id_is_named_and_the_first_counts(place):
    folder, out = place
    notebook = solved()
    answer = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == "02-causal-mask")
    second = copy.deepcopy(answer)
    second.id, second.source = "second", UPSIDE_DOWN
    notebook.cells.append(second)
    hand_in(folder, "aiko.ipynb", notebook)
    handed_in, results = grade.grade(folder, out)
    (submission,) = handed_in.submissions
    assert "second cell with the id 02-causal-mask" in submission.remarks[0]
    assert results_of(results, "aiko")["02-causal-mask"].status == "passed"


def test_tags_outputs_and_test_cells_of_the_submission_are_ignored(place):
    folder, out = place
    notebook = solved(causal_mask=UPSIDE_DOWN)
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "raises-exception", "solution"]
        if "grade_id" in cell.metadata.get("nbgrader", {}):
            cell.metadata.nbgrader["points"] = 999
        if cell.cell_type == "code" and cell.source.startswith("check("):
            cell.source = "print('passed')"
    hand_in(folder, "aiko.ipynb", notebook)
    _, results = grade.grade(folder, out)
    assert results_of(results, "aiko")["02-causal-mask"].points == 0
    assert sum(result.points for result in results) == POSSIBLE - 1


def test_two_files_of_one_learner(place):
    folder, out = place
    hand_in(folder, "aiko/first.ipynb", solved())
    hand_in(folder, "aiko/second.ipynb", RELEASED)
    hand_in(folder, "ben/first.ipynb", solved())
    handed_in, results = grade.grade(folder, out)
    remarks = {one.file: " ".join(one.remarks) for one in handed_in.submissions}
    assert "handed in 2 times; this one counts" in remarks["aiko/first.ipynb"]
    assert "aiko/first.ipynb counts, not this" in remarks["aiko/second.ipynb"]
    assert sum(result.points for result in results if result.learner == "aiko") == POSSIBLE


def test_equal_answers_are_judged_once_and_a_second_run_judges_nothing(place, monkeypatch):
    folder, out = place
    for number in range(6):
        hand_in(folder, f"learner {number}.ipynb", solved())
    asked: list[int] = []
    grade.grade(folder, out, progress=lambda done, total: asked.append(total))
    assert set(asked) == {len(EXERCISES)}, "six equal notebooks are five answers"
    log = out / "results.jsonl"
    assert len(read_log(log)) == 6 * len(EXERCISES)
    before = log.read_bytes()
    hand_in(folder, "one more.ipynb", solved())
    monkeypatch.setattr(grade.Desk, "_judges", None)  # nothing is left to judge
    _, results = grade.grade(folder, out)
    assert len(results) == 7 * len(EXERCISES)
    assert log.read_bytes().startswith(before), "the log is only appended to"


def test_a_changed_answer_is_judged_anew(place):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved(causal_mask=UPSIDE_DOWN))
    grade.grade(folder, out)
    hand_in(folder, "aiko.ipynb", solved())
    _, results = grade.grade(folder, out)
    assert sum(result.points for result in results) == POSSIBLE


def test_after_a_change_in_the_library_everything_is_judged_anew(place, tmp_path, monkeypatch):
    library = tmp_path / "course"
    (library / "exercises").mkdir(parents=True)
    places = [library / "attention.py", library / "exercises" / "attention.py"]
    for source in places:
        source.write_text("x = 1\n")
    monkeypatch.setattr(jobs, "LIBRARY", library)
    measure = jobs.grader_version.__wrapped__  # without its memory
    versions = [measure()]
    for source in places:
        source.write_text("x = 2\n")
        versions.append(measure())
    (library / "exercises" / "attention.py").rename(library / "exercises" / "masks.py")
    versions.append(measure())
    assert len(set(versions)) == 4 and measure() == versions[-1]

    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    runs = []
    for version in ("one", "one", "two"):
        monkeypatch.setattr(grade, "grader_version", lambda version=version: version)
        asked: set[int] = set()
        _, results = grade.grade(folder, out, progress=lambda done, total, asked=asked: asked.add(total))
        assert sum(result.points for result in results) == POSSIBLE
        runs.append(asked)
    assert runs == [{len(EXERCISES)}, set(), {len(EXERCISES)}], "the second run had nothing to judge"


def test_without_the_strongest_sandbox_grading_is_refused(place, monkeypatch):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    grade._level.cache_clear()
    monkeypatch.setattr("course.grading.sandbox.bubblewrap", lambda: None)
    monkeypatch.setattr(grade, "best_level", lambda: "process")
    with pytest.raises(SandboxError, match="Install bubblewrap"):
        grade.grade(folder, out)
    ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out)])
    assert ran.exit_code == 1 and "Install bubblewrap" in ran.output
    with pytest.raises(SandboxError, match="bubblewrap is missing"):
        Sandbox("bubblewrap")


def test_the_weaker_sandbox_judges_too_and_is_named(monkeypatch):
    source = "def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).tril()"
    monkeypatch.setattr(jobs, "_sandboxes", {})
    verdict = jobs.judge_job(jobs.Job("02-causal-mask", (source,)), b"a secret of sixteen", "process")
    for sandbox in jobs._sandboxes.values():
        sandbox.close()
    assert verdict.status == "passed"


def test_a_sandbox_that_has_broken_down_costs_nobody_a_point():
    with Sandbox("bubblewrap") as wall:
        assert wall.process is not None
        wall.process.kill()  # as the system does when memory runs out
        wall.process.wait()
        outcome = wall.run(["def f(x):\n    return x + 1"], "f", [{"x": 1}], 2.0)
    assert (outcome.results, outcome.ended) == ([2], "returned")


def test_bubblewrap_is_found():
    assert bubblewrap() is not None


# --- reports --------------------------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> tuple[Path, report.Book]:
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    hand_in(folder, "aiko.ipynb", solved())
    hand_in(folder, "ben.ipynb", solved(causal_mask=UPSIDE_DOWN))
    hand_in(folder, "carl.ipynb", solved(causal_mask=UPSIDE_DOWN + "\n"))
    hand_in(folder, "=cmd().ipynb", RELEASED)
    hand_in(folder, "<script>alert(1)<／script>.ipynb", RELEASED)
    (folder / "山田.ipynb").write_text("{}")
    handed_in, results = grade.grade(folder, out)
    return out, report.write(out, handed_in.submissions, results, "Week 2")


def test_the_page_shows_learners_exercises_and_common_mistakes(reported):
    page = (reported[0] / "report.html").read_text(encoding="utf-8")
    assert "Week 2: 6 learners" in page
    assert "2 × Your mask lets position t see t + 1" in page
    assert "山田" in page and "no list of cells" in page
    assert "<script>alert" not in page
    assert page.startswith("<!DOCTYPE html>") and 'lang="en"' in page


def test_the_tables_say_the_same_as_the_log(reported):
    out, _ = reported
    table = [row for row in rows(out / "results.csv") if row["status"] != "remark"]
    log = read_log(out / "results.jsonl")
    assert sum(int(row["points"]) for row in table) == sum(result.points for result in log)
    nbgrader = {row["student_id"]: row for row in rows(out / "exports" / "nbgrader.csv")}
    assert float(nbgrader["aiko"]["score"]) == float(nbgrader["aiko"]["max_score"]) == POSSIBLE
    canvas = {row["Student"]: row["Week 2"] for row in rows(out / "exports" / "canvas.csv")}
    moodle = {row["ID number"]: row["Grade"] for row in rows(out / "exports" / "moodle.csv")}
    assert canvas["ben"] == moodle["ben"] == str(POSSIBLE - 1)
    assert canvas["    Points Possible"] == str(POSSIBLE)
    assert canvas["山田"] == "0"
    gradescope = json.loads((out / "exports" / "gradescope" / "ben.json").read_text(encoding="utf-8"))
    assert gradescope["score"] == POSSIBLE - 1
    assert sum(test["max_score"] for test in gradescope["tests"]) == POSSIBLE


def test_a_name_is_never_a_formula(reported):
    for path in (reported[0] / "results.csv", *(reported[0] / "exports").glob("*.csv")):
        table = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(keepends=True))
        assert not [value for row in table for value in row if value[:1] in ("=", "+", "-", "@")], path.name


def test_no_value_of_a_case_leaves_the_grader(reported):
    out, _ = reported
    for path in (out / "results.jsonl", out / "results.csv", out / "report.html"):
        text = path.read_text(encoding="utf-8")
        assert "expected is" not in text and "tensor" not in text.replace("a tensor", ""), path.name


# --- the systems around ---------------------------------------------------------------------------------------------


def test_nbgraders_own_tools_work_with_our_judge(tmp_path):
    course = tmp_path / "course"
    (course / "source" / "ps1").mkdir(parents=True)
    (course / "nbgrader_config.py").write_text(
        "from course.grading.nbgrader_plugin import configure\n"
        "c = get_config()\nconfigure(c)\n"
        'c.CourseDirectory.course_id = "chatgpt"\n'
        f"c.CourseJudge.secret_folder = {str(tmp_path)!r}\n"
    )
    nbformat.write(SOLVED, course / "source" / "ps1" / f"{NOTEBOOK}.ipynb")
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter")}
    surroundings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it calls alembic

    def nbgrader(*arguments: str) -> str:
        command = [sys.executable, "-W", "ignore", "-m", "nbgrader", *arguments]
        done = subprocess.run(command, cwd=course, env=surroundings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stderr

    nbgrader("generate_assignment", "ps1")
    released = nbformat.read(course / "release" / "ps1" / f"{NOTEBOOK}.ipynb", as_version=4)
    assert "NotImplementedError" in str(released) and "BEGIN SOLUTION" not in str(released)
    assert not [cell for cell in released.cells if "The idea." in cell.source], "explanations stay with the teacher"
    canary = tmp_path / "executed"
    harm = f"open({str(canary)!r}, 'w')"
    hand_in(course, f"submitted/aiko/ps1/{NOTEBOOK}.ipynb", solved())
    hand_in(course, f"submitted/ben/ps1/{NOTEBOOK}.ipynb", solved(causal_mask=UPSIDE_DOWN, attention=harm))
    nbgrader("autograde", "ps1")
    assert not canary.exists(), "a learner's cell ran outside the sandbox"
    nbgrader("generate_feedback", "ps1")
    assert "tril, not triu" in (course / "feedback" / "ben" / "ps1" / f"{NOTEBOOK}.html").read_text(encoding="utf-8")
    nbgrader("export")
    scores = {row["student_id"]: row for row in rows(course / "grades.csv")}
    assert float(scores["aiko"]["score"]) == float(scores["aiko"]["max_score"]) == POSSIBLE
    assert 0 < float(scores["ben"]["score"]) < POSSIBLE


def test_names_that_are_not_utf8_stay_apart_and_a_strange_separator_breaks_no_line(place, tmp_path):
    folder, _ = place
    names = [os.fsdecode(f"{name}.ipynb".encode("shift_jis")) for name in ("太郎", "花子")]
    for name in names:
        hand_in(folder, name, solved())
    learners = {one.learner for one in intake.collect(folder).submissions}
    assert len(learners) == 2 and all(learner.encode() for learner in learners)
    log = tmp_path / "log.jsonl"
    progress.append(log, [{"learner": "a\u2028b"}])
    assert [json.loads(line)["learner"] for line in log.read_text(encoding="utf-8").splitlines()] == ["a\u2028b"]


def test_long_names_that_begin_alike_get_a_file_each(tmp_path):
    handed_in = [Submission(f"ディープラーニング基礎講座_{name}", "x.ipynb") for name in ("山田太郎", "鈴木花子")]
    report.write(tmp_path, handed_in, [])
    assert len(list((tmp_path / "exports" / "gradescope").iterdir())) == 2
