"""Attacks on the grader: none gains a point, reads what is hidden, harms the next answer, or leaves anything behind.

Each attack is an answer to the exercise "who may look at whom" that does not deserve its point. After each, the same
warm sandbox judges an honest answer: right, and without delay. These tests fail, and never skip, where the strongest
sandbox is missing: without it nobody's points can be trusted.
"""

from __future__ import annotations

import json
import os
import subprocess
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
    "the wire closed, and living on": "import os\n    os.close(3)\n    while True: pass",
    "the wire closed, and asleep": "import os, time\n    os.close(3); time.sleep(600)",
    "the worker killed by the wire's signals": "import fcntl, os, signal\n    for owner in (os.getppid(), -os.getppid(), 0):\n        for number, value in ((8, owner), (10, signal.SIGKILL), (4, os.O_ASYNC | os.O_NONBLOCK)):\n            try: fcntl.fcntl(3, number, value)\n            except OSError: pass\n    os.write(3, b'x')",
    "the worker killed by the wire's signals, another way": "import ctypes, os\n    c = ctypes.CDLL(None)\n    for request in (0x5452, 0x8901, 0x8902):\n        c.ioctl(3, request, ctypes.byref(ctypes.c_int(os.getppid())))\n    os.write(3, b'x')",
    "the worker's turn on the processor": "import ctypes, os\n    c = ctypes.CDLL(None)\n    for pid in (os.getppid(), 1):\n        c.sched_setscheduler(pid, 5, ctypes.byref(ctypes.c_int(0))); c.setpriority(0, pid, 19); c.sched_setaffinity(pid, 8, b'\\1' + bytes(7))",
    "the worker as the first to die": "import os\n    for pid in (os.getppid(), 1, 'self'):\n        for name in ('oom_score_adj', 'autogroup', 'timerslack_ns', 'sched', 'coredump_filter', 'comm', 'clear_refs'):\n            try: open(f'/proc/{pid}/{name}', 'w').write('1000')\n            except OSError: pass",
    "the worker's limits lowered": "import resource\n    for pid in (1, __import__('os').getppid()):\n        try: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1))\n        except OSError: pass",
    "threads without number": "import threading, time\n    threading.stack_size(32768)\n    try:\n        while True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n    except RuntimeError: pass",
    "threads that all spin": "import threading\n    def spin():\n        while True: pass\n    for _ in range(20): threading.Thread(target=spin, daemon=True).start()\n    spin()",
    "memory that is shared": "import mmap\n    x = [mmap.mmap(-1, 10 ** 9) for _ in range(20)]\n    [m.write(b'x' * 10 ** 9) for m in x]",
    "the machine's settings": "import os\n    for name in ('kernel/core_pattern', 'kernel/hostname', 'vm/drop_caches', 'vm/overcommit_memory', 'kernel/pid_max'):\n        for place in ('/proc/sys/', '/proc/self/root/proc/sys/'):\n            try: open(place + name, 'w').write('1')\n            except OSError: pass",
    "the end of a result that never comes": "class Endless(list):\n        def __iter__(self):\n            while True: yield 1\n    return Endless([1])",
    "an end that never ends": "import atexit, threading\n    def spin():\n        while True: pass\n    atexit.register(spin); threading._register_atexit(spin); raise SystemExit",
    "a death that is put off": "import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n    while True: pass",
    "the processor's time used up under a handler": "import signal\n    signal.signal(signal.SIGXCPU, lambda *a: None)\n    while True: pass",
    "a wrong number from the other table of calls": "import ctypes\n    ctypes.CDLL(None).syscall(0x40000000 + 39)",
    "a stop": "import os, signal\n    for stop in (lambda: os.kill(0, signal.SIGSTOP), lambda: signal.raise_signal(signal.SIGSTOP), lambda: os.killpg(0, 9)):\n        try: stop()\n        except OSError: pass",
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
    "the first process's memory": "return open('/proc/1/mem', 'r+b').read(1)",
    "the first process's environment": "return open('/proc/1/environ', 'rb').read()",
    "the first process's place": "import os; return os.readlink('/proc/1/cwd') or os.listdir('/proc/1/root')",
    "its own memory map": "return open('/proc/self/maps').read()",
    "the mount table": "return open('/proc/self/mountinfo').read()",
    "the machine's other mounts": "return open('/proc/mounts').read() or open('/etc/mtab').read()",
    "the settings of the kernel": "import os; return os.listdir('/proc/sys/kernel')",
    "the machine's load": "import os; return os.getloadavg()",
    "the machine's name": "import os, socket; return os.uname().nodename if os.uname().nodename != 'judge' else None",
    "its user outside": "return open('/proc/self/uid_map').read()",
    "the devices": "import os; return [d for d in os.listdir('/dev') if d not in ('null', 'zero', 'urandom')] or None",
    "somewhere to write": """
    import os, itertools
    for place, _, _ in itertools.islice(os.walk('/'), 500):
        try:
            os.close(os.open(place + '/mine', os.O_CREAT | os.O_WRONLY))
            return place
        except OSError:
            pass""",
    "a file's mode, changed": "import os; os.chmod(os.__file__, 0o644); return 'changed'",
    "a file's times, changed": "import os; os.utime(os.__file__); return 'changed'",
    "a file's extra attributes": "import os; return os.listxattr(os.__file__) or 'none'",
    "the page cache emptied": "import os; os.posix_fadvise(os.open(os.__file__, 0), 0, 0, 4); return 'emptied'",
    "a lease on a file": "import fcntl, os; fcntl.fcntl(os.open(os.__file__, 0), 1024, 0); return 'leased'",
    "a queue of messages": "import ctypes; return ctypes.CDLL(None).mq_open(b'/x', 0o102, 0o600, None) >= 0 or None",
    "a program in its own place": "import os; os.execv('/bin/sh', ['sh', '-c', 'exit 0'])",
    "a process by another call": "import os; return os.posix_spawn('/bin/true', ['true'], {})",
    "the clock of the first process": "import time; return time.clock_gettime((~1 << 3) | 2)",
}  # fmt: skip

# Calls of the C library that must be refused; `file` is a file that all answers can see. What does no harm is also
# made without a wall, where it succeeds: it is the wall that refuses.
CALLS = {
    "a lock on a file that others see": "flock(file, 2)",
    "a lock on a part of that file": "fcntl(file, 6, struct.pack('hhqqi', 0, 0, 0, 1, 0))",
    "a lock by its description": "fcntl(file, 37, struct.pack('hhqqi', 0, 0, 0, 1, 0))",
    "who holds a lock on that file": "fcntl(file, 36, struct.pack('hhqqi', 1, 0, 0, 1, 0))",
    "a watch on that file": "inotify_add_watch(c.inotify_init1(0), os.__file__.encode(), 1)",
    "a notice from a folder": "fcntl(folder, 1026, 0x80000001)",
    "what others have in the page cache": "mincore(page, 4096, room)",
    "what is read without waiting": "preadv2(file, struct.pack('PN', ctypes.addressof(room), 1), 1, 0, 0, 8)",
    "numbers of the whole machine": "sysinfo(room)",
    "the disk's numbers": "statfs(b'/', room)",
    "an anonymous file": "memfd_create(b'x', 0)",
    "a counter for events": "eventfd(0, 0)",
    "a timer as a file": "timerfd_create(1, 0)",
    "signals as a file": "signalfd(-1, bytes(8), 0)",
    "a pipe": "pipe(room)",
    "many files watched": "epoll_create1(0)",
    "locked memory": "mlock(room, 1)",
    "the owner of a descriptor": "fcntl(end, 8, os.getpid())",
    "the signal of a descriptor": "fcntl(end, 10, 10)",
    "a descriptor that signals": "fcntl(end, 4, 0x2000)",
    "a descriptor that signals, another way": "ioctl(end, 0x5452, ctypes.byref(ctypes.c_int(0)))",
    "its own turn on the processor": "sched_setaffinity(0, 8, bytes([255] * 8))",
    "its own end with its parent": "prctl(1, 9, 0, 0, 0)",
    "its own memory for others to read": "prctl(4, 1, 0, 0, 0)",
    "a signal to itself": "kill(os.getpid(), 0)",
}
ASK = """
import ctypes, os, struct
def f(end=3):
    c = ctypes.CDLL(None, use_errno=True)
    file, folder = os.open(os.__file__, os.O_RDONLY), os.open('/', os.O_RDONLY)
    room = ctypes.create_string_buffer(4096)
    page = ctypes.c_void_p(ctypes.addressof(room) // 4096 * 4096)
    return c.CALL
"""


# An answer that has seen a hidden case tells it, as CODE, to whoever reads the results. CODE is made of the case.
TELLS = {
    "the name of an exception": "raise type(CODE, (Exception,), {})",
    "the name of an exception of Python's own": "raise type(CODE, (ValueError,), {'__module__': 'builtins'})",
    "the name of an exception that hides it": "class E(Exception): pass\n    E.__name__ = E.__qualname__ = CODE\n    raise E",
    "the message of an exception": "raise ValueError(CODE)",
    "the key that is missing": "raise KeyError(CODE)",
    "the text of a syntax error": "exec(CODE + ' ' + CODE)",
    "a syntax error's own fields": "raise SyntaxError(CODE, (CODE, 1, 1, CODE, 1, 1))",
    "a group of exceptions": "raise ExceptionGroup(CODE, [ValueError(CODE)])",
    "an exit": "raise SystemExit(CODE)",
    "what is not attempted": "raise NotImplementedError(CODE)",
    "a warning": "import warnings; warnings.warn(CODE); return 1",
    "what is printed": "import sys; print(CODE); sys.stderr.write(CODE); return 1",
    "a text as result": "return CODE",
    "the keys of a result": "return {CODE: CODE}",
    "the type of a result": "return type(CODE, (), {})()",
    "the shape of a result": "return torch.zeros(7123, 1)",
    "a number as result": "return 7123",
    "the message of torch": "return torch.ones(7123) @ torch.ones(1)",
    "the answer's line": "import linecache; linecache.cache['<answer>'] = (1, None, [CODE], CODE); 1 / 0",
    "what forges the message": "import json, os; m = json.dumps({'list': [{'raised': [CODE, CODE, 7123]}] * 99}).encode(); os.write(3, len(m).to_bytes(8, 'big') + m); os._exit(0)",
    "a status that it writes itself": "import json, os; m = json.dumps({'list': [{'raised': ['Timeout', CODE, 0]}] * N}).encode(); os.write(3, len(m).to_bytes(8, 'big') + m); os._exit(0)",
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
    assert len(GAIN) + len(HARM) + len(READS) + len(CALLS) + len(TELLS) >= 140


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


@pytest.mark.parametrize("call", CALLS)
def test_the_system_refuses_an_answer(call, sandbox):
    (result,) = sandbox.run([ASK.replace("CALL", CALLS[call])], "f", [{}], 2.0).results
    assert result == -1 or (isinstance(result, Raised) and result.kind == "PermissionError"), result


def test_without_a_wall_the_system_refuses_none_of_these_calls():
    """So the tests above test the wall, and not slips in the calls."""
    program = "import json, os\nfound = {}\n"
    for name, call in CALLS.items():
        program += f"{ASK.replace('CALL', call)}\nfound[{name!r}] = f(os.pipe()[0])\n"
    run = subprocess.run([sys.executable, "-c", program + "print(json.dumps(found))"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [name for name, result in json.loads(run.stdout).items() if result < 0] == []


@pytest.mark.parametrize("attack", TELLS)
def test_what_leaves_the_grader_does_not_tell(attack, sandbox):
    code = "T7123x"  # stands for what an answer has seen
    count = len(grading.hidden("02-causal-mask", SECRET)[0])
    source = f"CODE, N = {code!r}, {count}\ndef causal_mask(T):\n    {TELLS[attack]}\n"
    verdict = judge_job(Job("02-causal-mask", (source,)), SECRET, "bubblewrap")
    assert verdict.status != "passed" and verdict.points == 0
    assert "7123" not in f"{verdict.status} {verdict.category}", verdict


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
