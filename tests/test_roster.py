"""The class's table: whatever program wrote it, and whoever is in it, nobody is taken for somebody else."""

from __future__ import annotations

import io
import json
import sys
from datetime import datetime
from pathlib import Path

import pytest

from course.grading import roster
from course.grading.intake import collect
from course.practice import exercises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")


def table(path: Path, text: str, code: str = "utf-8") -> Path:
    path.write_bytes(text.encode(code))
    return path


def notebook() -> bytes:
    cells = [
        {"cell_type": "code", "metadata": {"nbgrader": {"grade_id": e.id}}, "source": f"{e.entry} = 1", "outputs": []}
        for e in exercises.of("02_attention")
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


TABLES = {
    "plain": "id,name,email\ns1,Taro Yamada,taro@example.org\ns2,Hana Suzuki,hana@example.org\n",
    "another order, more columns, semicolons": (
        "Section;E-mail;Full Name;Student ID;Note\n"
        "A;taro@example.org;Taro Yamada;s1;x\nB;hana@example.org;Hana Suzuki;s2;\n"
    ),
    "tabs, and two columns of a name": "Last name\tFirst name\tID number\nYamada\tTaro\ts1\nSuzuki\tHana\ts2\n",
    "capitals and spaces": " STUDENT NUMBER , NAME \n s1 , Yamada Taro \n s2,Suzuki Hana\n",
    "canvas": (
        "Student,ID,SIS User ID,SIS Login ID,Section,02 (12)\n    Points Possible,,,,,12\n"
        '"Yamada, Taro",s1,u1,taro,A,\n"Suzuki, Hana",s2,u2,hana,A,\n"Student, Test",9999,,,A,\n'
    ),
    "moodle": "Identifier,Full name,Email address,Status,Grade\ns1,Taro Yamada,t@x.jp,,\ns2,Hana Suzuki,h@x.jp,,\n",
}


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_read_whatever_wrote_it(kind, code, tmp_path):
    people = roster.read(table(tmp_path / "roster.csv", TABLES[kind], code))
    assert [person.id for person in people.people] == ["s1", "s2"] and not people.notes
    for name in ("Taro Yamada", "Yamada Taro", "yamadataro", "YAMADA, Taro", "yamada_taro"):
        assert people.find(name)[0] == people.people[0], name
    assert people.find("S2")[0] == people.people[1]


def test_a_japanese_table_and_japanese_names(tmp_path):
    rows = (
        "学籍番号,氏名,フリガナ,メールアドレス",
        "２６０１,山田　太郎,ヤマダ タロウ,t@x.jp",
        "2602,佐藤 花,サトウ ハナ,",
        "2603,ﾔﾏﾀﾞ ｼﾞﾛｳ,,",
    )
    text = "\n".join(rows)
    people = roster.read(table(tmp_path / "名簿.csv", text, "cp932"))
    taro, hana, jiro = people.people
    assert (taro.id, hana.id, jiro.id) == ("２６０１", "2602", "2603")
    for name in ("山田 太郎", "山田太郎", "太郎 山田", "ヤマダタロウ", "2601"):
        assert people.find(name)[0] == taro, name
    assert people.find("佐藤花")[0] == hana and people.find("ヤマダ ジロウ")[0] == jiro
    assert people.find("田中")[0] is None


def test_names_with_commas_quotes_and_formulas(tmp_path):
    text = 'id,name\n1,"O\'Neil ""JJ"", Jr., John"\n2,=1+1\n3,"line\nend"\n4,\x1b[31mred\n'
    people = roster.read(table(tmp_path / "r.csv", text))
    assert [person.name for person in people.people] == [
        'O\'Neil "JJ", Jr., John',
        "=1+1",
        "line\\u000aend",
        "\\u001b[31mred",
    ]
    assert people.find("john o'neil jj jr")[0].id == "1"


def test_nobody_is_taken_for_another(tmp_path):
    text = "id,name,email\n1,Taro Yamada,t1@x\n2,Yamada Taro,t2@x\n12345,Ken Kato,k@x\n4,Hana Suzuki,h@x\n"
    people = roster.read(table(tmp_path / "r.csv", text))
    nobody, why = people.find("Taro Yamada")
    assert nobody is None and "2 people of that name (1, 2)" in why
    assert people.find("2", "Taro Yamada")[0].id == "2", "the id decides between two of one name"
    nobody, why = people.find("12345", "suzukihana")  # a platform's number is somebody else's in the table
    assert nobody is None and "different people" in why
    assert people.find("x", "Hana Suzuki")[0].id == "4"
    assert people.find("x", "", "K@x")[0].id == "12345"


def test_an_id_and_a_name_together_are_found_and_must_agree(tmp_path):
    people = roster.read(table(tmp_path / "r.csv", "id,name\n2601,山田 太郎\n2602,佐藤 花\n"))
    for text in ("2601_山田太郎", "2601 山田 太郎", "山田太郎(2601)", "2601@太郎山田", "2601-山田"):
        found, _ = people.find(text)
        assert found is not None and found.id == "2601", text
    nobody, why = people.find("2601_佐藤花")
    assert nobody is None and "2601, 2602" in why


def test_an_id_twice_is_told_and_nobody_without_a_name_is_lost(tmp_path):
    people = roster.read(table(tmp_path / "r.csv", "id,name,email\n1,A B,\n1,C D,\n,E F,e@x\n,,\n,G H,\n"))
    assert [person.id for person in people.people] == ["1", "e@x", "G H"]
    assert people.notes == ["The roster has the id 1 twice (again in line 3); the first counts."]


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"", "no headings"),
        (b"taro,3\nhana,4\n", "no headings"),
        (b"id,name\n", "names nobody"),
        (b"\x81\xff\xfe,\n", "no text"),
        (b'id,name\n1,"' + b"x" * 200_000 + b'"\n', "no table"),
        (b"PK\x03\x04" + bytes(range(256)), "no "),
    ],
)
def test_what_is_no_roster_is_a_sentence(raw, word, tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=word):
        roster.read(path)


def test_learners_get_the_rosters_ids_and_who_is_missing_is_known(tmp_path):
    folder = tmp_path / "in"
    for name in ("yamadataro_11_1_a.ipynb", "suzukihana_12_2_a.ipynb", "gast_13_3_a.ipynb"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(notebook())
    text = "id,name,email\ns1,Taro Yamada,taro@x\ns2,Hana Suzuki,h@x\ns3,Ken Kato,k@x\n"
    intake = collect(folder, roster=table(tmp_path / "r.csv", text))
    assert [one.learner for one in intake.submissions] == ["13", "s1", "s2"]
    assert intake.people["s1"].email == "taro@x" and intake.submissions[1].name == "Taro Yamada"
    assert "Not found in the roster" in " ".join(intake.submissions[0].remarks), "the platform vouches for the guest"
    assert [person.id for person in intake.missing] == ["s3"]
    assert any("Ken Kato" in note for note in intake.notes)


@pytest.mark.parametrize(
    "text", ["Sunday, 1 November 2026, 10:20 AM", "Sunday, November 1, 2026, 10:20 AM", "2026年 11月 1日(日曜日) 10:20"]
)
def test_moodles_grading_worksheet_tells_the_times(text, tmp_path):
    folder = tmp_path / "in/Taro Yamada_1234567_assignsubmission_file_"
    folder.mkdir(parents=True)
    (folder / "a.ipynb").write_bytes(notebook())
    head = "Identifier,Full name,Email address,Status,Grade,Last modified (submission)"
    worksheet = table(tmp_path / "r.csv", f'{head}\nParticipant 1234567,Taro Yamada,t@x,Submitted,-,"{text}"\n')
    (one,) = collect(tmp_path / "in", roster=worksheet).submissions
    assert one.learner == "Participant 1234567" and one.clock == "platform"
    assert one.when == datetime(2026, 11, 1, 10, 20).astimezone()


def test_the_platforms_own_number_stays_known_beside_the_rosters_id(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/yamadataro_4711_1_a.ipynb").write_bytes(notebook())
    intake = collect(tmp_path / "in", roster=table(tmp_path / "r.csv", "id,name\ns1,Taro Yamada\n"))
    assert intake.people["s1"].number == "4711"


def test_a_mere_name_that_the_roster_lacks_or_has_twice_is_nobody(tmp_path):
    folder = tmp_path / "in"
    for name in ("taro/a.ipynb", "山田 太郎/a.ipynb", "syllabus/a.ipynb", "h@x/a.ipynb", "佐藤花.ipynb"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(notebook())
    text = "id,name,email\n1,山田太郎,taro@x\n2,鈴木 花,h@x\n3,佐藤 花,\n4,佐 藤花,\n"
    intake = collect(folder, roster=table(tmp_path / "r.csv", text))
    assert {one.learner for one in intake.submissions} == {"1", "2"}
    assert dict(intake.nobody).keys() == {"syllabus/a.ipynb", "佐藤花.ipynb"}
    assert "2 people of that name" in dict(intake.nobody)["佐藤花.ipynb"]
    taro = [one for one in intake.submissions if one.learner == "1"]
    assert len(taro) == 2 and not any(one.contested for one in taro), "the same answers: nothing is to be decided"


def test_a_roster_of_ten_thousand_is_read_at_once(tmp_path):
    text = io.StringIO()
    text.write("id,name,email\n")
    text.writelines(f"{i},Name{i} Family{i},n{i}@x\n" for i in range(10_000))
    people = roster.read(table(tmp_path / "r.csv", text.getvalue()))
    assert people.find("family9999 name9999")[0].id == "9999"
