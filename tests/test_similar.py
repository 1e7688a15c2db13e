"""Answers that are alike: copies are found, whatever was changed about them, and what people write alike is not."""

from __future__ import annotations

import ast
import random
import re
import runpy
import time
from pathlib import Path

import pytest

from course.grading import similar
from course.grading.extract import read_notebook
from course.grading.similar import NEAR, SAME_FORM, SAME_TEXT, Alike, alike, form
from course.practice import exercises

ROOT = Path(__file__).parent.parent
RIGHT = {
    name: [source.strip() for source in sources]
    for topic in exercises.TOPICS.values()
    for name, sources in runpy.run_path(str(ROOT / "tests" / "answers" / f"{topic}.py"))["RIGHT"].items()
}
SOLVED = {
    name: source
    for notebook in exercises.TOPICS
    for name, source in read_notebook((ROOT / "solutions" / f"{notebook}.ipynb").read_bytes()).answers.items()
}
# An answer as nobody else writes it, a copy of it, and a copy in which two things were changed.
OWN = '''
def multi_head(x, w_qkv, w_out, n_head):
    """Mine."""
    batch, time, width = x.shape
    heads = []
    both = x @ w_qkv
    for h in range(n_head):  # one head after the other
        part = width // n_head
        first = h * part
        q, k, v = (both[..., i * width + first : i * width + first + part] for i in range(3))
        scores = q @ k.transpose(1, 2) / part ** 0.5
        for t in range(time):
            scores[:, t, t + 1 :] = float("-inf")
        heads.append(torch.softmax(scores, dim=2) @ v)
    return torch.cat(heads, dim=2) @ w_out
'''
COPIED = """
def multi_head(inputs : Tensor, weights, out, H):
    B, T, D = inputs.shape
    results = [ ]

    projected = (inputs @ weights)
    for number in range(H):
        size = D // H
        start = number * size
        a, b, c = (projected[..., j*D + start:j*D + start + size] for j in range(3))
        s = a @ b.transpose(1, 2) / (part_size := size) ** 0.5
        for row in range(T):
            s[:, row, row + 1:] = float('-inf')   # the future
        results.append(torch.softmax(s, dim=2) @ c)
    return torch.cat(results, dim=2) @ out
""".replace("(part_size := size)", "size")
CHANGED = COPIED.replace("    results = [ ]\n", "    results = [ ]\n    assert D % H == 0\n")


def crowd(number: int, exercise: str = "02-multi-head") -> dict[str, dict[str, str]]:
    """A class in which each writes one of the answers that people write."""
    ways = [SOLVED[exercise], *RIGHT[exercise]]
    return {f"learner {n:03}": {exercise: ways[n % len(ways)]} for n in range(number)}


@pytest.mark.parametrize(
    ("second", "how"),
    [
        (OWN, SAME_TEXT),
        (OWN.replace("\n", "  \n\n"), SAME_TEXT),
        (OWN.replace("# one head after the other", ""), SAME_FORM),
        (OWN.replace('"""Mine."""', '"""Theirs."""\n    "not a docstring"'), SAME_FORM),
        (COPIED, SAME_FORM),
        (CHANGED, NEAR),
    ],
)
def test_a_copy_is_found_in_a_class_whatever_was_changed(second, how):
    given = {**crowd(60), "aiko": {"02-multi-head": OWN}, "ben": {"02-multi-head": second}}
    assert alike(given) == [Alike("02-multi-head", ("aiko", "ben"), how)]


def test_another_structure_or_another_constant_is_another_form():
    known = form(OWN)
    assert known is not None
    for before, after in (("0.5", "0.25"), ("k.transpose(1, 2)", "k.transpose(2, 1)"), ("dim=2) @ v", "dim=2) @ q")):
        assert before in OWN
        changed = form(OWN.replace(before, after))
        assert changed is not None and changed.fingerprint != known.fingerprint


def test_a_list_is_not_its_parts_and_a_name_is_not_another():
    sources = [
        "f([a, b], c)",
        "f([a], b, c)",
        "f([a, b, c])",
        "x = y = 1; g(x, x)",
        "x = y = 1; g(x, y)",
        "g('1')",
        "g(1)",
    ]
    found = [form(source) for source in sources]
    assert len({known.fingerprint for known in found if known}) == len(sources)


def test_what_three_people_write_who_know_nothing_of_each_other_is_not_alike():
    for exercise, ways in RIGHT.items():
        given = {f"learner {n}": {exercise: source} for n, source in enumerate([SOLVED[exercise], *ways])}
        assert alike(given) == [], exercise


def test_what_many_in_a_class_write_says_nothing():
    assert alike(crowd(60)) == []
    few = {f"learner {n}": {"02-multi-head": OWN} for n in range(4)}
    assert [found.how for found in alike({**crowd(60), **few})] == [SAME_TEXT]
    renamed = {f"learner {n}": {"02-multi-head": OWN.replace("heads", f"heads{n}")} for n in range(12)}
    assert alike({**crowd(60), **renamed}) == [], "a sixth of the class"


def test_short_answers_and_the_worked_solution_and_empty_ones_say_nothing():
    short = "def causal_mask(T):\n    return torch.ones(T, T).tril().bool()"
    stub = "def attention(q, k, v, mask=None):\n" + "    print(q, k, v)\n" * 20 + "    raise NotImplementedError"
    for exercise, source in (
        ("02-causal-mask", short),
        ("02-multi-head", SOLVED["02-multi-head"]),
        ("02-attention", stub),
    ):
        assert alike({"aiko": {exercise: source}, "ben": {exercise: source}}) == []


def test_groups_come_by_exercise_with_all_their_learners():
    given = {name: {"02-multi-head": OWN, "02-attention": OWN} for name in ("zoe", "aiko", "ben")}
    given["eve"] = {"02-multi-head": COPIED}
    assert alike(given) == [
        Alike("02-attention", ("aiko", "ben", "zoe"), SAME_TEXT),
        Alike("02-multi-head", ("aiko", "ben", "zoe"), SAME_TEXT),
        Alike("02-multi-head", ("aiko", "ben", "eve", "zoe"), SAME_FORM),
    ]


def test_no_nearly_equal_pair_is_missed_that_a_comparison_of_all_with_all_finds():
    chance = random.Random(3)
    lines = OWN.strip().split("\n")
    forms = {}
    for _ in range(120):
        text = list(lines)
        for _ in range(chance.randrange(6)):
            at = chance.randrange(2, len(text))
            indent = re.match(" *", text[at])
            text.insert(at, f"{indent[0] if indent else ''}extra{chance.randrange(9)} = {chance.randrange(99)}")
        found = form("\n".join(text))
        assert found is not None
        forms[found.fingerprint] = found
    shares = {
        (a, b): len(set(forms[a].runs.tolist()) & set(forms[b].runs.tolist()))
        / len(set(forms[a].runs.tolist()) | set(forms[b].runs.tolist()))
        for a in forms
        for b in forms
        if a < b
    }
    together = {key: number for number, cluster in enumerate(similar._clusters(forms)) for key in cluster}
    close = [pair for pair, share in shares.items() if share >= similar.SHARED]
    assert len(close) > 100
    assert all(a in together and together[a] == together.get(b) for a, b in close)
    for cluster in similar._clusters(forms):  # and nobody is in a group who is near to none of it
        for key in cluster:
            assert any(shares[min(key, other), max(key, other)] >= similar.SHARED for other in cluster if other != key)


HOSTILE = {
    "no Python": "def f(:",
    "nested": "(" * 25_000 + ")" * 25_000,
    "minus": "-" * 49_000 + "1",
    "plus": "+".join(["1"] * 25_000),
    "dots": "a" + ".a" * 24_000,
    "long": "x = f(a, b) + c[1]\n" * 2600,
    "names": "\n".join(f"a{i} = {i}" for i in range(4000)),
    "number": f"x = 0x{'f' * 40_000}",
    "half": "x = '\ud800'\n" * 50,
    "nothing": "\0",
    "line ends": "\n" * 50_000,
    "longer": "y = 1\n" * 500_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_raises_nothing_and_costs_little(name):
    started = time.process_time()
    given = {"mallory": {"02-multi-head": HOSTILE[name], "no such exercise": HOSTILE[name]}}
    given |= {"aiko": {"02-multi-head": OWN}, "ben": {"02-multi-head": COPIED}}
    assert alike(given) == [Alike("02-multi-head", ("aiko", "ben"), SAME_FORM)]
    assert time.process_time() - started < 2.0


def test_the_form_of_a_deep_tree_is_read_without_recursion():
    tree: ast.expr = ast.Constant(1)
    for _ in range(20_000):
        tree = ast.UnaryOp(ast.USub(), tree)
    words, _ = similar.tokens(ast.Module([ast.Expr(tree)], []))
    assert len(words) > 40_000
    while isinstance(tree, ast.UnaryOp):  # taken apart by hand: Python's own way is recursive
        tree = tree.operand


def test_a_class_of_a_thousand_takes_seconds():
    chance = random.Random(0)
    given = {}
    for number in range(1000):
        text = OWN
        for name in ("heads", "both", "scores", "part"):
            text = text.replace(name, f"{name}{chance.randrange(10**6)}")
        extra = "".join(
            f"    x{chance.randrange(10**6)} = [{chance.random()}]\n" for _ in range(chance.randrange(3, 30))
        )
        given[f"learner {number}"] = {"02-multi-head": text.replace("    for h", f"{extra}    for h")}
    given |= {"aiko": {"02-multi-head": COPIED}, "ben": {"02-multi-head": OWN.replace("first", "begin")}}
    started = time.process_time()
    found = alike(given)
    assert time.process_time() - started < 6, "10,000 learners with ten exercises take a minute"
    assert Alike("02-multi-head", ("aiko", "ben"), SAME_FORM) in found
