"""What a teacher sees and what goes back: the report, a page per learner, and tables that platforms take."""

from __future__ import annotations

import base64
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from pupils import HOSTILE, POSSIBLE, SET, alike, crowd, handed_in, result, results, roster

from course.grading import exports, feedback, report
from course.grading.book import Book
from course.grading.intake import collect
from course.grading.save import file_name, save
from course.grading.submission import Intake, Person, Submission

SOLVED = Path(__file__).parent.parent / "solutions" / "02_attention.ipynb"
ALL = "+" * len(SET)
HEADS = next(i for i, exercise in enumerate(SET) if exercise.id == "02-multi-head")


class Page(HTMLParser):
    """A page as a browser reads it: its elements with their attributes, and its text without scripts and styles."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside, self.words, self.scripts = "", [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        (self.scripts if self.inside else self.words).append(data)


def seen(book: Book, title: str = "Week 2") -> Page:
    return Page(report.page(book, title))


def part(page: Page, first: str, last: str) -> str:
    """The text between two headings."""
    return page.text.split(f"{first} ", 1)[1].split(last, 1)[0]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# --- the report at a glance -----------------------------------------------------------------------------------------


def test_who_needs_help_is_listed_with_the_reason_and_nobody_else():
    book = Book(
        [handed_in(name) for name in ("aiko", "ben", "carl", "dana", "emi")],
        [
            *results("aiko", ALL),
            *results("ben", "m---------"),
            *results("carl", "++++++-..."),
            *results("dana", "+++++++++?"),
            *results("emi", ALL[:-1]),
            result("emi", len(SET) - 1, "timeout", "longer than 5 s"),
        ],
        roster("fay"),
    )
    listed = part(seen(book), "Who needs help", "The exercises")
    assert "ben · 0 points · few points" in listed
    assert "carl" in listed and "stuck at 7" in listed
    assert "Name of fay · 0 points · handed in nothing" in listed
    assert "emi" in listed and "ran out of time" in listed
    assert "aiko" not in listed and "dana" not in listed


def test_the_exercise_that_failed_the_class_is_named_with_its_commonest_mistake_and_who_made_it():
    right = {"aiko": "+", "ben": "m", "carl": "m", "dana": "-"}
    judged = [r for name, sign in right.items() for r in results(name, ALL[:HEADS] + sign + ALL[HEADS + 1 :])]
    page = seen(Book([handed_in(name) for name in right], judged))
    mistake = SET[HEADS].mistakes[0].says
    assert f"Hardest: {HEADS + 1}, {SET[HEADS].title} . 25% of those who tried it" in page.text
    assert f"The commonest mistake (2): {mistake}" in page.text
    assert f"a 2 × {mistake}" in page.text and "( ben , carl )" in page.text
    assert f"b 1 × {'It returns another value than expected.'}" in page.text


def test_a_class_without_a_fault_gets_a_page_without_complaints():
    page = seen(Book([handed_in("aiko")], results("aiko", ALL)))
    assert "1 have all points" in page.text and "0 need help" in page.text
    for heading in ("Hardest", "Who needs help", "To look at by hand"):
        assert heading not in page.text.replace("need help", "")


@pytest.mark.parametrize("submissions", [[], [handed_in("aiko", error="It is empty.")]])
def test_a_class_without_any_answer_gets_a_page_too(submissions, tmp_path):
    report.write(tmp_path, submissions, [])
    assert f"{len(submissions)} learners" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_to_look_at_by_hand_is_all_there():
    book = Book(
        [
            handed_in("aiko", remarks=["Imports were added from other cells: cell 7."]),
            handed_in("ben", error="It is empty."),
            handed_in("carl", file="carl/a.ipynb", remarks=["The best counts until you decide."], contested=True),
            handed_in("dana"),
        ],
        [*results("aiko", ALL), *results("dana", "?" + ALL[1:])],
        Intake(nobody=[("(1).ipynb", "No name.")], notes=["Canvas: 4 files of 4 learners."]),
        [alike(["aiko", "dana"], "02-attention", "equal but for names")],
    )
    page = seen(book)
    by_hand = part(page, "To look at by hand", "The learners")
    for what in (
        "Not judged yet (1)", "dana, 02-causal-mask", "To decide (1)", "carl/a.ipynb", "Nobody's files (1)",
        "(1).ipynb", "Files that could not be used (1)", "It is empty.", "Remarks (1)", "Imports were added",
        "Answers alike", "equal but for names ( aiko , dana )",
    ):  # fmt: skip
        assert what in by_hand, what
    assert "Canvas: 4 files of 4 learners." in page.text


def test_ten_thousand_unreadable_files_are_one_line_with_the_first_few():
    broken = [handed_in(f"s{i}", error=f"It is not a notebook: not JSON at line {i}.") for i in range(10_000)]
    by_hand = part(seen(Book(broken, [])), "To look at by hand", "The learners")
    assert "10,000 × It is not a notebook" in by_hand and "and 9,995 more" in by_hand
    assert len(by_hand) < 1000


def test_two_hundred_thousand_remarks_of_one_learner_stay_small(tmp_path):
    equal = handed_in("aiko", remarks=["It is a second cell with the id 02-causal-mask."] * 200_000)
    counted = handed_in("ben", remarks=[f"Cell {i} is one cell too many." for i in range(20_000)])
    different = handed_in("carl", remarks=[f"{chr(97 + i % 26) * (i % 90)} is odd." for i in range(2000)])
    report.write(tmp_path, [equal, counted, different], results("aiko", ALL))
    sizes = {path.name: path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()}
    assert max(sizes.values()) < 100_000, sizes
    assert "200,000" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "19,995 more remarks" in (tmp_path / "feedback" / "ben.html").read_text(encoding="utf-8")


def test_the_report_of_ten_thousand_learners_stays_below_ten_megabytes():
    small, large = (len(report.page(Book(*crowd(number)), "Week 2").encode()) for number in (500, 1500))
    assert small + (large - small) / 1000 * 9500 < 10e6


def test_of_more_learners_than_the_table_holds_those_with_the_fewest_points_are_shown(monkeypatch):
    monkeypatch.setattr(report, "ROWS", 2)
    judged = [
        r for name, signs in (("aiko", ALL), ("ben", "-" * 10), ("carl", "+---------")) for r in results(name, signs)
    ]
    page = seen(Book([handed_in(name) for name in ("aiko", "ben", "carl")], judged))
    table = page.text.split("Notes")[1]
    assert "ben" in table and "carl" in table and "aiko" not in table
    assert "results.csv holds all" in page.text


def test_distributions_are_drawn_as_large_as_they_are():
    judged = [r for i in range(4) for r in results(f"s{i}", ("+" if i else "-") + ALL[1:])]
    page = seen(Book([handed_in(f"s{i}") for i in range(4)], judged))
    bars = [attributes for tag, attributes in page.elements if tag == "rect" and attributes.get("class", "") != "bar"]
    first = [(bar["class"], bar["x"], bar["width"]) for bar in bars if "x" in bar][:2]
    assert first == [("f-right", "0.0%", "75.0%"), ("f-wrong", "75.0%", "25.0%")]
    histogram = next(
        a["aria-label"] for tag, a in page.elements if tag == "svg" and "Histogram" in (a.get("aria-label") or "")
    )
    assert sum(int(count) for count in re.findall(r": (\d+)(?:;|$)", histogram or "")) == 4
    assert all(a.get("aria-label") or a.get("aria-hidden") for tag, a in page.elements if tag == "svg")


# --- nobody's text is markup ----------------------------------------------------------------------------------------


def hostile_class() -> tuple[list[Submission], list[Any], Intake]:
    submissions = [
        handed_in(f"id {i} {text}", name=text, file=f"{text}.ipynb", error=text, remarks=[text])
        for i, text in enumerate(HOSTILE)
    ]
    judged = [result(f"id {i} {text}", 0, "failed", text) for i, text in enumerate(HOSTILE)]
    return (
        submissions,
        judged,
        Intake(platform=HOSTILE[0], notes=list(HOSTILE), nobody=[(text, text) for text in HOSTILE]),
    )


def test_a_learners_text_is_never_markup_script_or_control(tmp_path):
    submissions, judged, intake = hostile_class()
    plain = Book([handed_in("aiko", error="e", name="A"), handed_in("ben")], results("ben", "m-!.?+m-!."))
    allowed = {tag for tag, _ in [*seen(plain).elements, *Page(feedback.page(plain, plain.learners[1], "")).elements]}
    similar = [alike([submissions[0].learner, HOSTILE[1]], HOSTILE[2], HOSTILE[0])]
    report.write(tmp_path, submissions, judged, HOSTILE[0], intake=intake, alike=similar)
    pages = [tmp_path / "report.html", *(tmp_path / "feedback").iterdir()]
    assert len(pages) == 1 + len(HOSTILE)
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        assert {tag for tag, _ in page.elements} <= allowed
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n"]
        assert sum(tag == "script" for tag, _ in page.elements) == (path.name == "report.html")
        assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "<script>document.title='taken'</script>" in Page(pages[0].read_text(encoding="utf-8")).text
    assert "{{ 7 * 7 }}" in Page(pages[0].read_text(encoding="utf-8")).text


def test_the_pages_load_nothing_and_allow_only_their_own_script_and_style(tmp_path):
    report.write(tmp_path, *crowd(3))
    for path in (tmp_path / "report.html", tmp_path / "feedback" / "s00000.html"):
        text = path.read_text(encoding="utf-8")
        page = Page(text)
        policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
        for tag in ("style", "script"):
            for content in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL):
                digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
                assert f"{tag}-src 'sha256-{digest}'" in policy
        assert "http:" not in text and "https:" not in text and "url(" not in text and "@import" not in text
        assert not [a for _, a in page.elements if "src" in a or "style" in a]
        links = [a["href"] or "" for _, a in page.elements if "href" in a]
        assert all(link.startswith("#") or (path.parent / link).is_file() for link in links)


# --- a page for each learner ----------------------------------------------------------------------------------------


def test_a_learners_page_says_what_is_wrong_and_gives_hints_but_not_the_last():
    judged = [*results("aiko", "+m!."), result("aiko", 4, "passed", carried="02-causal-mask")]
    book = Book([handed_in("aiko", name="Aiko Yamada")], judged)
    page = Page(feedback.page(book, book.people["aiko"], "Week 2"))
    assert "Aiko Yamada" in page.text and SET[1].mistakes[0].says in page.text
    assert "It raised IndexError." in page.text and "There is no answer yet." in page.text
    assert "once the earlier answer that it calls is put right" in page.text
    for i, exercise in enumerate(SET[:5]):
        assert exercise.title in page.text
        assert exercise.hints[-1] not in page.text.replace("&#39;", "'")
        assert (" ".join(exercise.hints[0].split()) in page.text) == (i in (1, 2, 3))
    assert sum(tag == "details" for tag, _ in page.elements) == 3 * 2


def test_a_learners_page_holds_nothing_of_others_or_of_the_machine(tmp_path):
    names = {"aiko": "Yamada Aiko", "ben": "Ben O'Neill", "carl": "Carl 花子", "山田": "山田太郎"}
    submissions = [
        handed_in(learner, name=name, remarks=[
            "It is one and the same file on the disk (a hard link) as carl/02_attention.ipynb: whose is it?",
            "For 02_attention, ben/02_attention.ipynb counts, not this.", "これは山田太郎さんのものか",
            "Cell 7 was read as text.",
        ])
        for learner, name in names.items()
    ]  # fmt: skip
    judged = [r for learner in names for r in results(learner, "m-!.+")]
    report.write(tmp_path, submissions, judged, alike=[alike(list(names), "02-attention", "equal")])
    for learner in names:
        page = Page((tmp_path / "feedback" / f"{file_name(learner)}.html").read_text(encoding="utf-8"))
        told = json.loads((tmp_path / "exports" / "gradescope" / f"{file_name(learner)}.json").read_text("utf-8"))
        comments = next(r for r in rows(tmp_path / "exports" / "moodle.csv") if r["ID number"] == learner)
        for text in (page.text, json.dumps(told, ensure_ascii=False), comments["Feedback comments"]):
            assert "Cell 7 was read as text." in text
            for word in ("whose is it", "bubblewrap", "1.2345", "alike", *(set(names) - {learner})):
                assert word not in text, (learner, word)
        assert all(name not in page.text for other, name in names.items() if other != learner)
        assert not page.scripts or "script" not in [tag for tag, _ in page.elements]


def test_what_the_intake_asks_the_teacher_is_asked_of_nobody_else(tmp_path):
    for name in ("aiko", "ben", "山田太郎"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(SOLVED, tmp_path / "in" / name / "02_attention.ipynb")
    shutil.copy(SOLVED, tmp_path / "in" / "ben" / "山田太郎_02_attention.ipynb")  # lies with ben, bears another's name
    (tmp_path / "in" / "carl").mkdir()
    os.link(tmp_path / "in" / "aiko" / "02_attention.ipynb", tmp_path / "in" / "carl" / "02_attention.ipynb")
    found = collect(tmp_path / "in")
    book = report.write(tmp_path / "out", found.submissions, [], intake=found)
    by_hand = part(seen(book), "To look at by hand", "The learners")
    assert "To decide" in by_hand and "a hard link" in by_hand and "ben/山田太郎_02_attention.ipynb" in by_hand
    for learner in found.people:
        text = (tmp_path / "out" / "feedback" / f"{file_name(learner)}.html").read_text(encoding="utf-8")
        assert learner in text and "whose is it" not in text
        assert not [other for other in found.people if other != learner and f"{other}/" in text]


def test_the_same_remark_of_many_learners_is_one_entry():
    copies = [
        handed_in(f"s{i}", file=f"s{i}/a{n}.ipynb", remarks=[f"For 02_attention, s{i}/a0.ipynb counts, not this."] * n)
        for i in range(30)
        for n in (0, 1)
    ]
    by_hand = part(seen(Book(copies, [])), "To look at by hand", "The learners")
    assert "30 × For 02_attention" in by_hand and by_hand.count("counts, not this") == 1


def test_lateness_is_taken_off_and_shown_everywhere(tmp_path):
    submissions = [handed_in("aiko", late=True), handed_in("ben")]
    judged = [*results("aiko", ALL), *results("ben", ALL)]
    book = report.write(tmp_path, submissions, judged, deductions={"aiko": 2.5, "ben": POSSIBLE + 7.0})
    assert [learner.points for learner in book.learners] == [POSSIBLE - 2.5, 0]
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "−2.5" in page.text and f"{POSSIBLE - 2.5}" in page.text
    own = Page((tmp_path / "feedback" / "aiko.html").read_text(encoding="utf-8"))
    assert f"{POSSIBLE} for the answers, less 2.5 for lateness" in own.text
    nbgrader = rows(tmp_path / "exports" / "nbgrader.csv")[0]
    assert [float(nbgrader[key]) for key in ("raw_score", "late_submission_penalty", "score")] == [
        POSSIBLE, 2.5, POSSIBLE - 2.5,
    ]  # fmt: skip
    assert json.loads((tmp_path / "exports" / "gradescope" / "aiko.json").read_text())["score"] == POSSIBLE - 2.5


# --- tables for platforms -------------------------------------------------------------------------------------------

FORMULAS = (
    "=cmd|'/c calc'!A0", "+1+1", "-5", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", '"=1', "'=1", "“=1", "＝1", "＋1",
    "－5", "＠x", "\u200b=1", "\ufeff=1", "|calc", "%x", "a;=1", "a;\t\"=1", "a\n=1", "a\r\n  ＝1", "−5", "﹦1",
)  # fmt: skip
HARMLESS = (
    "山田 太郎",
    "O'Neill, Sean",
    'Sean "Jack"',
    "Anna-Lena",
    "a+b@example.org",
    "5",
    "علی‌رضا",
    "two\nlines",
    "",
    "x;y",
    "1-2",
    "100%",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_is_a_formula_in_any_countrys_spreadsheet(text):
    written = io.StringIO(exports.table([[text, 1]]), newline="")
    assert written.read(1) == "\ufeff"
    for separator in (",", ";", "\t"):  # as spreadsheets of different countries cut the same file
        written.seek(1)
        for line in re.split(r"[\r\n]+", written.read()):
            for cell in line.split(separator):
                start = unicodedata.normalize("NFKC", cell).lstrip(' \t"“\u200b\ufeff')
                assert not start or start[0] not in "=+-@|%−", (separator, cell)


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_text_survives_a_table(text):
    table = exports.table([["name", "points"], [text, 3.5]]).removeprefix("\ufeff")
    assert list(csv.reader(io.StringIO(table, newline=""))) == [["name", "points"], [text, "3.5"]]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_in_a_table_is_one_cell_and_without_its_guards_the_same(text):
    (row,) = csv.reader(io.StringIO(exports.table([[text, -5]]).removeprefix("\ufeff"), newline=""))
    assert len(row) == 2 and row[1] == "-5"
    seen = "".join(
        c if c in "\n\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else f"\\u{ord(c):04x}" for c in text
    )  # fmt: skip
    assert row[0].replace("'", "") == seen.replace("'", "")
    row[0].encode()


def test_a_learner_called_points_possible_is_not_canvas_row_of_points(tmp_path):
    names = ["Points Possible", "    Points Possible", "points  possible", "Ms Points Possible"]
    report.write(
        tmp_path, [handed_in(f"s{i}", name=name) for i, name in enumerate(names)], results("s0", ALL), "Week 2"
    )
    with (tmp_path / "exports" / "canvas.csv").open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    assert [i for i, row in enumerate(table) if "points possible" in row[0].lower()] == [1]  # Canvas's own rule
    assert table[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Week 2"]
    assert table[1][5] == str(POSSIBLE)
    assert {row[2]: row[5] for row in table[2:]} == {"s0": str(POSSIBLE), "s1": "0", "s2": "0", "s3": "0"}


def test_canvas_gets_its_own_numbers_back_and_only_where_the_folder_is_canvass(tmp_path):
    person = Person("12345", "Taro Yamada", number="12345")
    file = "yamadataro_LATE_12345_67890_02_attention.ipynb"
    for platform, expected in (("Canvas", "12345"), ("folders", "")):
        intake = Intake([handed_in("12345", file=file)], platform, people={"12345": person})
        report.write(tmp_path / platform, intake.submissions, results("12345", ALL), intake=intake)
        (_, row) = rows(tmp_path / platform / "exports" / "canvas.csv")
        assert (row["Student"], row["ID"]) == ("Taro Yamada", expected)
        assert row["SIS User ID"] == ("" if expected else "12345")


def test_moodles_worksheet_has_the_columns_that_its_importer_asks_for(tmp_path):
    kind = "_assignsubmission_file_"  # what follows a person's number
    files = {
        "taro": f"Taro Yamada_1234567{kind}/02_attention.ipynb",
        "hana": f"A_99{kind} Hana_1234568{kind}/x_7{kind}.ipynb",  # a name and a file that look like more numbers
    }
    intake = Intake([handed_in(name, file=file) for name, file in files.items()], "Moodle")
    report.write(tmp_path, intake.submissions, [r for n in files for r in results(n, ALL)], intake=intake)
    hana, taro = rows(tmp_path / "exports" / "moodle-worksheet.csv")
    assert taro["Identifier"] == "Participant 1234567" and hana["Identifier"] == "Participant 1234568"
    assert taro["Grade"] == str(POSSIBLE) and "Last modified (grade)" in taro and "✓" in taro["Feedback comments"]


def test_blackboard_and_classroom_find_people_by_login_and_address(tmp_path):
    person = Person("id-1", "Yamada, Taro", "taro@example.org", "tyamada")
    intake = Intake([handed_in("id-1")], people={"id-1": person})
    report.write(tmp_path, intake.submissions, results("id-1", ALL), "Week 2", intake=intake)
    (row,) = rows(tmp_path / "exports" / "blackboard.csv")
    assert (row["Username"], row["Last Name"], row["First Name"], row["Week 2"]) == (
        "tyamada",
        "Yamada",
        "Taro",
        str(POSSIBLE),
    )
    assert rows(tmp_path / "exports" / "classroom.csv")[1]["Email Address"] == "taro@example.org"


def test_nobody_gets_a_grade_for_what_is_not_judged_or_not_handed_in(tmp_path):
    judged = [*results("aiko", ALL), *results("ben", "?" + ALL[1:])]
    submissions = [handed_in("aiko"), handed_in("ben"), handed_in("dan", error="It is empty.")]
    report.write(tmp_path, submissions, judged, "Week 2", intake=roster("carl"))
    for name, key, points in (("canvas", "SIS User ID", "Week 2"), ("moodle", "ID number", "Grade"),
                              ("blackboard", "Username", "Week 2"), ("grades", "learner", "points")):  # fmt: skip
        grades = {row[key]: row[points] for row in rows(tmp_path / "exports" / f"{name}.csv") if row[key]}
        assert grades == {"aiko": str(POSSIBLE), "ben": "", "carl": "", "dan": "0"}, name
    assert {row["student_id"]: row["score"] for row in rows(tmp_path / "exports" / "nbgrader.csv")} == {
        "aiko": str(POSSIBLE), "carl": "0", "dan": "0",
    }  # fmt: skip
    assert not (tmp_path / "exports" / "gradescope" / "ben.json").exists()
    each = {(row["learner"], row["exercise"]): row for row in rows(tmp_path / "results.csv")}
    assert each["ben", SET[0].id]["points"] == "" and each["ben", SET[0].id]["status"] == "not judged"
    assert each["carl", ""]["status"] == "nothing handed in"


def test_an_answer_that_was_saved_by_the_reference_is_marked_so_in_the_table(tmp_path):
    report.write(tmp_path, [handed_in("aiko")], [result("aiko", 3, carried="02-causal-mask")])
    (row,) = rows(tmp_path / "results.csv")
    assert (row["carried"], row["points"]) == ("02-causal-mask", str(SET[3].points))


# --- names of files, and writing them -------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(st.sampled_from("aAbBäÄéeßſ.~_- /\\:1\u0301\u200b山"), max_size=8) | st.text(), unique=True))
def test_no_two_learners_share_a_file_on_any_disk(ids):
    names = [unicodedata.normalize("NFKC", file_name(text)).casefold() for text in ids]
    assert len(set(names)) == len(names)
    for name in map(file_name, ids):
        assert re.fullmatch(r"[\w~-]+", name) and len(name.encode()) < 200


@pytest.mark.parametrize("text", ["con", "NUL", "com1", "", ".", "..", "a.", "x" * 300, "anna", "Anna"])
def test_a_file_gets_a_name_that_every_system_takes(text):
    name = file_name(text)
    assert name and name.split(".")[0].lower() not in ("con", "nul", "com1") and len(name) < 100
    assert (name == text) == (text == "anna")


def test_a_learner_cannot_choose_the_name_that_anothers_file_gets(tmp_path):
    attacker = file_name("Anna")
    report.write(tmp_path, [handed_in("Anna"), handed_in(attacker)], [*results("Anna", ALL), *results(attacker, "-")])
    assert len(list((tmp_path / "feedback").iterdir())) == 2
    assert json.loads((tmp_path / "exports" / "gradescope" / f"{attacker}.json").read_text())["score"] == POSSIBLE


def test_pages_of_an_earlier_run_that_are_nobodys_any_more_go(tmp_path):
    report.write(tmp_path, [handed_in("12345")], results("12345", ALL))
    report.write(tmp_path, [handed_in("taro")], results("taro", ALL))
    assert [path.name for path in (tmp_path / "feedback").iterdir()] == ["taro.html"]
    assert [path.name for path in (tmp_path / "exports" / "gradescope").iterdir()] == ["taro.json"]


def test_a_reader_never_meets_half_a_file_and_a_failure_keeps_the_old_one(tmp_path, monkeypatch):
    path, plain = tmp_path / "report.html", os.replace
    save(path, "old")

    def replaced(source: Any, target: Any) -> None:
        assert Path(target).read_text() == "old" and Path(source).read_text() == "new"
        plain(source, target)

    monkeypatch.setattr(os, "replace", replaced)
    save(path, "new")
    assert path.read_text() == "new"

    def full(source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(
        OSError, match=r"report\.html could not be written \(No space left on device\)\. Free space"
    ) as caught:
        save(path, "newer")
    assert "\n" not in str(caught.value) and path.read_text() == "new"
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    with pytest.raises(OSError, match=r"could not be written .* --out"):
        report.write(tmp_path / "out", [handed_in("aiko")], [])
