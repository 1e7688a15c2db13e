"""Several files of one learner for one notebook: which counts, and what is said about it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from course.grading.attempts import Attempt, blank, choose
from course.grading.names import copy_number, person_in, unmarked
from course.grading.submission import Submission
from course.practice import exercises

DAY = datetime(2026, 11, 1, 12, tzinfo=UTC)


def attempt(
    file: str, mark: str = "", hours: float | None = 0, clock: str = "file", notebooks=("02_attention",), **more
) -> Attempt:
    ids = [exercise.id for notebook in notebooks for exercise in exercises.of(notebook)]
    when = None if hours is None else DAY + timedelta(hours=hours)
    answers = {name: f"x = {mark or file!r}" for name in ids}
    submission = Submission("taro", file, answers, when=when, clock=clock if when else "")
    return Attempt(submission, copy=copy_number(file), date=when if clock == "file" else None, **more)


def counting(attempts: list[Attempt]) -> list[str]:
    """The files that count, the same in whatever order they come."""
    for order in itertools.permutations(attempts):
        found = {one.file for one in choose(order) if one.counts}
        assert found == {one.file for one in choose(attempts) if one.counts}
    return sorted(found)


def words(attempts: list[Attempt]) -> dict[str, str]:
    return {one.file: " ".join(one.remarks) for one in choose(attempts)}


def test_the_platforms_time_decides_first():
    tries = [attempt("a (9).ipynb", hours=1, clock="platform"), attempt("z.ipynb", hours=2, clock="platform")]
    assert counting(tries) == ["z.ipynb"]
    assert "newest by the platform's times" in words(tries)["z.ipynb"]
    assert "z.ipynb counts, not this" in words(tries)["a (9).ipynb"]


def test_a_time_that_is_the_same_for_all_leaves_it_to_the_files_dates():
    tries = [attempt("a (1).ipynb", clock="platform"), attempt("a.ipynb", clock="platform")]
    assert counting(tries) == ["a (1).ipynb"]
    for one, day in zip(tries, (1, 2), strict=True):
        one.date = DAY + timedelta(days=day)
    assert counting(tries) == ["a.ipynb"]


def test_then_the_platforms_number():
    tries = [attempt("b-1.ipynb", hours=5, number=1), attempt("a-2.ipynb", number=2), attempt("c.ipynb", hours=9)]
    assert counting(tries) == ["a-2.ipynb"]


def test_then_the_files_date():
    tries = [attempt("a (2).ipynb", hours=0), attempt("a.ipynb", hours=3), attempt("a (1).ipynb", hours=1)]
    assert counting(tries) == ["a.ipynb"]
    assert "newest by the files' dates" in words(tries)["a.ipynb"]


@pytest.mark.parametrize("hours", [0, None])
def test_then_the_highest_number_and_never_the_alphabet(hours):
    names = ["a.ipynb", "a (2).ipynb", "a (10).ipynb", "a-Copy3.ipynb"]
    tries = [attempt(name, hours=hours) for name in names]
    assert counting(tries) == ["a (10).ipynb"]
    assert "highest number" in words(tries)["a (10).ipynb"]


def test_dates_that_differ_by_an_unpacking_decide_nothing():
    tries = [attempt("a (1).ipynb", hours=0), attempt("a.ipynb", hours=1 / 3600)]
    assert counting(tries) == ["a (1).ipynb"]


def test_what_is_late_by_the_platforms_word_came_later():
    assert counting([attempt("z.ipynb"), attempt("a.ipynb", late=True)]) == ["a.ipynb"]


def test_where_nothing_decides_the_best_counts_and_the_teacher_is_asked():
    tries = [attempt("a (1).ipynb"), attempt("a-Copy1.ipynb"), attempt("a.ipynb")]
    chosen = choose(tries)
    assert counting(tries) == ["a (1).ipynb", "a-Copy1.ipynb"]
    assert [one.contested for one in chosen] == [True, True, False]
    assert "until you decide" in words(tries)["a (1).ipynb"] and "a-Copy1.ipynb" in words(tries)["a (1).ipynb"]


def test_equal_answers_need_no_decision():
    tries = [attempt("a (1).ipynb", "same"), attempt("a-Copy1.ipynb", "same")]
    chosen = choose(tries)
    assert [one.counts for one in chosen] == [True, False] and not any(one.contested for one in chosen)


def test_an_attempt_in_which_nothing_is_filled_in_takes_no_others_place():
    empty, later = attempt("a (2).ipynb", hours=9), attempt("a (1).ipynb", hours=5)
    empty.submission.answers = {name: "def f(x):\n    raise NotImplementedError" for name in empty.submission.answers}
    tries = [attempt("a.ipynb"), later, empty]
    assert counting(tries) == ["a (1).ipynb"]
    assert "here nothing is filled in" in words(tries)["a (2).ipynb"]
    assert counting([empty, attempt("a.ipynb")]) == ["a.ipynb"]
    assert "in the others nothing is filled in" in words([empty, attempt("a.ipynb")])["a.ipynb"]


@pytest.mark.parametrize(
    ("source", "empty"),
    [
        ("", True), ("# todo\n", True), ("pass", True), ("...", True),
        ("import torch\n\ndef f(x):\n    '''Doc.'''\n", True),
        ("def f(x):\n    raise NotImplementedError  # take this line away when you begin", True),
        ("def f(x):\n    return x", False), ("x = 1", False), ("def f(:", False), ("f = lambda x: x", False),
    ],
)  # fmt: skip
def test_what_is_not_filled_in(source, empty):
    assert blank(source) == empty


def test_files_that_nobody_vouches_for_push_each_other_aside_in_no_case():
    tries = [attempt("taro.ipynb", source="1", hours=0), attempt("02_attention_taro.ipynb", source="2", hours=99)]
    assert counting(tries) == ["02_attention_taro.ipynb", "taro.ipynb"]
    assert all(one.contested for one in choose(tries))
    assert "only their names say whose they are" in words(tries)["taro.ipynb"]


def test_two_notebooks_in_one_file_are_decided_one_by_one():
    both = attempt("both.ipynb", notebooks=("02_attention", "03_transformer"))
    newer = attempt("newer.ipynb", hours=5)
    chosen = choose([both, newer])
    found = {(one.file, *one.notebooks): one.counts for one in chosen}
    assert found == {("both.ipynb", "02_attention"): False, ("both.ipynb", "03_transformer"): True,
                     ("newer.ipynb", "02_attention"): True}  # fmt: skip
    assert sum(len(one.answers) for one in chosen) == sum(len(a.submission.answers) for a in (both, newer))


def test_one_file_alone_is_not_spoken_about():
    (one,) = choose([attempt("a (1).ipynb")])
    assert one.counts and not one.remarks


@pytest.mark.parametrize(
    ("name", "stem", "number", "person"),
    [
        ("02_attention.ipynb", "02_attention", 0, ""),
        ("02_attention (1).ipynb", "02_attention", 1, ""),
        ("02_attention-Copy12.ipynb", "02_attention", 12, ""),
        ("02_attention - コピー (2).ipynb", "02_attention", 2, ""),
        ("02_attentionのコピー.ipynb", "02_attention", 1, ""),
        ("Copy of 02_attention.ipynb", "02_attention", 1, ""),
        ("taro_02_attention-Copy1 (3).ipynb", "taro_02_attention", 3, "taro"),
        ("taro_v2.ipynb", "taro", 2, "taro"),
        ("anne-marie.ipynb", "anne-marie", 0, "anne-marie"),
        ("homework 3 taro.ipynb", "homework 3 taro", 0, "taro"),
        ("課題3_山田太郎_02_attention.ipynb", "課題3_山田太郎_02_attention", 0, "山田太郎"),
        ("1234567.ipynb", "1234567", 0, "1234567"),
        ("taro.pdf", "taro", 0, "taro"),
        ("taro\u200b.ipynb", "taro", 0, "taro"),
    ],
)
def test_what_a_files_name_says(name, stem, number, person):
    assert unmarked(name) == (stem, number)
    assert person_in(name) == person
    assert copy_number(name.replace(".ipynb", "-7.ipynb")) == (7 if name.endswith(".ipynb") else number)
