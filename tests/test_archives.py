"""Zips as people and their systems pack them, and as somebody packs them who means harm."""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import tracemalloc
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course.grading import archives
from course.grading.archives import members
from course.grading.files import File

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")


def packed(things: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, content in things.items():
            archive.writestr(name, content)
    return raw.getvalue()


def outer(raw: bytes) -> File:
    def take(longest: int) -> bytes:
        assert len(raw) <= longest
        return raw

    return File(("work.zip",), ("work.zip",), len(raw), take=take)


def contents(raw: bytes) -> dict[str, bytes]:
    return {file.path: file.take(1_000_000) for file in members(outer(raw)) if not file.trouble}


def troubles(raw: bytes) -> dict[str, str]:
    return {file.path: file.trouble for file in members(outer(raw)) if file.trouble}


def test_the_files_are_read_and_leftovers_are_nobody():
    raw = packed({"a/b.ipynb": b"1", "c.ipynb": b"2", "__MACOSX/a/._b.ipynb": b"", "a/.DS_Store": b"", "d/": b"",
                  "a/.ipynb_checkpoints/b-checkpoint.ipynb": b"", "repo/.git/config": b""})  # fmt: skip
    assert contents(raw) == {"work.zip/a/b.ipynb": b"1", "work.zip/c.ipynb": b"2"}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("山田太郎.ipynb", "cp932"),
        ("表.ipynb", "cp932"),
        ("Jörg Müller.ipynb", "cp437"),
        ("山田.ipynb", "utf-8"),
    ],
)
def test_names_are_read_in_the_code_of_the_system_that_packed_them(name, code):
    raw = packed({"x" * len(name.encode(code)): b"1"})
    raw = raw.replace(b"x" * len(name.encode(code)), name.encode(code))
    assert list(contents(raw)) == [f"work.zip/{name}"]


def test_windows_own_separators_are_folders():
    raw = packed({"a#b.ipynb": b"1"}).replace(b"a#b", b"a\\b")
    assert list(contents(raw)) == ["work.zip/a/b.ipynb"]


@pytest.mark.parametrize("name", ["../x.ipynb", "a/../../x.ipynb", "/etc/x.ipynb", "C:/x.ipynb", "..\\..\\x.ipynb"])
def test_a_path_that_leads_out_is_not_read(name):
    assert ["leads out of the zip" in why for why in troubles(packed({name: b"1"})).values()] == [True]


def test_a_link_in_a_zip_is_not_read():
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        link = zipfile.ZipInfo("x.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "It is a link" in troubles(raw.getvalue())["work.zip/x.ipynb"]


def test_a_zip_with_a_password_is_a_sentence():
    raw = bytearray(packed({"x.ipynb": b"secret"}))
    raw[6] |= 1  # the mark in front of the member, and the one in the table of contents
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert "without a password" in troubles(bytes(raw))["work.zip/x.ipynb"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_methods_which_may_take_any_memory_are_refused(method):
    assert "unusual way" in troubles(packed({"x.ipynb": b"1" * 50}, method))["work.zip/x.ipynb"]


def test_a_bomb_is_not_unpacked():
    raw = packed({"x.ipynb": bytes(19_000_000), "big.ipynb": os.urandom(1) + bytes(30_000_000), "y.ipynb": b"1"})
    found = troubles(raw)
    assert "200 times as large" in found["work.zip/x.ipynb"] and "work.zip/big.ipynb" in found
    assert contents(raw) == {"work.zip/y.ipynb": b"1"}


def test_a_member_that_lies_about_its_size_is_cut_off():
    raw = bytearray(packed({"x.ipynb": bytes(50_000_000)}))
    place = raw.index(b"PK\x01\x02")
    raw[place + 24 : place + 28] = struct.pack("<L", 1_000)  # so it says
    (file,) = members(outer(bytes(raw)))
    assert file.size == 1_000 and not file.trouble
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"taken out of the zip|allowed"):
        file.take(2_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_too_many_members_are_a_sentence_and_cost_little():
    many = {f"{i}.ipynb": b"" for i in range(archives.MAX_MEMBERS + 1)}
    with pytest.raises(ValueError, match=r"holds 1,001 files"):
        members(outer(packed(many)))
    with ExitStack() as stack:
        assert len(members(outer(packed(many)), whole=stack)) == 1_001, "the teacher's own download may be large"
    entry = packed({"x": b""})
    entry = entry[entry.index(b"PK\x01\x02") : entry.index(b"PK\x05\x06")]
    table = entry * 200_000  # of a million members, a zip needs 50 MB and its table of contents 500 MB of memory
    raw = table + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(table), 0, 0)
    tracemalloc.start()
    with pytest.raises(ValueError, match="too many files"):
        members(outer(raw))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_the_form_for_giant_zips_cannot_carry_another_table():
    table = b"x" * 2_000_000
    giant = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(table), 0)
    giant += struct.pack("<4sLQL", b"PK\x06\x07", 0, len(table), 1)
    raw = table + giant + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 46, 0, 0)
    with pytest.raises(ValueError, match="too many files"):
        members(outer(raw))


@pytest.mark.parametrize(
    "raw", [b"", b"PK", b"PK\x05\x06", b"not a zip" * 100, packed({"x.ipynb": b"1"})[:-30], b"Rar!\x1a\x07"]
)
def test_what_is_no_zip_is_a_sentence(raw):
    with pytest.raises(ValueError, match="no zip that can be opened"):
        members(outer(raw))


WHOLE = packed({"a/x.ipynb": b"one" * 50, "山田.ipynb": b"two" * 50, "z.zip": packed({"y.ipynb": b"3"})})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 40))
def test_a_damaged_zip_never_raises_anything_but_a_sentence(changes, cut):
    raw = bytearray(WHOLE)
    for place, byte in changes:
        raw[place] = byte
    try:
        found = members(outer(bytes(raw[: len(raw) - cut])))
    except ValueError as error:
        assert str(error)
        return
    for file in found:
        try:
            assert len(file.take(1_000)) <= 1_000
        except ValueError as error:
            assert str(error)
