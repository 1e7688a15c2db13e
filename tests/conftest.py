"""What holds for every test: no network, pictures without a screen, an artifact folder of its own."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "offline"

_spec = importlib.util.spec_from_file_location("course_offline", OFFLINE / "sitecustomize.py")
assert _spec is not None and _spec.loader is not None
_spec.loader.exec_module(importlib.util.module_from_spec(_spec))  # blocks the network in this process …
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))  # … and below
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("COURSE_THREADS", str(min(2, os.cpu_count() or 1)))  # a number is kept to: bit for bit the same


@pytest.fixture(autouse=True)
def own_artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the learner's own artifacts."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tiny tensors: a second thread would only be waited for, and long where other programs work beside it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
