"""Mutants of right answers: a program with one small change, for every place and every change that this file knows.

A mutant is what a slip of the fingers or of thought makes of a right answer. The hidden cases must tell each from the
right answer, whatever the secret; `tests/test_mutants.py` names those that do not because they compute the same.

python tools/mutants.py                      all exercises: mutants, and those that some secret lets pass
python tools/mutants.py 02-attention --secrets 20
"""

from __future__ import annotations

import ast
import contextlib
import copy
import gc
import importlib.util
import inspect
import resource
import signal
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import nbformat
import torch

from course.practice import exercises
from course.practice.exercise import PRELUDE, Exercise, complaint
from course.practice.plain import Raised, call

ROOT = Path(__file__).resolve().parent.parent
SECRETS = tuple(b"secret %d" % number for number in range(3))
SECONDS = 0.5  # of the processor, for a call: an endless loop is ended then, however busy the machine is
MEMORY = 2 << 30  # bytes more than at the beginning: a mutant may ask for any number of them

SWAPS: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add, ast.Mult),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.Sub),
    ast.FloorDiv: (ast.Div, ast.Mult),
    ast.Mod: (ast.Mult,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr, ast.BitXor),
    ast.BitOr: (ast.BitAnd, ast.BitXor),
    ast.Lt: (ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    ast.LtE: (ast.Lt, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
    ast.Gt: (ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq),
    ast.GtE: (ast.Gt, ast.Lt, ast.LtE, ast.Eq, ast.NotEq),
    ast.Eq: (ast.NotEq, ast.LtE, ast.GtE, ast.Lt, ast.Gt),
    ast.NotEq: (ast.Eq, ast.LtE, ast.GtE, ast.Lt, ast.Gt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
FAMILIES = (  # functions that are taken for each other
    ("sum", "mean"), ("max", "min"), ("amax", "amin"), ("argmax", "argmin"), ("maximum", "minimum"), ("tril", "triu"),
    ("exp", "log"), ("sin", "cos"), ("cumsum", "cumprod"), ("softmax", "log_softmax", "sigmoid"),
    ("logsigmoid", "sigmoid"), ("zeros_like", "ones_like"), ("zeros", "ones"), ("std", "var"), ("sqrt", "square"),
    ("gelu", "relu"), ("clamp_min", "clamp_max"), ("argsort", "sort"), ("floor", "ceil", "round"), ("all", "any"),
    ("reshape", "view"), ("append", "insert"), ("log", "log2"), ("len", "sum"),
)  # fmt: skip


def mutants(source: str) -> dict[str, str]:
    """What is changed -> the changed source, of a source that defines one function. Equal sources are there once.

    What is changed is the text of the changed lines, as Python writes them.
    """
    tree = _Plain().visit(ast.parse(source))
    for node in ast.walk(tree):
        _strip(node)
    original = ast.unparse(tree)
    names = _variables(tree)
    found: dict[str, str] = {}
    for variant in _variants(tree, names):
        text = ast.unparse(ast.fix_missing_locations(variant))
        if text == original:
            continue
        try:
            compile(text, "", "exec")
        except SyntaxError:  # such as a starred expression that has lost its list
            continue
        found.setdefault(_changed(original, text), text)
    return found


def _strip(node: ast.AST) -> None:
    """Take away what is not computed: docstrings and annotations."""
    if isinstance(node, ast.FunctionDef):
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        node.returns = None
    if isinstance(node, ast.arg):
        node.annotation = None


class _Plain(ast.NodeTransformer):
    """`x: list[int] = []` as `x = []`."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return ast.Assign([node.target], node.value, lineno=node.lineno) if node.value is not None else None


def _variables(tree: ast.AST) -> list[str]:
    """The names of parameters and of what is assigned: those that a slip may put in another's place."""
    names = [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    names += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return list(dict.fromkeys(names))


def _changed(before: str, after: str) -> str:
    """The lines of `after` between the first and the last that differ; "(gone) ..." where there are none."""
    old, new = before.splitlines(), after.splitlines()
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    part = new[first : len(new) - last]
    if part:
        return " ⏎ ".join(line.strip() for line in part)
    return "(gone) " + " ⏎ ".join(line.strip() for line in old[first : len(old) - last])


def _variants(node: ast.AST, names: list[str]) -> Iterator[ast.AST]:
    """Copies of a node with one change, in itself or in a part of it."""
    yield from _changes(node, names)
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            for variant in _variants(value, names):
                yield _with(node, field, variant)
        elif isinstance(value, list):
            for i, part in enumerate(value):
                if isinstance(part, ast.stmt):  # a statement is left out
                    yield _with(node, field, [*value[:i], *value[i + 1 :]] if len(value) > 1 else [ast.Pass()])
                if isinstance(part, ast.AST):
                    for variant in _variants(part, names):
                        yield _with(node, field, [*value[:i], variant, *value[i + 1 :]])


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    changed = copy.copy(node)
    setattr(changed, field, value)
    return changed


def _changes(node: ast.AST, names: list[str]) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    for swap in SWAPS.get(type(node), ()):
        yield swap()
    match node:
        case ast.BinOp(left, op, right):
            yield from (left, right)
            number = isinstance(left, ast.Constant) or isinstance(right, ast.Constant)
            if not isinstance(op, (ast.Mult, ast.BitAnd, ast.BitOr)) and not (number and isinstance(op, ast.Add)):
                yield ast.BinOp(right, op, left)  # a product, and x + 1, are the same turned round
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.BoolOp(_, values):
            yield from values
        case ast.Compare(left, ops, [right]):
            yield ast.Compare(ast.BinOp(left, ast.Add(), ast.Constant(1)), ops, [right])
            yield ast.Compare(ast.BinOp(left, ast.Sub(), ast.Constant(1)), ops, [right])
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield from (ast.Constant(v) for v in {value + 1, value - 1, 0, 2 * value} - {value})
        case ast.Constant(float() as value):
            yield from (ast.Constant(v) for v in {0.0, 2 * value, value + 1, value - 1} - {value})
        case ast.Constant(str() as value):
            yield from (ast.Constant(v) for v in {"", "none", "mean", "sum"} - {value})
        case ast.Name(name, ast.Load()) if name in names:
            yield from (ast.Name(other, ast.Load()) for other in names if other != name)
        case ast.Call():
            yield from _changed_calls(node)
        case ast.Attribute(value, name, ast.Load()):
            yield value
            yield from (ast.Attribute(value, other, ast.Load()) for other in _relatives(name))
        case ast.Subscript(value, _, ast.Load()):
            yield value
        case ast.Slice(lower, upper, step):
            yield from (ast.Slice(None, upper, step), ast.Slice(lower, None, step), ast.Slice(lower, upper, None))
            for off in (ast.Add(), ast.Sub()):
                if lower is not None:
                    yield ast.Slice(ast.BinOp(lower, off, ast.Constant(1)), upper, step)
                if upper is not None:
                    yield ast.Slice(lower, ast.BinOp(upper, off, ast.Constant(1)), step)
        case ast.If(test, body, orelse):
            yield from (ast.If(condition, body, orelse) for condition in _conditions(test))
        case ast.IfExp(test, value, other):
            yield from (ast.IfExp(condition, value, other) for condition in _conditions(test))
        case ast.While(test, body, orelse):
            yield ast.While(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.For(target, iterated, body, orelse):
            for other in _fewer(iterated):
                yield ast.For(target, other, body, orelse)
        case ast.comprehension(target, iterated, ifs, is_async):
            for other in _fewer(iterated):
                yield ast.comprehension(target, other, ifs, is_async)
            for condition in ifs:
                yield ast.comprehension(target, iterated, [], is_async)
                yield ast.comprehension(target, iterated, [ast.UnaryOp(ast.Not(), condition)], is_async)
        case ast.AugAssign(target, _, value):
            yield ast.Assign([target], value)
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()
        case ast.List(parts, ctx) | ast.Tuple(parts, ctx) if isinstance(ctx, ast.Load):
            yield from (type(node)([*parts[:i], *parts[i + 1 :]], ctx) for i in range(len(parts)))
            yield from (type(node)(swapped, ctx) for swapped in _swapped(parts))
        case ast.Starred(value, ast.Load()):
            yield value


def _changed_calls(node: ast.Call) -> Iterator[ast.AST]:
    """f(a, b) as a, b, f(a), f(b), f(b, a), another f; x.f(...) as x."""
    function, args, keywords = node.func, node.args, node.keywords
    yield from (arg for arg in args if not isinstance(arg, ast.Starred))
    if isinstance(function, ast.Attribute):
        yield function.value
    yield from (ast.Call(function, [*args[:i], *args[i + 1 :]], keywords) for i in range(len(args)))
    yield from (ast.Call(function, args, [*keywords[:i], *keywords[i + 1 :]]) for i in range(len(keywords)))
    yield from (ast.Call(function, swapped, keywords) for swapped in _swapped(args))
    if isinstance(function, ast.Name):
        for other in _relatives(function.id):
            yield ast.Call(ast.Name(other, ast.Load()), args, keywords)
        if function.id == "range":
            for i, arg in enumerate(args):
                for off in (ast.Add(), ast.Sub()):
                    shifted = ast.BinOp(arg, off, ast.Constant(1))
                    yield ast.Call(function, [*args[:i], shifted, *args[i + 1 :]], keywords)


def _relatives(name: str) -> list[str]:
    return [other for family in FAMILIES if name in family for other in family if other != name]


def _swapped(parts: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for i, (first, second) in enumerate(pairwise(parts)):
        yield [*parts[:i], second, first, *parts[i + 2 :]]


def _conditions(test: ast.expr) -> tuple[ast.expr, ...]:
    """The opposite, always, and never."""
    return ast.UnaryOp(ast.Not(), test), ast.Constant(True), ast.Constant(False)


def _fewer(iterated: ast.expr) -> Iterator[ast.expr]:
    """What is iterated, without its first, and without its last."""
    everything = ast.Call(ast.Name("list", ast.Load()), [iterated], [])
    yield ast.Subscript(everything, ast.Slice(ast.Constant(1), None), ast.Load())
    yield ast.Subscript(everything, ast.Slice(None, ast.Constant(-1)), ast.Load())


# --- judging --------------------------------------------------------------------------------------------------------


@cache
def solutions() -> dict[str, str]:
    """Exercise -> the answer in the solution notebook."""
    found: dict[str, str] = {}
    for notebook in exercises.TOPICS:
        for cell in nbformat.read(ROOT / "solutions" / f"{notebook}.ipynb", as_version=4).cells:
            told = cell.metadata.get("nbgrader", {})
            if told.get("solution"):
                found[told["grade_id"]] = cell.source
    return found


@cache
def right_answers() -> dict[str, list[str]]:
    """Exercise -> the right answers of the tests, written independently."""
    found: dict[str, list[str]] = {}
    for topic in exercises.TOPICS.values():
        spec = importlib.util.spec_from_file_location(f"answers_{topic}", ROOT / "tests" / "answers" / f"{topic}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found |= module.RIGHT
    return found


def programs(exercise: Exercise) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name of its function, source, what it may use) of each right answer to an exercise that there is.

    The worked solution, the tests' answers, and the reference, where it can do nothing but what is asked (some take
    more arguments, to make mistakes with).
    """
    solved = solutions()
    ready: dict[str, Any] = {"__name__": "answer"}
    for source in (PRELUDE, *(solved[other] for other in exercise.uses)):
        exec(source, ready)
    for source in (solved[exercise.id], *right_answers()[exercise.id]):
        yield exercise.entry, source, ready
    reference = exercise.reference
    asked = exercise.draw(0)[0].keys()
    if inspect.signature(reference).parameters.keys() == asked:
        surroundings = dict(vars(inspect.getmodule(reference)))
        yield reference.__name__, textwrap.dedent(inspect.getsource(reference)), surroundings


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """No warnings, and an end to what takes too much memory. For time see `in_time`."""

    def late(number: int, frame: Any) -> None:
        """Not between the doors of a `with`: torch's default device, half left, would stay for all that follows."""
        while frame is not None:
            if frame.f_code.co_name in ("__enter__", "__exit__"):
                return  # the next alarm comes soon
            frame = frame.f_back
        raise TimeoutError

    before, limits = signal.signal(signal.SIGPROF, late), resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, limits[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)


def in_time(function: Callable[[], Any]) -> Any:
    """What it returns, or Raised("TimeoutError").

    The collector of garbage rests meanwhile: what an alarm raises in one of its callbacks is lost. Should it be lost
    elsewhere, in a __del__, the next one comes soon.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS, SECONDS / 10)
        try:
            return function()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except Exception as error:
        return Raised(type(error).__name__)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)  # again: an alarm may have come before the first
        if collects:
            gc.enable()


def judged(exercise: Exercise, secrets: Sequence[bytes] = SECRETS) -> tuple[int, dict[str, int], set[str]]:
    """How many mutants there are, what is changed in those that pass -> with how many of the secrets, and in the slow.

    The slow ran out of time: endless, or on a slow machine perhaps no other program, only a slower one.
    """
    drawn = [(cases, exercise.expected(cases)) for cases in map(exercise.hidden, secrets)]
    number, survivors, slow = 0, dict[str, int](), set[str]()
    with bounded():
        for name, source, ready in programs(exercise):
            warm = dict(ready)  # what the right answer imports at its first call takes no mutant's time
            exec(source, warm)
            call(warm[name], drawn[0][0][0])
            for change, text in mutants(source).items():
                number += 1
                names = dict(ready)
                names.pop(name, None)  # a mutant without its function has none
                if isinstance(in_time(partial(exec, text, names)), Raised) or name not in names:
                    continue
                passed = _secrets_passed(exercise, names[name], drawn)
                if passed is None:
                    slow.add(change)
                elif passed:
                    survivors[change] = max(passed, survivors.get(change, 0))
    return number, survivors, slow


def _secrets_passed(
    exercise: Exercise, function: Any, drawn: Sequence[tuple[list[dict[str, Any]], list[Any]]]
) -> int | None:
    """With how many secrets a mutant passes; None if a call takes too long."""
    passed = 0
    for cases, expected in drawn:
        for case, wanted in zip(cases, expected, strict=True):
            got = in_time(partial(call, function, case))
            if isinstance(got, Raised) and got.kind == "TimeoutError":
                return None
            if complaint(exercise, case, wanted, got) is not None:
                break
        else:
            passed += 1
    return passed


@click.command()
@click.argument("asked", nargs=-1)
@click.option("--secrets", default=len(SECRETS), show_default=True)
def main(asked: tuple[str, ...], secrets: int) -> None:
    """Make and judge the mutants of some exercises, or of all."""
    torch.set_num_threads(1)
    total = alive = 0
    for exercise in map(exercises.find, asked or exercises.everything()):
        number, survivors, _ = judged(exercise, [b"secret %d" % i for i in range(secrets)])
        total, alive = total + number, alive + len(survivors)
        print(f"{exercise.id}: {number} mutants, {len(survivors)} survive", flush=True)
        for change, passed in survivors.items():
            print(f"    {passed:3} of {secrets}  {change}")
    print(f"{total} mutants, {alive} survive")


if __name__ == "__main__":
    main()
