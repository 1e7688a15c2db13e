"""What an answer may ask of the operating system: to compute, to read, to wait; nothing that names another process.

A seccomp filter is a tiny program that the Linux kernel runs at each system call; once set, it cannot be taken away.
Ours allows what Python and torch were seen to need, some calls with certain arguments only, and refuses everything
else with "operation not permitted". A call that Linux gets tomorrow is refused as well. Threads remain possible, new
processes do not. Refused for being means to talk to another answer, or to signal another process: locks on files,
owners of descriptors, sockets, pipes to signals, watches, keys, and futexes on pages that others see, too.
Linux manual: seccomp(2), syscalls(2); the program's form: kernel documentation, "Seccomp BPF".
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

# The numbers of the system calls, for x86-64 and for ARM64 (asm/unistd.h); None where there is no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # memory
    "mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226), "madvise": (28, 233),
    "brk": (12, 214),
    # files, which the walls make readable only
    "open": (2, None), "openat": (257, 56), "close": (3, 57), "close_range": (436, 436), "read": (0, 63),
    "readv": (19, 65), "pread64": (17, 67), "write": (1, 64), "writev": (20, 66), "lseek": (8, 62),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291),
    "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439), "readlink": (89, None),
    "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "fcntl": (72, 25), "ioctl": (16, 29),
    # time and waiting
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None),
    "times": (100, 153), "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "restart_syscall": (219, 128),
    "select": (23, None), "pselect6": (270, 72), "poll": (7, None), "ppoll": (271, 73),
    # threads, and what a process asks about itself
    "clone": (56, 220), "futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293),
    "sched_yield": (24, 124), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "exit": (60, 93),
    "exit_group": (231, 94), "prctl": (157, 167), "prlimit64": (302, 261), "getrlimit": (97, 163),
    "getrusage": (98, 165), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177), "uname": (63, 160), "getrandom": (318, 278),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
}  # fmt: skip
# Allowed with these arguments only. An argument is two words of 32 bits, the lower half first: word 2 is the lower half
# of the second one, and all there is of a number that the kernel takes as an int. Otherwise the error behind follows.
ONLY: dict[str, tuple[dict[int, tuple[int, ...]], int]] = {
    "clone": ({0: (0x3D0F00,)}, errno.EPERM),  # the flags of the C library's threads: a process has others
    "clock_gettime": ({0: tuple(range(12))}, errno.EPERM),  # a larger number is the clock of another process
    "fcntl": ({2: (1, 2, 3)}, errno.EPERM),  # F_GETFD, F_SETFD, F_GETFL: no locks, leases, owners, signals
    "ioctl": ({2: (0x5401, 0x5450, 0x5451)}, errno.ENOTTY),  # TCGETS (a terminal?), FIONCLEX, FIOCLEX: no FIOASYNC
    "madvise": ({4: (4, 8, 14, 15, 102, 103)}, errno.EPERM),  # on one's own pages, not on the cache of a file's
    "prctl": ({0: (15, 16)}, errno.EPERM),  # a thread's name
    "prlimit64": ({0: (0,), 4: (0,), 5: (0,)}, errno.EPERM),  # read one's own limits
    # Without FUTEX_PRIVATE_FLAG (128), a futex on a page of a library's file is one for everybody who has the file
    # loaded. "Try again" lets the C library wait for the end of a thread in a loop of its own.
    "futex": ({2: (128, 129, 131, 132, 133, 137, 138, 137 | 256)}, errno.EAGAIN),
}
NEWEST = 424  # from here on, "no such call" instead of "not permitted": the C library then does it in an older way
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # places in linux/seccomp.h's struct seccomp_data
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER_MODE = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Is this Linux on a machine whose numbers we know?"""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def program(machine: str) -> bytes:
    """The filter for a machine, instruction by instruction (struct sock_filter)."""
    column, architecture = MACHINES[machine]
    lines: list[tuple[int, int, int, int]] = [  # operation, lines to skip if true, if false, constant
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, 0x40000000),  # x86's other table of numbers
        (RETURN, 0, 0, KILL),
    ]
    for name, numbers in ALLOWED.items():
        if (number := numbers[column]) is not None:
            then = _if_only(*ONLY[name]) if name in ONLY else [(RETURN, 0, 0, ALLOW)]
            lines += [(EQUAL, 0, len(then), number), *then]
    lines += [(AT_LEAST, 0, 1, NEWEST), (RETURN, 0, 0, REFUSE | errno.ENOSYS), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _if_only(words: dict[int, tuple[int, ...]], error: int) -> list[tuple[int, int, int, int]]:
    """Allow the call if each of these words of its arguments has one of its values, else refuse it with the error."""
    lines = []
    for word, values in words.items():
        lines.append((LOAD, 0, 0, ARGUMENTS + 4 * word))
        lines += [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]  # to the line behind the next
        lines.append((RETURN, 0, 0, REFUSE | error))
    return [*lines, (RETURN, 0, 0, ALLOW)]


def prepare() -> tuple[ctypes.CDLL, _Program]:
    """Everything that `apply` needs, made before the answer is there."""
    code = program(platform.machine())
    return ctypes.CDLL(None, use_errno=True), _Program(len(code) // 8, code)


def apply(libc: ctypes.CDLL, filter_program: _Program) -> None:
    """Set the filter for this process, for good. Raises OSError where the kernel refuses."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, FILTER_MODE, ctypes.byref(filter_program), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "The kernel does not take the seccomp filter.")
