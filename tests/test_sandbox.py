"""The sandbox: who runs inside, what it says when the machine fails, and that nobody outlives the grader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from course.grading.sandbox import LEVELS, Outcome, Sandbox, SandboxError
from course.grading.worker import MEMORY, THREADS
from course.practice import exercises
from course.practice.exercise import PRELUDE, PUBLIC_SEED, judge
from course.practice.plain import MAX_BYTES, Raised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
ROOT = Path(__file__).parent.parent
ASLEEP = "import time\ndef f():\n    time.sleep(600)"
SPINNING = "def f():\n    while True: pass"
ONE = "def f():\n    return 1"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox("bubblewrap") as wall:
        yield wall


def status(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def below(pid: int) -> list[int]:
    """The processes below a process, the nearest first."""
    found = []
    for place in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, place.joinpath("children").read_text().split()):
            found += [child, *below(child)]
    return found


def wait_until(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value, or the last one when the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := true()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value


def while_running(wall: Sandbox, source: str, seconds: float, act: Callable[[list[int]], None]) -> Outcome:
    """Run an answer, and act on the processes of the sandbox (the worker and the answer last) while it runs."""
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(wall.run([source], "f", [{}], seconds)))
    wall.run([ONE], "f", [{}], 5.0)
    assert wall.process is not None
    before = len(below(wall.process.pid))
    thread.start()
    pid = wall.process.pid
    assert wait_until(lambda: len(below(pid)) > before), "the answer runs"
    act([pid, *below(pid)])
    thread.join()
    return found[0]


# --- who runs inside ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_neither_the_worker_nor_an_answer_has_any_rights_and_root_is_given_up(level):
    seen: list[dict[str, str]] = []

    def look(pids: list[int]) -> None:
        wait_until(lambda: status(pids[-1])["Seccomp"] == "2", 1.0)  # it has just been forked
        seen.extend(map(status, pids[-2:]))

    with Sandbox(level) as wall:
        while_running(wall, ASLEEP, 1.5, look)
    worker, answer = seen
    for process in seen:
        users = {*process["Uid"].split(), *process["Gid"].split()}
        assert "0" not in users and process["Groups"].split() in ([], *([[g]] for g in users)), process
        assert {process[f"Cap{kind}"].strip("0") for kind in ("Prm", "Eff", "Amb")} == {""}, process
    assert (answer["NoNewPrivs"], answer["Seccomp"]) == ("1", "2")
    if level == "bubblewrap":
        assert worker["NSpid"].split()[-1] == "1", "the worker is the first process"
        assert worker["NoNewPrivs"] == "1"


def test_an_answer_may_take_so_much_memory_and_so_many_threads_and_no_more(sandbox):
    source = f"""
import resource, threading, time
def f():
    threading.stack_size(65536)
    started = 0
    try:
        while started < 4 * {THREADS}:
            threading.Thread(target=time.sleep, args=(1,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return [started, *resource.getrlimit(resource.RLIMIT_AS), *resource.getrlimit(resource.RLIMIT_DATA)]
"""
    (found,) = sandbox.run([source], "f", [{}], 5.0).results
    (worker,) = below(sandbox.process.pid)
    used = {name: int(status(worker)[name].split()[0]) * 1024 for name in ("VmSize", "VmData")}
    assert THREADS // 2 < found[0] < THREADS
    for soft, hard, size in ((found[1], found[2], used["VmSize"]), (found[3], found[4], used["VmData"])):
        assert soft == hard and abs(soft - size - MEMORY) < 20_000_000


ALL = [exercise for topic in exercises.TOPICS for exercise in exercises.of(topic)]
SOLUTIONS = {
    cell.metadata.nbgrader["grade_id"]: cell.source
    for path in sorted((ROOT / "solutions").glob("*.ipynb"))
    for cell in nbformat.read(path, as_version=4).cells
    if cell.metadata.get("nbgrader", {}).get("solution")
}


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_every_worked_solution_passes_behind_the_wall(exercise, sandbox):
    cases = exercise.draw(PUBLIC_SEED)
    sources = [PRELUDE, *(SOLUTIONS[name] for name in exercise.uses), SOLUTIONS[exercise.id]]
    outcome = sandbox.run(sources, exercise.entry, cases, 20.0)
    assert judge(exercise, cases, exercise.expected(cases), outcome.results).passed, outcome


@pytest.mark.parametrize("behind", ["1 / 0", "raise SystemExit", "twice(1, 2)", "undefined_name"])
def test_what_breaks_off_behind_the_function_takes_it_no_points(behind, sandbox):
    right = "def twice(x):\n    return 2 * x\n"
    assert sandbox.run([f"{right}{behind}\n"], "twice", [{"x": 4}]).results == [8]
    (found,) = sandbox.run([f"{behind}\n{right}"], "twice", [{"x": 4}]).results
    assert isinstance(found, Raised), "what breaks off before it leaves no function"
    assert sandbox.run([f"{behind}\n", right], "twice", [{"x": 4}]).results == [8], "nor does an earlier answer"
    (found,) = sandbox.run([right, f"{behind}\n"], "twice", [{"x": 4}]).results
    assert isinstance(found, Raised), "what breaks off does not live on an earlier cell's function"


def test_two_answers_cannot_wake_each_other(sandbox):
    """A futex on a page of a library is the same one for all who have the library loaded, if it is not private."""
    talk = """
import ctypes, sys, time
class Time(ctypes.Structure): _fields_ = (("s", ctypes.c_long), ("n", ctypes.c_long))
def f(waits):
    c = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 202, "aarch64": 98}[__import__("platform").machine()]
    place = ctypes.cast(c.getpid, ctypes.c_void_p).value // 4096 * 4096
    word = ctypes.c_uint.from_address(place).value
    for _ in range(2000):
        if waits:
            if c.syscall(number, ctypes.c_void_p(place), 0, word, ctypes.byref(Time(0, 1_000_000)), 0, 0) == 0:
                return "woken"
        elif c.syscall(number, ctypes.c_void_p(place), 1, 1, 0, 0, 0) > 0:
            return "somebody was there"
        time.sleep(0.0005)
    return "alone"
"""
    program = textwrap.dedent(talk) + "\nprint(f(sys.argv[1] == 'waits'))"
    free = [
        subprocess.Popen([sys.executable, "-c", program, role], stdout=subprocess.PIPE, text=True)
        for role in ("waits", "wakes")
    ]
    assert [process.communicate()[0].strip() for process in free] == ["woken", "somebody was there"], "without a wall"

    found: list[Any] = []
    with Sandbox("bubblewrap") as other:
        thread = threading.Thread(target=lambda: found.extend(other.run([talk], "f", [{"waits": True}], 9.0).results))
        thread.start()
        found += sandbox.run([talk], "f", [{"waits": False}], 9.0).results
        thread.join()
    assert found == ["alone", "alone"]


# --- when the machine fails -----------------------------------------------------------------------------------------


def test_what_the_machine_does_to_an_answer_is_no_verdict(sandbox):
    ended = while_running(sandbox, ASLEEP, 5.0, lambda pids: os.kill(pids[-1], signal.SIGKILL))
    assert ended.ended == "broken" and len(ended.results) == 1, "as the system does when memory runs out"
    assert sandbox.run([ONE], "f", [{}]).results == [1]


def test_a_worker_that_dies_is_replaced_and_the_answer_run_again():
    with Sandbox("bubblewrap") as wall:
        ended = while_running(wall, ASLEEP, 0.7, lambda pids: os.kill(pids[-2], signal.SIGKILL))
        assert ended.ended == "timeout", "its second run, in which nobody disturbed it"
        assert wall.run([ONE], "f", [{}]).results == [1]


def test_a_worker_that_dies_each_time_is_no_verdict_and_the_next_answer_has_a_new_one(monkeypatch):
    with Sandbox("bubblewrap") as wall:
        exchange = wall._exchange

        def killed(*arguments: Any) -> Any:
            assert wall.process is not None
            wall.process.kill()
            wall.process.wait()
            return exchange(*arguments)

        monkeypatch.setattr(wall, "_exchange", killed)
        assert wall.run([ONE], "f", [{}]).ended == "broken"
        monkeypatch.undo()
        assert wall.run([ONE], "f", [{}]).results == [1]


def test_a_worker_that_hangs_is_replaced():
    with Sandbox("bubblewrap") as wall:
        assert wall.process is not None
        hanging = below(wall.process.pid)[0]
        os.kill(hanging, signal.SIGSTOP)
        assert wall.run([ONE], "f", [{}], 0.1).results == [1]
        assert wait_until(lambda: not Path(f"/proc/{hanging}").exists()), "the old one is gone"


def test_a_sandbox_that_does_not_start_again_is_no_verdict(monkeypatch):
    with Sandbox("bubblewrap") as wall:
        assert wall.process is not None
        wall.process.kill()
        wall.process.wait()
        monkeypatch.setattr(wall, "command", lambda: ["/bin/false"])
        assert wall.run([ONE], "f", [{}]).ended == "broken"
        with pytest.raises(SandboxError, match="said nothing"):
            wall.start()
        monkeypatch.undo()
        assert wall.run([ONE], "f", [{}]).results == [1]


def test_a_time_out_tells_who_was_computing_and_who_was_not_let(sandbox):
    asleep, spinning = (sandbox.run([source], "f", [{}], 1.0) for source in (ASLEEP, SPINNING))
    assert (asleep.ended, spinning.ended) == ("timeout", "timeout")
    assert asleep.cpu < 0.1 < spinning.cpu < 2.1
    assert sandbox.run([ONE], "f", [{}]).cpu < 0.5


def test_an_answer_of_megabytes_is_unreadable(sandbox):
    assert sandbox.run([ONE + "#" * MAX_BYTES], "f", [{}]).ended == "unreadable"


# --- when the grader is killed --------------------------------------------------------------------------------------

PROGRAM = """
import sys, threading, time
from course.grading.sandbox import Sandbox
def work():
    with Sandbox(sys.argv[1]) as wall:
        wall.run([sys.argv[2]], "f", [{}], 600.0)
if sys.argv[3] == "main":
    work()
else:
    threading.Thread(target=work).start()
"""


@pytest.mark.parametrize(("level", "thread"), [("bubblewrap", "main"), ("bubblewrap", "another"), ("process", "main")])
def test_nobody_outlives_the_grader(level, thread):
    source = ASLEEP.replace("600", "599")
    with subprocess.Popen([sys.executable, "-c", PROGRAM, level, source, thread], cwd=ROOT) as grader:
        count = {"bubblewrap": 3, "process": 2}[level]  # bubblewrap itself, the worker, the answer
        assert wait_until(lambda: len(below(grader.pid)) == count, 60.0), "the answer runs"
        processes = below(grader.pid)
        grader.kill()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes)), "all are gone"
