"""Block the network: with this folder on PYTHONPATH, a Python program reaches its own machine only.

The course promises to work without the internet. Under this block, whoever forgets that gets an error at once
instead of a download.
"""

from __future__ import annotations

import socket
from typing import Any

LOCAL = ("localhost", "127.", "::1", "0.0.0.0")


def is_local(host: object) -> bool:
    """True for this machine's own addresses, and for "" and None, which mean any of them."""
    if isinstance(host, bytes):
        host = host.decode()
    return not host or (isinstance(host, str) and (host.startswith(LOCAL) or host == socket.gethostname()))


def block() -> None:
    """Make every connection and name look-up beyond this machine raise a PermissionError."""

    def refuse(host: object) -> None:
        raise PermissionError(f"The network is blocked in tests: something tried to reach {host!r}.")

    def guarded(name: str) -> Any:
        plain = getattr(socket.socket, name)

        def call(self: socket.socket, address: Any, *rest: Any) -> Any:
            target = rest[-1] if name == "sendto" and rest else address
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(target[0]):
                refuse(target[0])
            return plain(self, address, *rest)

        return call

    if getattr(socket, "course_blocked", False):
        return
    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(name))
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        if not is_local(host):
            refuse(host)
        return look_up(host, *rest, **named)

    socket.getaddrinfo = getaddrinfo
    socket.course_blocked = True  # type: ignore[attr-defined]


block()
