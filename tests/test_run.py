"""A run goes on, whatever becomes of its processes; it gives every learner their own time, and fair marks."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from classroom import (
    ENDLESS,
    EXERCISES,
    POSSIBLE,
    ROOT,
    UPSIDE_DOWN,
    hand_in,
    own,
    solved,
    without,
)  # fmt: skip

from course.cli import main
from course.grading import assigned, carry, grade, jobs
from course.grading.jobs import Job, Judgement
from course.grading.log import Result, read_log
from course.grading.pool import Pool
from course.grading.run import Question, Run
from course.grading.sandbox import Outcome, Sandbox, SandboxError
from course.practice import exercises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
SECRET = b"a secret of the tests"
MASK = "def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).tril()"


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """Folders for submissions and results."""
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("bubblewrap") as wall:
        yield wall


class Here:
    """Judges in this process, by a sandbox that is warm already."""

    batch, alone, free = 10, 1, 1

    def submit(self, questions: Any, fresh: bool = False) -> None:
        found: list[Judgement | None] = [
            *jobs.judge_some([job for _, job in questions], self.secret, "bubblewrap", fresh)
        ]
        found += [None] * (len(questions) - len(found))
        self.ready = [(number, judgement) for (number, _), judgement in zip(questions, found, strict=True)]

    def wait(self) -> Any:
        return self.ready

    def close(self) -> None: ...


@pytest.fixture
def here(sandbox, monkeypatch) -> None:
    """Let `grade` judge without starting processes."""

    def judges(desk: grade.Desk) -> Here:
        found = Here()
        found.secret = desk.secret
        return found

    monkeypatch.setattr(jobs, "sandbox_here", lambda level: sandbox)
    monkeypatch.setattr(grade.Desk, "_judges", judges)


def points_of(results: list[Result]) -> Counter[str]:
    points: Counter[str] = Counter()
    for result in results:
        points[result.learner] += result.points
    return points


def named(results: list[Result], learner: str) -> dict[str, Result]:
    return {result.exercise: result for result in results if result.learner == learner}


# --- fair marks -----------------------------------------------------------------------------------------------------


def test_a_later_answer_that_calls_an_earlier_wrong_one_earns_its_points(place, here):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved(causal_mask=UPSIDE_DOWN))
    hand_in(folder, "ben.ipynb", without(solved(attention="1 / 0"), "02-causal-mask"))
    hand_in(folder, "carol.ipynb", solved(causal_mask=UPSIDE_DOWN, multi_head="def multi_head(*a):\n    return a[0]"))
    _, results = grade.grade(folder, out)
    points = points_of(results)
    assert points == {"aiko": POSSIBLE - 1, "ben": POSSIBLE - 1 - 3, "carol": POSSIBLE - 1 - 4}
    carried = named(results, "aiko")["02-multi-head"]
    assert (carried.status, carried.carried) == ("passed", "02-causal-mask")
    assert carried.category == "with the given 02-causal-mask in place of their own"
    assert named(results, "ben")["02-multi-head"].carried == "02-causal-mask, 02-attention"
    assert named(results, "carol")["02-multi-head"].carried == "", "it is wrong by itself"
    before = (out / "results.jsonl").read_bytes()
    _, again = grade.grade(folder, out)
    assert sorted(again, key=str) == sorted(results, key=str) and (out / "results.jsonl").read_bytes() == before
    _, strict = grade.grade(folder, out, strict=True)
    lost = 1 + 4
    assert points_of(strict)["aiko"] == POSSIBLE - lost
    assert (out / "results.jsonl").read_bytes() == before, "nothing had to be judged again for it"


def test_a_given_answer_never_stands_where_it_is_the_answer_itself(place, here):
    """The repaired attention is attention: whoever calls a given one would have done nothing."""
    folder, out = place
    calls = "def repaired_attention(q, k, v, mask=None):\n    return attention(q, k, v, mask)"
    hand_in(folder, "aiko.ipynb", solved(attention="def attention(*a):\n    return a[2]", repaired_attention=calls))
    _, results = grade.grade(folder, out)
    assert named(results, "aiko")["02-leaky-attention"].points == 0
    assert named(results, "aiko")["02-multi-head"].carried == "02-attention"


@pytest.mark.parametrize("exercise", exercises.everything().values(), ids=lambda exercise: exercise.id)
def test_the_reference_of_an_exercise_is_never_given_for_itself(exercise):
    given = carry.given_for(exercise, {}, SECRET)
    assert exercise.id not in given and set(given) <= set(carry.earlier(exercise.id))
    job = carry.job_of(exercise, {exercise.id: "the answer"}, given)
    assert job.sources[-1] == "the answer" and carry.solutions()[exercise.id] not in job.sources


def test_the_worked_solutions_are_there_and_pass(place):
    assert set(carry.solutions()) == set(exercises.everything())
    assert carry.solutions(place[0]) == {}, "a folder without solutions"


def test_without_the_worked_solutions_a_note_says_so(place, here, monkeypatch):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved(causal_mask=UPSIDE_DOWN))
    monkeypatch.setattr(carry, "solutions", dict)
    monkeypatch.setattr(grade, "solutions", dict)
    handed_in, results = grade.grade(folder, out)
    assert points_of(results)["aiko"] == POSSIBLE - 1 - 4
    assert any("worked solutions are not in" in note for note in handed_in.notes)


# --- what was set ---------------------------------------------------------------------------------------------------


def both() -> Any:
    """Two notebooks' answers in one file, all right."""
    notebook = solved()
    notebook.cells += nbformat.read(ROOT / "solutions" / "03_transformer.ipynb", as_version=4).cells
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell{number}"
    return notebook


def test_answers_to_what_was_not_set_earn_nothing(place, here):
    folder, out = place
    hand_in(folder, "aiko.ipynb", both())
    for name in ("ben", "carol"):
        hand_in(folder, f"{name}.ipynb", solved())
    handed_in, results = grade.grade(folder, out)
    assert points_of(results) == {"aiko": POSSIBLE, "ben": POSSIBLE, "carol": POSSIBLE}
    assert {result.exercise for result in results} == {exercise.id for exercise in EXERCISES}
    (note,) = [note for note in handed_in.notes if "not set" in note]
    assert "03_transformer (1 of 3 learners)" in note and "--set 02_attention,03_transformer" in note
    (remark,) = [remark for one in handed_in.submissions for remark in one.remarks if "Not set" in remark]
    assert "03-layer-norm" in remark and "2 more" in remark
    _, results = grade.grade(folder, out, set_ones=assigned.chosen("02-attention, 03_transformer"))
    extra = sum(exercise.points for exercise in exercises.of("03_transformer"))
    assert points_of(results) == {"aiko": 3 + extra, "ben": 3, "carol": 3}


def test_a_cell_that_nobody_has_was_not_set(place, here):
    folder, out = place
    for name in ("aiko", "ben", "carol"):
        hand_in(folder, f"{name}.ipynb", without(solved(), "02-leaky-attention"))
    handed_in, results = grade.grade(folder, out)
    assert {result.exercise for result in results} == {e.id for e in EXERCISES} - {"02-leaky-attention"}
    assert any("02-leaky-attention is in nobody's file" in note for note in handed_in.notes)


def test_a_cell_that_one_learner_lacks_is_lost_points(place, here):
    folder, out = place
    hand_in(folder, "aiko.ipynb", without(solved(), "02-leaky-attention"))
    _, results = grade.grade(folder, out)
    assert named(results, "aiko")["02-leaky-attention"].points == 0 and len(results) == len(EXERCISES)


@pytest.mark.parametrize("names", ["02_atention", "02-attention,x", "", " , "])
def test_what_cannot_be_set_is_a_sentence(names):
    with pytest.raises(ValueError, match=r"neither a notebook|Nothing is set"):
        assigned.chosen(names)


# --- several attempts -----------------------------------------------------------------------------------------------


def test_with_best_the_best_attempt_counts(place, here):
    folder, out = place
    good = hand_in(folder, "aiko/02_attention.ipynb", solved(causal_mask=UPSIDE_DOWN))
    later = hand_in(folder, "aiko/02_attention-2.ipynb", solved(attention="1 / 0", attention_weights="1 / 0"))
    os.utime(good, (1_700_000_000, 1_700_000_000))
    os.utime(later, (1_700_100_000, 1_700_100_000))
    _, results = grade.grade(folder, out)
    assert points_of(results)["aiko"] == POSSIBLE - 5, "the later one"
    handed_in, results = grade.grade(folder, out, best=True)
    assert points_of(results)["aiko"] == POSSIBLE - 1
    assert {one.file for one in handed_in.submissions if one.counts} == {"aiko/02_attention.ipynb"}
    assert {result.file for result in results} == {"aiko/02_attention.ipynb"}
    assert any("best of 2 attempts" in remark for one in handed_in.submissions for remark in one.remarks)


# --- time -----------------------------------------------------------------------------------------------------------


def loops(number: int = 0) -> Any:
    """A notebook of endless loops."""
    changes = {exercise.entry: ENDLESS.format(exercise.entry) + f"  # {number}" for exercise in EXERCISES}
    return solved(**changes)


class Judges:
    """Judges that need no time; what they find is said beforehand. batches: what they were asked."""

    batch, alone, free = 3, 1, 1

    def __init__(self, found: dict[str, list[Judgement]]):
        self.found, self.batches, self.ready = found, [], []

    def submit(self, questions: Any, fresh: bool = False) -> None:
        self.batches.append(([job.sources[-1] for _, job in questions], fresh))
        self.free = 0
        slow = False
        for number, job in questions:
            said = self.found.get(job.sources[-1], [Judgement("passed", 1, cost=0.1)])
            self.ready.append((number, None if slow else said.pop(0) if len(said) > 1 else said[0]))
            slow |= self.ready[-1][1] is not None and self.ready[-1][1].cost > 1

    def wait(self) -> Any:
        self.free, found, self.ready = 1, self.ready, []
        return found

    def close(self) -> None: ...


class Tardy(Judges):
    """They say that a batch is done only when they are asked once more, and are not to be looked at for ever."""

    looks, _free = 0, 1

    @property
    def free(self) -> int:
        self.looks += 1
        assert self.looks < 100, "nobody waits until they are free"
        return self._free

    @free.setter
    def free(self, number: int) -> None:
        self._free = number

    def wait(self) -> Any:
        assert not self._free, "asked of judges that have nothing to do"
        found, self.ready, self.looks = self.ready, [], 0
        self._free = int(not found)
        return found


def asked(*pairs: tuple[str, str]) -> list[Question]:
    """Questions out of (learner, source)."""
    questions: dict[str, Question] = {}
    for learner, source in pairs:
        job = Job("02-causal-mask", (source,))
        blank = Result(learner, job.exercise, "", job.source_hash, "", "", "", "", "", 0, "", 0.0)
        questions.setdefault(source, Question(job, [])).askers.append(blank)
    return list(questions.values())


SLOW = Judgement("passed", 1, cost=4.9)
TIMEOUT = Judgement("timeout", category="longer than 5 s", cost=5.0)


def test_a_time_out_is_judged_again_alone_before_it_counts():
    found: list[Result] = []
    judges = Judges({"starved": [TIMEOUT, Judgement("passed", 1, cost=0.1)], "endless": [TIMEOUT]})
    Run(judges, found.append).ask(asked(("aiko", "starved"), ("ben", "endless"), ("carol", "quick")))
    assert {result.learner: result.status for result in found} == {
        "aiko": "passed",
        "ben": "timeout",
        "carol": "passed",
    }
    assert judges.batches[-2:] == [(["starved"], True), (["endless"], True)], "at the end, alone, in a fresh sandbox"
    assert [sources for sources, _ in judges.batches[:3]] == [
        ["starved", "endless", "quick"],
        ["endless", "quick"],
        ["quick"],
    ]


def test_a_run_waits_for_judges_that_are_not_free_though_nothing_of_its_own_is_with_them():
    found: list[Result] = []
    run = Run(Tardy({"starved": [TIMEOUT, Judgement("passed", 1, cost=0.1)]}), found.append)
    for names in (("starved", "quick"), ("again", "and again")):
        run.ask(asked(*((name, name) for name in names)))
    assert [result.status for result in found] == ["passed"] * 4


def test_a_file_that_somebody_else_may_have_handed_in_takes_none_of_the_time_of_the_learners_own():
    def purse(contested: bool) -> dict[str, str]:
        files = {"own.ipynb": [f"right {n}" for n in range(3)], "forged.ipynb": [f"endless {n}" for n in range(20)]}
        places = [("aiko", name) for name in files] if contested else []
        questions = []
        for name in reversed(files):
            for source in files[name]:
                job = Job("02-causal-mask", (source,))
                blank = Result("aiko", job.exercise, name, job.source_hash, "", "", "", "", "", 0, "", 0.0)
                questions.append(Question(job, [blank], places))
        found: list[Result] = []
        Run(Judges({f"endless {n}": [TIMEOUT] for n in range(20)} | {f"right {n}": [SLOW] for n in range(3)}),
            found.append).ask(questions)  # fmt: skip
        return {result.source: result.status for result in found if result.file == "own.ipynb"}

    assert set(purse(contested=True).values()) == {"passed"}
    assert "over budget" in purse(contested=False).values(), "else the forged file's loops would use the time up"


def test_what_the_machine_did_is_judged_again_and_else_not_judged():
    found: list[Result] = []
    broken = Judgement("not judged", category="its sandbox broke down each time")
    judges = Judges({"unlucky": [broken, Judgement("failed", cost=0.1)], "worse": [broken]})
    Run(judges, found.append).ask(asked(("aiko", "unlucky"), ("ben", "worse"), ("carol", "worse"), ("dan", "quick")))
    assert {result.learner: result.status for result in found} == {
        "aiko": "failed", "ben": "not judged", "carol": "not judged", "dan": "passed",
    }  # fmt: skip


def test_a_machine_on_which_no_sandbox_works_ends_the_run():
    found: list[Result] = []
    judges = Judges({str(n): [Judgement("not judged", cost=30.0, works=False)] for n in range(50)})
    Run(judges, found.append).ask(asked(*((f"learner {n}", str(n)) for n in range(50))))
    assert len(found) == 50 and {result.status for result in found} == {"not judged"}
    assert len(judges.batches) < 6, "it does not wait for each of them"


def test_a_learner_has_a_budget_and_the_rest_is_over_it():
    found: list[Result] = []
    judges = Judges({f"loop {n}": [TIMEOUT] for n in range(47)})
    run = Run(judges, found.append, budget=30.0)
    run.ask(asked(*(("eve", f"loop {n}") for n in range(47)), *((f"learner {n}", f"answer {n}") for n in range(20))))
    eve = [result for result in found if result.learner == "eve"]
    assert len(eve) == 47 and not any(result.points for result in eve)
    statuses = Counter(result.status for result in eve)
    assert set(statuses) == {"timeout", "over budget"} and statuses["over budget"] > 35
    assert {result.budget for result in eve} == {30.0}, "with more time it may be another result"
    assert run.used["eve"] + run.used_alone["eve"] <= 30.0
    assert all(result.status == "passed" for result in found if result.learner != "eve")
    of_eve = [sources for sources, _ in judges.batches if sources[0].startswith("loop")]
    assert max(len(sources) for sources in of_eve[1:]) == 1 or len(of_eve[0]) > 1, "one at a time after the first"


def test_a_budget_used_up_harms_nobody_who_answers_the_same():
    found: list[Result] = []
    pairs = [("eve", f"loop {n}") for n in range(10)] + [("eve", "the same"), ("aiko", "the same")]
    judges = Judges({f"loop {n}": [TIMEOUT] for n in range(10)})
    Run(judges, found.append, budget=30.0).ask(asked(*pairs))
    same = {result.learner: result.status for result in found if result.source == asked(pairs[-1])[0].job.source_hash}
    assert same["aiko"] == "passed"


def test_time_outs_are_not_shared_by_equal_answers():
    found: list[Result] = []
    judges = Judges({"the same": [TIMEOUT, TIMEOUT, Judgement("passed", 1, cost=0.1)]})
    Run(judges, found.append).ask(asked(("eve", "the same"), ("aiko", "the same")))
    assert {result.learner: result.status for result in found} == {"eve": "timeout", "aiko": "passed"}


def test_an_honest_learner_on_a_starved_machine_loses_nothing():
    found: list[Result] = []
    starved = {f"answer {n}": [TIMEOUT, Judgement("passed", 1, cost=2.5)] for n in range(3)}
    names = [*starved, *(f"answer {n}" for n in range(3, 47))]
    Run(Judges(starved), found.append, budget=30.0).ask(asked(*(("aiko", name) for name in names)))
    assert {result.status for result in found} == {"passed"} and len(found) == 47


def test_more_time_judges_again_what_was_over_budget_and_nothing_else(place, here):
    folder, out = place
    log = out / "results.jsonl"
    hand_in(folder, "eve.ipynb", solved(attention_weights=ENDLESS.format("attention_weights")))
    _, results = grade.grade(folder, out, budget=10.0)
    before = read_log(log)
    _, again = grade.grade(folder, out, budget=10.0)
    assert read_log(log) == before and again == results, "with the same time, nothing is judged again"
    _, results = grade.grade(folder, out, budget=40.0)
    assert points_of(results)["eve"] == POSSIBLE - 2
    assert named(results, "eve")["02-attention-weights"].status == "timeout"
    assert max(Counter(result.key for result in read_log(log)).values()) == 1
    assert {result.budget for result in read_log(log)[len(before) :]} == {0.0}


def test_equal_notebooks_one_of_them_after_a_hostile_ones_budget(place):
    """Real loops, real processes: the honest learners' results are what they are without the hostile one."""
    folder, out = place
    for name in ("aiko", "ben"):
        hand_in(folder, f"{name}.ipynb", solved())
    hand_in(folder, "aaa eve.ipynb", loops())
    started = time.perf_counter()
    _, results = grade.grade(folder, out, budget=15.0)
    assert points_of(results) == {"aiko": POSSIBLE, "ben": POSSIBLE, "aaa eve": 0}
    assert time.perf_counter() - started < 60


# --- the machine's failures -----------------------------------------------------------------------------------------


class Breaking:
    """A sandbox that breaks down `times` times, and then works."""

    def __init__(self, times: int, raises: bool = False):
        self.times, self.raises, self.ran = times, raises, 0

    def run(self, sources: list[str], entry: str, cases: list[Any], seconds: float = 5.0) -> Outcome:
        if entry == "same":
            return Outcome([1], "returned", 0.01)
        self.ran += 1
        if self.ran <= self.times:
            if self.raises:
                raise SandboxError("The sandbox (bubblewrap) does not start: it said nothing")
            return Outcome([], "broken", 0.01)
        names: dict[str, Any] = {}
        exec("\n".join(sources), names)
        return Outcome([names[entry](**case) for case in cases], "returned", 0.01)


@pytest.mark.parametrize(
    ("times", "raises", "status"), [(2, False, "passed"), (2, True, "passed"), (9, False, "not judged")]
)
def test_a_broken_sandbox_is_no_verdict(times, raises, status, monkeypatch):
    sandbox = Breaking(times, raises)
    monkeypatch.setattr(jobs, "sandbox_here", lambda level: sandbox)
    judgement = jobs.judge_job(Job("02-causal-mask", (MASK,)), SECRET, "bubblewrap")
    assert judgement.status == status and judgement.works and judgement.common == (status == "passed")


def test_where_no_sandbox_works_the_judge_waits_and_then_says_so(monkeypatch):
    class Dead:
        def run(self, *ignored: Any) -> Outcome:
            raise SandboxError("does not start")

    monkeypatch.setattr(jobs, "sandbox_here", lambda level: Dead())
    monkeypatch.setattr(jobs, "PATIENCE", 1.0)
    started = time.perf_counter()
    judgement = jobs.judge_job(Job("02-causal-mask", (MASK,)), SECRET, "bubblewrap")
    assert (judgement.status, judgement.works) == ("not judged", False)
    assert 0.5 < time.perf_counter() - started < 5


def test_a_sandbox_that_is_killed_while_it_is_tried_is_tried_again(monkeypatch):
    found = iter([SandboxError("does not start: it said nothing"), "process", "bubblewrap"])

    def best_level() -> str:
        level = next(found)
        if isinstance(level, Exception):
            raise level
        return level

    monkeypatch.setattr(grade, "best_level", best_level)
    grade._level.cache_clear()
    assert grade._level("bubblewrap", False) == "bubblewrap"


def test_an_answer_that_was_not_judged_is_not_in_the_log_and_the_next_run_judges_it(place, monkeypatch):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    with monkeypatch.context() as patched:
        patched.setattr(
            grade.Desk, "_judges", lambda desk: Judges({MASK_SOLVED: [Judgement("not judged", category="x")]})
        )
        ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out)])
    assert ran.exit_code == 3 and "1 answers could not be judged" in ran.output and "same command again" in ran.output
    assert len(read_log(out / "results.jsonl")) == len(EXERCISES) - 1
    ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out)])
    assert ran.exit_code == 0 and "1 of them judged now" in ran.output
    assert len(read_log(out / "results.jsonl")) == len(EXERCISES)


MASK_SOLVED = carry.solutions()["02-causal-mask"]


def test_a_judge_that_is_killed_is_replaced_and_its_work_goes_on():
    questions = [(number, Job("02-causal-mask", (f"{MASK}  # {number}",))) for number in range(40)]
    waiting, answered = dict(questions), {}
    with Pool(2, SECRET, "bubblewrap") as pool:
        killed = 0
        while waiting:
            while waiting and pool.free:
                batch = [waiting.popitem() for _ in range(min(5, len(waiting)))]
                pool.submit(batch)
            if killed < 4:
                os.kill(pool.judges[killed % 2].process.pid, signal.SIGKILL)
                killed += 1
            for number, judgement in pool.wait():
                if judgement is None or judgement.status == "not judged":
                    waiting[number] = questions[number][1]
                else:
                    answered[number] = judgement.status
            if not waiting:
                while any(judge.busy for judge in pool.judges):
                    for number, judgement in pool.wait():
                        if judgement is None or judgement.status == "not judged":
                            waiting[number] = questions[number][1]
                        else:
                            answered[number] = judgement.status
        pids = [judge.process.pid for judge in pool.judges]
    assert answered == dict.fromkeys(range(40), "passed")
    assert not any(psutil.pid_exists(pid) for pid in pids)


# --- real kills -----------------------------------------------------------------------------------------------------


def start(folder: Path, out: Path) -> subprocess.Popen[str]:
    """`course grade` as a teacher starts it."""
    program = f"from course.cli import main; main(['grade', {str(folder)!r}, '--out', {str(out)!r}])"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=surroundings, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], seconds: float = 300) -> int:
    """How a process ends; one that takes too long is killed."""
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process: psutil.Process) -> bool:
    """Kill a process; false where it had ended by itself, also between a look at it and the signal."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def left(processes: list[psutil.Process], seconds: float = 10) -> list[str]:
    """Those that have not ended within this time, in words."""
    found = []
    for one in psutil.wait_procs(processes, timeout=seconds)[1]:
        try:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{one.pid} {one.status()} {one.cpu_times()} {' '.join(one.cmdline())[-120:]}")
        except psutil.NoSuchProcess:
            continue
    return found


def test_killed_processes_lose_nothing_leave_nothing_and_judge_nothing_twice(place):
    folder, out = place
    learners, log = 15, out / "results.jsonl"
    for number in range(learners):
        hand_in(folder, f"learner {number}.ipynb", solved(**own(number)))
    chance, seen, kept, mains = random.Random(0), {}, [], 0
    for target in ("any", "main", "any", "main", "any", "any"):
        before = len(read_log(log))
        with start(folder, out) as started:
            main_process = psutil.Process(started.pid)
            while started.poll() is None and len(read_log(log)) == before:
                time.sleep(0.05)  # until it judges
                seen |= {one.pid: one for one in family(main_process)}
            time.sleep(chance.uniform(0, 0.3))
            alive = family(main_process)
            seen |= {one.pid: one for one in alive}
            victim = main_process if target == "main" or not alive[1:] else chance.choice(alive[1:])
            mains += victim is main_process
            kill(victim)
            if target != "main":
                time.sleep(chance.uniform(0.2, 0.6))
                seen |= {one.pid: one for one in family(main_process)}
            kill(main_process)  # so that there is work left for the next
        assert left(list(seen.values())) == [], "no process is left after ten seconds"
        now = read_log(log)
        assert now[: len(kept)] == kept, "no result is lost"
        kept = now
    with start(folder, out) as last:
        assert ended(last) == 0, last.stderr and last.stderr.read()
    results = read_log(log)
    assert results[: len(kept)] == kept and mains >= 2
    assert max(Counter(result.key for result in results).values()) == 1, "none is judged twice"
    assert len(results) == learners * len(EXERCISES) and {result.status for result in results} == {"passed"}


def test_a_run_whose_processes_are_killed_ends_well(place):
    folder, out = place
    learners = 15
    for number in range(learners):
        hand_in(folder, f"learner {number}.ipynb", solved(**own(number)))
    chance, killed = random.Random(1), 0
    with start(folder, out) as started:
        main_process = psutil.Process(started.pid)
        while started.poll() is None and not read_log(out / "results.jsonl"):
            time.sleep(0.05)
        while started.poll() is None and killed < 4:
            below = family(main_process)[1:]
            if below:
                killed += kill(chance.choice(below))
            time.sleep(0.7)
        assert ended(started) == 0, started.stderr and started.stderr.read()
    results = read_log(out / "results.jsonl")
    assert killed == 4 and len(results) == learners * len(EXERCISES)
    assert {result.status for result in results} == {"passed"}, "no learner lacks a point for it"
    assert max(Counter(result.key for result in results).values()) == 1


# --- the command ----------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_run_with_a_sentence(place):
    folder, out = place
    for number in range(40):
        hand_in(folder, f"learner {number}.ipynb", solved(**own(number)))
    with start(folder, out) as started:
        while started.poll() is None and not read_log(out / "results.jsonl"):
            time.sleep(0.05)
        below = family(psutil.Process(started.pid))[1:]
        os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, said = started.communicate(timeout=30)
    assert started.returncode == 130 and "the same command continues from there" in said and "Traceback" not in said
    assert left(below) == []


def test_watching_grades_what_arrives_until_ctrl_c(place):
    folder, out = place
    text = nbformat.writes(solved())
    program = f"from course.cli import main; main(['grade', {str(folder)!r}, '--out', {str(out)!r}, '--watch'])"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    report = out / "report.html"

    def wait_for(what: Any) -> None:
        deadline = time.monotonic() + 60
        while not what():
            assert time.monotonic() < deadline and started.poll() is None
            time.sleep(0.1)

    with subprocess.Popen(
        [sys.executable, "-c", program], env=surroundings, start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as started:  # fmt: skip
        time.sleep(3)  # the folder is empty at first
        (folder / "aiko.ipynb").write_text(text[: len(text) // 2])  # half of it has arrived
        time.sleep(0.5)
        (folder / "aiko.ipynb").write_text(text)
        wait_for(lambda: report.exists() and "aiko" in report.read_text(encoding="utf-8"))
        hand_in(folder, "ben.ipynb", solved(causal_mask=UPSIDE_DOWN))
        wait_for(lambda: "ben" in report.read_text(encoding="utf-8"))
        below = family(psutil.Process(started.pid))[1:]
        os.killpg(started.pid, signal.SIGINT)
        said, _ = started.communicate(timeout=30)
    assert started.returncode == 0 and "No longer watching" in said and "Traceback" not in said
    assert "Was it broken off" not in said, "what was half written was given time"
    assert points_of(read_log(out / "results.jsonl"))["aiko"] == POSSIBLE
    assert left(below) == []


def test_ten_thousand_bad_files_print_a_screenful(place):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    for number in range(300):
        (folder / f"learner {number}\x1b[31m.ipynb").write_text("")
    ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert len(ran.output.splitlines()) < 40 and "more: see" in ran.output
    assert "\x1b" not in ran.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--late", "10% a day"], "needs --due"),
        (["--due", "yesterday"], "yesterday"),
        (["--set", "02_atention"], "neither a notebook"),
        (["--platform", "camvas"], "camvas"),
        (["--budget", "1"], "budget"),
        (["--workers", "0"], "workers"),
        (["--roster", "nowhere.csv"], "does not exist"),
        (["--dask", "tcp://127.0.0.1:1"], "No Dask scheduler answers"),
    ],
)
def test_a_wrong_option_is_a_sentence(arguments, said, place):
    folder, out = place
    hand_in(folder, "aiko.ipynb", solved())
    ran = CliRunner().invoke(main, ["grade", str(folder), "--out", str(out), *arguments])
    assert ran.exit_code in (1, 2) and said in ran.output and "Traceback" not in ran.output
