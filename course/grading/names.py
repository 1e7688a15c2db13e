"""What a file's name says: which notebook, which copy of it, and whose, if it names anybody."""

from __future__ import annotations

import re
import unicodedata

from course.grading.text import UNSEEN
from course.practice import exercises

NOTEBOOK = re.compile(r"\.ipynb$", re.IGNORECASE)
LONGEST = 300  # characters of a name that are looked at; no system allows more than 255

# How systems and platforms mark a second file of one name, at its end.
_MARKS = (
    re.compile(r"[ _]*\((\d{1,4})\)$"),
    re.compile(r"[-_ ]+copy[-_ ]?(\d{0,4})$", re.IGNORECASE),
    re.compile(r"(?: - |[-_ ]|の)?コピー ?(\d{0,4})$"),
    re.compile(r"[-_ ]v(?:er)?\.?(\d{1,4})$", re.IGNORECASE),
)
_FRONT = re.compile(r"^(?:copy (?:\d+ )?of |コピー ?[~～] ?)", re.IGNORECASE)
_VERSION = re.compile(r"(?:version|attempt|バージョン)[ _-]?(\d{1,4})|第?(\d{1,3})回目?", re.IGNORECASE)
_DASH = re.compile(r"[-_](\d{1,3})$")
_ENDING = re.compile(
    r"(?:\.(?:ipynb|json|txt|zip|download|pdf|docx?|odt|pages|py|html?|md|png|jpe?g|rar|7z|tar|t?gz))+$", re.IGNORECASE
)
# Words that name a work, a place or a state, and nobody.
_WORDS = frozenset(
    """
answer answers assignment assignments attempt code copy course desktop document documents download downloads exercise
exercises export file files final finished folder homework homeworks hw inbound inbox jupyter lab labs lesson notebook
notebooks notes project ps resubmission revised share shared solution solutions students submission submissions submit
submitted temp tmp untitled upload uploads version week work
課題 提出 提出物 解答 回答 宿題 演習 レポート ノートブック ノート ダウンロード 無題
最終 最終版 修正 修正版 完成 完成版 デスクトップ 書類 共有 新しいフォルダー 新規フォルダ 名称未設定フォルダ
""".split()
)
_WORD = re.compile(rf"(?:{'|'.join(sorted(_WORDS, key=len, reverse=True))})\d{{0,3}}|第?\d{{1,3}}回", re.IGNORECASE)
_TOPICS = {
    name: re.compile(r"(?<!\d)" + name.replace("_", "[-_ ]?"), re.IGNORECASE)
    for name in sorted(exercises.TOPICS, key=len, reverse=True)
}


def plain(name: str) -> str:
    """The name in the one form in which names are compared: full-width letters as usual ones, nothing unseen."""
    seen = "".join(c for c in name[:LONGEST] if unicodedata.category(c) not in UNSEEN)
    return unicodedata.normalize("NFKC", seen)


def unmarked(name: str) -> tuple[str, int]:
    """A file's name without its ending and the marks of a copy, and the copy's number: "a (2).ipynb" -> "a", 2."""
    stem, number = _ENDING.sub("", plain(name)), 0
    front = _FRONT.sub("", stem)
    if front != stem:
        stem, number = front, 1
    for _ in range(4):  # marks may follow each other, such as "a-Copy1 (2)"
        found = next((match for mark in _MARKS if (match := mark.search(stem))), None)
        if found is None:
            break
        stem, number = _ENDING.sub("", stem[: found.start()]), max(number, int(found[1] or 1))
    return stem.strip(), number


def copy_number(name: str) -> int:
    """Which copy a file is by its own name, "-2" at the end counted too; 0 without a mark."""
    stem, number = unmarked(name)
    dash = _DASH.search(stem)
    return max(number, int(dash[1])) if dash else number


def version_of(folder: str) -> int:
    """Which attempt a folder holds, such as "Version 2" of Microsoft Teams; 0 if it is no such folder."""
    found = _VERSION.fullmatch(plain(folder).strip())
    return int(found[1] or found[2]) if found else 0


def notebook_in(name: str) -> str:
    """The course's notebook that a file is named after, or ""."""
    text = plain(name)
    return next((notebook for notebook, pattern in _TOPICS.items() if pattern.search(text)), "")


def person_in(name: str) -> str:
    """Who is named by a file's or a folder's name, or "" if it names the work, the place or the copy alone."""
    stem, _ = unmarked(name)
    for pattern in _TOPICS.values():
        stem = pattern.sub(" ", stem)
    words = [(found.start(), found.end()) for found in re.finditer(r"[^\s_.,\-()]+", stem)]
    texts = [stem[start:end] for start, end in words]
    first, last = 0, len(words)
    while first < last and (_WORD.fullmatch(texts[first]) or (first and _small(texts[first]))):
        first += 1  # "homework 3 taro" -> "taro"
    while first < last:
        counted = last - first > 1 and _small(texts[last - 1]) and _WORD.fullmatch(texts[last - 2])
        if not counted and not _WORD.fullmatch(texts[last - 1]):
            break
        last -= 1  # "taro final", "taro homework 3"
    person = stem[words[first][0] : words[last - 1][1]] if first < last else ""
    return person if any(c.isalnum() for c in person) and not _small(person) else ""


def _small(text: str) -> bool:
    """A number that counts something; longer ones are somebody's."""
    return text.isdigit() and len(text) < 4
