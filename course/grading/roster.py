"""The class as its teacher has it: a table of ids, names and e-mails, and who of it a name on a platform is.

Any table with a line of headings will do, in English or Japanese, such as the gradebooks that Canvas and Moodle export.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from course.grading.submission import Person
from course.grading.text import clean

MAX_ROSTER = 20_000_000  # bytes
MAX_WORDS = 4  # of a name that are tried in every order

# What a column is called, in small letters without spaces and signs; an earlier name goes before a later one.
COLUMNS = {
    "id": """id studentid studentnumber matriculationnumber idnumber sisuserid sid identifier
        学籍番号 学生番号 学生id 番号 学生証番号 idナンバー 識別子""",
    "login": """login loginid sisloginid username user userid githubusername account
        ログイン ログイン名 ログインid ユーザー名 ユーザ名 ユーザーid ユーザid アカウント""",
    "email": "email emailaddress mail mailaddress メール メールアドレス eメール 電子メール",
    "name": "name student fullname studentname displayname sortablename 氏名 名前 学生氏名 フルネーム",
    "last": "lastname surname familyname 姓 名字 苗字",
    "first": "firstname givenname 名",
    "kana": "kana furigana reading phoneticname フリガナ ふりがな カナ カナ氏名 氏名カナ よみ 読み",
    "number": "identifier canvasuserid participant githubid",
    "when": "lastmodifiedsubmission 最終更新提出 最終更新日時提出",  # of Moodle's grading worksheet
}


@dataclass
class Roster:
    """People, and where to find them. notes: what is odd about the table. times: id -> when they handed in."""

    people: list[Person] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    times: dict[str, datetime] = field(default_factory=dict)
    exact: dict[str, list[Person]] = field(default_factory=lambda: defaultdict(list))
    named: dict[str, list[Person]] = field(default_factory=lambda: defaultdict(list))

    def add(self, person: Person, names: list[str]) -> None:
        """Make a person findable by id, number, login and e-mail, and by the names in any order of their words."""
        self.people.append(person)
        for text in {plain(text) for text in (person.id, person.number, person.login, person.email)} - {""}:
            self.exact[text].append(person)
        number = re.search(r"\d{4,}$", person.number)  # "Participant 1234567"
        if number and plain(number[0]) != plain(person.number) and plain(number[0]) != plain(person.id):
            self.exact[number[0]].append(person)
        local = plain(person.email.partition("@")[0])
        keys = {key for name in names for key in orders(name)} | ({local} if local else set())
        for key in keys:
            self.named[key].append(person)

    def find(self, identity: str, name: str = "", email: str = "") -> tuple[Person | None, str]:
        """Who it is, or None and why not. An id that says one and a name that says another say nothing."""
        by_id = self.exact.get(plain(identity), []) or self.exact.get(plain(email), [])
        by_name = self.named.get(joined(name or identity), [])
        if len(by_id) == 1:
            if by_name and by_id[0] not in by_name and by_id[0].name:
                two = sorted({by_id[0].id, *(person.id for person in by_name)})
                return None, f"its id and its name are those of different people in the roster ({_some(two)})"
            return by_id[0], ""
        found = by_id or by_name or self._in_parts(identity)
        if len(found) == 1:
            return found[0], ""
        if found:
            return None, f"the roster has {len(found)} people of that name ({_some([p.id for p in found])})"
        return None, "nobody in the roster has that id, name or e-mail"

    def _in_parts(self, text: str) -> list[Person]:
        """Who an id and a name together are, such as "2601_山田太郎" or "Taro Yamada (2601)"."""
        words = re.split(r"[\s_,@()（）-]+", plain(text))[:20]
        ids = [person for word in words for person in self.exact.get(word, [])]
        rest = "".join(joined(word) for word in words if word not in self.exact)
        named = self.named.get(rest, [])
        both = [person for person in ids if person in named]
        if both or not ids:
            return both
        return ids if not rest else [*ids, *named]  # at odds: whoever it may be


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def plain(text: str) -> str:
    """A text in the form in which ids are compared: usual letters, small, without spaces at the ends."""
    return unicodedata.normalize("NFKC", text[:1000]).casefold().strip()


def joined(text: str) -> str:
    """The letters and digits alone, in their order, as Canvas joins names."""
    return "".join(c for c in plain(text) if c.isalnum() or unicodedata.category(c) == "Mn")


def orders(name: str) -> set[str]:
    """A name's words, joined in every order: family names stand first or last."""
    words = [word for word in (joined(part) for part in re.split(r"[\s,、・_.]+", plain(name))) if word]
    if len(words) > MAX_WORDS:
        turned = ["".join(words[i:] + words[:i]) for i in range(min(len(words), 20))]
        return {joined(name), *turned}
    return {"".join(order) for order in itertools.permutations(words)} - {""}


def read(path: Path) -> Roster:
    """The roster in a CSV file. Raises OSError, or ValueError with a sentence if it is no such table."""
    raw = path.read_bytes()
    shown = clean(path.name)
    if len(raw) > MAX_ROSTER:
        raise ValueError(f"The roster {shown} has {len(raw) / 1e6:.0f} MB; is it a table of people?")
    rows = _rows(_text(raw, shown), shown)
    head = next((i for i, row in enumerate(rows[:20]) if len(_columns(row)) >= 2 or "id" in _columns(row)), None)
    if head is None:
        first = ", ".join(clean(cell, 30) for cell in (rows[0] if rows else [])[:8])
        raise ValueError(
            f"The roster {shown} has no headings that are known (it begins: {first}). The first line must name the "
            "columns, such as: id, name, email; or 学籍番号, 氏名, メールアドレス."
        )
    columns = _columns(rows[head])
    roster, ids = Roster(), Counter[str]()
    for number, row in enumerate(rows[head + 1 :], head + 2):
        cells = {kind: row[place].strip() if place < len(row) else "" for kind, place in columns.items()}
        if not any(cells.values()) or "points possible" in cells.get("name", "").lower():  # a line of Canvas's
            continue
        if cells.get("name", "").lower() in ("student, test", "test student") and not cells.get("login"):
            continue  # Canvas's learner that is nobody
        both = [cells.get("last", ""), cells.get("first", "")]
        name = cells.get("name") or " ".join(filter(None, both))
        identity = cells.get("id") or cells.get("login") or cells.get("email") or cells.get("number") or name
        person = Person(
            clean(identity), clean(name), clean(cells.get("email", "")), clean(cells.get("login", "")),
            clean(cells.get("number", "")),
        )  # fmt: skip
        ids[person.id] += 1
        if ids[person.id] == 2:
            roster.notes.append(f"The roster has the id {person.id} twice (again in line {number}); the first counts.")
        if ids[person.id] == 1 and (when := _time(cells.get("when", ""))):
            roster.times[person.id] = when
        if ids[person.id] == 1:
            roster.add(person, [name, " ".join(filter(None, both)), cells.get("kana", "")])
    if not roster.people:
        raise ValueError(f"The roster {shown} names nobody below its headings.")
    return roster


def _time(text: str) -> datetime | None:
    """A time as Moodle writes it, in this machine's zone: "Sunday, 1 November 2026, 10:20 AM", in Japanese, too."""
    japanese = re.search(r"(\d{4})年\s*(\d{1,2})月\s*(\d{1,2})日.*?(\d{1,2}):(\d\d)", text[:100])
    try:
        if japanese:
            return datetime(*map(int, japanese.groups())).astimezone()  # type: ignore[arg-type]
        for form in ("%A, %d %B %Y, %I:%M %p", "%A, %B %d, %Y, %I:%M %p", "%A, %d %B %Y, %H:%M"):
            with suppress(ValueError):
                return datetime.strptime(text.strip(), form).astimezone()
        return datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _text(raw: bytes, shown: str) -> str:
    """The text of a table, in the codes that spreadsheets write: UTF-8, UTF-16 with its mark, or Japanese (cp932)."""
    codes = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp932")
    for code in codes:
        try:
            return raw.decode(code)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"The roster {shown} is no text in UTF-8, UTF-16 or Shift-JIS; save it as CSV (UTF-8).")


def _rows(text: str, shown: str) -> list[list[str]]:
    head = text[:5000].split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    try:
        return [row for row in csv.reader(text.splitlines(keepends=True), delimiter=separator) if any(row)]
    except csv.Error as error:
        raise ValueError(f"The roster {shown} is no table that can be read ({error}); save it as CSV.") from None


def _columns(row: list[str]) -> dict[str, int]:
    """What the columns are, by their headings: kind -> place."""
    headings = [joined(cell) for cell in row]
    found: dict[str, int] = {}
    for kind, names in COLUMNS.items():
        for name in names.split():
            place = headings.index(name) if name in headings else -1
            if kind not in found and place >= 0 and (kind == "number" or place not in found.values()):
                found[kind] = place
    return found
