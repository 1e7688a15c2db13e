"""The inside of the sandbox: a warm process that has torch ready, and forks itself once per answer.

It knows no reference, no expected value and no secret. It does not even read what it is given: each job comes as an
open socket, which the forked child alone reads. So one answer cannot find another's traces in memory.

In bubblewrap the worker is the first process of its namespace, which no signal from inside can end, and there is no
/proc through which a process could look at another one, or at the machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import mmap
import os
import resource
import select
import signal
import socket
from typing import Any

import torch

from course.grading import seccomp
from course.practice.plain import Raised, call, from_bytes, raised, to_bytes

CONTROL = 0  # the socket to the grader stands where the standard input was
MEMORY = 1 << 30  # bytes an answer may take beyond what the warm process has
THREADS = 256  # of everything in the sandbox
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4
FILE = "<answer>"


def main(user: int | None = None) -> None:
    """Get warm, say so, and serve jobs until the grader hangs up. user: whom root becomes first, for good."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    prepared = seccomp.prepare()
    prepared[0].prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # becoming another user has taken bubblewrap's back
    torch.set_num_threads(1)  # a process with threads cannot be forked safely
    torch.manual_seed(0)
    warm = torch.randn(4, 4, requires_grad=True)
    (warm @ warm).softmax(-1).sum().backward()  # what torch does at first use only
    torch.nn.functional.cross_entropy(torch.randn(2, 3), torch.tensor([0, 1])).item()
    torch.randn(3).sort()
    prepared[0].prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # nobody may read or trace this process
    gc.collect()
    gc.freeze()
    used = {kind: in_use(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)}
    control = socket.socket(fileno=CONTROL)
    control.sendall(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            return
        limit, me = float(message), os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                prepared[0].prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() == me:  # else the worker has died meanwhile
                    answer(descriptors[0], limit, used, prepared)
            finally:
                os._exit(1)
        os.close(descriptors[0])
        control.sendall(json.dumps(watch(pid, limit)).encode().ljust(256))


def in_use(kind: int) -> int:
    """How much memory of a limited kind this process has, to a megabyte.

    Found by trying limits, since there is no /proc that would tell: below what is in use, not a page more is given.
    """
    before = resource.getrlimit(kind)
    low, high = 0, 1 << 47
    while high - low > 1 << 20:
        middle = (low + high) // 2
        resource.setrlimit(kind, (middle, before[1]))
        try:
            mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
            high = middle
        except (OSError, MemoryError):
            low = middle
    resource.setrlimit(kind, before)
    return high


def watch(pid: int, limit: float) -> dict[str, Any]:
    """Wait for the child, no longer than `limit` seconds, nor longer than the grader is there; how it ended."""
    descriptor = os.pidfd_open(pid)
    in_time = descriptor in select.select([descriptor, CONTROL], [], [], limit)[0]
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    os.close(descriptor)
    _, status, usage = os.wait4(pid, 0)
    number, cpu = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, usage.ru_utime + usage.ru_stime
    in_time = in_time and number != signal.SIGXCPU and not (number == signal.SIGKILL and cpu >= limit)
    return {"in_time": in_time, "signal": number, "cpu": cpu}


def answer(descriptor: int, limit: float, used: dict[int, int], prepared: tuple[ctypes.CDLL, Any]) -> None:
    """In the child: read the job, give up all rights, run the answer, send what it returns. Never returns."""
    os.dup2(descriptor, 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)  # the control socket is gone with this; what an answer prints is nobody's
    os.closerange(4, 1 << 16)
    connection = socket.socket(fileno=3)
    parts = []
    while part := connection.recv(1 << 20):
        parts.append(part)
    job = from_bytes(b"".join(parts))
    set_limits(limit, used)
    seccomp.apply(*prepared)
    results = run(job)
    try:
        message = to_bytes(results)
    except Exception as error:
        message = to_bytes([raised(error, "")] * len(job["cases"]))
    view = memoryview(message)
    while view:
        view = view[os.write(3, view) :]
    os._exit(0)


def set_limits(seconds: float, used: dict[int, int]) -> None:
    """Memory, processor time, threads, files: what the kernel takes care of."""
    processor = math.ceil(seconds) + 1
    limits = {kind: (size + MEMORY, size + MEMORY) for kind, size in used.items()} | {
        resource.RLIMIT_CPU: (processor, processor + 1),  # at the first a signal that says why, at the second the end
        resource.RLIMIT_NPROC: (THREADS, THREADS),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_NOFILE: (32, 32),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, value in limits.items():
        resource.setrlimit(kind, value)


def run(job: dict[str, Any]) -> list[Any]:
    """Run the sources one after the other, then call the function for every case.

    A cell that breaks off behind the function has defined it: in the notebook, too, the check then judges it.
    """
    names: dict[str, Any] = {"__name__": "answer"}
    *earlier, source = job["sources"]
    for other in earlier:  # whoever uses an earlier answer that does not run will hear of it
        with contextlib.suppress(BaseException):
            exec(compile(other, "<earlier>", "exec", dont_inherit=True), names)
    before = names.get(job["entry"])
    try:
        exec(compile(source, FILE, "exec", dont_inherit=True), names)
    except SyntaxError as error:
        return [Raised("SyntaxError", str(error.msg), error.lineno or 0)] * len(job["cases"])
    except BaseException as error:  # also SystemExit: it ends nothing but this answer
        if names.get(job["entry"]) is before:  # it has come to nothing, or to what an earlier cell has left
            return [raised(error, FILE)] * len(job["cases"])
    if job["entry"] not in names:
        return [Raised("NameError", f"the cell defines no function {job['entry']}")] * len(job["cases"])
    function, results = names[job["entry"]], []
    for case in job["cases"]:
        try:
            results.append(call(function, case))
        except BaseException as error:
            results.append(raised(error, FILE))
    return results
