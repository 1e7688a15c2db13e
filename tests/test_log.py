"""The log and the secret: nothing that is written is lost, and nothing that stands there ends a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from course.grading import secret
from course.grading.log import LONGEST, Log, Result, read_lines, read_log
from course.practice import exercises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
ROOT = Path(__file__).parent.parent
ONE = Result("aiko", "02-attention", "aiko.ipynb", "a", "b", "c", "d", "bubblewrap", "passed", 3, "", 0.5)


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own."""
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# --- the log --------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_read_again(tmp_path):
    kept = [replace(ONE, learner=f"learner {number}", carried="02-causal-mask") for number in range(500)]
    with Log(tmp_path / "out") as log:
        for result in kept:
            log.add(result)
        assert read_log(log.path)[:200] == kept[:200], "the first group is written before the end"
    assert read_log(tmp_path / "out" / "results.jsonl") == kept


def test_results_reach_the_disk_soon_though_they_be_few(tmp_path):
    with Log(tmp_path) as log:
        log.written = time.monotonic() - 1.0
        log.add(ONE)
        assert read_log(log.path) == [ONE]


STRANGE = {
    "nested": b"[" * 5_000 + b"]" * 5_000,
    "nested in a field": b'{"learner": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    "points as text": json.dumps({**asdict(ONE), "points": "3"}).encode(),
    "points as truth": json.dumps({**asdict(ONE), "points": True}).encode(),
    "points with a fraction": json.dumps({**asdict(ONE), "points": 2.5}).encode(),
    "seconds that are no number": json.dumps({**asdict(ONE), "seconds": float("nan")}).encode(),
    "endless seconds": json.dumps({**asdict(ONE), "seconds": float("inf")}).encode(),
    "a learner who is a list": json.dumps({**asdict(ONE), "learner": ["aiko"]}).encode(),
    "a field too many": json.dumps({**asdict(ONE), "bonus": 5}).encode(),
    "a field too few": json.dumps({"learner": "aiko"}).encode(),
    "a list": b"[1, 2]",
    "a number": b"12",
    "an endless number": b'{"points": ' + b"9" * 10_000 + b"}",
    "nothing": b"",
    "no UTF-8": b'{"learner": "\xe9"}',
    "half a character": json.dumps({**asdict(ONE), "status": "\ud800"}).encode()[:-1],
    "a line that is too long": json.dumps({**asdict(ONE), "category": "x" * 3 * LONGEST}).encode(),
    "NUL": b"\0" * 100,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_a_line_that_is_no_result_is_passed_over(kind, tmp_path):
    good = json.dumps(asdict(ONE)).encode()
    path = tmp_path / "results.jsonl"
    path.write_bytes(b"\n".join([good, STRANGE[kind], good, b""]))
    assert read_lines(path) == ([ONE, ONE], 1)


def test_a_line_that_was_broken_off_costs_nothing_but_itself(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_bytes(json.dumps(asdict(ONE)).encode() + b'\n{"learner": "be')
    with Log(tmp_path) as log:
        assert (log.results, log.strange) == ([ONE], 1)
        log.add(replace(ONE, learner="carol"))
    assert [result.learner for result in read_log(path)] == ["aiko", "carol"]


def test_a_log_of_an_earlier_version_is_read(tmp_path):
    old = {name: value for name, value in asdict(ONE).items() if name not in ("carried", "budget")}
    (tmp_path / "results.jsonl").write_text(json.dumps(old) + "\n")
    assert read_log(tmp_path / "results.jsonl") == [ONE]


def test_of_two_graders_at_once_the_second_is_told(tmp_path):
    with Log(tmp_path), pytest.raises(BlockingIOError, match="Another run is grading into"):
        Log(tmp_path)
    with Log(tmp_path):
        pass  # it is free again


def test_the_log_is_free_again_after_its_run_was_killed(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from course.grading.log import Log\n"
        "with Log(Path(sys.argv[1])):\n    print('mine', flush=True)\n    time.sleep(60)"
    )
    with python(program, tmp_path) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "mine\n"
        with pytest.raises(BlockingIOError):
            Log(tmp_path)
        holder.kill()
    with Log(tmp_path):
        pass


def test_a_full_disk_is_a_sentence_and_what_is_written_is_safe(tmp_path):
    program = (
        "import resource, signal, sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from course.grading.log import Log, Result\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # what cannot be written: EFBIG
        f"one = {ONE!r}\n"
        "with Log(Path(sys.argv[1])) as log:\n"
        "    for number in range(10_000):\n        log.add(replace(one, learner=str(number)))"
    )
    with python(program, tmp_path) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "cannot be written: File too large" in said and "make room" in said
    kept, strange = read_lines(tmp_path / "results.jsonl")
    assert len(kept) > 300 and [result.learner for result in kept] == [str(number) for number in range(len(kept))]
    assert strange <= 1, "the last line may be broken off"
    with Log(tmp_path) as log:
        log.add(replace(ONE, learner="after"))
    assert read_log(tmp_path / "results.jsonl") == [*kept, replace(ONE, learner="after")]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot be kept in .*Give another folder with --out"):
        Log(tmp_path / "file" / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_folder_is_a_sentence(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match=r"Permission denied\. Give another folder"):
        Log(tmp_path)
    tmp_path.chmod(0o700)


# --- the secret -----------------------------------------------------------------------------------------------------


def test_the_secret_is_kept_to_the_teacher_and_decides_the_cases(tmp_path):
    key = secret.secret_of(tmp_path)
    assert secret.secret_of(tmp_path) == key and len(key) == 32
    assert (tmp_path / "secret.key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    cases = {exercises.find("02-causal-mask").hidden(each)[0]["T"] for each in (key, *map(bytes, ([1], [2], [3], [4])))}
    assert len(cases) > 1, "another secret, other cases"


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_secret_that_is_too_short_is_a_sentence(content, tmp_path):
    (tmp_path / "secret.key").write_bytes(content)
    (tmp_path / "secret.key").chmod(0o600)
    with pytest.raises(ValueError, match=r"16 or more\. Remove it"):
        secret.secret_of(tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_secret_that_others_can_read_is_shut_and_said(mode, tmp_path):
    key = secret.secret_of(tmp_path)
    (tmp_path / "secret.key").chmod(mode)
    said: list[str] = []
    assert secret.secret_of(tmp_path, said.append) == key
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert len(said) == 1 and "could be read by others" in said[0]


def test_first_runs_at_once_agree_on_one_secret(tmp_path):
    program = (
        "import sys, threading; from pathlib import Path; from course.grading.secret import secret_of\n"
        "found, gate = [], threading.Barrier(8)\n"
        "for number in range(40):\n"
        "    out = Path(sys.argv[1]) / str(number); out.mkdir(exist_ok=True)\n"
        "    def one(): gate.wait(); found.append(secret_of(out).hex())\n"
        "    threads = [threading.Thread(target=one) for _ in range(8)]\n"
        "    [t.start() for t in threads]; [t.join() for t in threads]\n"
        "    print(*sorted(set(found)), flush=True); found.clear()"
    )
    processes = [python(program, tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in processes]
    assert all(process.returncode == 0 for process in processes), said
    lines = [out.splitlines() for out, _ in said]
    assert lines[0] == lines[1] and len(set(lines[0])) == 40
    assert all(len(line) == 64 for line in lines[0]), "eight threads of two processes, one secret, whole"


def test_a_run_killed_while_it_makes_the_secret_harms_no_later_one(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from course.grading.secret import secret_of\n"
        "os.fsync = lambda descriptor: os._exit(9)\n"  # it dies with the secret half made
        "secret_of(Path(sys.argv[1]))"
    )
    with python(program, tmp_path) as process:
        assert process.wait(timeout=60) == 9
    assert not (tmp_path / "secret.key").exists()
    assert len(secret.secret_of(tmp_path)) == 32


def test_a_disk_without_links_holds_a_secret_too(tmp_path, monkeypatch):
    def no_links(*ignored):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(secret.os, "link", no_links)
    key = secret.secret_of(tmp_path)
    assert secret.secret_of(tmp_path) == key and len(key) == 32
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
