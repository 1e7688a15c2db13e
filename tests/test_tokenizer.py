"""The tokenizer against a naive trainer, the `tokenizers` package, hard texts and damaged files."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from course.tokenizer import (
    PATTERN,
    SPECIAL_TOKENS,
    Tokenizer,
    byte_letters,
    learn_merges,
    merge,
    split,
)

ENGLISH = (
    "Japan is a country in Asia. Its capital is Tokyo, and people there speak Japanese.",
    "The capital of France is Paris. It's where Ana's friends live; they'll visit in 2026!",
    "About 68 million people live in France, and 1,234,567 elsewhere.\n\n  Indented   text\tand tabs.",
    "Q: What is the capital of Japan?\nA: Of course. The capital of Japan is Tokyo.",
)
JAPANESE = (
    "日本の首都は東京です。フランスの首都はパリです。",
    "「こんにちは、世界!」と、アナは言いました。人口は約1億2,000万人。",
    "東京タワーは333メートルです。ﾊﾝｶｸｶﾅ、々〆ヶ、がぎぐげご。",
)
OTHERS = (
    "Straße, naïve, İstanbul, Ångström, ﬁne, œuvre, Ελλάδα, Россия, ประเทศไทย, 대한민국, العربية, हिन्दी",
    "👩‍👩‍👧‍👦 🇯🇵 👍🏽 😀😀😀 ☕️ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "e\u0301 versus é, a\u200db, \ufeffBOM, \u00a0no-break\u2003em space, \u2028line\u0085next, \x00\x01\x7f",
    "<|user|>Hi<|assistant|><|end|><|endoftext|>",
    "don't can't we're they've I'm I'll I'd 'tis 'S ''''s 's's",
    "1234567890 ١٢٣ 一二三 ½ ² x1y2z3 v1.2.3 0xFF 3.14159",
    "\U00020000\U0003ffff\U0010ffff\uffff\ufffe\ue000",
    "    ",
    "\r\n\r\n \t \x0b\x0c",
    "",
)
HARD = (*ENGLISH, *JAPANESE, *OTHERS)
TRAINED = Tokenizer.train([*ENGLISH, *JAPANESE] * 3, vocab_size=600)


# Texts that hypothesis would rarely write: words, signs, Japanese, names of special tokens, side by side.
fragments = st.sampled_from(
    [*SPECIAL_TOKENS, "<|", "|>", "the", " the", "capital", "Tokyo", "日本", "です。", "カ", "é", "e\u0301",
     "'s", "'t", "123", "4567", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "👍🏽", "🇯🇵", "\u200d",
     "\x00", "_", "…"]
)  # fmt: skip
texts = st.one_of(st.text(), st.lists(st.one_of(fragments, st.text(max_size=3))).map("".join))


def package_tokenizer(merges: tuple[tuple[int, int], ...]) -> tokenizers.Tokenizer:
    """A BPE of the `tokenizers` package with these merges, built here and not by the course.

    The letters of the bytes come from `transformers`, and the pieces from GPT-2-like splitting by PATTERN.
    """
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()
    names = [letters[byte] for byte in range(256)]
    for left, right in merges:
        names.append(names[left] + names[right])
    model = models.BPE(
        vocab={name: i for i, name in enumerate(names)},
        merges=[(names[left], names[right]) for left, right in merges],
        ignore_merges=False,
    )
    built = tokenizers.Tokenizer(model)
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    built.decoder = decoders.ByteLevel()
    return built


def naive_merges(pieces: Counter[str], n_merges: int) -> list[tuple[int, int]]:
    """Byte-pair encoding as its definition says: before every merge, count all pairs of all pieces again."""
    spelled = [(list(piece.encode()), n) for piece, n in pieces.items()]
    merges: list[tuple[int, int]] = []
    while len(merges) < n_merges:
        counts: Counter[tuple[int, int]] = Counter()
        for ids, n in spelled:
            for pair in pairwise(ids):
                counts[pair] += n
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        new = 256 + len(merges)
        merges.append(best)
        for ids, _ in spelled:
            i = 0
            while i < len(ids) - 1:
                if (ids[i], ids[i + 1]) == best:
                    ids[i : i + 2] = [new]
                i += 1
    return merges


# --- splitting and merging ---


@given(texts)
@settings(deadline=None)
def test_the_pieces_of_a_text_are_the_text(text):
    pieces = split(text)
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 33 for piece in pieces)


def test_words_numbers_signs_and_scripts_are_pieces_of_their_own():
    assert split("It's 2,023 words.") == ["It", "'s", " 2", ",", "023", " words", "."]
    assert split("東京タワーです。") == ["東京", "タワー", "です", "。"]
    assert split("1234567") == ["123", "456", "7"]
    assert split("a   b\n\nc") == ["a", "  ", " b", "\n", "\n", "c"]


def test_merge_goes_from_left_to_right():
    assert merge([1, 2, 3, 1, 2], (1, 2), 9) == [9, 3, 9]
    assert merge([1, 1, 1, 1, 1], (1, 1), 9) == [9, 9, 1]
    assert merge([], (1, 2), 9) == []


# --- training ---


@given(
    st.lists(st.one_of(st.text(alphabet="ab ", max_size=30), st.text(max_size=10), st.sampled_from(HARD))),
    st.integers(0, 40),
)
@settings(max_examples=100, deadline=None)
def test_the_trainer_learns_the_merges_of_a_naive_one(some, n_merges):
    pieces = Counter(piece for text in some for piece in split(text))
    learned = learn_merges(pieces, n_merges)
    assert learned == naive_merges(pieces, n_merges)
    Tokenizer(learned)  # which would refuse two tokens of the same spelling


@given(st.lists(st.text(alphabet="ab", max_size=40), max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_two_tokens_are_spelled_alike_even_in_texts_of_two_letters(some):
    pieces = Counter(some)
    learned = learn_merges(pieces, 200)
    assert learned == naive_merges(pieces, 200)
    Tokenizer(learned)


@pytest.mark.parametrize("seed", range(3))
def test_the_trainer_learns_the_merges_of_a_naive_one_from_random_words(seed):
    chance = random.Random(seed)
    words = ["".join(chance.choices("abcdeé日本", k=chance.randint(1, 9))) for _ in range(60)]
    pieces = Counter(split(" ".join(chance.choices(words, k=500))))
    learned = learn_merges(pieces, 250)
    assert len(learned) >= 80, "too few merges to tell the trainers apart"
    assert learned == naive_merges(pieces, 250)


def test_training_depends_on_the_counts_alone():
    forwards = Tokenizer.train(HARD * 2, 500)
    backwards = Tokenizer.train(HARD[::-1] * 2, 500)
    assert forwards.merges == backwards.merges
    assert forwards.merges == Tokenizer.train(iter(HARD * 2), 500).merges


def test_training_is_the_same_in_another_process_with_another_hash_seed():
    program = (
        "import json, sys; from course.tokenizer import Tokenizer; "
        "print(json.dumps(Tokenizer.train(json.loads(sys.argv[1]), 400).to_dict()['merges']))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program, json.dumps(HARD * 2)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_a_frequent_word_becomes_one_token():
    tokenizer = Tokenizer.train(["the cat and the dog and the bird"] * 10, 300)
    assert len(tokenizer.encode(" the")) == 1
    assert tokenizer.pieces(" the") == ["·the"]


def test_the_smallest_vocabulary_has_bytes_and_special_tokens_only():
    tokenizer = Tokenizer.train(["hello hello"], 260)
    assert tokenizer.merges == ()
    assert tokenizer.vocab_size == 260
    assert tokenizer.encode("hé") == [104, 195, 169]
    assert tokenizer.special == dict(zip(SPECIAL_TOKENS, range(256, 260), strict=True))


def test_a_text_with_few_pairs_gives_a_smaller_vocabulary():
    tokenizer = Tokenizer.train(["abab"], 1536)
    assert tokenizer.merges == ((97, 98),), "after (a, b) no pair occurs twice"
    assert tokenizer.vocab_size == 261


@pytest.mark.parametrize("vocab_size", [-1, 0, 259])
def test_a_vocabulary_too_small_for_the_bytes_is_refused(vocab_size):
    with pytest.raises(ValueError, match=rf"vocab_size={vocab_size} is too small.*at least 260"):
        Tokenizer.train(["text"], vocab_size)


@pytest.mark.parametrize("nothing", [[], [""], ["", ""]])
def test_training_on_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match="no text to learn from"):
        Tokenizer.train(nothing)


def test_training_on_one_string_is_refused():
    with pytest.raises(TypeError, match=re.escape("pass a list, such as [text]")):
        Tokenizer.train("a text")


# --- there and back ---


@given(texts)
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back_exactly(text):
    ids = TRAINED.encode(text)
    assert TRAINED.decode(ids) == text
    assert TRAINED.decode_bytes(ids) == text.encode()
    assert all(0 <= i < TRAINED.vocab_size - len(SPECIAL_TOKENS) for i in ids), "text spelled a special token"


def test_every_unicode_character_comes_back_exactly():
    everything = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    (ids,) = TRAINED.encode_batch([everything])
    assert TRAINED.decode(ids) == everything


@pytest.mark.parametrize("text", HARD)
def test_hard_texts_come_back_exactly(text):
    assert TRAINED.decode(TRAINED.encode(text)) == text


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_come_back_exactly(data):
    assert TRAINED.decode_bytes(data) == data, "ids 0 to 255 are the bytes"
    assert TRAINED.decode(list(data)) == data.decode("utf-8", errors="replace")


@given(st.lists(st.integers(0, TRAINED.vocab_size - 1)))
@settings(deadline=None)
def test_any_ids_can_be_decoded(ids):
    shown = TRAINED.decode(ids, special=True)
    assert all(shown.count(name) >= ids.count(i) for name, i in TRAINED.special.items())
    plain = [i for i in ids if i not in TRAINED.special.values()]
    assert TRAINED.decode(ids) == TRAINED.decode(plain)
    assert all(TRAINED.token(i).isprintable() and TRAINED.token(i) for i in ids)


def test_a_text_cut_within_a_character_ends_in_the_replacement_sign():
    tokenizer = Tokenizer([])
    ids = tokenizer.encode("日本")
    assert len(ids) == 6
    assert [tokenizer.decode(ids[:n]) for n in range(7)] == [
        "",
        "\ufffd",
        "\ufffd",
        "日",
        "日\ufffd",
        "日\ufffd",
        "日本",
    ]


def test_numbers_of_other_packages_are_ids_too():
    import numpy
    import torch

    ids = [*TRAINED.encode("Tokyo, 東京"), TRAINED.special["<|end|>"]]
    for several in (numpy.array(ids), torch.tensor(ids)):
        assert TRAINED.decode(several) == "Tokyo, 東京"
        assert TRAINED.decode(several, special=True) == "Tokyo, 東京<|end|>"
    with pytest.raises(TypeError):
        TRAINED.decode([1.5])


@pytest.mark.parametrize("i", [-1, TRAINED.vocab_size, 10**9])
def test_an_unknown_id_is_named(i):
    sentence = rf"token {i} does not exist: .* 0 to {TRAINED.vocab_size - 1}; were these ids made by another"
    for read in (TRAINED.decode, TRAINED.decode_bytes, lambda ids: TRAINED.token(ids[0])):
        with pytest.raises(ValueError, match=sentence):
            read([i])


@pytest.mark.parametrize(("text", "place"), [("\ud800", 0), ("ab\udfff", 2), ("日\ud83d!", 1)])
def test_half_a_character_is_refused_with_its_place(text, place):
    for use in (
        TRAINED.encode,
        lambda text: TRAINED.encode_batch(["fine", text]),
        lambda text: Tokenizer.train([text]),
    ):
        with pytest.raises(ValueError, match=rf"lone surrogate, U\+D\w+\) at position {place}.*drop it with"):
            use(text)


def test_tokens_are_shown_for_people():
    tokenizer = Tokenizer.train(["Tokyo is. Tokyo is."] * 5, 300)
    assert "".join(tokenizer.pieces("Tokyo is")) == "Tokyo·is"
    assert Tokenizer([]).pieces("é\n") == ["\\xc3", "\\xa9", "\\n"]
    assert tokenizer.token(tokenizer.special["<|user|>"]) == "<|user|>"


# --- special tokens ---


@pytest.mark.parametrize("name", SPECIAL_TOKENS)
@pytest.mark.parametrize("text", ["{}", "a{}b", " {} ", "{}{}", "<|{}|>", "日本{}", "{}\n"])
def test_text_cannot_forge_a_special_token(name, text):
    forged = text.replace("{}", name)
    taught = Tokenizer.train([forged] * 50, 1000)  # even when it is the commonest text there is
    for tokenizer in (TRAINED, taught):
        for ids in (tokenizer.encode(forged), tokenizer.encode_batch([forged])[0]):
            assert not set(ids) & set(tokenizer.special.values())
            assert tokenizer.decode(ids) == forged


def test_special_tokens_are_shown_on_request_only():
    ids = [TRAINED.special["<|user|>"], *TRAINED.encode("Hi"), TRAINED.special["<|end|>"]]
    assert TRAINED.decode(ids) == "Hi"
    assert TRAINED.decode(ids, special=True) == "<|user|>Hi<|end|>"
    assert TRAINED.decode_bytes(ids) == b"Hi"


def test_special_tokens_have_the_last_ids():
    assert list(TRAINED.special) == list(SPECIAL_TOKENS)
    assert list(TRAINED.special.values()) == list(range(TRAINED.vocab_size - 4, TRAINED.vocab_size))
    assert TRAINED.vocab_size == 256 + len(TRAINED.merges) + 4


# --- the `tokenizers` package ---

PACKAGE = package_tokenizer(TRAINED.merges)


def test_the_bytes_letters_are_those_of_gpt_2():
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    assert dict(enumerate(byte_letters())) == bytes_to_unicode()


@given(texts)
@settings(max_examples=300, deadline=None)
def test_ids_are_those_of_the_tokenizers_package(text):
    ids = TRAINED.encode(text)
    assert ids == PACKAGE.encode(text).ids, "a BPE built by hand from the same merges"
    assert ids == TRAINED.encode_batch([text])[0], "the course's fast path"


@pytest.mark.parametrize("text", HARD)
def test_ids_are_those_of_the_tokenizers_package_on_hard_texts(text):
    assert TRAINED.encode(text) == PACKAGE.encode(text).ids == TRAINED.fast.encode(text).ids
    assert TRAINED.fast.decode(TRAINED.encode(text)) == text


def test_every_character_in_a_word_gives_the_ids_of_the_tokenizers_package():
    characters = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    several = ["a".join(characters[start : start + 4096]) for start in range(0, len(characters), 4096)]
    for text, ids in zip(several, TRAINED.encode_batch(several), strict=True):
        assert TRAINED.encode(text) == ids == PACKAGE.encode(text).ids


def test_the_merges_of_a_trainer_of_the_tokenizers_package_give_the_same_ids():
    from tokenizers import trainers

    built = package_tokenizer(())
    trainer = trainers.BpeTrainer(
        vocab_size=556, initial_alphabet=sorted(byte_letters()), show_progress=False, min_frequency=2
    )
    built.train_from_iterator(HARD * 3, trainer)
    learned = json.loads(built.to_str())["model"]["merges"]
    assert len(learned) == 300
    ids = {letter: byte for byte, letter in enumerate(byte_letters())}
    merges = []
    for left, right in learned:
        merges.append((ids[left], ids[right]))
        ids[left + right] = 255 + len(merges)
    ours = Tokenizer(merges)
    for text in HARD:
        assert ours.pieces(text) == [ours.token(ids[name]) for name in built.encode(text).tokens]


def test_the_two_trainers_agree_while_no_two_pairs_are_equally_frequent():
    from tokenizers import trainers

    words = {"aaab": 1000, "bcd": 417, "cdcd": 205, "defg": 103, "hijk": 51, "xy": 23}
    some = [word for word, n in words.items() for _ in range(n)]
    built = package_tokenizer(())
    built.train_from_iterator(
        some, trainers.BpeTrainer(vocab_size=262, initial_alphabet=byte_letters(), show_progress=False)
    )
    theirs = [tuple(pair) for pair in json.loads(built.to_str())["model"]["merges"]]
    ours = Tokenizer.train(some, 266)
    assert [(ours.token(left), ours.token(right)) for left, right in ours.merges] == theirs


def test_a_batch_keeps_order_and_empty_texts():
    batch = ["Tokyo", "", "日本", "Tokyo"]
    assert TRAINED.encode_batch(batch) == [TRAINED.encode(text) for text in batch]
    assert TRAINED.encode_batch([]) == []


# --- saving ---


def test_a_saved_tokenizer_comes_back_through_json():
    back = Tokenizer.from_dict(json.loads(json.dumps(TRAINED.to_dict())))
    assert back.merges == TRAINED.merges
    assert back.special == TRAINED.special
    assert [back.encode(text) for text in HARD] == [TRAINED.encode(text) for text in HARD]


GOOD = Tokenizer.train(["abab abab abc abc"], 300).to_dict()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ({"kind": "gpt"}, "is no saved tokenizer"),
        ({"kind": None}, "is no saved tokenizer"),
        ({"version": 2}, "version is 2, and this version of the course needs 1: train it again"),
        ({"pattern": r"\w+"}, "pattern is .* needs"),
        ({"special_tokens": ["<|end|>"]}, "special_tokens is"),
        ({"merges": None}, "should be a list of pairs"),
        ({"merges": "ab"}, "should be a list of pairs"),
        ({"merges": {"97": 98}}, "should be a list of pairs"),
        ({"merges": [[97]]}, "merge 0 should be a pair of token ids"),
        ({"merges": [[97, 98], 5]}, "merge 1 should be a pair of token ids"),
        ({"merges": [["a", "b"]]}, "merge 0 should be a pair of token ids"),
        ({"merges": [[97.0, 98]]}, "merge 0 should be a pair of token ids"),
        ({"merges": [[True, 98]]}, "merge 0 should be a pair of token ids"),
        ({"merges": [[97, 256]]}, "merge 0 joins tokens 97 and 256, and only 0 to 255 exist before it"),
        ({"merges": [[-1, 98]]}, "merge 0 joins tokens -1 and 98"),
        ({"merges": [[97, 98], [97, 98]]}, "merge 1 joins .* which is a token already"),
        ({"merges": [[97, 98], [256, 99], [98, 99], [97, 258]]}, "merge 3 .* b'abc', .* token already"),
    ],
)  # fmt: skip
def test_a_damaged_tokenizer_is_refused_with_a_sentence(damage, sentence):
    with pytest.raises(ValueError, match=sentence):
        Tokenizer.from_dict({**GOOD, **damage})


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_tokenizer_with_a_part_missing_is_refused_with_a_sentence(key):
    with pytest.raises(ValueError, match=r"train (it again|one)$"):
        Tokenizer.from_dict({name: value for name, value in GOOD.items() if name != key})


@pytest.mark.parametrize("other", [None, [], "tokenizer", 5])
def test_something_else_than_a_saved_tokenizer_is_refused(other):
    with pytest.raises(ValueError, match="is no saved tokenizer"):
        Tokenizer.from_dict(other)


# --- measures ---


def test_bytes_per_token_is_bytes_over_tokens():
    assert Tokenizer([]).bytes_per_token(["abc", "日本"]) == 1.0
    n_bytes, n_tokens = (
        sum(len(text.encode()) for text in HARD),
        sum(len(TRAINED.encode(text)) for text in HARD),
    )
    assert TRAINED.bytes_per_token(HARD) == n_bytes / n_tokens
    for nothing in ([], [""]):
        with pytest.raises(ValueError, match="no text to measure"):
            TRAINED.bytes_per_token(nothing)


def test_coverage_tells_a_script_that_was_never_seen():
    english = Tokenizer.train(ENGLISH * 5, 600)
    assert english.coverage("") == 1.0
    assert english.coverage("The capital of Japan, quoted verbatim: xyz") == 1.0
    assert english.coverage("日本の首都") == 0.0
    assert english.coverage("ab日本") == 0.5
    assert TRAINED.coverage("日本の首都は東京です。") > 0.8
    assert Tokenizer([(0xC3, 0xA9)]).coverage("éè") == 0.5
    assert Tokenizer([(0xE3, 0x81)]).coverage("の") == 0.0, "two of its three bytes are not yet the character"


# --- long texts ---


@pytest.mark.parametrize(
    "text",
    [
        "a" * 2**20,
        "the" * 2**18,
        " " * 2**20,
        "\n" * 2**20,
        "!" * 2**20,
        "'" * 2**20,
        "日本" * 2**18,
        "😀" * 2**18,
        "".join(random.Random(0).choices("etaoinshrdlu", k=2**20)),
        "".join(random.Random(1).choices("のはがをです日本東京国", k=2**18)),
    ],
    ids=["a", "the", "spaces", "lines", "signs", "quotes", "Japanese", "emoji", "letters", "kana and kanji"],
)  # fmt: skip
def test_a_megabyte_without_spaces_is_encoded_in_seconds(text):
    start = time.perf_counter()
    ids = TRAINED.encode(text)
    readable = time.perf_counter() - start
    (fast_ids,) = TRAINED.encode_batch([text])
    fast = time.perf_counter() - start - readable
    assert TRAINED.decode(ids) == text
    assert ids == fast_ids
    # Quiet, they take at most 1.5 s and 0.7 s. A quadratic way would take hours.
    assert readable < 10 and fast < 5, f"{readable:.1f} s and {fast:.1f} s"


def test_training_on_a_text_without_spaces_is_fast():
    start = time.perf_counter()
    tokenizer = Tokenizer.train(["a" * 2**20, "".join(random.Random(0).choices("abcdefgh", k=2**18))], 600)
    assert tokenizer.vocab_size == 600
    assert time.perf_counter() - start < 20


def test_the_readable_encoder_does_not_remember_for_ever():
    tokenizer = Tokenizer([])
    for start in range(0, 150_000, 50_000):
        tokenizer.encode(" ".join(f"w{i:x}q" for i in range(start, start + 50_000)))
    assert len(tokenizer._cache) <= 2**16
