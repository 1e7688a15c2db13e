"""Attacks on the grader: none gains a point, reads what is hidden, harms the next answer, or leaves anything behind.

Each attack is an answer to the exercise "who may look at whom" that does not deserve its point. After each, the same
warm sandbox judges an honest answer: right, and without delay. These tests fail, and never skip, where the strongest
sandbox is missing: without it nobody's points can be trusted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from course.grading import jobs as grading
from course.grading.jobs import Job, judge_job
from course.grading.sandbox import Sandbox, best_level
from course.practice import exercises
from course.practice.exercise import PRELUDE, PUBLIC_SEED
from course.practice.plain import MAX_BYTES, Raised, from_bytes, to_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
SECRET = b"known to the teacher alone, 32 by"
HONEST = "def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).tril()\n"
WRONG = "torch.zeros(T, T, dtype=torch.bool)"

GAIN = {
    "an object that equals everything": """
class Equal:
    def __eq__(self, other): return True
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
def causal_mask(T): return Equal()
""",
    "a number that equals everything": """
class Equal(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
    __hash__ = float.__hash__
def causal_mask(T): return Equal(1.0)
""",
    "a tensor subclass that answers every question with True": """
class Yes(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return True
def causal_mask(T): return torch.zeros(T, T).as_subclass(Yes)
""",
    "expected values from the frames above": """
import sys
def causal_mask(T):
    frame = sys._getframe()
    while frame:
        for name, value in frame.f_locals.items():
            if "expect" in name or "reference" in name:
                return value[0] if isinstance(value, list) else value
        frame = frame.f_back
    return torch.zeros(T, T, dtype=torch.bool)
""",
    "expected values from the garbage collector": """
import gc
def causal_mask(T):
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.shape == (T, T) and thing.dtype == torch.bool:
            return thing
    return torch.zeros(T, T, dtype=torch.bool)
""",
    "the reference, imported": """
def causal_mask(T):
    from course.attention import causal_mask as reference
    return reference(T)
""",
    "the exercise, imported by an import hook of one's own": """
import importlib.util, sys
def causal_mask(T):
    for place in list(sys.path) + ["/work", "/home", "/root", "/opt"]:
        spec = importlib.util.spec_from_file_location("attention", place + "/course/attention.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.causal_mask(T)
""",
    "a finder that replaces the judge": """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None): sys.exit(0)
sys.meta_path.insert(0, Finder())
def causal_mask(T): return torch.zeros(T, T, dtype=torch.bool)
""",
    "torch's comparisons replaced": """
torch.equal = torch.allclose = lambda *a, **k: True
torch.Tensor.__eq__ = lambda *a: torch.tensor(True)
torch.Tensor.all = torch.Tensor.any = lambda *a, **k: torch.tensor(True)
def causal_mask(T): return torch.zeros(T, T, dtype=torch.bool)
""",
    "the messages forged by replacing what packs them": """
import sys, json
plain = sys.modules["course.practice.plain"]
forged = json.dumps({"value": {"status": "passed", "points": 999}}).encode()
for module in list(sys.modules.values()):
    if getattr(module, "to_bytes", None) is plain.to_bytes:
        module.to_bytes = lambda value: len(forged).to_bytes(8, "big") + forged
def causal_mask(T): return torch.zeros(T, T, dtype=torch.bool)
""",
    "a forged message written ahead of the real one": """
import os
def causal_mask(T):
    for descriptor in range(32):
        try: os.write(descriptor, b'\\0\\0\\0\\0\\0\\0\\0\\x0f{"value": true}')
        except OSError: pass
    return torch.zeros(T, T, dtype=torch.bool)
""",
    "the verdict, claimed": """
def causal_mask(T): return {"status": "passed", "points": 15, "category": ""}
""",
    "the function replaced after its first call": """
calls = []
def causal_mask(T):
    calls.append(T)
    return torch.ones(T, T, dtype=torch.bool).tril() if len(calls) == 1 else torch.ones(T, T, dtype=torch.bool)
""",
    "a tracing function that changes results": """
import sys
def tracer(frame, event, argument):
    if event == "return": frame.f_locals["results"] = [True]
    return tracer
sys.settrace(tracer); sys.setprofile(tracer)
def causal_mask(T): return torch.zeros(T, T, dtype=torch.bool)
""",
    "assert statements dropped from every syntax tree": """
import ast, builtins
original = builtins.compile
builtins.compile = lambda *a, **k: original("pass", "x", "exec")
builtins.__debug__ if False else None
def causal_mask(T): return torch.zeros(T, T, dtype=torch.bool)
""",
    "leaving with success": """
import os
def causal_mask(T): os._exit(0)
""",
    "leaving while the cell runs": """
raise SystemExit(0)
""",
    "the end put off by an exit handler": """
import atexit
atexit.register(lambda: print("passed"))
def causal_mask(T): raise SystemExit(0)
""",
    "not a number, so that no comparison fails": """
def causal_mask(T): return torch.full((T, T), float("nan"))
""",
    "infinity": """
def causal_mask(T): return torch.full((T, T), float("inf"))
""",
    "a text with half a character": """
def causal_mask(T): return "\\ud800" * 10
""",
    "an object with a pickle that runs code": """
class Bomb:
    def __reduce__(self): return (print, ("passed",))
def causal_mask(T): return Bomb()
""",
    "a list that holds itself": """
def causal_mask(T):
    x = []
    x.append(x)
    return x
""",
    "a number with a million digits": """
def causal_mask(T): return 10 ** 1_000_000
""",
    "a tensor of a trillion numbers that takes four bytes": """
def causal_mask(T): return torch.zeros(1).expand(10 ** 6, 10 ** 6)
""",
    "strides that overlap": """
def causal_mask(T): return torch.ones(1, dtype=torch.bool).as_strided((T, T), (0, 0))
""",
    "a sparse, a quantised, a meta tensor": """
def causal_mask(T): return torch.zeros(T, T, device="meta", dtype=torch.bool)
""",
    "a generator that never ends": """
def causal_mask(T):
    while True: yield True
""",
    "the secret from environment variables": """
import os
def causal_mask(T):
    import hashlib
    for value in os.environ.values():
        if "secret" in value.lower(): return torch.ones(T, T, dtype=torch.bool).tril()
    return torch.zeros(T, T, dtype=torch.bool)
""",
    "right by heart for the public cases": """
KNOWN = (4, 1, LAST)
def causal_mask(T):
    right = torch.ones(T, T, dtype=torch.bool).tril()
    return right if T in KNOWN else ~right
""".replace("LAST", str(exercises.find("causal_mask").draw(PUBLIC_SEED)[2]["T"])),
}

HARM = {
    "an endless loop": "while True: pass",
    "an endless loop that catches everything": "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
    "sleep": "import time; time.sleep(600)",
    "ten gigabytes": "x = []\n    while True: x.append(bytearray(10 ** 8))",
    "ten gigabytes in one tensor": "torch.ones(10 ** 10).sum()",
    "a fork bomb": "import os\n    while True: os.fork()",
    "programs": "import subprocess; subprocess.run(['/bin/sh', '-c', 'sleep 600 &'])",
    "threads left running": "import threading, time\n    for _ in range(50): threading.Thread(target=time.sleep, args=(600,), daemon=False).start()",
    "a thread that spins": "import threading\n    def spin():\n        while True: pass\n    threading.Thread(target=spin, daemon=True).start()",
    "a flood of output": "import sys\n    for _ in range(2000): print('x' * 100_000)\n    sys.stderr.write('x' * 10_000_000)",
    "a flood of results": "return torch.zeros(10 ** 8)",
    "a flood into the wire": "import os\n    while True: os.write(3, b'x' * 1_000_000)",
    "the worker killed": "import os, signal\n    for pid in range(1, 400):\n        try: os.kill(pid, signal.SIGKILL)\n        except OSError: pass",
    "the worker stopped": "import os, signal\n    os.kill(os.getppid(), signal.SIGSTOP)",
    "itself killed": "import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)",
    "a segmentation fault": "import ctypes\n    ctypes.string_at(0)",
    "an abort": "import os\n    os.abort()",
    "the stack exhausted": "import sys\n    sys.setrecursionlimit(10 ** 9)\n    def down(n): return down(n + 1)\n    down(0)",
    "file handles exhausted": "files = []\n    while True: files.append(open('/dev/null'))",
    "the disk filled": "import os\n    for place in ('/tmp', '/dev/shm', '/var/tmp', '/', '/judge', '/root', '/proc'):\n        try: open(place + '/full', 'wb').write(b'x' * 10 ** 9)\n        except OSError: pass",
    "files left behind": "import os\n    for place in ('/tmp', '/dev/shm', '/dev', '/', '/judge/course'):\n        try: os.mkdir(place + '/left')\n        except OSError: pass\n        try: os.symlink('/etc/passwd', place + '/link')\n        except OSError: pass",
    "the worker's files removed": "import shutil\n    shutil.rmtree('/judge', ignore_errors=True); shutil.rmtree('/usr', ignore_errors=True)",
    "signals": "import signal\n    for number in range(1, 60):\n        try: signal.signal(number, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n    while True: pass",
    "an alarm": "import signal\n    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n    while True: pass",
    "torch broken for whoever comes next": "torch.ones = torch.Tensor.tril = None; torch.set_default_dtype(torch.float16); torch.set_num_threads(64)",
    "builtins broken for whoever comes next": "import builtins\n    builtins.len = builtins.isinstance = lambda *a: 0",
    "the priority of others lowered": "import os\n    try: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)\n    except OSError: pass",
    "the collector's work multiplied": "class Undead:\n        def __del__(self):\n            while True: pass\n    Undead()",
    "a computation that does not listen": "10 ** 10 ** 8",
    "a regular expression without end": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
}  # fmt: skip

READS = {
    "the network": "import socket; socket.create_connection(('127.0.0.1', 22), 1); return 'connected'",
    "a name server": "import socket; return socket.gethostbyname('localhost.example')",
    "the network by system call": "import ctypes; s = ctypes.CDLL(None).socket(2, 1, 0); return s if s >= 0 else None",
    "the grader's memory": "return open(f'/proc/{__import__(\"os\").getppid()}/mem', 'rb').read(1)",
    "the grader's environment": "return open(f'/proc/{__import__(\"os\").getppid()}/environ', 'rb').read()",
    "the grader's open files": "import os; return os.readlink(f'/proc/{os.getppid()}/fd/0')",
    "every process's memory map": """
import os
    seen = [p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]
    return [open(f'/proc/{p}/maps').read() for p in seen] or None""",
    "the memory of the parent by system call": """
import ctypes, os
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.ptrace(16, os.getppid(), 0, 0) == 0 or None""",
    "more rights by a new namespace": "import ctypes; return ctypes.CDLL(None).unshare(0x10000000) == 0 or None",
    "a mount": "import ctypes; return ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0 or None",
    "the limits lifted": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)); return 'lifted'",
    "the exercises' source": "import os; return open(os.path.join(COURSE, 'exercises', 'attention.py')).read()",
    "the course's folder": "import os; return [n for n in os.listdir(COURSE) if n not in ('__init__.py', 'plain.py', 'grading')] or None",
    "the learner's home": "import os; return [n for n in os.listdir(HOME) if n != PYTHON] or None",
    "passwords": "return open('/etc/shadow').read()",
    "users": "return open('/etc/passwd').read()",
    "another answer's memory": """
import gc
    marks = [o for o in gc.get_objects() if isinstance(o, dict) and any('MARK_OF_ANOTHER' in str(k) for k in list(o))]
    return marks or None""",
    "another answer's memory, byte by byte": """
    import ctypes, errno
    libc, found = ctypes.CDLL(None, use_errno=True), 0
    needle = b'MARK_OF_' + b'ANOTHER'
    first = id(object()) // 4096 * 4096
    for page in range(first - 32_000_000 // 4096 * 4096, first + 32_000_000, 4096):
        libc.access(ctypes.c_void_p(page), 0)  # a name that cannot be read is an address that is not there
        if ctypes.get_errno() != errno.EFAULT:
            found += ctypes.string_at(page, 4096).count(needle)
    return found if found > 50 else None""",
}  # fmt: skip


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with Sandbox("bubblewrap") as wall:
        yield wall


@pytest.fixture(autouse=True)
def warm(sandbox, monkeypatch):
    monkeypatch.setattr(grading, "sandbox_here", lambda level: sandbox)


def children(pid: int) -> list[int]:
    """The processes below a process, at any depth."""
    parents = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parents[int(place.name)] = int(place.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
    found: list[int] = []
    queue = [pid]
    while queue:
        queue = [child for child, parent in parents.items() if parent in queue]
        found += queue
    return found


def honest_answer_passes(sandbox: Sandbox) -> None:
    """The next learner's right answer is judged right, in its own time; nothing is left running or lying about."""
    started = time.perf_counter()
    assert judge_job(Job("02-causal-mask", (HONEST,)), SECRET, "bubblewrap").status == "passed"
    assert time.perf_counter() - started < 2.0
    assert sandbox.process is not None and sandbox.process.poll() is None
    assert len(children(sandbox.process.pid)) == 1, "the warm worker, and nobody else"


def test_the_strongest_sandbox_works_here():
    assert best_level() == "bubblewrap"


def test_there_are_enough_attacks():
    assert len(GAIN) + len(HARM) + len(READS) >= 75


@pytest.mark.parametrize("attack", GAIN)
def test_nothing_is_gained_by(attack, sandbox):
    verdict = judge_job(Job("02-causal-mask", (GAIN[attack],)), SECRET, "bubblewrap")
    assert verdict.status != "passed" and verdict.points == 0, verdict
    honest_answer_passes(sandbox)


@pytest.mark.parametrize("attack", HARM)
def test_no_harm_is_done_by(attack, sandbox):
    before = set(os.listdir("/tmp")) | set(os.listdir("/dev/shm"))
    worker = sandbox.process
    source = f"def causal_mask(T):\n    {HARM[attack]}\n    return {WRONG}\n"
    cases = exercises.find("causal_mask").draw(1)
    started = time.perf_counter()
    outcome = sandbox.run([PRELUDE, source], "causal_mask", cases, 1.0)
    assert time.perf_counter() - started < 3.0, "its own limit is a second; the rest is the machine's"
    assert len(outcome.results) == len(cases)
    assert sandbox.process is worker, "the warm worker has survived"
    honest_answer_passes(sandbox)
    left = {name for name in (set(os.listdir("/tmp")) | set(os.listdir("/dev/shm"))) - before if "course" not in name}
    assert not {"full", "left", "link"} & left


@pytest.mark.parametrize("attack", READS)
def test_nothing_is_read_of(attack, sandbox, monkeypatch):
    monkeypatch.setenv("COURSE_SECRET", "in the grader's environment")
    sandbox.run([PRELUDE, "MARK_OF_ANOTHER = 1\n" * 100 + "def f(): return 'MARK_OF_ANOTHER'"], "f", [{}], 2.0)
    places = f"COURSE = {str(Path(grading.__file__).parent.parent)!r}\nHOME = {str(Path.home())!r}\n"
    base = Path(sys.base_prefix)
    inside = base.is_relative_to(Path.home())  # Python itself may lie there, and must be seen
    places += f"PYTHON = {base.relative_to(Path.home()).parts[0] if inside else ''!r}\n"
    body = READS[attack].lstrip("\n")
    body = body if body.startswith("    ") else "    " + body
    outcome = sandbox.run([PRELUDE, f"{places}def f():\n{body}\n"], "f", [{}], 3.0)
    (result,) = outcome.results
    empty = result is None or isinstance(result, Raised)
    assert empty, f"it got {str(result)[:200]}"
    if isinstance(result, Raised):  # by the wall, not by a slip in the attack
        expected = ("PermissionError", "FileNotFoundError", "OSError", "ValueError", "NotADirectoryError", "gaierror")
        assert result.kind in expected, result
    honest_answer_passes(sandbox)


def test_the_wall_is_what_stops_them():
    """The same attacks succeed without a wall, so they test the wall."""
    names: dict[str, Any] = {}
    exec(PRELUDE + GAIN["the reference, imported"], names)
    assert torch.equal(names["causal_mask"](3), exercises.find("causal_mask").reference(T=3))
    assert os.listdir(Path.home()) is not None and "PATH" in Path("/proc/self/environ").read_text()


def test_an_answer_cannot_reach_the_hidden_cases_of_another_exercise(sandbox):
    source = "import sys\ndef f(): return sorted(name for name in sys.modules if name.startswith('course'))"
    (names,) = sandbox.run([PRELUDE, source], "f", [{}], 2.0).results
    assert names == [
        "course",
        "course.grading",
        "course.grading.seccomp",
        "course.grading.worker",
        "course.practice",
        "course.practice.plain",
    ]


def framed(header: bytes, numbers: bytes = b"") -> bytes:
    """A message with its header's length in front, as `to_bytes` writes it."""
    return len(header).to_bytes(8, "big") + header + numbers


FORGED = {
    "it is too long, or broken off": (
        b"",
        b"\0" * 7,
        b"\xff" * 64,
        (10**9).to_bytes(8, "big") + b"{}",
        b"\0" * (MAX_BYTES + 1),
    ),
    "there is more than the header says": (framed(b'{"value": 1}', b"extra"),),
    "a shape is not one": (
        framed(b'{"tensor": "float32", "shape": [1000000000]}'),
        framed(b'{"tensor": "float32", "shape": [-1]}'),
        framed(b'{"tensor": "float32", "shape": [1.5]}'),
    ),
    "a tensor is broken off": (framed(b'{"tensor": "float32", "shape": [4]}', b"\0" * 15),),
    "is not a kind of value": (
        framed(b'{"value": {"a": 1}}'),
        framed(b'{"value": [1]}'),
        framed(b'{"pickle": "gASV"}'),
    ),
    "it is nested too deeply, or holds too many things": (
        framed(b'{"list": [' * 50 + b"]}" * 50),
        framed(b'{"list": [' + b'{"value": 1},' * 30_000 + b'{"value": 1}]}'),
    ),
    "": (  # whatever Python says
        framed(b"12345"),
        framed(b"{}"),
        framed(b"null"),
        framed(b'{"tensor": "object", "shape": [1]}'),
        framed(b'{"tensor": ["float32"], "shape": [0]}'),
        framed(b'{"raised": ["a"]}'),
        framed(b'{"list": 5}'),
        framed(b'{"dict": [[1]]}'),
        framed(b'{"value": ' + b"9" * 5000 + b"}"),
    ),
}
forged = [
    pytest.param(message, reason, id=f"{reason or 'other'} {n}")
    for reason, messages in FORGED.items()
    for n, message in enumerate(messages)
]


@pytest.mark.parametrize(("message", "reason"), forged)
def test_a_forged_message_is_refused_with_its_reason(message, reason):
    with pytest.raises(ValueError, match=f"cannot be read: .*{reason}"):
        from_bytes(message)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (json.loads("[" * 20 + "]" * 20), "nested more than 12 deep"),
        (torch.zeros(MAX_BYTES, dtype=torch.uint8), "4,000,000 are allowed"),
        ("x" * MAX_BYTES, "4,000,000 are allowed"),
        (torch.zeros(1).expand(10**7), "is too large"),
    ],
    ids=["deep", "tensor", "text", "expanded"],
)
def test_a_value_that_is_too_deep_or_too_large_is_not_sent(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        to_bytes(value)


def test_plain_data_crosses_the_wall_unchanged():
    value = {
        "numbers": [1, -2.5, float("inf"), True, None, "日本"],
        "tensors": [torch.arange(6).view(2, 3), torch.zeros(0, 4), torch.tensor(1.5, dtype=torch.bfloat16)],
        "strided": torch.arange(12.0).view(3, 4).T,
        "raised": Raised("ValueError", "no", 3),
    }
    back = from_bytes(to_bytes(value))
    assert back["numbers"] == value["numbers"] and back["raised"] == value["raised"]
    for sent, received in zip([*value["tensors"], value["strided"]], [*back["tensors"], back["strided"]], strict=True):
        assert received.dtype == sent.dtype and torch.equal(received, sent)
