"""The exercises: every typical wrong answer is caught with the sentence meant for it, and every right one passes.

The answers stand in `tests/answers/`, written independently of the references, one module per notebook.
"""

from __future__ import annotations

import _thread
import importlib.util
import linecache
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from course.practice import exercises, patience, progress
from course.practice.check import check
from course.practice.compare import difference, shown
from course.practice.exercise import PRELUDE, PUBLIC_SEED, Mistake, complaint, judge, stream
from course.practice.plain import Raised, call, from_bytes, to_bytes

ROOT = Path(__file__).parents[1]
ANSWERS = Path(__file__).parent / "answers"
EVERY = list(exercises.everything().values())
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = (PUBLIC_SEED, *range(25))
SECRETS = tuple(b"a secret of class %d" % number for number in range(4))


def answers_to(notebook: str) -> ModuleType:
    """The module with answers to a notebook's exercises."""
    topic = exercises.TOPICS[notebook]
    spec = importlib.util.spec_from_file_location(f"answers_{topic}", ANSWERS / f"{topic}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RIGHT: dict[str, list[str]] = {}
WRONG: dict[str, list[tuple[str, str]]] = {}
for _notebook in exercises.TOPICS:
    RIGHT |= answers_to(_notebook).RIGHT
    WRONG |= answers_to(_notebook).WRONG


def function_of(exercise: Any, source: str) -> Any:
    """Run an answer's source as a notebook would, after the answers that it may use; returns its function."""
    names: dict[str, Any] = {"__name__": "answer"}
    exec(PRELUDE, names)
    for other in exercise.uses:
        exec(RIGHT[other][0], names)
    exec(compile(source, exercise.id, "exec"), names)
    return names[exercise.entry]


@cache
def drawn(exercise: Any) -> list[tuple[Any, list[dict[str, Any]], list[Any]]]:
    """(seed or secret, cases, what is expected): as notebooks show them, and as graders draw them."""
    draws = [(seed, exercise.draw(seed)) for seed in SEEDS] + [(secret, exercise.hidden(secret)) for secret in SECRETS]
    return [(origin, cases, exercise.expected(cases)) for origin, cases in draws]


right = [pytest.param(e, s, id=f"{e.id}-{n}") for e in EVERY for n, s in enumerate(RIGHT.get(e.id, ()))]
wrong = [pytest.param(e, *w, id=f"{e.id}-{n}") for e in EVERY for n, w in enumerate(WRONG.get(e.id, ()))]
each = pytest.mark.parametrize("exercise", EVERY, ids=lambda exercise: exercise.id)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))


@each
def test_an_exercise_has_two_right_and_four_wrong_answers(exercise):
    assert len(RIGHT.get(exercise.id, ())) >= 2, "two right answers, written independently"
    assert len(WRONG.get(exercise.id, ())) >= 4, "four typical wrong answers"


@pytest.mark.parametrize(("exercise", "source"), right)
def test_a_right_answer_passes_whatever_the_seed(exercise, source):
    function = function_of(exercise, source)
    for seed, cases, expected in drawn(exercise):
        verdict = judge(exercise, cases, expected, [call(function, case) for case in cases])
        assert verdict.passed, f"seed {seed}: {verdict.message} ({verdict.where})"


@pytest.mark.parametrize(("exercise", "source", "says"), wrong)
def test_a_wrong_answer_is_caught_with_its_sentence(exercise, source, says):
    function = function_of(exercise, source)
    for seed, cases, expected in drawn(exercise):
        verdict = judge(exercise, cases, expected, [call(function, case) for case in cases])
        assert not verdict.passed, f"seed {seed} lets it pass"
        if isinstance(seed, bytes):
            continue  # in a grader's order another case may fail first, in another way
        assert says in f"{verdict.message} {verdict.category}", f"seed {seed}: {verdict.message}"


@each
def test_the_reference_and_every_mistake_are_told_apart_by_every_seed(exercise):
    for seed, cases, expected in drawn(exercise):
        assert judge(exercise, cases, expected, expected).passed
        for mistake in exercise.mistakes:
            made = [call(mistake.computes, case) for case in cases]
            verdict = judge(exercise, cases, expected, made)
            assert not verdict.passed, f"seed {seed} does not show: {mistake.says}"


@each
def test_cases_hang_on_the_seed_alone_and_differ_between_seeds(exercise):
    first, again, other = exercise.draw(1), exercise.draw(1), exercise.draw(2)
    assert difference(first, again, 0.0) is None
    assert len(first) == len(other) >= 2
    assert difference(first, other, 0.0) is not None, "an answer could know the cases by heart"


@each
def test_hidden_cases_hang_on_the_secret_alone_and_differ_in_number_order_and_values(exercise):
    assert difference(exercise.hidden(b"one"), exercise.hidden(b"one"), 0.0) is None
    hidden = [exercise.hidden(secret) for secret in SECRETS]
    assert all(4 <= len(cases) <= 12 for cases in hidden)
    assert len({len(cases) for cases in hidden}) > 1, "an answer could go by the number of the call"
    assert all(difference(a, b, 0.0) is not None for a, b in pairwise(hidden))
    firsts = [cases[0] for cases in hidden]
    assert sum(difference(a, b, 0.0) is None for a, b in pairwise(firsts)) < 4, "the order hangs on the secret"


def sizes(value: Any) -> Any:
    """How long a value is, whatever stands in it."""
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return tuple((key, sizes(part)) for key, part in value.items())
    return len(value) if isinstance(value, (list, str)) else type(value).__name__


def numbers(value: Any) -> list[float]:
    """All numbers in a value, in their order; letters are numbers, too."""
    if isinstance(value, torch.Tensor):
        return value.double().flatten().tolist()
    if isinstance(value, (list, dict)):
        return [number for part in (value.values() if isinstance(value, dict) else value) for number in numbers(part)]
    return [float(ord(letter)) for letter in value] if isinstance(value, str) else [float(value or 0)]


BY_HEART: dict[str, Callable[[int, dict[str, Any]], Any]] = {
    "the number of the call": lambda number, case: number,
    "sizes": lambda number, case: sizes(case),
    "single whole numbers": lambda number, case: tuple(v for v in case.values() if isinstance(v, int)),
    "sizes and single numbers, roughly": lambda number, case: (
        sizes(case), *(round(v, 2) for v in case.values() if isinstance(v, (int, float)))
    ),
    "first numbers, roughly": lambda number, case: tuple(round(numbers(v)[0], 1) for v in case.values() if numbers(v)),
    "the sum of all numbers, roughly": lambda number, case: round(sum(numbers(case)), 1),
}  # fmt: skip


@each
@pytest.mark.parametrize("key", BY_HEART)
def test_results_learnt_by_heart_from_twelve_secrets_pass_with_no_other(exercise, key):
    learnt: dict[Any, Any] = {}
    for _, cases, expected in drawn(exercise)[len(SEEDS) :]:
        for number, (case, result) in enumerate(zip(cases, expected, strict=True)):
            learnt[BY_HEART[key](number, case)] = result
    anything = next(iter(learnt.values()))
    for secret in (b"of class %d" % number for number in range(8)):
        cases = exercise.hidden(secret)
        expected = exercise.expected(cases)
        results = [learnt.get(BY_HEART[key](number, case), anything) for number, case in enumerate(cases)]
        assert judge(exercise, cases, expected, expected).passed
        assert not judge(exercise, cases, expected, results).passed


def test_a_table_of_all_masks_or_positions_is_longer_than_an_answer_may_be():
    longest = 50_000  # characters
    asked: dict[str, list[dict[str, Any]]] = {}
    for name in ("02-causal-mask", "03-sinusoidal-positions"):
        asked[name] = [case for n in range(40) for case in exercises.find(name).hidden(b"%d" % n)]
    largest = sorted({case["T"] for case in asked["02-causal-mask"]})[-5:]
    assert min(largest) ** 2 > 0.9 * longest, "one character for each entry of a single mask"
    tables = {(case["length"], case["d_model"]) for case in asked["03-sinusoidal-positions"]}
    width = {d: max(length for length, D in tables if d == D) for _, d in tables}  # the longest holds the shorter ones
    assert sum(d * length for d, length in width.items()) * len("0.123") > 10 * longest


def test_a_secret_decides_all_words_of_a_generators_state():
    def words(chance):
        return chance.get_state()[24 : 24 + 8 * 624].view(torch.int64).tolist()

    def next_of(word, place):  # how the Mersenne twister makes 624 words of a seed: each from the one before
        return (1812433253 * (word ^ (word >> 30)) + place) % 2**32

    of_a_seed = words(torch.Generator().manual_seed(5))
    assert of_a_seed[0] == 5, "this is where torch keeps the words"
    assert all(next_of(a, i) == b for i, (a, b) in enumerate(pairwise(of_a_seed), 1))
    for place in (("a", 0), ("a", 1), ("b", 0)):
        mine = words(stream(b"secret", *place))
        follows = [next_of(a, i) == b for i, (a, b) in enumerate(pairwise(mine), 1)]
        assert sum(follows) < 3
        for other in (stream(b"secret", *place), stream(b"secrets", *place), stream(b"secret", *place, 1)):
            same = sum(a == b for a, b in zip(mine, words(other), strict=True))
            assert same == 624 or same < 3
    assert words(stream(b"s", 1)) == words(stream(b"s", 1)) != words(stream(b"s", 2))


def test_torch_draws_from_such_a_state_what_another_mersenne_twister_draws():
    chance = stream(b"secret", "02-attention", 3)
    words = chance.get_state()[24 : 24 + 8 * 624].view(torch.int64).numpy().astype(np.uint32)
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words, "pos": 624}}
    wanted = (twister.random_raw(1000) % 2**20).tolist()
    assert torch.randint(2**20, (1000,), generator=chance).tolist() == wanted


@each
def test_a_constant_never_passes(exercise):
    cases = exercise.draw(PUBLIC_SEED)
    expected = exercise.expected(cases)
    for constant in (None, 0, 0.0, 1, True, "", [], torch.zeros(3), expected[0]):
        assert not judge(exercise, cases, expected, [constant] * len(cases)).passed, constant


@each
def test_check_is_quick_and_says_not_attempted(exercise):
    names: dict[str, Any] = {}
    exec(f"def {exercise.entry}(*args, **kwargs): raise NotImplementedError", names)
    started = time.perf_counter()
    empty = check(names[exercise.entry])
    assert empty.verdict.status == "not attempted"
    feedback = check(function_of(exercise, RIGHT[exercise.id][0]))
    assert feedback.passed, repr(feedback)
    assert time.perf_counter() - started < 2.0, "two checks, one second each at the most"


@each
def test_an_exercise_is_described(exercise):
    assert exercise.title and exercise.minutes >= 3
    assert exercise.id.split("-")[0].isdigit() and exercise.id.lower() == exercise.id
    for other in exercise.uses:
        assert list(exercises.everything()).index(other) < list(exercises.everything()).index(exercise.id)


@pytest.mark.parametrize("notebook", exercises.TOPICS)
def test_a_notebook_has_five_exercises_from_warm_up_to_hard(notebook):
    found = exercises.of(notebook)
    assert len(found) >= 5
    assert {"warm-up", "hard"} <= {exercise.level for exercise in found}


# --- judging and check ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "got", "category"),
    [
        (torch.zeros(2), torch.zeros(3), "another shape"),
        (torch.zeros(2), [0.0, 0.0], "another type"),
        (torch.zeros(2), torch.tensor([0.0, torch.nan]), "not a finite number"),
        (torch.zeros(2), torch.tensor([0.0, 1.0]), "another value"),
        (torch.zeros(2) > 0, torch.zeros(2), "another dtype"),
        ([1, 2], [1], "another length"),
        ([1, [2]], [1, [3]], "another value"),
        ({"a": 1}, {"b": 1}, "another type"),
        (1.0, float("nan"), "not a finite number"),
        (1, True, "another type"),
        (True, 1, "another type"),
        ("a", "b", "another value"),
        (None, 0, "another type"),
        (torch.zeros(2), torch.full((2,), 1e-3), "another value"),
        (torch.full((2,), 100.0), torch.full((2,), 100.1), "another value"),
        (1.0, 1.001, "another value"),
        (1.0, 0.999, "another value"),
        (torch.ones(2), torch.complex(torch.ones(2), torch.ones(2)), "another dtype"),
        ({"a": 1}, {"a": 1, "b": 2}, "another type"),
    ],
)
def test_a_difference_has_a_name(expected, got, category):
    found = difference(expected, got)
    assert found is not None and found[0] == category


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (1.0, torch.tensor(1.0)),
        (torch.tensor(2.0), 2.0),
        ([1, 2], (1, 2)),
        (torch.tensor([-torch.inf]), torch.tensor([-torch.inf])),
        (1000.0, 1000.05),
    ],
)
def test_what_does_not_matter_is_no_difference(expected, got):
    assert difference(expected, got) is None


def test_an_error_in_an_answer_is_told_with_its_line():
    exercise = exercises.find("causal_mask")
    function = function_of(exercise, "def causal_mask(T):\n    x = 1\n    return torch.onse(T, T)")
    feedback = check(function)
    assert feedback.verdict.status == "raised"
    assert "AttributeError, line 3" in repr(feedback)


def test_check_says_what_to_do_with_something_else():
    with pytest.raises(TypeError, match="Give the function itself"):
        check(torch.ones(2))  # type: ignore[arg-type]
    with pytest.raises(KeyError, match="Did you mean causal_mask"):
        check(function_of(exercises.find("causal_mask"), "def causal_masc(T): ...\ncausal_mask = causal_masc"))


def test_an_answer_cannot_spoil_its_case_nor_the_notebooks_chance():
    exercise = exercises.find("attention_weights")
    source = (
        "def attention_weights(q, k):\n    torch.manual_seed(1)\n    q.zero_()\n    return torch.zeros(len(q), len(k))"
    )
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    feedback = check(function_of(exercise, source))
    assert not feedback.passed
    assert torch.equal(torch.rand(1), wanted)
    assert "0.0, 0.0" not in feedback.verdict.where


def test_the_reference_cannot_spoil_a_case():
    exercise = replace(exercises.find("attention_weights"), reference=lambda q, k: q.zero_())
    cases = exercise.draw(0)
    exercise.expected(cases)
    assert difference(cases, exercise.draw(0), 0.0) is None


def test_a_call_gets_copies_and_its_error_a_short_message():
    def loud(x):
        x.zero_()
        raise KeyError("y" * 5000)

    case = {"x": torch.ones(2)}
    found = call(loud, case)
    assert found.kind == "KeyError" and len(found.message) == 1000
    assert (case["x"] == 1).all()


def test_an_answer_of_which_one_part_is_not_attempted_is_not_attempted():
    exercise = exercises.find("causal_mask")
    cases = exercise.draw(0)
    expected = exercise.expected(cases)
    results = [*expected[:-1], Raised("NotImplementedError")]
    assert judge(exercise, cases, expected, results).status == "not attempted"


def test_what_numpy_returns_is_judged_as_numbers():
    for expected, got in (
        (3, np.int64(3)),
        (0.5, np.float32(0.5)),
        (True, np.bool_(True)),
        ([1, 2], [np.int64(1), np.int64(2)]),
        (torch.tensor([1.0, 2.0]), np.array([1.0, 2.0])),
        (torch.tensor([1, 2]), np.array([1, 2])),
    ):
        assert difference(expected, got) is None, got
    assert difference(3, np.int64(4)) is not None
    assert difference(torch.tensor([1.0, 2.0]), np.array([1.0, 3.0])) is not None


def test_what_no_tensor_can_hold_is_told_apart_without_a_crash():
    for got in (np.array(["a", "b"]), np.array([None, 1]), np.array("text")):
        assert difference(torch.tensor([1.0, 2.0]), got) is not None
        assert difference(3, got) is not None
        assert from_bytes(to_bytes(got)) is not None


ONCE_PASSED = (  # wrong programs that the cases of an earlier version let pass
    ("02-multi-head", """
def multi_head(x, w_qkv, w_out, n_head):  # heads of width 4, whatever n_head says
    q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in (x @ w_qkv).chunk(3, dim=-1))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2) @ w_out
"""),
    ("03-layer-norm", """
def layer_norm(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0) * weight + bias
"""),
    ("03-layer-norm", """
def layer_norm(x, weight, bias, eps):
    return F.layer_norm(x, x.shape[-1:], weight, bias)
"""),
    ("03-layer-norm", """
def layer_norm(x, weight, bias, eps):
    variance = x.var(-1, keepdim=True, correction=0).clamp_min(eps)
    return (x - x.mean(-1, keepdim=True)) / variance.sqrt() * weight + bias
"""),
    ("03-drying-stream", """
def repaired_rms_norm(x, weight, eps):
    return x / x.pow(2).mean(-1, keepdim=True).sqrt() * weight
"""),
    ("03-drying-stream", """
def repaired_rms_norm(x, weight, eps):
    return F.rms_norm(x, x.shape[-1:], weight, 1e-5)
"""),
    *(("01-learn-merges", f"""
from collections import Counter

def learn_merges(text, n_merges):  # stops by the length of what is left, not when no pair occurs twice
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and {condition}:
        counts = Counter(zip(ids, ids[1:]))
        pair = min(counts, key=lambda pair: (-counts[pair], pair))
        ids = merge_pair(ids, list(pair), 256 + len(merges))
        merges.append(list(pair))
    return merges
""") for condition in ("len(ids) > 3", "len(ids) > 10", "len(ids) > len(set(ids))", "len(ids) > len(text) // 2")),
    ("09-agreement", """
def agreement(rewards, gold):  # pairs of questions
    return agreement_of_rows(rewards.T, gold.T)

def agreement_of_rows(rewards, gold):
    i, j = torch.triu_indices(gold.size(1), gold.size(1), offset=1)
    wanted, given = (gold[:, i] - gold[:, j]).sign(), (rewards[:, i] - rewards[:, j]).sign()
    return ((1 + wanted * given) / 2)[wanted != 0].mean().item()
"""),
    ("09-agreement", """
def agreement(rewards, gold):  # the number of answers is taken from the wrong axis
    i, j = torch.triu_indices(gold.size(0), gold.size(1), offset=1)
    wanted, given = (gold[:, i] - gold[:, j]).sign(), (rewards[:, i] - rewards[:, j]).sign()
    return ((1 + wanted * given) / 2)[wanted != 0].mean().item()
"""),
    ("04-unigram-entropy", """
def unigram_entropy(tokens):  # not a number where a token does not occur
    probs = torch.bincount(tokens) / len(tokens)
    return -(probs * probs.log()).sum().item()
"""),
    ("08-chat-template", """
def render_chat(question, answer, user, assistant, end):
    return [float(i) for i in (user, *question, assistant, *answer, end)]
"""),
    ("09-pairs", """
def pairs_of(ranking):
    return [[float(a), float(b)] for i, a in enumerate(ranking) for b in ranking[i + 1 :]]
"""),
    *(("03-count-parameters", f"""
def count_parameters(vocab_size, context_length, n_layer, d_model):
    V, C, L, D = vocab_size, context_length, n_layer, d_model
    return {wrong.format("V * D + C * D + L * (12 * D * D + 13 * D) + 2 * D")}
""") for wrong in ("int(1.0001 * ({}))", "1 + {}", "float({})", "round({}, -1)")),
)  # fmt: skip


@pytest.mark.parametrize(("name", "source"), ONCE_PASSED)
def test_wrong_programs_that_once_passed_do_not_pass_any_secret(name, source):
    exercise = exercises.find(name)
    function = function_of(exercise, source)
    hidden = [draw for draw in drawn(exercise) if isinstance(draw[0], bytes)]  # few and small cases may not show it
    for origin, cases, expected in hidden:
        results = [call(function, case) for case in cases]
        assert not judge(exercise, cases, expected, results).passed, origin


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (3, 3, True),
        (3, 3.0, False),
        (3, True, False),
        (1, True, False),
        (3, torch.tensor(3), True),
        (3, torch.tensor(3.0), False),
        (3, np.float64(3.0), False),
        ([1, [2]], [1, [2.0]], False),
        ({"a": 3}, {"a": 3.0}, False),
        (1_000_000, 1_000_001, False),
        (2**62 + 1, 2**62, False),
        (3.0, 3, True),
    ],
)
def test_where_a_whole_number_is_expected_only_that_number_will_do(expected, got, right):
    found = difference(expected, got)
    assert (found is None) == right
    if found is not None and isinstance(got, float):
        assert found == ("no whole number", "The result must be a whole number, is 3.0.")


def test_only_pythons_own_exceptions_are_named_in_a_category():
    exercise = exercises.find("causal_mask")
    cases = exercise.draw(0)
    expected = exercise.expected(cases)

    def verdict(kind):
        return judge(exercise, cases, expected, [Raised(kind, "with 8 in it", 3)] * len(cases))

    assert verdict("ZeroDivisionError").category == "raised ZeroDivisionError"
    for kind in ("T8", "Exception8", "print", "ValueError ", "zerodivisionerror", ""):
        found = verdict(kind)
        assert (found.status, found.category) == ("raised", "raised an error of its own")
        assert "with 8 in it" in found.message, "the learner reads the whole of it"
    assert verdict("NotPlain").category == "another type"


def test_numbers_are_shown_with_few_digits():
    single = torch.tensor([4.538, 1 / 3])
    assert shown(single[0].item()) == "4.538"
    assert shown(single.tolist()) == "[4.538, 0.333333]"
    assert shown(single) == "[4.538, 0.333], shape (2,)"
    assert shown({"x": single, "n": 3}) == "{'n': 3, 'x': [4.538, 0.333], shape (2,)}"
    for value, text in ((0.5, "0.5"), (2.0, "2.0"), (1e-7, "1e-07"), (torch.inf, "inf"), (12345678.5, "12345678.5")):
        assert shown(value) == text
    assert len(shown([10**9] * 100)) <= 200 and shown(torch.zeros(30)) == "tensor of shape (30,)"


def test_ids_are_whole_numbers():
    assert difference(torch.tensor([1, 2]), torch.tensor([1.0, 2.0])) is not None
    assert difference(torch.tensor([1.0, 2.0]), torch.tensor([1, 2])) is None
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 2], dtype=torch.int32)) is None


@each
def test_code_in_a_hint_can_be_typed(exercise):
    for hint in exercise.hints:
        for piece in re.findall(r"[a-z_](?:\[[^\]]*\]|\([^)]*\))", hint):  # f(...) and x[...]
            formula = re.search("[α-ω]", piece)
            assert formula or not set("−·×") & set(piece), f"{exercise.id}: Python does not know a sign of {piece}"


def cell(source, names, monkeypatch):
    """Run a source as Jupyter runs a cell: its text can be looked up."""
    file = f"<cell {len(linecache.cache)}>"
    monkeypatch.setitem(linecache.cache, file, (len(source), None, source.splitlines(keepends=True), file))
    exec(compile(source, file, "exec"), names)


def in_cells(*sources, monkeypatch):
    """What the name-spaces of a notebook hold after these cells."""
    names = {"__name__": "__main__"}
    exec(PRELUDE, names)
    for source in sources:
        cell(source, names, monkeypatch)
    return names


MASK = "def causal_mask(T):\n    return torch.ones(T, T, dtype=torch.bool).tril()\n"


def test_an_answer_that_needs_another_cell_is_told_so(monkeypatch):
    helper = "import numpy as np\ndef lower(x):\n    return x.tril()\n"
    needs = "def causal_mask(T):\n    return lower(torch.ones(T, T, dtype=torch.bool))\n"
    feedback = check(in_cells(helper, needs, monkeypatch=monkeypatch)["causal_mask"])
    assert not feedback.passed and feedback.verdict.category == "raised NameError"
    assert "`lower` from another cell" in repr(feedback)
    for whole in (helper + needs, MASK, MASK + "print(causal_mask(3).sum())\n"):
        assert check(in_cells("lower = sum = tril = 1", whole, monkeypatch=monkeypatch)["causal_mask"]).passed
    starred = "from torch import *\n" + MASK.replace("torch.ones", "ones")
    assert check(in_cells("ones = 1", starred, monkeypatch=monkeypatch)["causal_mask"]).passed
    used_beside = MASK + "assert lower\n"  # the whole cell is run by a grader
    assert not check(in_cells(helper, used_beside, monkeypatch=monkeypatch)["causal_mask"]).passed


def test_check_does_not_judge_an_older_function_when_the_newest_cell_did_not_run(monkeypatch):
    names = in_cells(MASK, monkeypatch=monkeypatch)
    names["In"] = ["", PRELUDE, MASK, "check(causal_mask)"]
    assert check(names["causal_mask"]).passed
    broken = "def causal_mask(T):\n    return (torch.ones(T, T)\n"
    for newest, says in (
        (broken, "did not run: '(' was never closed (line 2 of its cell)"),
        ("1 / 0\n" + MASK, "stopped before it came to its `def`"),
    ):
        names["In"] += [newest, "check(causal_mask)"]
        feedback = check(names["causal_mask"])
        assert not feedback.passed and says in repr(feedback) and "not judged" in repr(feedback)
        assert "cases right" not in repr(feedback)
    names["In"] += [
        MASK,
        "def causal_masks(T: return",
        "x = 'def causal_mask('",
        "class A:\n    def causal_mask(T: pass",
    ]
    assert check(names["causal_mask"]).passed, "the newest attempt is the one that is judged"


ENDLESS = "def causal_mask(T):\n    rows = 0\n    while rows < T:\n        pass\n"


def test_an_answer_that_never_ends_is_announced_and_stopped_with_a_sentence_that_names_its_line(monkeypatch, capsys):
    monkeypatch.setattr(patience, "ANNOUNCE", 0.2)
    monkeypatch.setattr(patience, "STOP", 0.6)
    feedback = check(in_cells(ENDLESS, monkeypatch=monkeypatch)["causal_mask"])
    assert "Still running after 0.2 seconds" in capsys.readouterr().out
    assert not feedback.passed and "cases right" not in repr(feedback)
    assert re.search(r"stopped in line [34] of the cell after 1 s,", repr(feedback)), repr(feedback)
    assert feedback.verdict.category == "raised KeyboardInterrupt"


def test_the_learner_may_stop_an_answer_sooner(monkeypatch):
    threading.Timer(0.3, _thread.interrupt_main).start()
    feedback = check(in_cells(ENDLESS, monkeypatch=monkeypatch)["causal_mask"])
    assert "It was stopped in line" in repr(feedback)


def test_an_answer_in_time_is_neither_announced_nor_stopped_afterwards(monkeypatch, capsys):
    monkeypatch.setattr(patience, "ANNOUNCE", 0.3)
    monkeypatch.setattr(patience, "STOP", 0.4)
    assert check(in_cells(MASK, monkeypatch=monkeypatch)["causal_mask"]).passed
    time.sleep(0.6)
    assert capsys.readouterr().out == ""


def test_an_answer_may_use_earlier_answers_and_what_stands_in_their_cells(monkeypatch):
    mask = "def low(x):\n    return x.tril()\n" + MASK.replace(
        "torch.ones(T, T, dtype=torch.bool).tril()", "low(FULL(T))"
    )
    mask += "def FULL(T):\n    return torch.ones(T, T, dtype=torch.bool)\n"
    heads = RIGHT["02-multi-head"][0]
    names = in_cells(mask, RIGHT["02-attention"][0], heads, monkeypatch=monkeypatch)
    assert check(names["multi_head"]).passed, repr(check(names["multi_head"]))
    borrowed = "def repaired_attention(q, k, v, mask):\n    return attention(q, k, v, mask)\n"
    assert check(in_cells(RIGHT["02-attention"][0], borrowed, monkeypatch=monkeypatch)["repaired_attention"]).passed


@each
def test_what_an_exercise_may_use_is_enough_for_its_solution(exercise):
    notebook = next(name for name in exercises.TOPICS if exercise in exercises.of(name))
    cells = nbformat.read(ROOT / "solutions" / f"{notebook}.ipynb", as_version=4).cells
    answers = {c.metadata.get("nbgrader", {}).get("grade_id"): c.source for c in cells}
    names: dict[str, Any] = {"__name__": "answer"}
    for source in (PRELUDE, *(answers[name] for name in exercise.uses), answers[exercise.id]):
        exec(source, names)
    cases = exercise.draw(1)
    results = [call(names[exercise.entry], case) for case in cases]
    assert judge(exercise, cases, exercise.expected(cases), results).passed


def test_a_mistake_that_raises_is_known_by_the_kind_of_its_error():
    def wrong(T):
        if T == 1:
            raise IndexError
        return torch.zeros(T, T, dtype=torch.bool)

    exercise = replace(exercises.find("causal_mask"), mistakes=(Mistake("Nobody looks.", wrong),))
    cases = exercise.draw(0)
    expected = exercise.expected(cases)
    for error, known in (("IndexError", True), ("ValueError", False)):
        results = [Raised(error) if case["T"] == 1 else wrong(**case) for case in cases]
        assert any(isinstance(result, Raised) for result in results)
        assert (judge(exercise, cases, expected, results).category == "Nobody looks.") is known


def unreadable(case, expected, got):
    """An examination that no result has the form for."""
    return None if got.size(99) else "?"


def test_an_examination_that_cannot_read_a_result_never_lets_it_pass():
    exercise = replace(exercises.find("causal_mask"), examine=unreadable)
    case = exercise.draw(0)[0]
    (expected,) = exercise.expected([case])
    for got in (None, "text", expected):
        assert complaint(exercise, case, expected, got) is not None


def test_the_fingerprint_looks_up_its_sources_once(monkeypatch):
    exercise = next(iter(exercises.everything().values()))
    first = exercise.fingerprint
    monkeypatch.setattr("inspect.getsource", lambda function: pytest.fail("2 ms for each answer of a class"))
    assert exercise.fingerprint == first


def test_the_fingerprint_changes_with_how_an_exercise_is_judged():
    exercise = exercises.find("causal_mask")
    changes = ({}, {"tolerance": 0.1}, {"examine": unreadable}, {"points": exercise.points + 1}, {"uses": ("a",)})
    assert len({replace(exercise, **change).fingerprint for change in changes}) == len(changes)


def test_feedback_is_the_same_as_text_and_as_html():
    exercise = exercises.find("causal_mask")
    feedback = check(function_of(exercise, WRONG["02-causal-mask"][0][0]))
    shown = feedback._repr_mimebundle_()
    for part in ("tril, not triu", "T = 4", "of 3 cases right"):
        assert part in shown["text/plain"] and part in shown["text/html"]
    assert shown["text/html"].count("<svg") == 2, "expected and yours, side by side"
    for number in (1, 2, 3):
        assert f"Hint {number}" in shown["text/plain"] and f"Hint {number} of 3" in shown["text/html"]
    first, second = (shown["text/html"].index(f"Hint {n} of 3") for n in (1, 2))
    assert "</details>" not in shown["text/html"][first:second], "the second hint lies inside the first"


def test_raised_is_never_a_value():
    assert difference(1.0, Raised("ValueError")) is not None


@pytest.mark.parametrize("expected", [1.5, 3, torch.tensor(2.0), torch.ones(2)])
@pytest.mark.parametrize("got", [10**400, -(2**70)])
def test_a_number_too_large_for_a_float_is_another_value_and_no_crash(expected, got):
    found = difference(expected, got)
    assert found is not None and "far too large" in found[1]


def test_a_check_is_kept_also_behind_a_line_that_was_broken_off(tmp_path):
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'{"exercise": "02-att')
    progress.append(path, [{"exercise": "02-attention"}, {"exercise": "03-block"}])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines == ['{"exercise": "02-att', '{"exercise": "02-attention"}', '{"exercise": "03-block"}']
