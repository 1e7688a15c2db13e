"""The library's modules import downwards only, and importing them costs little."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

COURSE = Path(__file__).parent.parent / "course"
LEVELS = {  # a module imports from its own line or from those above it, never in a circle
    0: (
        "cores",
        "runtime",
        "world.facts",
        "world.english",
        "world.speech",
        "world.checks",
        "world.rubric",
        "world.questions",
        "world.invented",
        "world.purposes",
        "world.corpus",
        "world.demonstrations",
        "world.capabilities",
        "tokenizer",
        "checkpoint",
    ),
    1: ("attention", "transformer", "encoder_decoder", "decode", "huggingface", "optimizer"),
    2: ("loop", "train", "generate", "chat", "lora"),
    3: ("sft", "reward", "rl", "dpo", "grpo", "evaluate", "ngram", "induction"),
    4: ("chain.store", "chain.own_text", "chain.recipe", "chain.talk"),
    5: (
        "show.plots",
        "show.diagrams",
        "show.widgets",
        "show.live",
        "show.inside",
        "show.export",
        "show.excerpt",
        "show.slides",
        "show.minutes",
        "show.lecture",
        "practice.plain",
        "practice.compare",
        "practice.exercise",
        "practice.exercises",
        "practice.progress",
        "practice.patience",
        "practice.check",
        "practice.quiz",
        "practice.predict",
    ),
    6: ("grading", "cli"),
}
ROOMS = ("world", "chain", "show", "practice")  # their modules have levels of their own; grading counts as one module
LEVEL = {module: level for level, modules in LEVELS.items() for module in modules}
LIGHT = ("course", "course.cli", "course.world.corpus", "course.tokenizer", "course.checkpoint")


def imported(tree: ast.AST) -> set[str]:
    """The modules of the course that a syntax tree imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {module_of(name.name.split(".")[1:]) for name in node.names if name.name.startswith("course.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write `from course...`, not a relative import"
            if node.module == "course":
                found |= {name.name for name in node.names if not name.name.startswith("__")}
            elif node.module and node.module.startswith("course."):
                place = node.module.split(".")[1:]
                found |= {module_of([*place, name.name]) for name in node.names}
    return found


def module_of(place: Sequence[str]) -> str:
    """The module that a place in the course belongs to: of a room its own, elsewhere the first part."""
    return ".".join(place[:2]) if place[0] in ROOMS else place[0]


def graph() -> dict[str, set[str]]:
    """Module -> the modules of the course that it imports."""
    found: dict[str, set[str]] = {}
    for path in COURSE.rglob("*.py"):  # a package that is no room counts as one module
        place = module_of(path.relative_to(COURSE).with_suffix("").parts)
        if not place.endswith("__init__"):
            found.setdefault(place, set()).update(imported(ast.parse(path.read_text(encoding="utf-8"))) - {place})
    return found


def rooms(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same graph between rooms: what stands flat is a room of its own."""
    found: dict[str, set[str]] = {}
    for module, targets in arrows.items():
        room = module.split(".")[0]
        found.setdefault(room, set()).update({target.split(".")[0] for target in targets} - {room})
    return found


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """A circle in the graph as the list of its modules, or []."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for target in sorted(arrows.get(module, ())):
                if found := walk(target, [*path, module]):
                    return found
            done.add(module)
        return []

    return next((found for module in sorted(arrows) if (found := walk(module, []))), [])


def test_every_module_has_its_level():
    modules = set(graph())
    assert modules == set(LEVEL), "each module of course/ stands in exactly one line of LEVELS"


def test_imports_point_down():
    upward = [
        f"{module} (level {LEVEL[module]}) imports {target} (level {LEVEL.get(target)})"
        for module, targets in graph().items()
        for target in targets
        if LEVEL.get(target, 99) > LEVEL[module]
    ]
    assert not upward, "; ".join(upward)


def test_imports_form_no_circle_between_modules_or_rooms():
    for arrows in (graph(), rooms(graph())):
        assert not circle(arrows), " imports ".join(circle(arrows))


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_there_are_no_star_imports():
    for path in [*COURSE.rglob("*.py"), *COURSE.parent.glob("[!c]*/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            stars = isinstance(node, ast.ImportFrom) and any(name.name == "*" for name in node.names)
            assert not stars, f"{path.name} has a star import"


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_neither_torch_nor_matplotlib(module):
    program = f"import sys, {module}; print([name for name in ('torch', 'matplotlib') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]", f"import {module} loads {said.strip()}: import them inside the functions that use them"


def test_importing_course_costs_at_most_a_fifth_of_a_second():
    def seconds(program: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        return time.perf_counter() - start

    seconds("import course")  # the first import compiles
    costs = [seconds("import course") - seconds("pass") for _ in range(9)]
    assert statistics.median(costs) <= 0.2, f"import course costs {statistics.median(costs):.2f} s"
