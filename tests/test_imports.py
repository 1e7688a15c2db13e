"""The library's modules import downwards only, and importing them costs little."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

COURSE = Path(__file__).parent.parent / "course"
LEVELS = {  # a module imports from its own line or from those above it, never in a circle
    0: ("runtime", "phrases", "atlas", "tokenizer", "checkpoint", "plain"),
    1: ("exercise", "attention", "transformer", "encoder_decoder", "decode", "huggingface"),
    2: ("train", "generate", "chat"),
    3: ("sft", "reward", "rl", "evaluate"),
    4: ("store", "recipe", "exercises"),
    5: ("progress", "check", "grading", "plots", "widgets", "quiz", "talk", "cli"),
}
LEVEL = {module: level for level, modules in LEVELS.items() for module in modules}
LIGHT = ("course", "course.cli", "course.atlas", "course.tokenizer", "course.checkpoint")


def imported(tree: ast.AST) -> set[str]:
    """The modules of the course that a syntax tree imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[1] for name in node.names if name.name.startswith("course.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write `from course...`, not a relative import"
            if node.module == "course":
                found |= {name.name for name in node.names if not name.name.startswith("__")}
            elif node.module and node.module.startswith("course."):
                found.add(node.module.split(".")[1])
    return found


def graph() -> dict[str, set[str]]:
    """Module -> the modules of the course that it imports."""
    found: dict[str, set[str]] = {}
    for path in COURSE.rglob("*.py"):  # a package counts as one module
        place = path.relative_to(COURSE).parts[0].removesuffix(".py")
        if not place.startswith("__"):
            found.setdefault(place, set()).update(imported(ast.parse(path.read_text(encoding="utf-8"))) - {place})
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


def test_imports_form_no_circle():
    assert not circle(graph()), " imports ".join(circle(graph()))


def test_a_circle_would_be_found():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_there_are_no_star_imports():
    for path in COURSE.parent.glob("*/*.py"):
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
