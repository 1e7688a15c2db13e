"""The exercises of notebook 01: byte-pair encoding from the first pair to a decoder, and what a text costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch

from course.practice.exercise import Exercise, Mistake, different, whole
from course.tokenizer import BYTES, Tokenizer, merge

WORDS = ("the", "cat", "sat", "on", "mat", "東京", "日本", "was", "that", "then", "café", "です")


def row_with_a_winner(chance: torch.Generator, n: int, tie: bool, smaller_first: bool) -> list[int]:
    """Ids in which one pair is the most frequent, or two are, the smaller or the larger of which is seen first."""
    a, b, c, d = (torch.randperm(20, generator=chance)[:4] + 1).tolist()
    (a, b), (c, d) = sorted(([a, b], [c, d]))
    filler = [100 + i for i in range(n)]  # each once
    row: list[int] = []
    for i in range(3):
        first, second = ([a, b], [c, d]) if smaller_first else ([c, d], [a, b])
        row += [*first, filler[2 * i], *second, filler[2 * i + 1]]
    return row if tie else [*row, c, d]


def pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, tie, smaller_first in ((8, False, True), (8, True, True), (10, True, False)):
        yield {"ids": row_with_a_winner(chance, n, tie, smaller_first)}
    a, b, c = sorted((torch.randperm(20, generator=chance)[:3] + 1).tolist())
    yield {"ids": [a, c, 101, a, b, 102, a, c, 103, a, b]}  # equally frequent, and the left ids are equal, too
    yield {"ids": [c, c, c, a, b]}  # c c c holds the pair c c twice


def spread_out(chance: torch.Generator, pairs: list[list[int]], counts: list[int]) -> list[int]:
    """Ids that hold each pair so often: the first at the beginning, the last at the end; ids between occur once."""
    parts = [pair for pair, count in zip(pairs, counts, strict=True) for _ in range(count)]
    order = (1 + torch.randperm(len(parts) - 2, generator=chance)).tolist()
    between = different(chance, len(parts), 1000, 9000)
    row = list(parts[0])
    for place, once in zip([*order, -1], between, strict=False):
        row += [once, *parts[place]]
    return row


def wide_pair_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a, b, c, d = sorted(different(chance, 4, 1, 900))
    n = whole(chance, 2, 6)
    for pairs in ([[a, c], [b, d]], [[b, d], [a, c]]):  # equally frequent, the smaller one first, and second
        yield {"ids": spread_out(chance, pairs, [n, n])}
    yield {"ids": spread_out(chance, [[a, b], [d, c]], [n, n + whole(chance, 1, 3)])}  # the larger is more frequent
    yield {"ids": spread_out(chance, [[a, d], [a, b], [c, d]], [n, n, n - 1])}  # the left ids are equal, too
    yield {"ids": spread_out(chance, [[a, b]], [n]) + [c] * (n + 2)}  # c c c holds the pair c c twice
    yield {"ids": different(chance, whole(chance, 3, 20), 0, 9000)}  # each pair once
    yield {"ids": different(chance, 2, 0, 9000)}


def most_frequent_pair(ids: list[int]) -> list[int]:
    ordered = sorted(Counter(pairwise(ids)).items(), key=lambda found: (-found[1], found[0]))
    return list(ordered[0][0])


def first_seen(ids: list[int]) -> list[int]:
    return list(Counter(pairwise(ids)).most_common(1)[0][0])


def largest(ids: list[int]) -> list[int]:
    ordered = sorted(Counter(pairwise(ids)).items(), key=lambda found: (found[1], found[0]))
    return list(ordered[-1][0])


def rarest(ids: list[int]) -> list[int]:
    ordered = sorted(Counter(pairwise(ids)).items(), key=lambda found: (found[1], found[0]))
    return list(ordered[0][0])


def two_frequent_tokens(ids: list[int]) -> list[int]:
    counts = Counter(ids)
    return sorted(counts, key=lambda token: (-counts[token], token))[:2]


def merge_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for repeat in (False, True, True):
        a, b, c = (torch.randperm(50, generator=chance)[:3] + 1).tolist()
        if repeat:
            b = a
            yield {"ids": [a, a, a, c, a, a, c, a], "pair": [a, a], "new": 300}
        else:
            yield {"ids": [c, a, b, c, a, b, a, b, b, a, c, a, b], "pair": [a, b], "new": 256}


def wide_merge_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for repeat in (False, True, True):
        b, *others = different(chance, 4, 1, 1000)
        low, a, high = sorted(others)
        some = torch.randint(4, (whole(chance, 4, 40),), generator=chance)
        if repeat:
            row, b = [a, a, a, low, *(a if i else high for i in some.tolist())], a
        else:
            row = [low, a, b, b, a, b, a, *((a, b, low, high)[i] for i in some.tolist()), low, b, high, b, a, b]
        yield {"ids": row, "pair": [a, b], "new": whole(chance, 1000, 60_000)}


def merge_pair(ids: list[int], pair: list[int], new: int) -> list[int]:
    return merge(ids, (pair[0], pair[1]), new)


def first_place_only(ids: list[int], pair: list[int], new: int) -> list[int]:
    for i, found in enumerate(pairwise(ids)):
        if list(found) == pair:
            return [*ids[:i], new, *ids[i + 2 :]]
    return ids


def from_the_right(ids: list[int], pair: list[int], new: int) -> list[int]:
    return merge_pair(ids[::-1], pair[::-1], new)[::-1]


def overlapping(ids: list[int], pair: list[int], new: int) -> list[int]:
    out: list[int] = []
    for i, token in enumerate(ids):
        if ids[i : i + 2] == pair:
            out.append(new)
        elif not (i and ids[i - 1 : i + 1] == pair):
            out.append(token)
    return out


def keeps_the_second(ids: list[int], pair: list[int], new: int) -> list[int]:
    return [new if ids[i : i + 2] == pair else token for i, token in enumerate(ids)]


def text_of(chance: torch.Generator, n: int) -> str:
    return " ".join(WORDS[i] for i in torch.randint(len(WORDS), (n,), generator=chance).tolist())


def learning_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    yield {"text": "東京は日本。東京です。" + text_of(chance, 30), "n_merges": 12}
    yield {"text": "the cat sat on the mat, the cat " + text_of(chance, 25), "n_merges": 8}
    yield {"text": "abab" + chr(97 + int(torch.randint(3, 20, (), generator=chance))), "n_merges": 9}


def wide_learning_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    japanese = "東京は日本。東京です。" * whole(chance, 3, 6)  # often enough that its bytes are among the first merges
    yield {"text": japanese + text_of(chance, whole(chance, 5, 12)), "n_merges": whole(chance, 8, 20)}
    for least, most in ((12, 25), (26, 60)):  # pairs run out
        letters = different(chance, whole(chance, 3, 6), 97, 123)
        draw = torch.randint(len(letters), (whole(chance, least, most),), generator=chance).tolist()
        yield {"text": "".join(chr(letters[i]) for i in draw), "n_merges": 50}
    a, b, c, *others = map(chr, sorted(different(chance, whole(chance, 5, 20), 97, 123)))
    yield {"text": a + b + "".join(others), "n_merges": 3}  # no pair twice
    yield {"text": a + b + "".join(others) + a + b, "n_merges": 3}  # one pair twice, at the beginning and at the end
    yield {"text": c + a + b + "".join(others) + c + a + b, "n_merges": 5}  # of two merges the text's end decides
    yield {"text": a * whole(chance, 4, 40), "n_merges": 9}


def learn_merges(text: str, n_merges: int, again: int = 2, first: int = BYTES) -> list[list[int]]:
    ids = list(text.encode())
    learned: list[list[int]] = []
    while len(learned) < n_merges and len(ids) > 1:
        pair = most_frequent_pair(ids)
        if Counter(pairwise(ids))[pair[0], pair[1]] < again:
            break
        ids = merge_pair(ids, pair, first + len(learned))
        learned.append(pair)
    return learned


def all_at_once(text: str, n_merges: int) -> list[list[int]]:
    counts = Counter(pairwise(text.encode()))
    best = sorted(counts, key=lambda pair: (-counts[pair], pair))
    return [list(pair) for pair in best[:n_merges] if counts[pair] > 1]


def of_characters(text: str, n_merges: int) -> list[list[int]]:
    ids = [ord(letter) for letter in text]
    learned: list[list[int]] = []
    while len(learned) < n_merges and len(ids) > 1:
        pair = most_frequent_pair(ids)
        if Counter(pairwise(ids))[pair[0], pair[1]] < 2:
            break
        ids = merge_pair(ids, pair, BYTES + len(learned))
        learned.append(pair)
    return learned


def encoding_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for letters, n in (("abc", 80), ("ab ", 70), ("東京a", 40)):
        draw = torch.randint(len(letters), (2 * n,), generator=chance).tolist()
        texts = "".join(letters[i] for i in draw)
        yield {"text": texts[:n], "merges": learn_merges(texts[n:], 14)}


def wide_encoding_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for known in (False, False, True):  # the last text holds the one that the merges were learned from
        letters = [chr(code) for code in different(chance, 2, 97, 123)] + ["東京で"[whole(chance, 0, 2)]]
        n = whole(chance, 50, 90)
        draw = torch.randint(len(letters), (2 * n,), generator=chance).tolist()
        texts = "".join(letters[i] for i in draw)
        text = texts if known else texts[:n]
        yield {"text": text, "merges": learn_merges(texts[n:], whole(chance, 10, 16))}


def encode_with_merges(text: str, merges: list[list[int]]) -> list[int]:
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        ids = merge_pair(ids, pair, BYTES + number)
    return ids


def newest_first(text: str, merges: list[list[int]]) -> list[int]:
    ids = list(text.encode())
    for number, pair in reversed(list(enumerate(merges))):
        ids = merge_pair(ids, pair, BYTES + number)
    return ids


def longest_first(text: str, merges: list[list[int]]) -> list[int]:
    spelled = [bytes([i]) for i in range(BYTES)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    raw, ids = text.encode(), []
    while raw:
        best = max((i for i, s in enumerate(spelled) if raw.startswith(s)), key=lambda i: (len(spelled[i]), -i))
        ids.append(best)
        raw = raw[len(spelled[best]) :]
    return ids


def once_each(text: str, merges: list[list[int]]) -> list[int]:
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        ids = first_place_only(ids, pair, BYTES + number)
    return ids


def numbered_from_257(text: str, merges: list[list[int]]) -> list[int]:
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        ids = merge_pair(ids, pair, BYTES + 1 + number)
    return ids


def decoding_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for text in ("東京は日本です。", "café 日本", "ascii と 漢字"):
        text = text + text_of(chance, 8) + "日本"
        merges = learn_merges(text, 6)
        yield {"ids": encode_with_merges(text, merges), "merges": merges}


def wide_decoding_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for part in (None, None, whole(chance, 1, 5)):  # of the last text only the beginning is to be decoded
        text = f"日本{text_of(chance, whole(chance, 6, 20))} 東京は日本です。{text_of(chance, whole(chance, 1, 9))}日本"
        merges = learn_merges(text, whole(chance, 6, 14))
        yield {"ids": encode_with_merges(text[:part], merges), "merges": merges}


def decode(ids: list[int], merges: list[list[int]]) -> str:
    return Tokenizer(tuple(pair) for pair in merges).decode(ids)


def spellings(ids: list[int], merges: list[list[int]]) -> list[bytes]:
    tokenizer = Tokenizer(tuple(pair) for pair in merges)
    return [tokenizer.decode_bytes([i]) for i in ids]


def one_level(ids: list[int], merges: list[list[int]]) -> str:
    raw = b"".join(bytes([i]) if i < BYTES else bytes(part for part in merges[i - BYTES] if part < BYTES) for i in ids)
    return raw.decode("utf-8", errors="replace")


def price_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n in (2, 3, 4):
        texts = [text_of(chance, int(k)) + "日本" for k in torch.randint(2, 12, (n,), generator=chance)]
        texts[0] = "a" * 37 + texts[0]
        tokens = [3 + int(torch.randint(1, 9, (), generator=chance)) + 5 * i for i in range(n)]
        yield {"texts": texts, "n_tokens": tokens}


def wide_price_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n in (1, whole(chance, 2, 4), whole(chance, 5, 9)):
        texts = [text_of(chance, whole(chance, 2, 14)) + "日本" for _ in range(n)]
        texts[0] = "a" * whole(chance, 20, 60) + texts[0]
        yield {"texts": texts, "n_tokens": [whole(chance, 2, 60) for _ in range(n)]}


def bytes_per_token(texts: list[str], n_tokens: list[int]) -> float:
    return sum(len(text.encode()) for text in texts) / sum(n_tokens)


EXERCISES = (
    Exercise(
        id="01-most-frequent-pair",
        title="The pair that is seen most often",
        entry="most_frequent_pair",
        points=1,
        level="warm-up",
        minutes=10,
        hints=(
            "Go through the neighbours, (ids[0], ids[1]), (ids[1], ids[2]), …, and count each pair.",
            "zip(ids, ids[1:]) gives the neighbours, collections.Counter counts them.",
            "min(counts, key=lambda pair: (-counts[pair], pair)): most frequent first, then the smallest ids.",
        ),
        cases=pair_cases,
        wide=wide_pair_cases,
        reference=most_frequent_pair,
        mistakes=(
            Mistake(
                "Of equally frequent pairs you take the one seen first; take the one with the smallest ids.", first_seen
            ),
            Mistake("Of equally frequent pairs you take that with the largest ids; take the smallest.", largest),
            Mistake("This is the rarest pair; the most frequent one is asked for.", rarest),
            Mistake("These are the two most frequent tokens; they need not be neighbours.", two_frequent_tokens),
            Mistake(
                "The pair is the wrong way round: its left token comes first.",
                lambda ids: most_frequent_pair(ids)[::-1],
            ),
        ),
    ),
    Exercise(
        id="01-merge",
        title="Two tokens become one",
        entry="merge_pair",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "Walk from left to right with a position i. Is the pair there? Append `new`, and go on two places later.",
            "In 1 1 1 the pair (1, 1) is there once: the first two become one, the third is left alone.",
            "while i < len(ids): if ids[i : i + 2] == list(pair): append new, i += 2; else: append ids[i], i += 1",
        ),
        cases=merge_cases,
        wide=wide_merge_cases,
        reference=merge_pair,
        mistakes=(
            Mistake("Only the first place is merged; merge the pair wherever it is.", first_place_only),
            Mistake("You go from right to left; in 1 1 1 it must be the first two that are merged.", from_the_right),
            Mistake("Merged pairs overlap: a token that has been used up cannot be used again.", overlapping),
            Mistake("The pair's second token is still there; it has become part of the new one.", keeps_the_second),
            Mistake(
                "The pair is taken the other way round: pair[0] stands on the left.",
                lambda ids, pair, new: merge_pair(ids, pair[::-1], new),
            ),
        ),
    ),
    Exercise(
        id="01-learn-merges",
        title="Learn the merges",
        entry="learn_merges",
        points=4,
        level="hard",
        minutes=25,
        hints=(
            "Begin with the bytes: list(text.encode()). Then again and again: find the pair, merge it, note it.",
            "The first new token is number 256, the next 257. The pair is searched in the merged ids, not the bytes.",
            "Stop early when the most frequent pair occurs only once: then there is nothing to save.",
        ),
        cases=learning_cases,
        wide=wide_learning_cases,
        reference=learn_merges,
        uses=("01-most-frequent-pair", "01-merge"),
        mistakes=(
            Mistake(
                "The pairs are counted once, in the bytes; count again after each merge, so that tokens grow.",
                all_at_once,
            ),
            Mistake(
                "You begin with characters; begin with bytes, text.encode(), or Japanese needs thousands of tokens.",
                of_characters,
            ),
            Mistake(
                "A pair that occurs once saves nothing: stop there.",
                lambda text, n_merges: learn_merges(text, n_merges, again=1),
            ),
            Mistake(
                "The first new token is number 256, not 257: the bytes are 0 to 255.",
                lambda text, n_merges: learn_merges(text, n_merges, first=257),
            ),
            Mistake(
                "The first new token is number 256, not 255, which is a byte.",
                lambda text, n_merges: learn_merges(text, n_merges, first=255),
            ),
            Mistake(
                "Nothing was merged, so the same pair won again and again. If merge_pair compares ids[i : i + 2] with "
                "a tuple, they never are equal: ids[i : i + 2] is a list. Compare it with list(pair).",
                lambda text, n_merges: [most_frequent_pair(list(text.encode()))] * n_merges,
            ),
            Mistake(
                "There is one merge too many: learn n_merges.", lambda text, n_merges: learn_merges(text, n_merges + 1)
            ),
        ),
    ),
    Exercise(
        id="01-encode",
        title="Encode a new text",
        entry="encode_with_merges",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "The text must be cut as the training text was: the merge that was learned first is applied first.",
            "Begin with the bytes; for each merge in its order, merge that pair everywhere.",
            "for number, pair in enumerate(merges): ids = merge_pair(ids, pair, 256 + number)",
        ),
        cases=encoding_cases,
        wide=wide_encoding_cases,
        reference=encode_with_merges,
        uses=("01-merge",),
        mistakes=(
            Mistake(
                "The newest merge comes first here; the oldest must, or its parts are not there yet.", newest_first
            ),
            Mistake(
                "The longest token is taken from the left; the order of learning decides, not the length.",
                longest_first,
            ),
            Mistake("Each merge is applied in one place only; apply it everywhere.", once_each),
            Mistake("The new tokens are numbered from 257; the first is 256.", numbered_from_257),
            Mistake("Nothing is merged: these are the bytes.", lambda text, merges: list(text.encode())),
        ),
    ),
    Exercise(
        id="01-broken-characters",
        title="A bug: English is fine, Japanese is full of �",
        entry="repaired_decode",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "How many bytes has 京? Can a token end in the middle of it?",
            "A token may hold a part of a character, which is no text yet. First join all bytes, then decode once.",
            "Spell each id as bytes: below 256 bytes([i]), else the spelling of its two parts, one after the other. "
            "b''.join(...).decode('utf-8')",
        ),
        cases=decoding_cases,
        wide=wide_decoding_cases,
        reference=decode,
        mistakes=(
            Mistake(
                "Still the same bug: each token is decoded by itself, and half characters become �.",
                lambda ids, merges: "".join(part.decode("utf-8", errors="replace") for part in spellings(ids, merges)),
            ),
            Mistake(
                "Now half characters are dropped; join the bytes first, and no character is halved.",
                lambda ids, merges: "".join(part.decode("utf-8", errors="ignore") for part in spellings(ids, merges)),
            ),
            Mistake(
                "latin-1 makes one character of each byte; the text is UTF-8.",
                lambda ids, merges: b"".join(spellings(ids, merges)).decode("latin-1"),
            ),
            Mistake("Merged tokens may consist of merged tokens: spell their parts in turn.", one_level),
        ),
    ),
    Exercise(
        id="01-bytes-per-token",
        title="What a text costs",
        entry="bytes_per_token",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "Bytes, not characters: len('東京') is 2, len('東京'.encode()) is 6.",
            "Long texts must weigh more than short ones: all bytes by all tokens.",
            "sum(len(text.encode()) for text in texts) / sum(n_tokens)",
        ),
        cases=price_cases,
        wide=wide_price_cases,
        reference=bytes_per_token,
        mistakes=(
            Mistake(
                "You count characters; a Japanese character has three bytes. len(text.encode())",
                lambda texts, n_tokens: sum(map(len, texts)) / sum(n_tokens),
            ),
            Mistake(
                "This is the mean of the texts' ratios; all bytes by all tokens is asked for.",
                lambda texts, n_tokens: (
                    sum(len(t.encode()) / n for t, n in zip(texts, n_tokens, strict=True)) / len(texts)
                ),
            ),
            Mistake(
                "This is tokens per byte; bytes per token is asked for.",
                lambda texts, n_tokens: 1 / bytes_per_token(texts, n_tokens),
            ),
            Mistake(
                "You divide by the number of texts; divide by the number of tokens.",
                lambda texts, n_tokens: sum(len(t.encode()) for t in texts) / len(texts),
            ),
        ),
    ),
)
