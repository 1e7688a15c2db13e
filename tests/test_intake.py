"""Who handed in what: downloads of every platform, what people and systems do to files, and hostile folders."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course.grading import files, handed
from course.grading.intake import collect
from course.grading.platforms import PLATFORMS
from course.grading.submission import Intake, Submission
from course.practice import exercises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")
ATTENTION, TRANSFORMER = "02_attention", "03_transformer"
NOON = 1_793_000_000  # a file's date
MARK = re.compile(r"return '(.*?)'")


def book(mark: str = "own", notebook: str = ATTENTION, filled: bool = True) -> bytes:
    """A notebook whose answers all return a mark by which they are found again."""
    body = f"return {mark!r}" if filled else "raise NotImplementedError"
    cells = [
        {
            "cell_type": "code", "metadata": {"nbgrader": {"grade_id": exercise.id, "solution": True}}, "outputs": [],
            "id": exercise.id, "execution_count": None, "source": f"def {exercise.entry}(*given):\n    {body}",
        }
        for exercise in exercises.of(notebook)
    ]  # fmt: skip
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


def zipped(members: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return raw.getvalue()


def lay(folder: Path, things: Mapping[str, bytes], date: float = NOON) -> Path:
    """Write files, all of one date."""
    for name, content in things.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (date, date))
    return folder


def mark_of(submission: Submission) -> str:
    found = MARK.search(next(iter(submission.answers.values()), ""))
    return found[1] if found else ""


def counted(intake: Intake) -> dict[str, list[str]]:
    """learner -> the marks of what counts; a learner whose files are of no use has none."""
    found: dict[str, list[str]] = {submission.learner: [] for submission in intake.submissions}
    for submission in intake.submissions:
        if submission.answers and submission.counts:
            found[submission.learner].append(mark_of(submission))
    return {learner: sorted(marks) for learner, marks in found.items()}


def said(intake: Intake, learner: str) -> str:
    """All that is said about a learner."""
    mine = [one for one in intake.submissions if one.learner == learner]
    return "\n".join(text for one in mine for text in [one.file, one.error, *one.remarks])


# --- downloads ----------------------------------------------------------------------------------------------

METADATA = b"""---
submission_11:
  :submitters:
  - :name: Taro Yamada
    :sid: '77'
    :email: taro@example.org
  :created_at: 2026-11-01 10:20:30.123456000 Z
submission_12:
  :submitters:
  - :name: Hana Suzuki
    :email: hana@example.org
  - :name: Ken Kato
    :sid: '79'
  :created_at: 2026-11-01 10:20:30.000000000 +09:00
"""
MOODLE = "_assignsubmission_file_"
DOWNLOADS: dict[str, tuple[str, dict[str, bytes], dict[str, list[str]]]] = {
    # kind -> (platform, files, who handed in what)
    "canvas": (
        "Canvas",
        {
            "yamadataro_12345_67890_02_attention.ipynb": book("a"),
            "yamadataro_12345_67891_03_transformer.ipynb": book("t", TRANSFORMER),
            "suzukihana_LATE_12346_67892_02_attention-1.ipynb": book("b"),
        },
        {"12345": ["a", "t"], "12346": ["b"]},
    ),
    "canvas: one name of two people, and a name in Japanese": (
        "Canvas",
        {
            "yamadataro_1_10_02_attention.ipynb": book("a"),
            "yamadataro_2_11_02_attention.ipynb": book("b"),
            "山田太郎_3_12_attention_final_2.ipynb": book("c"),
        },
        {"1": ["a"], "2": ["b"], "3": ["c"]},
    ),
    "canvas: handed in again, a zip, and text typed into a field": (
        "Canvas",
        {
            "katoken_5_10_02_attention.ipynb": book("first"),
            "katoken_5_10_02_attention-1.ipynb": book("second"),
            "katoken_5_10_02_attention-2.ipynb": book("third"),
            "morimai_LATE_6_11_work.zip": zipped({"work/02_attention.ipynb": book("zip")}),
            "onoyuki_7_12_text.html": b"<p>see my page</p>",
        },
        {"5": ["third"], "6": ["zip"], "7": []},
    ),
    "canvas: graded without names": (
        "Canvas",
        {"anon_x1Yz2_67890_02_attention.ipynb": book("a"), "anon_Qq3rS_LATE_67891_02_attention.ipynb": book("b")},
        {"x1Yz2": ["a"], "Qq3rS": ["b"]},
    ),
    "canvas: a zip of everything": (
        "Canvas",
        {"submissions.zip": zipped({f"n_{i}_{i}0_02_attention.ipynb": book(f"m{i}") for i in (1, 2)})},
        {"1": ["m1"], "2": ["m2"]},
    ),
    "canvas: two downloads side by side": (
        "Canvas",
        {
            "submissions.zip": zipped({"yamada_1_2_02_attention.ipynb": book("a")}),
            "submissions (1).zip": zipped({"yamada_1_7_03_transformer.ipynb": book("t", TRANSFORMER)}),
        },
        {"1": ["a", "t"]},
    ),
    "canvas: a folder for each notebook": (
        "Canvas",
        {
            "02_attention/yamada_1_2_02_attention.ipynb": book("a"),
            "02_attention/suzuki_2_3_02_attention.ipynb": book("b"),
            "03_transformer/yamada_1_5_03_transformer.ipynb": book("t", TRANSFORMER),
        },
        {"1": ["a", "t"], "2": ["b"]},
    ),
    "moodle": (
        "Moodle",
        {
            f"Taro Yamada_1234567{MOODLE}/02_attention.ipynb": book("a"),
            f"Hana Suzuki_1234568{MOODLE}.zip": zipped({"02_attention.ipynb": book("b")}),
        },
        {"1234567": ["a"], "1234568": ["b"]},
    ),
    "moodle: without folders, newer names, text typed into a field": (
        "Moodle",
        {
            f"Taro Yamada_1234567{MOODLE}02_attention.ipynb": book("a"),
            "佐藤 花_1234568_assignsubmission_file/sub/02_attention.ipynb": book("b"),
            "佐藤 花_1234568_assignsubmission_onlinetext/onlinetext.html": b"<p>done</p>",
            "Ken Kato_1234569_assignsubmission_onlinetext_/onlinetext.html": b"<p>my answer</p>",
        },
        {"1234567": ["a"], "1234568": ["b"], "1234569": []},
    ),
    "moodle: one learner in one zip": (
        "Moodle",
        {f"Hana Suzuki_1234568{MOODLE}.zip": zipped({"taro/02_attention.ipynb": book("a")})},
        {"1234568": ["a"]},
    ),
    "blackboard": (
        "Blackboard",
        {
            "Lab 1_yamada01_attempt_2026-11-01-10-20-30_02_attention.ipynb": book("old"),
            "Lab 1_yamada01_attempt_2026-11-02-10-20-30_02_attention.ipynb": book("new"),
            "Lab 1_yamada01_attempt_2026-11-02-10-20-30.txt": b"Name: Taro Yamada (yamada01)\nAssignment: Lab 1\n",
            "Lab 1_suzuki_h_attempt_2026-11-01-09-00-00.txt": b"Name: Hana Suzuki (suzuki_h)\n\nName: X (yamada01)",
            "Lab 1_suzuki_h_attempt_2026-11-01-09-00-00_02_attention.ipynb": book("b"),
        },
        {"yamada01": ["new"], "suzuki_h": ["b"]},
    ),
    "google classroom": (
        "Google Classroom",
        {
            "Taro Yamada - 02_attention.ipynb": book("a"),
            "山田 花子 - 02_attention.ipynb": book("b"),
            "02_attention - Ken Kato.ipynb": book("c"),
            "02_attention (1).ipynb": book("nobody's"),
        },
        {"Taro Yamada": ["a"], "山田 花子": ["b"], "Ken Kato": ["c"]},
    ),
    "github classroom": (
        "GitHub Classroom",
        {
            "ps1-taro/.git/config": b"", "ps1-taro/02_attention.ipynb": book("a"), "ps1-taro/README.md": b"",
            "ps1-hana-k/.git/config": b"", "ps1-hana-k/nb/02_attention.ipynb": book("b"),
            "ps1-jun/.git/config": b"", "ps1-jun/README.md": b"",
        },
        {"taro": ["a"], "hana-k": ["b"], "jun": []},
    ),
    "nbgrader": (
        "nbgrader",
        {
            "submitted/taro/ps2/02_attention.ipynb": book("a"),
            "submitted/taro/ps2/timestamp.txt": b"2026-11-01 10:20:30.123456 UTC",
            "submitted/hana/ps2/02_attention.ipynb": book("b"),
            "submitted/hana/ps2/timestamp.txt": b"2026-11-02 10:20:30 UTC",
        },
        {"taro": ["a"], "hana": ["b"]},
    ),
    "nbgrader's exchange": (
        "nbgrader",
        {
            "hana+ps2+2026-11-02 10:20:30.123456 UTC+x1/02_attention.ipynb": book("new"),
            "hana+ps2+2026-11-01 23:20:30.123456 UTC+y2/02_attention.ipynb": book("old"),
        },
        {"hana": ["new"]},
    ),
    "sakai": (
        "Sakai",
        {
            "Homework 2/grades.csv": b"",
            "Homework 2/Yamada, Taro(yamada01)/timestamp.txt": b"20261101102030123",
            "Homework 2/Yamada, Taro(yamada01)/comments.txt": b"",
            "Homework 2/Yamada, Taro(yamada01)/Submission attachment(s)/02_attention.ipynb": book("a"),
            "Homework 2/Yamada, Taro(yamada01)/Feedback Attachment(s)/02_attention.ipynb": book("the teacher's"),
            "Homework 2/佐藤, 花(sato)/timestamp.txt": b"20261102102030123",
            "Homework 2/佐藤, 花(sato)/佐藤, 花(sato)_submissionText.html": b"<p>see my page</p>",
        },
        {"yamada01": ["a"], "sato": []},
    ),
    "microsoft teams": (
        "folder",
        {
            "Submitted files/Taro Yamada/Homework 2/Version 2/02_attention.ipynb": book("old"),
            "Submitted files/Taro Yamada/Homework 2/Version 10/02_attention.ipynb": book("new"),
            "Submitted files/Hana Suzuki/Homework 2/Version 1/work.ipynb": book("b"),
        },
        {"Taro Yamada": ["new"], "Hana Suzuki": ["b"]},
    ),
    "github classroom: the first learner": (
        "GitHub Classroom",
        {"ps1-a-submissions/ps1-a-taro/.git/config": b"", "ps1-a-submissions/ps1-a-taro/x.ipynb": book("a")},
        {"taro": ["a"]},
    ),
    "gradescope: one alone, and two together": (
        "Gradescope",
        {
            "assignment_1_export/submission_metadata.yml": METADATA,
            "assignment_1_export/submission_11/02_attention.ipynb": book("a"),
            "assignment_1_export/submission_12/02_attention.ipynb": book("b"),
        },
        {"77": ["a"], "hana@example.org": ["b"], "79": ["b"]},
    ),
    "a folder for each learner, with a Mac's leftovers": (
        "folder",
        {
            "taro/02_attention.ipynb": book("a"),
            "taro/.ipynb_checkpoints/02_attention-checkpoint.ipynb": book("saved"),
            "__MACOSX/taro/._02_attention.ipynb": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X",
            "taro/._02_attention.ipynb": b"\x00\x05\x16\x07",
            ".DS_Store": b"", "taro/Thumbs.db": b"", "desktop.ini": b"",
        },
        {"taro": ["a"]},
    ),
    "a file for each learner": (
        "folder",
        {
            "taro.ipynb": book("a"), "02_attention_hana.ipynb": book("b"), "山田　花子.ipynb": book("c"),
            "O'Neil, J. (2).ipynb": book("d"), "1234567_02-attention.IPYNB": book("e"),
            "ken.zip": zipped({"x.ipynb": book("f")}),
        },
        {"taro": ["a"], "hana": ["b"], "山田 花子": ["c"], "O'Neil, J": ["d"], "1234567": ["e"], "ken": ["f"]},
    ),
    "a folder for each notebook, in it a file for each learner": (
        "folder",
        {"02_attention/taro.ipynb": book("a"), "03_transformer/taro.ipynb": book("t", TRANSFORMER),
         "02_attention/hana/02_attention.ipynb": book("b")},
        {"taro": ["a", "t"], "hana": ["b"]},
    ),
    "folders and zips around everything": (
        "folder",
        {"download.zip": zipped({f"submissions/week 3/{name}/a.ipynb": book(name[0]) for name in ("taro", "hana")})},
        {"taro": ["t"], "hana": ["h"]},
    ),
    "a class's folder with a name": (
        "folder",
        {"CS101/taro/02_attention.ipynb": book("a"), "CS101/hana/02_attention.ipynb": book("b")},
        {"taro": ["a"], "hana": ["b"]},
    ),
    "a folder for each learner, kept by the teacher with git": (
        "folder",
        {".git/config": b"", "taro/a.ipynb": book("a"), "hana/a.ipynb": book("b"), "hana/.git/config": b"",
         "hana/.github/x.yml": b"", "hana/node_modules/x.json": b"{}"},
        {"taro": ["a"], "hana": ["b"]},
    ),
    "numbered people": (
        "folder",
        {f"student-0{i}.ipynb": book(f"m{i}") for i in (1, 2)},
        {"student-01": ["m1"], "student-02": ["m2"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DOWNLOADS)
def test_a_download_is_read_as_its_platform_wrote_it(kind, tmp_path):
    platform, things, expected = DOWNLOADS[kind]
    intake = collect(lay(tmp_path / "in", things))
    assert platform in intake.platform and platform in intake.notes[0]
    assert counted(intake) == expected
    assert not [one for one in intake.submissions if one.contested]


def test_a_zip_may_be_given_in_the_folders_place_and_the_roster_may_lie_in_the_folder(tmp_path):
    things = {"yamada_1_2_a.ipynb": book("a"), "suzuki_2_3_a.ipynb": book("b")}
    lay(tmp_path, {"download.zip": zipped(things)})
    assert counted(collect(tmp_path / "download.zip")) == {"1": ["a"], "2": ["b"]}
    folder = lay(tmp_path / "in", {**things, "class.csv": b"id,name\ns1,Yamada\ns2,Suzuki\n"})
    intake = collect(folder, roster=folder / "class.csv")
    assert counted(intake) == {"s1": ["a"], "s2": ["b"]} and not intake.nobody


def test_names_mails_times_and_lateness_are_the_platforms(tmp_path):
    def one(kind: str, learner: str) -> Submission:
        intake = collect(lay(tmp_path / kind, DOWNLOADS[kind][1]))
        found = next(s for s in intake.submissions if s.learner == learner and s.counts)
        assert intake.people[learner].name == found.name
        return found

    assert one("blackboard", "suzuki_h").name == "Hana Suzuki", "what stands below the first line is the learner's own"
    assert one("moodle", "1234567").name == "Taro Yamada"
    assert one("canvas", "12346").late and not one("canvas", "12345").late
    assert one("canvas", "12346").clock == "file"
    taro = one("nbgrader", "taro")
    assert taro.clock == "platform" and str(taro.when) == "2026-11-01 10:20:30.123456+00:00"
    assert one("github classroom", "taro").when is None, "a clone has the date of its download"


def test_gradescopes_times_have_their_zone(tmp_path):
    intake = collect(lay(tmp_path, DOWNLOADS["gradescope: one alone, and two together"][1]))
    when = {one.learner: one.when for one in intake.submissions}
    assert when["77"].isoformat() == "2026-11-01T10:20:30.123456+00:00"
    assert when["79"].utctimetuple()[:5] == (2026, 11, 1, 1, 20)
    assert intake.people["77"].email == "taro@example.org"


def test_the_platform_can_be_named(tmp_path):
    folder = lay(tmp_path, {"a-taro/x.ipynb": book("a"), "a-hana/x.ipynb": book("b")})
    assert counted(collect(folder)) == {"a-taro": ["a"], "a-hana": ["b"]}
    forced = collect(folder, platform="github")
    assert counted(forced) == {"taro": ["a"], "hana": ["b"]} and "as you said" in forced.notes[0]
    assert counted(collect(folder, platform="canvas")) == {}
    with pytest.raises(ValueError, match=", ".join(PLATFORMS)):
        collect(folder, platform="webct")


def test_dates_in_names_are_no_ids_of_canvas(tmp_path):
    folder = lay(tmp_path, {"taro_2026_11_attention.ipynb": book("a"), "hana_2026_11_attention.ipynb": book("b")})
    intake = collect(folder)
    assert sorted(marks for found in counted(intake).values() for marks in found) == ["a", "b"]
    assert len(counted(intake)) == 2


def test_a_folder_that_is_not_there_or_holds_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        collect(tmp_path / "gone")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ".DS_Store").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no submissions"):
        collect(tmp_path / "in")


# --- nobody -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "02_attention.ipynb", "02_attention (1).ipynb", "(1).ipynb", "02-attention-Copy1.ipynb", "Untitled1.ipynb",
        "02_attention - コピー (2).ipynb", "Copy of 02_attention.ipynb", "1.ipynb", "課題 3.ipynb", "_.ipynb",
        "Downloads/02_attention.ipynb", "submission/02_attention (2).ipynb", "submission.zip", "homework_final.ipynb",
    ],
)  # fmt: skip
def test_no_learner_is_invented_for_a_name_that_names_nobody(name, tmp_path):
    content = zipped({"02_attention.ipynb": book()}) if name.endswith(".zip") else book()
    intake = collect(lay(tmp_path, {name: content, "taro.ipynb": book("a"), "hana/x.ipynb": book("b")}))
    assert counted(intake) == {"taro": ["a"], "hana": ["b"]}
    assert [file for file, why in intake.nobody if file.startswith(name) and "whose" in why]
    assert any("1 file could not be attributed" in note for note in intake.notes)


def test_files_that_are_no_work_make_no_learner(tmp_path):
    things = {
        "taro.ipynb": book("a"), "taro.pdf": b"%PDF", "syllabus.pdf": b"%PDF", "README.md": b"", "roster.csv": b"",
        "images/plot.png": b"", "hana/essay.docx": b"", "hana/plot.png": b"",
    }  # fmt: skip
    intake = collect(lay(tmp_path, things))
    assert counted(intake) == {"taro": ["a"], "hana": []}
    assert {file for file, _ in intake.nobody} == {"syllabus.pdf", "README.md", "roster.csv", "images/plot.png"}
    assert "a Word document (essay.docx)" in said(intake, "hana")
    assert "Beside it, not read: taro.pdf" in said(intake, "taro")


def test_an_empty_folder_is_a_learner_who_handed_in_nothing(tmp_path):
    folder = lay(tmp_path, {"taro/a.ipynb": book("a")})
    (folder / "hana").mkdir()
    intake = collect(folder)
    assert counted(intake) == {"taro": ["a"], "hana": []} and "empty" in said(intake, "hana")


def test_many_files_of_nobody_are_listed_with_a_number(tmp_path):
    things = {f"02_attention ({i}).ipynb": b"" for i in range(300)}
    intake = collect(lay(tmp_path, {**things, "taro.ipynb": book("a")}))
    assert len(intake.nobody) == 21 and intake.nobody[-1][0] == "280 more files"
    assert any("300 files could not be attributed" in note for note in intake.notes)


# --- what is no .ipynb --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.IPYNB", "x.Ipynb"])
def test_the_ending_may_be_written_in_capitals(name, tmp_path):
    intake = collect(lay(tmp_path, {f"taro/{name}": book("a")}))
    assert counted(intake) == {"taro": ["a"]} and not intake.submissions[0].remarks


@pytest.mark.parametrize("name", ["x.ipynb.txt", "x.json", "x.ipynb.json", "x.ipynb (1)", "x.IPYNB.TXT"])
def test_a_notebook_under_another_ending_is_read_with_a_remark(name, tmp_path):
    intake = collect(
        lay(tmp_path, {f"taro/{name}": book("a"), "hana/package.json": b'{"name": "x"}', "hana/b.py": b""})
    )
    assert counted(intake) == {"taro": ["a"], "hana": []}
    assert "hand it in as .ipynb" in said(intake, "taro")
    assert "No notebook; handed in:" in said(intake, "hana") and "a Python file (b.py)" in said(intake, "hana")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.pdf", "a PDF"),
        ("a.DOCX", "a Word document"),
        ("a.py", "a Python file"),
        ("a.rar", "a packed file that is no zip"),
    ],
)
def test_what_is_no_notebook_is_named(name, kind, tmp_path):
    intake = collect(lay(tmp_path, {f"taro/{name}": b"x", "hana/x.ipynb": book("a")}))
    assert f"No notebook; handed in: {kind} ({name})." in said(intake, "taro")


def test_who_hands_in_the_whole_course_does_not_hand_in_its_solutions(tmp_path):
    things = {
        "taro/course/exercises/02_attention.ipynb": book("own"),
        "taro/course/solutions/02_attention.ipynb": book("course"),
        "taro/course/notebooks/04_pretraining.ipynb": b'{"cells": [], "metadata": {}, "nbformat": 4}',
        "hana/solutions/02_attention.ipynb": book("hers"),
    }  # fmt: skip
    intake = collect(lay(tmp_path, things))
    assert counted(intake) == {"taro": ["own"], "hana": ["hers"]}
    assert not [one for one in intake.submissions if one.error], "a lesson beside the work is no mistake"
    assert "Beside it, without answers: taro/course/notebooks/04_pretraining.ipynb" in said(intake, "taro")


def test_copies_in_which_nothing_is_filled_in_do_not_count_however_new(tmp_path):
    lay(tmp_path, {"taro/02_attention.ipynb": book("own")})
    copies = ("taro/02_attention (1).ipynb", "taro/02_attention-Copy1.ipynb")
    intake = collect(lay(tmp_path, dict.fromkeys(copies, book(filled=False)), date=NOON + 60))
    assert counted(intake) == {"taro": ["own"]}
    assert "nothing is filled in" in said(intake, "taro") and all(name in said(intake, "taro") for name in copies)
    lay(tmp_path, {"taro/02_attention (2).ipynb": book("newer")}, date=NOON + 30)
    assert counted(collect(tmp_path)) == {"taro": ["newer"]}
    lay(tmp_path, {"taro/02_attention (3).ipynb": b'{"cells": ['}, date=NOON + 90)
    intake = collect(tmp_path)
    assert counted(intake) == {"taro": ["newer"]}
    assert "Another file of this name cannot be used: taro/02_attention (3).ipynb" in said(intake, "taro")


# --- whose is it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", ["02_attention_aiko.ipynb", "aiko (1).ipynb", "aiko-02_attention.ipynb", "aiko.IPYNB"]
)
def test_a_file_under_anothers_name_pushes_nothing_aside(other, tmp_path):
    lay(tmp_path, {"aiko.ipynb": book("own"), "ben.ipynb": book("b")})
    intake = collect(lay(tmp_path, {other: book("forged")}, date=NOON + 5_000))
    assert counted(intake) == {"aiko": ["forged", "own"], "ben": ["b"]}, "both are shown, and the better one counts"
    both = [one for one in intake.submissions if one.learner == "aiko"]
    assert all(one.contested and "until you decide" in " ".join(one.remarks) for one in both)
    assert other in said(intake, "aiko")


def test_a_copied_folder_is_a_second_one_of_its_learner(tmp_path):
    intake = collect(
        lay(tmp_path, {"taro/a.ipynb": book("a"), "taro (1)/a.ipynb": book("b"), "ken (1)/a.ipynb": book("k")})
    )
    assert counted(intake) == {"taro": ["a", "b"], "ken (1)": ["k"]}
    assert all(one.contested == (one.learner == "taro") for one in intake.submissions)


def test_forged_files_use_up_nothing_of_the_honest_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(handed, "MAX_READ", 3)
    forged = {f"{'0' * i}2_attention_aiko.ipynb": book(f"forged {i}") for i in range(9)}
    intake = collect(lay(tmp_path, {**forged, "aiko.ipynb": book("own"), "ben.ipynb": book("b")}))
    assert "own" in counted(intake)["aiko"]


def test_files_with_long_names_stay_two(tmp_path):
    deep = "/".join(["d" * 100] * 3)
    intake = collect(
        lay(tmp_path, {f"taro/{deep}/a.ipynb": book("a"), f"taro/{deep}/a (1).ipynb": book("b"), "k/a.ipynb": b""})
    )
    names = [one.file for one in intake.submissions if one.learner == "taro"]
    assert len(set(names)) == 2 and all(len(name) <= 200 and name.startswith("taro/") for name in names)


@pytest.mark.parametrize("place", ["mallory/{}", "download.zip", "mallory.zip"])
def test_a_folder_or_zip_full_of_a_platforms_names_decides_nothing_for_the_others(place, tmp_path):
    names = [f"x{i}_{i}_{i}_02_attention.ipynb" for i in range(40)]
    forged = {place.format(name): book("forged") for name in names}
    if place.endswith(".zip"):
        forged = {place: zipped({name: book("forged") for name in names})}
    intake = collect(lay(tmp_path, {**forged, "taro/a.ipynb": book("a"), "hana.ipynb": book("b")}))
    found = counted(intake)
    assert found["taro"] == ["a"] and found["hana"] == ["b"] and "folder" in intake.platform
    for learner in ("taro", "hana"):
        assert not any(one.contested for one in intake.submissions if one.learner == learner)


def test_a_zip_beside_other_things_has_a_learners_bounds(tmp_path):
    many = zipped({f"learner{i}.txt": b"" for i in range(1_001)})
    intake = collect(lay(tmp_path, {"download.zip": many, "taro/a.ipynb": book("a")}))
    assert counted(intake) == {"taro": ["a"]} and "1,000 are allowed" in dict(intake.nobody)["download.zip"]
    intake = collect(
        lay(tmp_path / "two", {"download.zip": many, "download (1).zip": zipped({"taro.ipynb": book("a")})})
    )
    assert counted(intake) == {"taro": ["a"]} and not any("allowed" in why for _, why in intake.nobody)


def test_a_file_named_after_another_stays_with_its_folders_learner_and_both_are_asked(tmp_path):
    things = {
        f"Taro Yamada_11{MOODLE}/02_attention.ipynb": book("a"),
        f"Taro Yamada_11{MOODLE}/Hana Suzuki.ipynb": book("b"),
        f"Hana Suzuki_12{MOODLE}/02_attention.ipynb": book("c"),
        f"Ken Kato_13{MOODLE}/kato_02_attention.ipynb": book("d"),
    }  # fmt: skip
    intake = collect(lay(tmp_path, things))
    found = counted(intake)
    assert found["12"] == ["c"] and found["13"] == ["d"] and set(found["11"]) <= {"a", "b"}
    assert "its name is that of 12: whose is it?" in said(intake, "11")
    assert "bears this learner's name" in said(intake, "12")
    assert "whose" not in said(intake, "13")


def test_two_of_one_name_are_told_apart_by_the_platforms_id(tmp_path):
    intake = collect(lay(tmp_path, DOWNLOADS["canvas: one name of two people, and a name in Japanese"][1]))
    assert "Another learner has the same name: 2." in said(intake, "1")
    assert "same name" not in said(intake, "3")


def test_one_file_of_the_disk_with_two_learners_is_told_to_both(tmp_path):
    folder = lay(tmp_path, {"taro/02_attention.ipynb": book("a"), "ken/02_attention.ipynb": book("k")})
    (folder / "hana").mkdir()
    os.link(folder / "taro/02_attention.ipynb", folder / "hana/02_attention.ipynb")
    os.link(folder / "ken/02_attention.ipynb", folder / "ken/again.ipynb")
    intake = collect(folder)
    assert "hard link) as hana/02_attention.ipynb" in said(intake, "taro")
    assert "hard link) as taro/02_attention.ipynb" in said(intake, "hana")
    assert "hard link" not in said(intake, "ken"), "twice with one learner is nobody's business"


# --- hostile folders ----------------------------------------------------------------------------------------


def test_links_pipes_and_sockets_are_not_opened(tmp_path, monkeypatch):
    folder = lay(tmp_path / "in", {"taro/02_attention.ipynb": book("a")})
    outside = lay(tmp_path / "out", {"02_attention.ipynb": book("secret")})
    for name in ("link", "far", "loop", "pipe", "socket"):
        (folder / name).mkdir()
    (folder / "link/02_attention.ipynb").symlink_to(folder / "taro/02_attention.ipynb")
    (folder / "far/02_attention.ipynb").symlink_to(outside / "02_attention.ipynb")
    (folder / "loop/loop").symlink_to(folder / "loop")
    (folder / "whole").symlink_to(outside)
    os.mkfifo(folder / "pipe/02_attention.ipynb")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(folder / "socket")  # a socket's path must be short
        listening.bind("x.ipynb")
        intake = collect(folder)
    found = counted(intake)
    assert found.pop("taro") == ["a"] and not any(found.values())
    for learner, word in {"link": "a link", "far": "a link", "loop": "a link", "whole": "a link", "pipe": "a pipe",
                          "socket": "a socket"}.items():  # fmt: skip
        assert f"It is {word}, not a file" in said(intake, learner), learner


def test_a_folder_that_becomes_a_link_while_it_is_read_leads_nowhere(tmp_path):
    folder = lay(tmp_path / "in", {"taro/sub/02_attention.ipynb": book("a")})
    outside = lay(tmp_path / "out", {"02_attention.ipynb": book("secret")})
    found = files.walk(folder).files
    (folder / "taro/sub").rename(tmp_path / "aside")
    (folder / "taro/sub").symlink_to(outside)
    with pytest.raises(OSError):
        found[0].take(1_000_000)


def test_files_that_vanish_or_grow_are_a_sentence(tmp_path, monkeypatch):
    folder = lay(tmp_path, {"taro/a.ipynb": book("a"), "hana/a.ipynb": book("b"), "ken/a.ipynb": book("c")})
    real = handed.read

    def meanwhile(group, platform):
        if group.learner == "hana":
            (folder / "hana/a.ipynb").unlink()
        if group.learner == "ken":
            os.truncate(folder / "ken/a.ipynb", files.MAX_FILE + 1)
        return real(group, platform)

    monkeypatch.setattr("course.grading.intake.read", meanwhile)
    intake = collect(folder)
    assert counted(intake) == {"taro": ["a"], "hana": [], "ken": []}
    assert "No such file" in said(intake, "hana") and "20 are allowed" in said(intake, "ken")


def test_what_may_not_be_read_is_a_sentence(tmp_path, monkeypatch):
    folder = lay(tmp_path, {"taro/a.ipynb": book("a"), "hana/a.ipynb": book("b"), "ken/a.ipynb": book("c")})
    real = os.open

    def forbidden(path, flags, *rest, **more):
        if path == "ken" or (path == "a.ipynb" and os.readlink(f"/proc/self/fd/{more['dir_fd']}").endswith("hana")):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", forbidden)
    intake = collect(folder)
    assert counted(intake) == {"taro": ["a"], "hana": [], "ken": []}
    assert "It cannot be read (Permission denied)." in said(intake, "hana")
    assert "The folder cannot be read (Permission denied)." in said(intake, "ken")


@pytest.fixture
def endless() -> Iterator[Path]:
    """A folder with a tree too deep, and a path too long, for most programs: pytest, too, fails to remove it."""
    folder, here = Path(tempfile.mkdtemp()), os.getcwd()
    try:
        for learner, name, times in (("deep", "d", 1_200), ("long", "l" * 255, 18)):
            (folder / learner).mkdir(parents=True)
            os.chdir(folder / learner)
            for _ in range(times):
                os.mkdir(name)
                os.chdir(name)
            Path("x.ipynb").write_bytes(book(learner))
        os.chdir(here)
        yield folder
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_folders_of_any_depth_and_names_of_any_length_harm_nobody(endless):
    long = "n" * 240
    things = {
        f"{long}a.ipynb": book("x"),
        f"{long}b.ipynb": book("y"),
        "taro/a.ipynb": book("a"),
        "ken/b.ipynb": book("k"),
    }
    intake = collect(lay(endless, things))
    found = counted(intake)
    assert found["taro"] == ["a"] and found["ken"] == ["k"] and found["deep"] == []
    assert found["long"] == ["long"], "its path is longer than the system allows, and it is read all the same"
    assert "nested more than 20 deep" in said(intake, "deep")
    twins = [learner for learner in found if learner.startswith("nnn")]
    assert len(twins) == 2 and max(map(len, twins)) <= 200 and sorted(found[t][0] for t in twins) == ["x", "y"]


NASTY = [
    "a\x1b[31m\x07b",
    "line\nforged: 12 points",
    "\u202eevil",
    "=cmd|' C calc'!A0",
    "＝1+1",
    "Points Possible",
    "zero\u200bwidth",
]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_moves_a_cursor_turns_a_line_or_forges_one(name, tmp_path):
    intake = collect(
        lay(tmp_path, {f"{name}/02_attention {name}.ipynb": book("a"), "(1) \x1b.ipynb": b"", "hana/a.ipynb": b"{"})
    )
    texts = [text for one in intake.submissions for text in (one.learner, one.file, one.error, one.name, *one.remarks)]
    texts += [*intake.notes, *intake.people, *(text for pair in intake.nobody for text in pair)]
    assert len(counted(intake)) == 2
    for text in texts:
        assert text.isprintable() and "\n" not in text and "\u202e" not in text, ascii(text)
        text.encode("utf-8")


def test_names_that_are_no_utf_8_are_read_as_japanese_or_by_their_codes(tmp_path):
    for raw in ("山田太郎.ipynb".encode("cp932"), b"caf\xe9.ipynb", "é\u0301x.ipynb".encode()):
        (tmp_path / os.fsdecode(raw)).write_bytes(book("a"))
    intake = collect(tmp_path)
    assert set(counted(intake)) == {"山田太郎", "caf\\xe9", "é\u0301x"}
    assert all(marks == ["a"] for marks in counted(intake).values())


def test_many_unreadable_files_of_one_learner_are_a_few_lines(tmp_path):
    things = {f"taro/{i}.ipynb": b"{" for i in range(300)}
    intake = collect(lay(tmp_path, {**things, "taro/02_attention.ipynb": book("a"), "hana/x.ipynb": book("b")}))
    assert counted(intake) == {"taro": ["a"], "hana": ["b"]}, "the one that lies there under its own name is found"
    assert len(intake.submissions) < 15 and any("more files" in one.file for one in intake.submissions)
    assert len(intake.notes) < 8


def test_zips_full_of_zips_are_looked_at_in_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(handed, "MAX_BESIDE", 50)
    many = zipped({f"{i}.txt": b"" for i in range(20)})
    bomb = zipped({"0.ipynb": book("a"), **{f"z{i}.zip": many for i in range(20)}})
    deep = book("d")
    for _ in range(6):
        deep = zipped({"x.zip" if deep[:2] == b"PK" else "x.ipynb": deep})
    intake = collect(lay(tmp_path, {"taro.zip": bomb, "ken.zip": deep, "hana/x.ipynb": book("b")}))
    assert counted(intake) == {"taro": ["a"], "ken": [], "hana": ["b"]}
    assert "hold more than 50 files" in said(intake, "taro") and "more than 3 deep" in said(intake, "ken")


def test_many_unreadable_learners_are_one_note(tmp_path):
    intake = collect(lay(tmp_path, {f"learner {i}.ipynb": b"" for i in range(200)}))
    assert len(intake.submissions) == 200 and all(one.error for one in intake.submissions)
    note = next(note for note in intake.notes if "It is empty." in note)
    assert note.startswith("200 files cannot be used (learner 0.ipynb") and note.count(".ipynb") == 3


def test_one_learners_files_are_read_in_bounds_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(handed, "MAX_READ", 5)
    monkeypatch.setattr(files, "MAX_BESIDE", 30)
    things = {f"taro/x{i:03}.ipynb": book(f"m{i}") for i in range(50)}
    read = []
    monkeypatch.setattr(
        handed, "read_notebook", lambda raw, real=handed.read_notebook: read.append(len(raw)) or real(raw)
    )
    intake = collect(lay(tmp_path, {**things, "hana/x.ipynb": book("b"), "zoe/x.ipynb": book("z")}))
    assert counted(intake)["hana"] == ["b"] and counted(intake)["zoe"] == ["z"]
    assert len(read) == 5 + 2
    assert "More than 30 files" in said(intake, "taro") and "is more." in said(intake, "taro")


def test_much_is_read_and_little_is_kept(tmp_path):
    cells = json.loads(book("a"))
    cells["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x" * 1_000_000}]
    raw = json.dumps(cells).encode()
    peaks = []
    for count in (1, 30):
        folder = lay(tmp_path / str(count), {f"learner {i}/02_attention.ipynb": raw for i in range(count)})
        collect(folder)
        tracemalloc.start()
        intake = collect(folder)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(intake.submissions) == count and kept < 200_000
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 500_000, "one notebook is in memory at a time"


def test_what_leads_out_of_a_zip_is_told_and_the_rest_of_it_is_read(tmp_path):
    inner = {"02_attention.ipynb": book("a"), "../../evil.ipynb": book("evil"), "/abs.ipynb": book("evil")}
    intake = collect(lay(tmp_path, {"taro.zip": zipped(inner), "hana/x.ipynb": book("b")}))
    assert counted(intake) == {"taro": ["a"], "hana": ["b"]}
    assert said(intake, "taro").count("leads out of the zip") == 2


PIECES = """_ - ( ) (1) . 02_attention LATE 12345 678 assignsubmission file attempt 2026-11-01-10-20-30 + UTC
submitted timestamp.txt submission_metadata.yml .ipynb .zip .json .pdf Copy コピー é 山田 太郎 taro Version 2 ＝ ' " ,
0000-99-99-99-99-99 ² ٣ grades.csv Feedback \u3000 \u202e \x1b[31m \ue000 \udcff \udc83""".split()
NAME = st.lists(st.sampled_from([*PIECES, " ", "\n"]), min_size=1, max_size=6).map("".join)
CONTENT = st.sampled_from(
    [book("a"), book("b"), book(filled=False), b"", b"{", b"\xff" * 9, zipped({"x.ipynb": book("z")}), zipped({})]
)


@settings(max_examples=60, deadline=None)
@given(
    things=st.lists(st.tuples(st.lists(NAME, min_size=1, max_size=4), CONTENT), min_size=1, max_size=6),
    platform=st.sampled_from([None, None, *PLATFORMS]),
    listed=st.booleans(),
)
def test_whatever_names_there_are_nobody_is_harmed(things, platform, listed):
    with tempfile.TemporaryDirectory() as place:
        for names, content in things:
            path = os.path.join(place, "in", *(name if name not in (".", "..") else "x" for name in names))
            with contextlib.suppress(OSError):  # such as a file where a folder is
                os.makedirs(os.path.dirname(path), exist_ok=True)
                Path(path).write_bytes(content)
        roster = Path(place) / "roster.csv"
        roster.write_text("id,name,email\n12345,Taro,t@x\n2,山田 太郎,\n3,taro taro,h@x\n", encoding="utf-8")
        try:
            intake = collect(Path(place) / "in", platform, roster if listed else None)
        except FileNotFoundError:
            return
    texts = [text for one in intake.submissions for text in (one.learner, one.file, one.error, one.name, *one.remarks)]
    for text in [*texts, *intake.notes, *(text for pair in intake.nobody for text in pair)]:
        assert text.isprintable(), ascii(text)
        text.encode()  # no half characters
    assert all(one.learner.strip() and (one.error or one.answers) for one in intake.submissions)
    assert set(intake.people) == {one.learner for one in intake.submissions}
