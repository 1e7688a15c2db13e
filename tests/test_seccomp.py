"""The filter of system calls: every call that is not in the list is refused, and of those in it, all but some uses."""

from __future__ import annotations

import errno
import platform
import struct
import sys
from typing import Any

import pytest

from course.grading import seccomp
from course.grading.sandbox import Sandbox
from course.practice.plain import Raised

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
REFUSED = (errno.EPERM, errno.ENOSYS)


@pytest.fixture(scope="module")
def sandbox() -> Any:
    with Sandbox("bubblewrap") as wall:
        yield wall


def verdict(machine: str, number: int, arguments: tuple[int, ...] = (), architecture: int | None = None) -> int:
    """What the filter of a machine says of a call: the program, run as the kernel does (linux/bpf_common.h)."""
    padded = [argument & (1 << 64) - 1 for argument in (*arguments, *[0] * 6)][:6]
    own = seccomp.MACHINES[machine][1]
    data = struct.pack("<IIQ6Q", number, own if architecture is None else architecture, 0, *padded)
    lines = list(struct.iter_unpack("HBBI", seccomp.program(machine)))
    accumulator = place = 0
    while True:
        operation, if_true, if_false, constant = lines[place]
        place += 1
        if operation == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x15:  # equal
            place += if_true if accumulator == constant else if_false
        elif operation == 0x35:  # at least
            place += if_true if accumulator >= constant else if_false
        elif operation == 0x06:  # return
            return int(constant)
        else:
            raise AssertionError(f"the filter has an instruction {operation:#x} that this test does not know")


def refused(machine: str, number: int, *arguments: int) -> int:
    """The error that a call gets, 0 if it is allowed."""
    said = verdict(machine, number, arguments)
    assert said == seccomp.ALLOW or said & ~0xFFFF == seccomp.REFUSE
    return 0 if said == seccomp.ALLOW else said & 0xFFFF


# The numbers, from the kernel's tables: x86-64 (arch/x86/entry/syscalls/syscall_64.tbl), ARM64 (scripts/syscall.tbl).
FCNTL, IOCTL, PRCTL, MADVISE, CLONE, FUTEX, PRLIMIT, CLOCK = (
    {"x86_64": x86, "aarch64": arm}
    for x86, arm in ((72, 25), (16, 29), (157, 167), (28, 233), (56, 220), (202, 98), (302, 261), (228, 113))
)
THREAD = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000 | 0x80000 | 0x100000 | 0x200000  # linux/sched.h
USES = {  # call -> what is allowed, what is refused; linux/fcntl.h, asm/ioctls.h, prctl.h, mman.h, futex.h, time.h
    "fcntl": (
        FCNTL,
        [(0, 1), (0, 2, 1), (0, 3)],
        [(0, 0), (0, 4, 0x2000), *((0, n) for n in (5, 6, 7, 8, 10, 15, 36, 37, 38, 1024, 1026, 1030, 1031, 1033))],
    ),
    "ioctl": (IOCTL, [(0, 0x5401), (0, 0x5451)], [(0, n) for n in (0x5452, 0x5421, 0x8901, 0x8902, 0x5412, 0x541C)]),
    "prctl": (PRCTL, [(15, 1)], [(n, 1) for n in (1, 4, 8, 22, 23, 24, 29, 35, 36, 38, 47, 0x53564D41)]),
    "madvise": (MADVISE, [(0, 0, 4), (0, 0, 8)], [(0, 0, n) for n in (3, 9, 12, 20, 21, 22, 100, 101)]),
    "clone": (CLONE, [(THREAD,)], [(17,), (0,), (THREAD | 0x10000000,), (THREAD | 0x20000000,), (0x4111,), (0x10000,)]),
    "futex": (
        FUTEX,
        [(0, 128), (0, 129), (0, 128 | 9 | 256)],
        [(0, 0), (0, 1), (0, 9), (0, 9 | 256), (0, 6), (0, 134)],
    ),
    "prlimit64": (PRLIMIT, [(0, 7, 0)], [(0, 7, 0x7F0000001000), (0, 7, 1 << 32), (1, 7, 0), (1, 7, 4096)]),
    "clock_gettime": (CLOCK, [(0,), (1,), (2,), (3,)], [(-14,), (-10,), (1 << 31,)]),
}


@pytest.mark.parametrize("machine", seccomp.MACHINES)
@pytest.mark.parametrize("call", USES)
def test_of_an_allowed_call_only_some_uses_are_allowed(call, machine):
    numbers, right, wrong = USES[call]
    assert [use for use in right if refused(machine, numbers[machine], *use)] == []
    assert [use for use in wrong if not refused(machine, numbers[machine], *use)] == []


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_a_call_of_another_machine_or_another_table_of_numbers_is_the_end(machine):
    assert verdict(machine, 39, architecture=0x40000003) == seccomp.KILL, "32 bits of the same processor"
    assert verdict(machine, 0x40000000 + 39) == seccomp.KILL, "x86's x32"


@pytest.mark.parametrize("machine", seccomp.MACHINES)
def test_no_call_of_the_list_names_another_process_or_makes_one(machine):
    column = {"x86_64": 0, "aarch64": 1}[machine]
    others = {  # kill, tgkill, tkill, ptrace, setpriority, sched_setscheduler, sched_setattr, execve, fork, vfork, ...
        "x86_64": (62, 234, 200, 101, 141, 144, 314, 59, 57, 58, 310, 311, 424, 434, 438, 435, 41, 53, 73, 206, 425),
        "aarch64": (129, 131, 130, 117, 140, 119, 274, 221, 270, 271, 424, 434, 438, 435, 198, 199, 32, 0, 425),
    }
    allowed = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    assert not allowed & set(others[machine])
    assert len(allowed - {None}) == len([n for n in seccomp.ALLOWED.values() if n[column] is not None]), "none twice"


def test_the_c_library_is_told_to_try_an_older_call_where_there_is_one():
    assert refused("x86_64", 435) == refused("aarch64", 435) == errno.ENOSYS, "clone3: then it takes clone"
    assert refused("x86_64", 202, 0, 9 | 256) == errno.EAGAIN, "the end of a thread: then it looks again"


ALL = """
import ctypes
def f(numbers):
    c = ctypes.CDLL(None, use_errno=True)
    found = {}
    for number in numbers:
        ctypes.set_errno(0)
        got = c.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
        found[str(number)] = ctypes.get_errno() if got == -1 else 0
    return found
"""


def test_every_call_that_is_not_in_the_list_is_refused_from_inside(sandbox):
    column = seccomp.MACHINES[platform.machine()][0]
    listed = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    if platform.machine() == "x86_64":
        listed |= {335, 336}  # uretprobe, uprobe: no filter sees them, and they end whoever calls them
    numbers = [number for number in range(600) if number not in listed]
    (found,) = sandbox.run([ALL], "f", [{"numbers": numbers}], 5.0).results
    assert len(found) == len(numbers) > 450
    assert {number for number, error in found.items() if error not in REFUSED} == set()
    assert {error for number, error in found.items() if int(number) < 400} == {errno.EPERM}


NEEDED = {  # what honest answers do beyond arithmetic, and what then comes out
    "threads": """
import threading
from concurrent.futures import ThreadPoolExecutor
def f():
    out = []
    threads = [threading.Thread(target=out.append, args=(i,)) for i in range(20)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    with ThreadPoolExecutor(4) as pool:
        return sorted(out) + list(pool.map(abs, range(-5, 0))) == [*range(20), 5, 4, 3, 2, 1]
""",
    "torch's threads": """
def f():
    torch.set_num_threads(2)
    return (torch.ones(800, 800) @ torch.ones(800, 2)).sum() == 1280000
""",
    "chance": """
import random, secrets, uuid
def f(): return len(secrets.token_hex(8)) == 16 and random.random() < 2 and len(uuid.uuid4().hex) == 32
""",
    "modules that are read late": """
import decimal, statistics, xml.dom, numpy.fft, torch.distributions
def f(): return statistics.mean([1, 3]) == 2
""",
    "gradients": """
def f():
    x = torch.ones(50, 50, requires_grad=True)
    (x @ x).sum().backward()
    return x.grad.sum() == 250000
""",
    "an optimizer": """
def f():
    x = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([x], 0.5)
    x.sum().backward()
    optimizer.step()
    return x.sum() == 1
""",
    "half precision": """
def f():
    a = torch.ones(64, 64, dtype=torch.bfloat16)
    return (a @ a).float().sum() + (a.half() @ a.half()).float().sum() == 524288
""",
    "modules of torch": """
def f():
    model = torch.nn.TransformerEncoderLayer(16, 2, batch_first=True)
    model(torch.ones(2, 5, 16)).sum().backward()
    return torch.linalg.svdvals(torch.eye(20)).sum() == 20
""",
    "sleep, clocks and dates": """
import datetime, time
def f():
    time.sleep(0.01)
    return time.thread_time() >= 0 and time.process_time() > 0 and datetime.datetime.now().year > 2000
""",
    "a warning, a log, a line": """
import logging, warnings
def f():
    warnings.warn("x")
    logging.warning("x")
    print("x", flush=True)
    return True
""",
    "a deep recursion": """
import sys
sys.setrecursionlimit(5000)
def down(n): return 0 if n == 0 else 1 + down(n - 1)
def f(): return down(4000) == 4000
""",
    "a lack of memory, and go on": """
def f():
    try:
        return [torch.ones(10 ** 8) for _ in range(40)]
    except RuntimeError:
        return True
""",
    "the machine's description": """
import os, platform
def f(): return len(platform.machine()) > 2 and os.cpu_count() > 0 and os.getcwd() == "/"
""",
    "a traceback": """
import traceback
def f():
    try:
        1 / 0
    except ZeroDivisionError:
        return traceback.format_exc().splitlines()[-1] == "ZeroDivisionError: division by zero"
""",
}


@pytest.mark.parametrize("what", NEEDED)
def test_an_answer_may_use(what, sandbox):
    (result,) = sandbox.run(["import torch", NEEDED[what]], "f", [{}], 20.0).results
    assert not isinstance(result, Raised) and bool(result), result


def test_the_kernel_reads_the_filter_as_these_tests_do(sandbox):
    machine = platform.machine()
    getpid = {"x86_64": 39, "aarch64": 172}[machine]
    numbers = [getpid, CLONE[machine], PRLIMIT[machine], FUTEX[machine], IOCTL[machine]]
    (found,) = sandbox.run([ALL], "f", [{"numbers": numbers}], 5.0).results
    assert [found[str(number)] for number in numbers] == [0, errno.EPERM, 0, errno.EAGAIN, errno.ENOTTY]
    assert [refused(machine, number) for number in numbers] == [0, errno.EPERM, 0, errno.EAGAIN, errno.ENOTTY]
