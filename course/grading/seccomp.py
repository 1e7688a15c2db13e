"""What an answer may ask of the operating system: to compute, not to start programs, reach out, or touch others.

A seccomp filter is a tiny program that the Linux kernel runs at each system call; once set, it cannot be taken away.
Ours refuses (with "operation not permitted") what no exercise needs. Threads remain possible, new processes do not.
Linux manual: seccomp(2), prctl(2); the program's form: kernel documentation, "Seccomp BPF".
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

# The numbers of the system calls, for x86-64 and for ARM64 (asm/unistd.h); None where there is no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "kcmp": (312, 272), "socket": (41, 198), "socketpair": (53, 199),
    "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "connect": (42, 203),
    "sendmsg": (46, 211), "recvmsg": (47, 212), "sendto": (44, 206), "sendmmsg": (307, 269),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "mount_setattr": (442, 442), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "memfd_create": (319, 279), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180), "prlimit64": (302, 261), "setrlimit": (160, 164),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "setsid": (112, 157), "setpgid": (109, 154), "inotify_init1": (294, 26),
    "fanotify_init": (300, 262), "init_module": (175, 105), "finit_module": (313, 273), "reboot": (169, 142),
    "mknod": (133, None), "mknodat": (259, 33), "personality": (135, 92),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), (435, 435)
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of linux/audit.h
CLONE_THREAD = 0x00010000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # linux/seccomp.h
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER_MODE = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Is this Linux on a machine whose numbers we know?"""
    return platform.system() == "Linux" and platform.machine() in MACHINES


def program(machine: str) -> bytes:
    """The filter for a machine, instruction by instruction (struct sock_filter)."""
    column, architecture = MACHINES[machine]
    lines: list[tuple[int, int, int, int]] = [  # operation, jump if true, jump if false, constant
        (LOAD, 0, 0, 4),  # the architecture of the call
        (EQUAL, 1, 0, architecture),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # its number
        (AT_LEAST, 0, 1, 0x40000000),  # x86's other table of numbers
        (RETURN, 0, 0, KILL),
        (EQUAL, 0, 1, CLONE3[column]),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),  # its flags lie in memory, out of sight: the C library then takes clone
        (EQUAL, 0, 4, CLONE[column]),
        (LOAD, 0, 0, 16),  # the first argument: flags
        (ANY_BIT, 0, 1, CLONE_THREAD),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]
    for numbers in REFUSED.values():
        if (number := numbers[column]) is not None:
            lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    lines.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *line) for line in lines)


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
