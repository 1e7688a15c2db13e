"""How long `check` waits for an answer: after some seconds it says that it still waits, after more it stops."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANNOUNCE, STOP = 10.0, 60.0  # seconds; every answer that is right takes less than one


@contextmanager
def limited(announce: float | None = None, stop: float | None = None) -> Iterator[None]:
    """Say after `announce` seconds (default: ANNOUNCE) that the block still runs; interrupt it after `stop` (STOP).

    The interruption is the one of Ctrl-C and of Jupyter's square: a KeyboardInterrupt, which the caller turns into a
    sentence. Outside of the main thread Python cannot interrupt, and the announcement is all.
    """
    first, last = announce or ANNOUNCE, stop or STOP
    lock, over = threading.Lock(), threading.Event()
    main = threading.current_thread() is threading.main_thread()

    def watch() -> None:
        if over.wait(first):
            return
        ends = f" After {last:g} seconds it stops by itself." if main else ""
        print(
            f"Still running after {first:g} seconds: is there a loop that never ends? To stop it, press the square (■) "
            f"above the notebook.{ends}",
            flush=True,
        )
        if main and not over.wait(max(0.0, last - first)):
            with lock:
                if not over.is_set():  # else it would hit what comes after the block
                    _thread.interrupt_main()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        with lock:
            over.set()
