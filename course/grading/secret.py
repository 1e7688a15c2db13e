"""The secret that hidden cases are drawn from: made once, kept by the teacher."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

SECRET = "secret.key"
SHORTEST, LENGTH = 16, 32  # bytes


def _on_the_error_stream(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def secret_of(out: Path, say: Callable[[str], None] = _on_the_error_stream) -> bytes:
    """The secret in the folder `out`: made where there is none, readable by its owner alone.

    say: told in a sentence when others could read it, which is put right. Raises ValueError if it is no good.
    """
    path = out / SECRET
    if not path.exists():
        _make(path)
    mode = path.stat().st_mode
    if mode & 0o077:
        try:
            path.chmod(0o600)
        except OSError as error:
            raise ValueError(f"{path} can be read by others, and that cannot be changed ({error.strerror}).") from None
        say(
            f"{path} could be read by others; now it is yours alone. If somebody may have seen it, delete it: the next "
            "run makes a new one and judges everything anew."
        )
    secret = path.read_bytes()
    if len(secret) < SHORTEST:
        raise ValueError(f"{path} holds {len(secret)} bytes; a secret has {SHORTEST} or more. Remove it for a new one.")
    return secret


def _make(path: Path) -> None:
    """Write a new secret. It appears whole or not at all, and of two runs that begin together one wins."""
    descriptor, name = tempfile.mkstemp(prefix=".secret-", dir=path.parent)  # made for its owner alone (0600)
    try:
        with open(descriptor, "wb") as file:
            file.write(os.urandom(LENGTH))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)  # unlike a renaming, it never takes another's place
        except FileExistsError:
            pass
        except OSError:  # a disk without links, such as a USB stick's
            if not path.exists():
                os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
