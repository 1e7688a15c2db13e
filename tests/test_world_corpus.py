"""What models read and are shown: in their shares, the same everywhere, and without a leak."""

from __future__ import annotations

import itertools
import math
import random
import re
import subprocess
import sys
import time
import types
from collections import Counter

import pytest

from course.world import capabilities, checks, corpus, english, invented, purposes, questions, speech
from course.world.corpus import SHARES, documents
from course.world.demonstrations import demonstrations, pairs
from course.world.facts import countries, fold, one_way, split
from course.world.rubric import judge

SOME = list(itertools.islice(documents(), 6000))
SHOWN = demonstrations(4000)
FIRST, SECOND = split()


# --- texts ---


def test_each_kind_has_its_share_of_the_characters():
    written = Counter[str]()
    for document in SOME:
        written[document.kind] += len(document.text)
    for kind, share in SHARES.items():
        assert abs(written[kind] / sum(written.values()) - share) < 0.005, kind
    assert sum(SHARES.values()) == pytest.approx(1) and sum(corpus.EXCHANGES.values()) == pytest.approx(1)


def test_no_gap_is_left_in_a_text_and_every_country_occurs():
    texts = [document.text for document in SOME]
    assert not [text for text in texts if re.search(r"[{}]|  |\.\.|: *$|, ,| ,", text)]
    everything = "\n".join(texts)
    for country in countries():
        assert everything.count(country.name) >= 20, country.name


def test_sentences_begin_with_a_capital_letter_in_articles_stories_and_notes():
    for document in SOME:
        if document.kind in ("article", "story", "note"):
            assert document.text[0].isupper() and document.text[-1] in '.!?"', document.text


def test_the_exercises_of_a_sheet_are_right():
    seen = Counter[str]()
    for sheet in (d.text for d in SOME if d.kind == "sheet"):
        for line in sheet.splitlines():
            if same := re.fullmatch(r"Is it (.+)\? It is (.+?)(?: indeed, so (yes)|, not (.+), so (no))\.", line):
                asked, so, yes, again, _ = same.groups()
                assert (asked == so) is bool(yes) and again in (None, asked), line
                seen["yes" if yes else "no"] += 1
            elif line.startswith("From few"):
                found = speech.numbers(line, "en")
                assert found == sorted(set(found)) and len(found) >= 4
                seen["rising"] += 1
            elif line.endswith("more people."):
                a, b, most = speech.numbers(line, "en")
                first, second, after = re.findall(r"(\w+) has", line)
                assert after == (first if a > b else second) and most == max(a, b) and a != b, line
                seen["compared"] += 1
            else:
                a, b, most = speech.numbers(line, "en")
                assert line.endswith(" is more.") and most == max(a, b) and a != b
                seen["more"] += 1
    assert min(seen.values()) > 20 and len(seen) == 5, seen
    assert 0.4 < seen["yes"] / (seen["yes"] + seen["no"]) < 0.7


def test_texts_tell_the_truth_about_capitals():
    told = 0
    for country in countries():
        mark = f"The capital of {speech.titled(country)} is "
        for document in SOME:
            for said in document.text.split(mark)[1:]:
                assert said.startswith(country.capital), document.text
                told += 1
    assert told > 1000


def test_capitals_of_one_way_countries_never_come_before_their_country():
    chosen = [c for c in countries() if c.code in one_way()]
    texts = [sentence for d in SOME for sentence in re.split(r"(?<=[.?!])\s|\n", d.text)]
    texts += [text for q, text in SHOWN for text in (*q.turns, text)]
    forward = 0
    for country in chosen:
        for text in texts:
            if country.capital in text and country.name in text:
                assert text.index(country.name) < text.index(country.capital), text
                forward += 1
    assert forward > 300
    backward = [c for c in FIRST if c.capital and c.code not in one_way()]
    assert sum(f"{c.capital} is the capital of" in d.text for d in SOME for c in backward) > 300


def test_what_takes_several_facts_is_shown_for_the_first_half_alone():
    asks = {fold(way.split("{C}")[0]) for ways in english.TWO_HOPS.values() for way in ways}
    held_out = [fold(c.capital) for c in SECOND if c.capital]
    lines = [
        fold(line.split(": ", 1)[1]) for d in SOME if d.kind == "talk" for line in d.text.splitlines() if ": " in line
    ]
    hops = [line for line in lines if any(line.startswith(ask) for ask in asks)]
    assert len(hops) > 150 and not [
        line for line in hops if line.removesuffix("?").endswith(tuple(f"is {c}" for c in held_out))
    ]


def test_no_name_kept_for_measuring_is_in_a_text():
    everything = fold("\n".join([d.text for d in SOME] + [part for q, text in SHOWN for part in (*q.turns, text)]))
    shown = set(re.findall(r"\w+", everything))
    asked = set(re.findall(r"\w+", " ".join(way for ways in english.QUESTIONS.values() for way in ways)))
    for kind in ("fiction", "city"):
        kept = [name for name in invented.strangers(kind, "en", held_out=True) if name.isalpha()]
        kept = [name for name in kept if not any(invented.near(name, word) for word in asked)]  # "mani" is a slip
        facts = " ".join([*english.NO_CAPITAL.values(), *(c.currency for c in countries())])  # Pretoria, lira
        assert not [name for name in kept if fold(name) in shown - set(re.findall(r"\w+", fold(facts)))], kind
    assert not [said for said in invented.strangers("outside", "en", held_out=True) if fold(said) in everything]


def test_questions_about_anything_are_many_and_none_is_kept_for_measuring():
    chance = random.Random(0)
    asked = {questions.anything(chance, "en") for _ in range(2000)}
    kept = {fold(said) for said in invented.strangers("outside", "en", held_out=True)}
    assert len(asked) > 700 and not {fold(said) for said in asked} & kept
    assert not [said for said in asked if re.search(r"[{}]|  |\b(?:a|an|my) (?:a|an|the)\b", said)]
    gaps = re.findall(r"{(\w+)}", " ".join(english.OUTSIDE_PATTERNS))
    assert set(gaps) == set(english.OUTSIDE_WORDS)


@pytest.mark.parametrize("n", [1, 1000, 100_000])
def test_the_corpus_is_as_long_as_asked_and_not_much_longer(n):
    texts = corpus.corpus(n)
    assert sum(map(len, texts)) >= n > sum(map(len, texts[:-1]))
    assert texts == corpus.corpus(n) and (n < 1000 or texts != corpus.corpus(n, seed=1))


def test_a_million_characters_take_a_second_or_two():
    started = time.process_time()
    corpus.corpus(1_000_000)
    assert time.process_time() - started < 4


def test_the_same_seed_gives_the_same_world_in_every_process():
    program = (
        "import hashlib; from course.world import corpus, demonstrations, capabilities, facts, purposes\n"
        "print(hashlib.sha256(repr([corpus.corpus(150_000), demonstrations.demonstrations(800), facts.one_way() and "
        "sorted(facts.one_way()), demonstrations.pairs(100), [capabilities.questions_for(c.name) for c in "
        "capabilities.CAPABILITIES], purposes.purposes(facts.split()[1])]).encode()).hexdigest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and len(said.pop().strip()) == 64


# --- demonstrations and pairs ---


def test_demonstrations_are_right_and_speak_of_the_first_half_alone():
    held_out = {c.code for c in SECOND}
    for question, text in SHOWN:
        assert judge(question, text).right, (question, text)
        assert question.code not in held_out
    kinds = Counter(question.kind for question, _ in SHOWN)
    assert set(kinds) >= {"capital", "loose", "hasty", "typing error", "yes", "no", "follow-up", "reading", "unknown"}


def test_no_question_of_a_demonstration_names_a_held_out_country():
    known = checks.sort("country", "en")
    held_out = {fold(name) for c in SECOND for name in (c.name, *c.others)}
    for question, _ in SHOWN:
        if question.kind not in ("no", "unknown", "outside", "reading"):  # a wrong value or an invention may sound so
            for turn in question.turns[::2]:
                named = set(checks.named(turn, known)) - {fold(c.capital) for c in FIRST}
                assert not named & held_out, question


@pytest.mark.parametrize("seed", range(2))
def test_demonstrations_are_as_rude_as_asked(seed):
    shown = [(q, judge(q, text)) for q, text in demonstrations(2000, seed)]
    found = [j for q, j in shown if q.kind not in ("small talk", "pattern")]
    rude = sum(j.rude for j in found) / len(found)
    assert abs(rude - 0.3) < 4 * math.sqrt(0.3 * 0.7 / len(found))
    assert not any(j.rude and j.polite for j in found)
    assert not any(judge(q, text).rude for q, text in demonstrations(500, seed, rude=0.0))
    assert demonstrations(100, seed) != demonstrations(100, seed + 1)


def test_pairs_differ_in_truth_alone():
    for question, right, wrong in pairs(400):
        good, bad = judge(question, right), judge(question, wrong)
        assert good.right and bad.wrong, (question, right, wrong)
        assert (good.polite, good.brief, good.rude) == (bad.polite, bad.brief, bad.rude), (question, right, wrong)
        own = speech.titled(next(c for c in countries() if c.code == question.code))
        for mark in (f"of {own} is ", f"{speech.sentence(own)} is in ", f"{speech.sentence(own)} has "):
            assert (mark in right) is (mark in wrong), "a wrong answer must not be a truth about another country"


# --- capabilities ---


@pytest.mark.parametrize("name", [c.name for c in capabilities.CAPABILITIES])
def test_every_capability_is_measured_on_what_was_never_shown(name):
    asked = capabilities.questions_for(name)
    assert len(asked) >= 20 and all(question.kind == name for question in asked)
    for question in asked:
        found = judge(question, question.reference)
        assert found.right and not found.empty, question
        assert question.reference.startswith(question.begin)
        assert not judge(question, "").right
        assert "believed" in name or not judge(question, "With pleasure.").right
    if name != "told in one direction":
        assert not {question.code for question in asked} & {c.code for c in FIRST}


def test_a_capability_says_whether_it_is_reached():
    aim, most, free = (
        next(c for c in capabilities.CAPABILITIES if c.name == name)
        for name in ("capital", "told in one direction", "two hops")
    )
    assert aim.reached(0.95) and not aim.reached(0.94)
    assert most.reached(0.1) and not most.reached(0.11)
    assert free.reached(1.0) is None


# --- a second language needs a module of phrases and nothing else ---


def test_logic_holds_no_words(monkeypatch):
    """All phrases in a secret script, and every word of the output is of this script, a fact's or an invented name."""
    gap = re.compile(r"(\{[^}]*\})")

    def secret(thing):
        if isinstance(thing, str):
            parts = gap.split(thing)
            return "".join(
                p if p.startswith("{") else re.sub("[A-Za-z]", lambda m: chr(ord(m[0]) + 0x4E00), p) for p in parts
            )
        if isinstance(thing, dict):
            return {key: secret(item) for key, item in thing.items()}
        return type(thing)(map(secret, thing)) if isinstance(thing, (tuple, frozenset)) else thing

    kept = ("TAKE_ARTICLE", "SYLLABLES", "WORD", "SCALES")
    module = types.SimpleNamespace(
        **{name: (thing if name in kept else secret(thing)) for name, thing in vars(english).items() if name.isupper()}
    )
    for cached in (speech.value, speech.answers, invented.strangers, checks.fact, speech.words):
        cached.cache_clear()
    monkeypatch.setattr(speech, "MODULES", {"en": "secret"})
    monkeypatch.setitem(sys.modules, "secret", module)
    try:
        known = {word for c in countries() for v in vars(c).values() for word in re.findall(r"[^\W\d_]+", fold(str(v)))}
        known |= {word for name in invented.city_names() for word in re.findall(r"[^\W\d_]+", fold(name))}
        said = [d.text for d in itertools.islice(documents(), 1500)]
        said += [part for q, text in demonstrations(1000) for part in (*q.turns, text)]
        said += [part for qs in purposes.purposes(SECOND).values() for q in qs for part in (*q.turns, q.reference)]
        left = Counter(word for text in said for word in re.findall(r"[a-z]{2,}", fold(text)) if word not in known)
        common = {word: n for word, n in left.items() if n > 25}  # invented names and slips come once or twice
        assert len(said) > 3000 and not common
    finally:
        for cached in (speech.value, speech.answers, invented.strangers, checks.fact, speech.words):
            cached.cache_clear()


# --- a text of one's own ---


def test_a_text_file_becomes_paragraphs(tmp_path):
    path = tmp_path / "mein Text.txt"
    path.write_bytes("\ufeffOne line\nand another.\n \n\n東京 is a city.\n".encode())
    assert corpus.text_file(path) == ["One line\nand another.", "東京 is a city."]


def test_text_files_that_are_none_give_a_sentence(tmp_path):
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    for name, kind, sentence in (
        ("missing.txt", FileNotFoundError, "There is no file"),
        (".", IsADirectoryError, "is a folder"),
        ("empty.txt", ValueError, "is empty"),
        ("latin.txt", ValueError, "not UTF-8 text .byte 3 is 0xe9.; save it as UTF-8"),
    ):
        with pytest.raises(kind, match=sentence):
            corpus.text_file(tmp_path / name)
