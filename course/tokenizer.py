"""Byte-level byte-pair encoding: how text becomes the numbers that a language model reads.

A computer stores every text as bytes (UTF-8), so 256 tokens are enough for any language and no text is ever
"unknown". But bytes are small, and a sentence has many. Byte-pair encoding (BPE) makes the sequence shorter:
it looks for the pair of neighbours that occurs most often in a training text, gives this pair a token of its
own, and repeats. Frequent words end as one token, rare words as a few, a script never seen as its bytes.

    token ids:   0 ... 255   the bytes
                 256 ...     one per merge, in the order learned
                 the last 4  special tokens that mark the turns of a conversation; no text can spell them

`Tokenizer.encode` is the readable version; `Tokenizer.encode_batch` gives the same ids by the `tokenizers`
package.

Gage 1994, "A New Algorithm for Data Compression" (the idea, for compression); Sennrich, Haddow and Birch
2016, "Neural Machine Translation of Rare Words with Subword Units", arXiv:1508.07909 (for language models);
Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2: on bytes).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tokenizers

SPECIAL_TOKENS = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>")
BYTES = 256
Pair = tuple[int, int]

# Merges never cross the border between two pieces of text, and this pattern says where the borders are: a
# word with the space before it, a run of one Japanese script, up to three digits, signs, white space. The
# ranges are written out, because \w and \s mean different things in different programs and Unicode versions.
# No piece is longer than 32 characters (and a space), so no text can make encoding slow.
_SPACE = "\t\n\x0b\x0c\r "
# Latin, Cyrillic, Arabic, Thai, Hangul ...: all but the Japanese scripts, which have no spaces between words.
_LETTER = "A-Za-zªµºÀ-ÖØ-öø-\u1fff\u2c00-\u2dff\ua000-\ud7ff\uff21-\uff3a\uff41-\uff5a"
_HIRAGANA = "\u3041-\u309f"
_KATAKANA = "\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_KANJI = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
PATTERN = (
    "'(?:s|t|re|ve|m|ll|d)(?![A-Za-z])"  # it's, don't, we're ...
    + "".join(f"| ?[{script}]{{1,32}}" for script in (_LETTER, _HIRAGANA, _KATAKANA, _KANJI))
    + "| ?[0-9]{1,3}"
    + f"| ?[^{_SPACE}0-9{_LETTER}{_HIRAGANA}{_KATAKANA}{_KANJI}]{{1,32}}"  # signs, emoji, everything else
    + f"|[{_SPACE}]{{1,32}}(?![^{_SPACE}])"  # all of a run of white space but the last, which belongs
    + f"|[{_SPACE}]{{1,32}}"  # to the next word if it is a space
)
_find_pieces = re.compile(PATTERN).findall


def split(text: str) -> list[str]:
    """The pieces of a text that are encoded one by one; joined, they are the text again.

    "It's 2,023 words." -> ["It", "'s", " 2", ",", "023", " words", "."]
    """
    return _find_pieces(text)


def utf8(text: str) -> bytes:
    """The bytes of a text. Raises ValueError where it holds half a character (a lone surrogate)."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"the text has half a character (a lone surrogate, U+{ord(text[error.start]):04X}) at position "
            f"{error.start}, which UTF-8 cannot hold: read the file again as UTF-8, or drop it with "
            "text.encode('utf-8', 'ignore').decode()"
        ) from None


def merge(ids: list[int], pair: Pair, new: int) -> list[int]:
    """Replace each `pair` of neighbours by `new`, from left to right.

    merge([1, 2, 3, 1, 2], pair=(1, 2), new=9) -> [9, 3, 9]
    """
    merged, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def learn_merges(pieces: Mapping[str, int], n_merges: int, progress: bool = False) -> list[Pair]:
    """The merges that byte-pair encoding learns from pieces of text and the number of times each occurs.

    Each step takes the most frequent pair; of equally frequent ones that with the smallest ids, so the result
    depends on the counts alone. Fewer than `n_merges` are returned when no pair occurs twice any more.
    Sennrich et al. 2016, algorithm 1, arXiv:1508.07909; only pieces that hold the pair are counted again.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    spelled = [list(utf8(piece)) for piece in pieces]
    frequency = list(pieces.values())
    counts: Counter[Pair] = Counter()
    found_in: defaultdict[Pair, set[int]] = defaultdict(set)  # pieces that hold the pair, or did once
    for i, ids in enumerate(spelled):
        for pair in pairwise(ids):
            counts[pair] += frequency[i]
            found_in[pair].add(i)
    queue = [(-count, pair) for pair, count in counts.items()]  # most frequent first, then smallest ids
    heapify(queue)

    merges: list[Pair] = []
    bar = tqdm(total=n_merges, desc="merges", leave=False, disable=not progress, mininterval=1)
    while queue and len(merges) < n_merges:
        negative_count, pair = heappop(queue)
        if -negative_count != counts[pair]:  # its count has changed since it was put in the queue
            continue
        if counts[pair] < 2:
            break
        new = BYTES + len(merges)
        merges.append(pair)
        change: Counter[Pair] = Counter()
        for i in found_in.pop(pair):
            merged = merge(spelled[i], pair, new)
            for old_pair in pairwise(spelled[i]):
                change[old_pair] -= frequency[i]
            for new_pair in pairwise(merged):
                change[new_pair] += frequency[i]
                found_in[new_pair].add(i)
            spelled[i] = merged
        for changed, difference in change.items():
            if difference:
                counts[changed] += difference
                heappush(queue, (-counts[changed], changed))
        bar.update()
    bar.close()
    return merges


class Tokenizer:
    """Text to token ids and back, by a list of merges; `Tokenizer.train` learns them.

    merges: pairs of ids in the order learned; merge number i makes token 256 + i of two tokens before it.
    Raises ValueError, saying which merge is wrong, where they do not make sense.
    """

    def __init__(self, merges: Iterable[Sequence[int]]) -> None:
        self.merges, self._bytes = _checked(merges)
        self._new_id = {pair: BYTES + i for i, pair in enumerate(self.merges)}  # the smaller, the earlier
        self.special: dict[str, int] = {name: len(self._bytes) + i for i, name in enumerate(SPECIAL_TOKENS)}
        self.vocab_size: int = len(self._bytes) + len(SPECIAL_TOKENS)
        self._names = {i: name for name, i in self.special.items()}
        self._cache: dict[str, list[int]] = {}

    def __repr__(self) -> str:
        return f"Tokenizer(vocab_size={self.vocab_size})"

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int = 1536, progress: bool = False) -> Tokenizer:
        """Learn a vocabulary from texts; smaller than `vocab_size` if they have too few pairs to learn.

        progress: show a bar. Raises ValueError when there is no text, half a character in one (see `utf8`),
        or no room for bytes and special tokens.
        """
        smallest = BYTES + len(SPECIAL_TOKENS)
        if vocab_size < smallest:
            raise ValueError(
                f"vocab_size={vocab_size} is too small: {BYTES} bytes and {len(SPECIAL_TOKENS)} special "
                f"tokens need at least {smallest}"
            )
        if isinstance(texts, str):
            raise TypeError("texts is one string where several are expected: pass a list, such as [text]")
        pieces: Counter[str] = Counter()
        for text in texts:
            utf8(text)
            pieces.update(split(text))
        if not pieces:
            raise ValueError("there is no text to learn from: pass at least one text that is not empty")
        return cls(learn_merges(pieces, vocab_size - smallest, progress))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, without special tokens: "<|end|>" typed by a user is ordinary text.

        Raises ValueError on half a character (see `utf8`).
        """
        utf8(text)
        ids: list[int] = []
        for piece in split(text):
            if piece not in self._cache:
                if len(self._cache) >= 2**16:  # a server that runs for weeks must not grow for ever
                    self._cache.clear()
                self._cache[piece] = self._encode_piece(piece)
            ids += self._cache[piece]
        return ids

    def _encode_piece(self, piece: str) -> list[int]:
        """Apply the merge that was learned first, and again, until none applies."""
        ids = list(piece.encode("utf-8"))
        while known := [self._new_id[pair] for pair in pairwise(ids) if pair in self._new_id]:
            first = min(known)
            ids = merge(ids, self.merges[first - BYTES], first)
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, the same as by `encode`, on all cores, by the `tokenizers` package."""
        for text in texts:
            utf8(text)
        encodings = self.fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes that the tokens spell; special tokens spell none. Raises ValueError for an unknown id."""
        return b"".join(self._spelling(i) for i in map(index, ids) if i not in self._names)

    def decode(self, ids: Iterable[int], special: bool = False) -> str:
        """The text that the tokens spell: decode(encode(text)) == text.

        Other lists of ids may end in the middle of a character, which is then shown as U+FFFD.
        special: show special tokens by their names. Raises ValueError for an unknown id.
        """
        if not special:
            return self.decode_bytes(ids).decode("utf-8", errors="replace")
        return b"".join(map(self._spelling, map(index, ids))).decode("utf-8", errors="replace")

    def token(self, i: int) -> str:
        r"""A token for people to look at: a space is ·, a new line \n, part of a character like \xe3."""
        text = self._spelling(index(i)).decode("utf-8", errors="backslashreplace").replace(" ", "·")
        return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text, for people to look at: ["Tok", "yo", "·is"]."""
        return [self.token(i) for i in self.encode(text)]

    def bytes_per_token(self, texts: Sequence[str]) -> float:
        """How many bytes one token holds on average: the more, the shorter and cheaper are these texts.

        Raises ValueError when the texts are empty.
        """
        n_tokens = sum(map(len, self.encode_batch(texts)))
        if n_tokens == 0:
            raise ValueError("there is no text to measure: pass at least one text that is not empty")
        return sum(len(utf8(text)) for text in texts) / n_tokens

    def coverage(self, text: str) -> float:
        """The share of characters that are ASCII or wholly in tokens of two or more bytes; 1.0 for no text.

        It is near 0 for a script that the training text never used: a model cannot have learned it.
        """
        if not text:
            return 1.0
        met: list[bool] = []  # for each byte of the text
        for i in self.encode(text):
            met += [len(self._bytes[i]) > 1] * len(self._bytes[i])
        n_met = end = 0
        for character in text:
            start, end = end, end + len(character.encode("utf-8"))
            n_met += character.isascii() or all(met[start:end])
        return n_met / len(text)

    @cached_property
    def fast(self) -> tokenizers.Tokenizer:
        """The same tokenizer as an object of the `tokenizers` package (in Rust), built when first used."""
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers

        letters = byte_letters()
        names = ["".join(letters[byte] for byte in spelling) for spelling in self._bytes]
        fast = tokenizers.Tokenizer(
            models.BPE(
                vocab={name: i for i, name in enumerate(names)},
                merges=[(names[left], names[right]) for left, right in self.merges],
            )
        )
        fast.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(PATTERN), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        fast.decoder = decoders.ByteLevel()
        fast.add_special_tokens(list(SPECIAL_TOKENS))
        fast.encode_special_tokens = True  # their names, typed in a text, are ordinary text
        return fast

    def to_dict(self) -> dict[str, Any]:
        """All that is needed to build it again, ready for JSON."""
        return {
            "kind": "byte-level BPE",
            "version": 1,
            "pattern": PATTERN,
            "special_tokens": list(SPECIAL_TOKENS),
            "merges": [list(pair) for pair in self.merges],
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer that `to_dict` described. Raises ValueError, saying what is wrong, for other data."""
        if not isinstance(saved, Mapping) or saved.get("kind") != "byte-level BPE":
            raise ValueError('this is no saved tokenizer: its "kind" is not "byte-level BPE"; train one')
        for key, value in cls([]).to_dict().items():
            if key != "merges" and saved.get(key) != value:
                raise ValueError(
                    f"the saved tokenizer's {key} is {saved.get(key)!r:.80}, and this version of the course "
                    f"needs {value!r:.80}: train it again"
                )
        return cls(saved.get("merges"))  # type: ignore[arg-type]

    def _spelling(self, i: int) -> bytes:
        """The bytes of a token, the name of a special one."""
        if i in self._names:
            return self._names[i].encode()
        if not 0 <= i < len(self._bytes):
            raise ValueError(
                f"token {i} does not exist: the ids of this tokenizer go from 0 to {self.vocab_size - 1}; "
                "were these ids made by another tokenizer?"
            )
        return self._bytes[i]


def byte_letters() -> list[str]:
    """A visible letter for each byte, as in GPT-2's vocabulary files and the `tokenizers` package.

    Bytes that are printable in Latin-1 stand for themselves, the others for the letters from U+0100 on: "Ġ"
    is a space. Radford et al. 2019.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(BYTES, 2 * BYTES))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(BYTES)]


def _checked(merges: Any) -> tuple[tuple[Pair, ...], list[bytes]]:
    """The merges as pairs of integers, and each token's bytes. Raises ValueError where they make no sense."""
    if isinstance(merges, str | bytes | Mapping) or not isinstance(merges, Iterable):
        raise ValueError(f"merges should be a list of pairs of ids, and are {merges!r:.80}: train it again")
    pairs: list[Pair] = []
    spellings = [bytes([byte]) for byte in range(BYTES)]
    known = set(spellings)
    for i, pair in enumerate(merges):
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2
        if not is_pair or not all(type(part) is int for part in pair):
            raise ValueError(f"merge {i} should be a pair of token ids, and is {pair!r:.80}: train it again")
        left, right = pair
        if not (0 <= left < BYTES + i and 0 <= right < BYTES + i):
            raise ValueError(
                f"merge {i} joins tokens {left} and {right}, and only 0 to {BYTES + i - 1} exist before it: "
                "the list is damaged or out of order; train it again"
            )
        spelling = spellings[left] + spellings[right]
        if spelling in known:
            raise ValueError(
                f"merge {i} joins tokens {left} and {right} to {spelling!r:.80}, which is a token already: "
                "the list is damaged; train it again"
            )
        spellings.append(spelling)
        known.add(spelling)
        pairs.append((left, right))
    return tuple(pairs), spellings
