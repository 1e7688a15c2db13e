"""The hidden cases tell every mutant of a right answer from the right answer, or it is no other program.

`tools/mutants.py` makes them: of each worked solution, of each right answer of the tests, and of the references. Those
that pass are named in `equivalent_mutants.json`, each with the reason why it computes the same for whatever an
exercise may ask. A new one fails here: give the exercise a case that separates it, or, if there is none, the reason.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import signal
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

from course.practice import exercises

if sys.platform != "linux":
    pytest.skip("endless and greedy mutants are stopped by means of Linux", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).parents[1]
EQUIVALENT: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "equivalent_mutants.json").read_text()
)


def load(path: Path) -> ModuleType:
    """A tool of the project."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load(ROOT / "tools" / "mutants.py")


@pytest.mark.parametrize("name", exercises.everything())
def test_each_mutant_is_found_out_with_every_secret_or_named_as_equivalent(name):
    number, survivors, slow = tool.judged(exercises.find(name))
    assert number >= 50, "of several right answers"
    named = {line for lines in EQUIVALENT.get(name, {}).values() for line in lines}
    assert set(survivors) - named == set(), "each needs a case that separates it, or the reason why there is none"
    assert named - set(survivors) - slow == set(), "these are found out: their names can go"


def test_an_alarm_waits_until_a_context_is_left():
    class Slow:
        """Its doors take longer than a call may, and what is between them never ends."""

        done: ClassVar[list[str]] = []

        def spend(self) -> None:
            end = time.process_time() + 1.5 * tool.SECONDS
            while time.process_time() < end:
                pass

        def __enter__(self) -> None:
            self.spend()
            self.done.append("entered")

        def __exit__(self, *_: object) -> None:
            self.spend()
            self.done.append("left")

    def endless() -> None:
        with Slow():
            while True:
                pass

    with tool.bounded():
        assert tool.in_time(endless).kind == "TimeoutError"
    assert Slow.done == ["entered", "left"]
    assert signal.getitimer(signal.ITIMER_PROF)[0] == 0


def test_each_equivalent_mutant_has_one_reason():
    for name, reasons in EQUIVALENT.items():
        assert name in exercises.everything()
        lines = [line for reason in reasons for line in reasons[reason]]
        assert len(lines) == len(set(lines)), f"{name}: a mutant with two reasons"
        assert all(len(reason.split()) >= 4 for reason in reasons), name


def changes(source: str) -> set[str]:
    return set(tool.mutants(source))


def test_mutants_are_made_of_every_place_of_a_program():
    made = changes(
        "def f(x, y=-1):\n    '''Text.'''\n    if x > 0:\n        return g(x[1:], dim=y) + 2\n    return not y"
    )
    for expected in (
        "if x >= 0:",
        "if not x > 0:",
        "if True:",
        "def f(x, y=1):",
        "def f(x, y=-2):",
        "return g(x[1:], dim=y)",
        "return g(x[1:], dim=y) - 2",
        "return g(x[1:], dim=y) + 3",
        "return g(x[2:], dim=y) + 2",
        "return g(x[:], dim=y) + 2",
        "return g(x, dim=y) + 2",
        "return g(x[1:]) + 2",
        "return g(dim=y) + 2",
        "return g(y[1:], dim=y) + 2",
        "return g(x[1:], dim=x) + 2",
        "return x[1:] + 2",
        "return y",
        "return not x",
        "(gone) return not y",
    ):
        assert expected in made, expected
    assert {"return b + a", "return b", "return a - b"} <= changes("def f(a, b):\n    return a + b")
    assert "return f(b, a)" in changes("def g(a, b):\n    return f(a, b)")
    assert {"return x.mean()", "return x"} <= changes("def g(x):\n    return x.sum()")
    assert "for x in list(xs)[1:]:" in changes("def g(xs):\n    for x in xs:\n        print(x)")


def test_each_mutant_is_another_program_that_python_can_read():
    source = tool.solutions()["10-gae"]
    made = tool.mutants(source)
    assert len(made) > 250 and len(set(made.values())) == len(made)
    original = ast.unparse(ast.parse(source))
    for text in made.values():
        assert text != original and ast.parse(text)


def test_an_endless_mutant_and_a_greedy_one_are_stopped():
    with tool.bounded():
        assert tool.in_time(lambda: [1 for _ in iter(int, 1)]).kind in ("TimeoutError", "MemoryError")
        assert tool.in_time(lambda: bytearray(1 << 40)).kind == "MemoryError"
        assert tool.in_time(lambda: 3) == 3
