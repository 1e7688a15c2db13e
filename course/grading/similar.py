"""Answers that are alike within a class: a hint for the teacher, to look at and to ask, never points.

An answer is compared in its normal form: the syntax tree without comments, docstrings, annotations and spaces, its
own names by the order in which they occur. Equal forms say something only where an answer is long enough that two
people would hardly write it alike, and where not everybody does: short forms, forms that many in the class have, and
the worked solution's are passed over. Nearly equal are forms that share 85% of their runs of four tokens, names left
out (independent answers share up to 65%). They are found without comparing all with all, by equal minima of many hash
functions (Broder 1997, "On the resemblance and containment of documents"), in bands (Leskovec et al., "Mining of
Massive Datasets", section 3.4).
"""

from __future__ import annotations

import ast
import contextlib
import textwrap
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course.grading.carry import solutions
from course.practice import exercises
from course.practice.exercise import written

SAME_TEXT, SAME_FORM, NEAR = "the same text", "the same but for names and spaces", "nearly the same"
MAX_SOURCE = 50_000  # characters
LEAST = {SAME_TEXT: 40, SAME_FORM: 60, NEAR: 80}  # tokens from which on equality says something
COMMON = {SAME_TEXT: 0.25, SAME_FORM: 0.1, NEAR: 0.1}  # the share of a class that writes the same by nature …
ALWAYS = 4  # … but a group of so few is always shown
RUN = 4  # tokens
SHARED = 0.85  # of the runs of both
BANDS, ROWS = 20, 8  # two answers that share 0.85 meet with 99.8%, two that share 0.5 with 8%
CROWD = 50  # forms that meet in one band: more are what everybody writes
_chance = np.random.default_rng(1997)  # any fixed hash functions will do
FACTORS = _chance.integers(1 << 63, size=BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
SHIFTS = _chance.integers(1 << 63, size=BANDS * ROWS, dtype=np.uint64)

Runs = NDArray[np.uint64]


@dataclass(frozen=True)
class Alike:
    """Learners whose answers to an exercise are alike. how: SAME_TEXT, SAME_FORM or NEAR."""

    exercise: str
    learners: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class Form:
    """An answer's normal form: its length in tokens, a fingerprint, and the hashes of its runs of tokens."""

    tokens: int
    fingerprint: bytes
    runs: Runs


def alike(answers: Mapping[str, Mapping[str, str]]) -> list[Alike]:
    """The groups of learners whose answers are alike (learner -> exercise -> source), by exercise, the surest first."""
    found = []
    known = exercises.everything()
    asked = {exercise for given in answers.values() for exercise in given}
    for exercise in sorted(asked, key=lambda name: (list(known).index(name) if name in known else len(known), name)):
        given = {learner: sources[exercise] for learner, sources in answers.items() if exercise in sources}
        found += [Alike(exercise, tuple(sorted(who)), how) for how, who in _groups(given, worked(exercise))]
    return found


def _groups(answers: Mapping[str, str], solutions: tuple[Form, ...]) -> Iterator[tuple[str, set[str]]]:
    """(how, learners) of the groups in the answers to one exercise."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for learner, source in answers.items():
        by_text[_trimmed(source)].append(learner)
    forms = {text: form(text) for text in by_text}
    by_form: dict[bytes, list[str]] = defaultdict(list)  # fingerprint -> texts
    kept: dict[bytes, Form] = {}
    for text, found in forms.items():
        if found is not None and not any(near(found, solution) for solution in solutions):
            by_form[found.fingerprint].append(text)
            kept[found.fingerprint] = found
    written = sum(len(by_text[text]) for text, found in forms.items() if found is not None)
    people = {key: {who for text in texts for who in by_text[text]} for key, texts in by_form.items()}

    def says_something(how: str, key: bytes, who: Iterable[str]) -> bool:
        number = len(set(who))
        return kept[key].tokens >= LEAST[how] and 2 <= number <= max(ALWAYS, COMMON[how] * written)

    for key, texts in by_form.items():
        for text in texts:
            if says_something(SAME_TEXT, key, by_text[text]):
                yield SAME_TEXT, set(by_text[text])
    for key, texts in by_form.items():
        if len(texts) > 1 and says_something(SAME_FORM, key, people[key]):
            yield SAME_FORM, people[key]
    for cluster in _clusters({key: found for key, found in kept.items() if found.tokens >= LEAST[NEAR]}):
        who = set[str]().union(*(people[key] for key in cluster))
        if says_something(NEAR, cluster[0], who):
            yield NEAR, who


def _trimmed(source: str) -> str:
    """A text without spaces and empty lines at its lines' ends: the same in every editor."""
    return "\n".join(line.rstrip() for line in source[:MAX_SOURCE].split("\n") if line.strip())


# --- the normal form --------------------------------------------------------------------------------------------------

BINDING: dict[type, str] = {  # nodes that bind a name -> where it stands
    ast.Name: "id",
    ast.arg: "arg",
    ast.FunctionDef: "name",
    ast.AsyncFunctionDef: "name",
    ast.ClassDef: "name",
}
SKIPPED = frozenset(("ctx", "annotation", "returns", "type_comment", "kind", "type_params", "type_ignores"))
FIELDS = {  # node -> its fields that are compared, the last one first
    kind: tuple(name for name in reversed(kind._fields) if name not in SKIPPED)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}


def form(source: str) -> Form | None:
    """The normal form of a source; None where it is no Python, or nothing is written in it yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            words, numbered = tokens(ast.parse(source[:MAX_SOURCE]))
    except (SyntaxError, ValueError, RecursionError, MemoryError, SystemError):  # also numbers that are too long to say
        return None
    if "NotImplementedError" in words or len(words) < RUN:
        return None
    codes = np.array([_code(word) for word in words], dtype=np.uint64)
    runs = np.zeros(len(codes) - RUN + 1, dtype=np.uint64)
    for place in range(RUN):
        runs = runs * np.uint64(0x9E3779B97F4A7C15) + codes[place : place + len(runs)]  # modulo 2^64
    return Form(
        len(words), blake2b("\n".join(numbered).encode(errors="replace"), digest_size=16).digest(), np.unique(runs)
    )


def tokens(tree: ast.Module) -> tuple[list[str], list[str]]:
    """The tree's tokens in order: once with own names left out, once with own names numbered as they occur.

    Own are the names that the source itself binds: its functions, their arguments, its variables. The second list
    holds the lengths of lists, too, so that different trees never have the same.
    """
    own: set[str] = set()
    parts: list[Any] = []  # classes of nodes, names, constants and lengths
    waiting: list[Any] = [tree]
    while waiting:  # no recursion: a learner's tree may be deep
        part = waiting.pop()
        kind = type(part)
        if kind is list:
            part = [n for n in part if type(n) is not ast.Expr or type(n.value) is not ast.Constant]  # no docstrings
            parts.append(len(part))
            waiting += reversed(part)
        elif kind is ast.Constant:
            parts.append((part.value,))
        elif kind is str:
            parts.append(part)
        elif isinstance(part, ast.AST):
            parts.append(kind)
            waiting += [value for name in FIELDS[kind] if (value := getattr(part, name, None)) is not None]
            if kind in BINDING and type(getattr(part, "ctx", None)) is not ast.Load:
                own.add(getattr(part, BINDING[kind]))
    words: list[str] = []
    numbered: list[str] = []
    order: dict[str, str] = {}
    for part in parts:
        kind = type(part)
        if kind is str:
            is_own = part in own
            words.append("name" if is_own else part[:100])
            numbered.append(order.setdefault(part, f"name {len(order)}") if is_own else part)
        elif kind is int:
            numbered.append(str(part))
        elif kind is tuple:
            words.append(f"{type(part[0]).__name__} {str(part[0])[:100]}")
            numbered.append(repr(part))
        else:
            words.append(part.__name__)
            numbered.append(part.__name__)
    return words, numbered


@lru_cache(100_000)
def _code(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(errors="replace"), digest_size=8).digest(), "big")


@cache
def worked(exercise: str) -> tuple[Form, ...]:
    """The forms of the exercise's reference and, where the teacher's notebooks are there, of the worked solution."""
    sources = []
    if exercise in exercises.everything():
        with contextlib.suppress(OSError, TypeError):
            sources.append(textwrap.dedent(written(exercises.find(exercise).reference)))
    sources.append(solutions().get(exercise, ""))
    return tuple(found for source in sources if (found := form(source)) is not None)


# --- nearly equal -----------------------------------------------------------------------------------------------------


def near(one: Form, other: Form) -> bool:
    """Do they share so many of their runs?"""
    if min(len(one.runs), len(other.runs)) < SHARED * max(len(one.runs), len(other.runs)):
        return False
    both = len(np.intersect1d(one.runs, other.runs, assume_unique=True))
    return both >= SHARED * (len(one.runs) + len(other.runs) - both)


def _clusters(forms: Mapping[bytes, Form]) -> list[list[bytes]]:
    """Groups of two or more forms, each near to one of the others."""
    leader = {key: key for key in forms}

    def root(key: bytes) -> bytes:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    bands: dict[tuple[int, bytes], list[bytes]] = defaultdict(list)
    for key, found in forms.items():
        parts = [found.runs[i : i + 1000, None] for i in range(0, len(found.runs), 1000)]  # large ones take memory
        minima = np.min([(part * FACTORS + SHIFTS).min(axis=0) for part in parts], axis=0)
        for band in range(BANDS):
            bands[band, minima[band * ROWS : (band + 1) * ROWS].tobytes()].append(key)
    for crowd in bands.values():
        for place, one in enumerate(crowd if len(crowd) <= CROWD else []):
            for other in crowd[place + 1 :]:
                if root(one) != root(other) and near(forms[one], forms[other]):
                    leader[root(other)] = root(one)
    clusters: dict[bytes, list[bytes]] = defaultdict(list)
    for key in forms:
        clusters[root(key)].append(key)
    return [cluster for cluster in clusters.values() if len(cluster) > 1]
