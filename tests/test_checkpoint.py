"""Checkpoints survive kills, full disks and closed folders; bad files are refused in a sentence."""

from __future__ import annotations

import builtins
import errno
import itertools
import json
import os
import pickle
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from course import checkpoint
from course.loop import weights_fingerprint
from course.train import TokenBatches, TrainConfig, train
from course.transformer import GPT, GPTConfig

ROOT = Path(__file__).parent.parent
POSIX = os.name == "posix"


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((3, 5), value), "half": torch.full((4,), value, dtype=torch.float16)}


def saved(folder: Path, value: float = 1.0, kind: str = "base") -> Path:
    return checkpoint.save(folder, tensors(value), {"kind": kind, "value": value})


def value_in(folder: Path) -> float:
    """The value that a checkpoint of `saved` holds, after a look at every part of it."""
    loaded, config = checkpoint.load(folder, expect="base")
    assert set(loaded) == {"weight", "half"}
    assert all((tensor == config["value"]).all() for tensor in loaded.values())
    return config["value"]


# --- what is saved comes back -------------------------------------------------------------------------------


def test_tensors_and_config_come_back_as_they_were(tmp_path):
    given_tensors = {
        "a": torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).t(),  # not contiguous
        "b": torch.tensor(3.5, dtype=torch.bfloat16),
        "c": torch.arange(7),
        "d": torch.nn.Parameter(torch.ones(2, dtype=torch.float16)),
    }
    given_tensors["shared"] = given_tensors["a"]
    config = {"kind": "training", "numbers": [0.1, 1e-300, -7], "nested": {"text": '東京 \n "', "none": None}}
    assert checkpoint.save(tmp_path / "x", given_tensors, config) == tmp_path / "x"
    loaded, again = checkpoint.load(tmp_path / "x", expect="training")
    assert {name: tensor.dtype for name, tensor in loaded.items()} == {
        name: tensor.dtype for name, tensor in given_tensors.items()
    }
    assert all(torch.equal(loaded[name], given_tensors[name]) for name in given_tensors)
    assert {key: again[key] for key in config} == config


texts = st.text(st.characters(codec="utf-8"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(value=json_values)
@settings(deadline=None)
def test_any_json_value_comes_back(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("json") / "x"
    checkpoint.save(folder, None, {"kind": "x", "value": value})
    loaded, config = checkpoint.load(folder)
    assert loaded == {}
    assert config["value"] == value


def test_keys_that_are_numbers_become_text_as_json_has_them(tmp_path):
    checkpoint.save(tmp_path / "x", None, {"kind": "x", "by_size": {10: (1, 2), 9: "b"}})
    assert checkpoint.load(tmp_path / "x")[1]["by_size"] == {"10": [1, 2], "9": "b"}


def test_inspect_gives_the_config_without_torch(tmp_path):
    saved(tmp_path / "x")
    program = (
        "import sys; from pathlib import Path; from course import checkpoint;"
        f"config = checkpoint.inspect(Path({str(tmp_path / 'x')!r}), expect='base');"
        "print(config['value'], 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1.0", "False"]


def test_saving_again_replaces_and_leaves_nothing_beside(tmp_path):
    for value in (1.0, 2.0, 3.0):
        saved(tmp_path / "x", value)
    assert value_in(tmp_path / "x") == 3.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == ["config.json", "model.safetensors"]


def test_exists_and_remove(tmp_path):
    folder = tmp_path / "deep" / "x"
    assert not checkpoint.exists(folder)
    checkpoint.remove(folder)  # nothing to do is no error
    saved(folder)
    assert checkpoint.exists(folder)
    checkpoint.remove(folder)
    assert not checkpoint.exists(folder)
    assert list(folder.parent.iterdir()) == []


def test_a_link_is_followed_not_replaced(tmp_path):
    if not POSIX:  # links need rights there that learners lack
        return
    saved(tmp_path / "elsewhere", 1.0)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    saved(tmp_path / "link", 2.0)
    assert (tmp_path / "link").is_symlink()
    assert value_in(tmp_path / "elsewhere") == 2.0


# --- refusals, each with a sentence -------------------------------------------------------------------------


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    config["sha256"] = checkpoint._config_hash(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def as_pickle(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder / "owned"),)

    (folder / "model.safetensors").write_bytes(pickle.dumps({"weight": Trap()}))


def as_torch_save(folder: Path) -> None:
    torch.save({"weight": torch.ones(3)}, folder / "model.safetensors")


def truncated(name: str, keep: int) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return cut


TENSORS, CONFIG = "model.safetensors", "config.json"


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def edited(folder: Path) -> None:
    (folder / CONFIG).write_text((folder / CONFIG).read_text(encoding="utf-8").replace("1.0", "2.0"), encoding="utf-8")


# What happens to the folder, the type of the error, the file it names, a word of its reason.
DAMAGES: dict[str, tuple[Callable[[Path], object], type[Exception], str, str]] = {
    "no tensors": (lambda folder: (folder / TENSORS).unlink(), FileNotFoundError, TENSORS, "missing"),
    "no config": (lambda folder: (folder / CONFIG).unlink(), FileNotFoundError, CONFIG, "missing"),
    "tensors cut off": (truncated(TENSORS, 60), ValueError, TENSORS, "has 60 bytes"),
    "tensors empty": (truncated(TENSORS, 0), ValueError, TENSORS, "has 0 bytes"),
    "config cut off": (truncated(CONFIG, 40), ValueError, CONFIG, "should be JSON"),
    "config empty": (truncated(CONFIG, 0), ValueError, CONFIG, "should be JSON"),
    "config is a list": (written(CONFIG, b"[1]"), ValueError, CONFIG, "format"),
    "config of deep brackets": (written(CONFIG, b"[" * 100_000), ValueError, CONFIG, "should be JSON"),
    "config is no text": (written(CONFIG, b"\xff\xfe\x00"), ValueError, CONFIG, "should be JSON"),
    "config of Hugging Face": (written(CONFIG, b'{"model_type": "gpt2"}'), ValueError, CONFIG, "huggingface"),
    "config edited by hand": (edited, ValueError, CONFIG, "SHA-256"),
    "a flipped bit": (lambda folder: flip(folder / TENSORS, -1), ValueError, TENSORS, "SHA-256"),
    "a flipped bit in front": (lambda folder: flip(folder / TENSORS, 0), ValueError, TENSORS, "SHA-256"),
    "another kind": (lambda f: change_config(f, kind="sft"), ValueError, CONFIG, '"sft", and "base" is'),
    "a newer version": (lambda f: change_config(f, format_version=99), ValueError, CONFIG, "Update the"),
    "an older version": (lambda f: change_config(f, format_version=0), ValueError, CONFIG, "version 0"),
    "another model": (
        lambda folder: save_file({"other": torch.zeros(3)}, folder / TENSORS),
        ValueError, TENSORS, "exchanged",
    ),
    "a pickle": (as_pickle, ValueError, TENSORS, "is a pickle"),
    "a file of torch.save": (as_torch_save, ValueError, TENSORS, "is a pickle"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_with_the_file_the_reason_and_advice(tmp_path, damage):
    harm, error, name, reason = DAMAGES[damage]
    folder = saved(tmp_path / "x")
    harm(folder)
    for read in (checkpoint.load, checkpoint.inspect):
        with pytest.raises(error) as caught:
            read(folder, expect="base")
        sentence = str(caught.value)
        assert str(folder / name) in sentence
        assert reason in sentence
        assert any(advice in sentence for advice in ("make it again", "Give another folder"))
        assert type(caught.value) is error
    assert not (folder / "owned").exists(), "a pickle was opened"
    assert checkpoint.exists(folder), "there is something to be replaced"
    saved(folder, 2.0)  # saving again repairs it
    assert value_in(folder) == 2.0


def test_bytes_that_are_no_safetensors_are_refused_even_when_the_hashes_fit(tmp_path):
    folder = saved(tmp_path / "x")
    junk = b"not tensors at all"
    (folder / "model.safetensors").write_bytes(junk)
    change_config(folder, tensors_size=len(junk), tensors_sha256=checkpoint.hashlib.sha256(junk).hexdigest())
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold safetensors .*make it again"):
        checkpoint.load(folder)


def test_tensors_that_look_like_a_pickle_are_loaded_when_the_hash_says_they_are_tensors(tmp_path):
    for length in range(1, 260):  # some header has the length that a pickle begins with
        data = checkpoint._serialise({"x" * length: torch.tensor([ord(".")] * 9, dtype=torch.uint8)})
        if data[:1] == b"\x80":
            break
    assert data[:1] == b"\x80" and data[-1:] == b"."
    checkpoint.save(tmp_path / "x", {"x" * length: torch.tensor([ord(".")] * 9, dtype=torch.uint8)}, {})
    assert checkpoint.load(tmp_path / "x")[0]["x" * length].tolist() == [ord(".")] * 9


def test_a_checkpoint_without_a_kind_is_not_of_the_kind_expected(tmp_path):
    checkpoint.save(tmp_path / "x", None, {})
    with pytest.raises(ValueError, match='kind "None", and "base" is expected'):
        checkpoint.load(tmp_path / "x", expect="base")


def test_nothing_at_all_is_a_sentence_too(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing holds no checkpoint: .* is expected\. Make one"):
        checkpoint.load(tmp_path / "nothing")
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"model\.pt is a file, not a folder"):
        checkpoint.load(tmp_path / "model.pt")


@pytest.mark.parametrize("config", [{"x": object()}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": torch.ones(1)}])
def test_a_config_that_is_not_ready_for_json_is_refused_before_anything_is_written(tmp_path, config):
    saved(tmp_path / "x")
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        checkpoint.save(tmp_path / "x", None, config)
    assert value_in(tmp_path / "x") == 1.0


def test_a_config_cannot_claim_the_checkpoints_own_notes(tmp_path):
    with pytest.raises(ValueError, match="sha256"):
        checkpoint.save(tmp_path / "x", None, {"sha256": "0" * 64})


def test_files_of_other_people_are_neither_replaced_nor_removed(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    for act in (saved, checkpoint.remove):
        with pytest.raises(FileExistsError, match=r"thesis\.txt.*would be lost; move them"):
            act(folder)
    (tmp_path / "file").write_text("work too", encoding="utf-8")
    for act in (saved, checkpoint.remove):
        with pytest.raises(FileExistsError, match="is a file"):
            act(tmp_path / "file")
    assert (folder / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    assert (tmp_path / "file").read_text(encoding="utf-8") == "work too"


def test_what_file_browsers_leave_behind_is_no_hindrance(tmp_path):
    folder = saved(tmp_path / "x")
    (folder / ".DS_Store").write_bytes(b"")
    saved(folder, 2.0)
    assert value_in(folder) == 2.0


# --- disks that are full, folders that are closed -----------------------------------------------------------


def failing(number: int, real: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
    def call(*arguments: Any, **how: Any) -> Any:
        if when(*arguments):
            raise OSError(number, os.strerror(number), str(arguments[0]))
        return real(*arguments, **how)

    return call


@pytest.mark.parametrize(("on_windows", "number"), [(True, errno.EACCES), (True, errno.EROFS), (False, errno.EACCES)])
def test_on_windows_a_file_in_use_is_named_as_a_reason(tmp_path, monkeypatch, on_windows, number):
    monkeypatch.setattr(checkpoint, "WINDOWS", on_windows)
    monkeypatch.setattr(os, "mkdir", failing(number, os.mkdir, lambda *_: True))
    with pytest.raises(OSError, match="change the permissions") as caught:
        saved(tmp_path / "x")
    in_use = "or another program has it open: close it" in str(caught.value)
    assert in_use == (on_windows and number == errno.EACCES)  # Windows refuses what is in use as it does what is closed


def test_an_old_checkpoint_that_cannot_be_deleted_is_no_failure_since_the_new_one_is_in_place(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.time, "sleep", lambda seconds: None)
    folder = saved(tmp_path.resolve() / "x", 1.0)
    with monkeypatch.context() as held:  # on Windows, by a program that reads it

        def old_goes(source: Path, target: Path) -> bool:
            return Path(source).name == "x.old"

        held.setattr(os, "rename", failing(errno.EACCES, os.rename, old_goes))
        saved(folder, 2.0)
    assert value_in(folder) == 2.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "x.old"]
    saved(folder, 3.0)  # the next saving clears up
    assert value_in(folder) == 3.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


@pytest.mark.parametrize("operation", ["mkdir", "open", "fsync", "rename the old one", "rename the new one"])
@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, OSError, "no room left on the disk: free 1 MB"),
        (errno.EACCES, PermissionError, "the system forbids it: change the permissions, or let COURSE_HOME"),
        (errno.EROFS, OSError, "the system forbids it: change the permissions, or let COURSE_HOME"),
        (errno.EIO, OSError, "check the folder, or let COURSE_HOME"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence_and_the_old_checkpoint_stays(
    tmp_path, monkeypatch, operation, number, kind, advice
):
    if not POSIX and number == errno.EACCES:
        monkeypatch.setattr(checkpoint.time, "sleep", lambda seconds: None)
    folder = saved(tmp_path.resolve() / "x", 1.0)
    with monkeypatch.context() as broken:
        if operation == "mkdir":
            broken.setattr(os, "mkdir", failing(number, os.mkdir, lambda *_: True))
        elif operation == "open":
            closed = failing(number, builtins.open, lambda *_: True)
            broken.setattr(checkpoint, "open", closed, raising=False)
        elif operation == "fsync":
            broken.setattr(os, "fsync", failing(number, os.fsync, lambda *_: True))
        else:
            # step 2 renames the folder away, step 3 renames the new one to it; its rescue is left alone
            moves = {
                "rename the old one": lambda source, target: Path(source) == folder,
                "rename the new one": lambda source, target: Path(target) == folder and Path(source).suffix == ".tmp",
            }
            broken.setattr(os, "rename", failing(number, os.rename, moves[operation]))
        with pytest.raises(kind) as caught:
            saved(folder, 2.0)
    assert str(folder) in str(caught.value) and advice in str(caught.value)
    assert str(caught.value).endswith("What was there before is unchanged.")
    assert caught.value.errno == number
    assert value_in(folder) == 1.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"], "half a checkpoint was left behind"
    saved(folder, 2.0)  # when the disk works again, so does saving
    assert value_in(folder) == 2.0


if POSIX:

    def test_a_file_that_really_cannot_grow_is_reported_as_a_full_disk(tmp_path):
        import resource

        folder = saved(tmp_path / "x")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(OSError, match="no room left on the disk: free 4 MB"):
                checkpoint.save(folder, {"weight": torch.zeros(1_000_000)}, {"kind": "base"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert value_in(folder) == 1.0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]

    def test_a_folder_that_is_really_closed_is_a_sentence(tmp_path):
        closed = tmp_path / "closed"
        closed.mkdir()
        as_nobody = """
import os, sys
from pathlib import Path
from course import checkpoint
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)          # root may write anywhere
closed = Path(sys.argv[1])
for act in (lambda: checkpoint.save(closed / "x", None, {}), lambda: checkpoint.probe(closed)):
    try:
        act()
    except PermissionError as error:
        print(error)
"""
        closed.chmod(0o555)
        tmp_path.chmod(0o755)
        for above in list(tmp_path.parents)[:3]:  # pytest's own folders let only their owner pass
            if above.name.startswith("pytest-"):
                above.chmod(0o755)
        said = subprocess.run(
            [sys.executable, "-c", as_nobody, str(closed)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert said.count("the system forbids it") == 2, said

    def syncing_folders_fails(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        failing_fsync = failing(number, os.fsync, lambda handle: stat.S_ISDIR(os.fstat(handle).st_mode))
        monkeypatch.setattr(os, "fsync", failing_fsync)

    def test_names_that_the_disk_does_not_take_are_a_sentence(tmp_path, monkeypatch):
        syncing_folders_fails(monkeypatch, errno.EIO)
        with pytest.raises(OSError, match="could not be written"):
            saved(tmp_path / "x")

    def test_a_network_drive_that_cannot_sync_folders_is_no_hindrance(tmp_path, monkeypatch):
        syncing_folders_fails(monkeypatch, errno.EINVAL)
        assert value_in(saved(tmp_path / "x")) == 1.0


def test_a_file_in_the_place_of_a_parent_folder_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(OSError, match=r"could not be written; .*: check the folder, or let COURSE_HOME"):
        saved(tmp_path / "file" / "x")
    with pytest.raises(OSError, match="Nothing can be written in"):
        checkpoint.probe(tmp_path / "file")


def test_a_checkpoint_that_may_not_be_read_is_a_sentence(tmp_path, monkeypatch):
    folder = saved(tmp_path / "x")
    monkeypatch.setattr(Path, "read_bytes", failing(errno.EACCES, Path.read_bytes, lambda *_: True))
    with pytest.raises(PermissionError, match=r"x could not be read; the system forbids it"):
        checkpoint.load(folder)


def test_probe_leaves_nothing_behind(tmp_path):
    checkpoint.probe(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_ctrl_c_between_the_renames_puts_the_old_one_back(tmp_path, monkeypatch):
    folder = saved(tmp_path.resolve() / "x")
    rename = os.rename

    def interrupted(source: Path, target: Path) -> None:
        if Path(target) == folder and Path(source).suffix == ".tmp":
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            saved(folder, 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]
    assert value_in(folder) == 1.0


if POSIX:

    def test_the_disk_has_the_new_one_before_the_old_one_goes(tmp_path, monkeypatch):
        """Steps 1 to 4 in their order: both files and the names in the new folder, the renames, the names beside."""
        folder = saved(tmp_path.resolve() / "x")
        told: list[str] = []
        fsync, rename = os.fsync, os.rename

        def name(path: Path) -> str:
            return "tmp" if path.suffix == ".tmp" else path.name

        def fsync_and_tell(handle: int) -> None:
            synced = os.fstat(handle)
            path = next(p for p in (folder.parent, *folder.parent.rglob("*")) if os.path.samestat(p.stat(), synced))
            told.append(f"sync {name(path)}")
            fsync(handle)

        def rename_and_tell(source: Path, target: Path) -> None:
            told.append(f"{name(Path(source))} -> {name(Path(target))}")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", fsync_and_tell)
        monkeypatch.setattr(os, "rename", rename_and_tell)
        saved(folder, 2.0)
        assert told == [
            "sync model.safetensors", "sync config.json", "sync tmp",
            "x -> x.old", "tmp -> x", f"sync {folder.parent.name}", "x.old -> tmp",
        ]  # fmt: skip


# --- kills --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a kill: after it, nothing of the program reaches the disk any more."""


def save_until(monkeypatch: pytest.MonkeyPatch, folder: Path, value: float, allowed: int) -> bool:
    """Save, but die before the operation number `allowed` on the disk. Returns whether it got to its end."""
    done = itertools.count()

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **how: Any) -> Any:
            if next(done) >= allowed:
                raise Killed
            return real(*arguments, **how)

        return call

    with monkeypatch.context() as mortal:
        for module, name in [(os, "rename"), (os, "mkdir"), (os, "fsync"), (os, "unlink"), (os, "rmdir")]:
            mortal.setattr(module, name, dying(getattr(module, name)))
        mortal.setattr(checkpoint, "open", dying(builtins.open), raising=False)
        mortal.setattr(shutil, "rmtree", dying(shutil.rmtree))
        try:
            saved(folder, value)
        except Killed:
            return False
        return True


def test_a_kill_between_any_two_operations_leaves_the_old_or_the_new_checkpoint(tmp_path, monkeypatch):
    seen = []
    for allowed in itertools.count():
        folder = tmp_path / str(allowed) / "x"
        saved(folder, 1.0)
        finished = save_until(monkeypatch, folder, 2.0, allowed)
        assert checkpoint.exists(folder)
        seen.append(value_in(folder))
        saved(folder, 3.0)  # and the next saving is not hindered
        assert value_in(folder) == 3.0
        if finished:
            break
    assert seen == sorted(seen), "first the old one, then the new one"
    assert {1.0, 2.0} == set(seen) and len(seen) > 8


def test_two_kills_in_a_row_leave_a_whole_checkpoint_too(tmp_path, monkeypatch):
    for first, second in itertools.product(range(0, 14), repeat=2):
        folder = tmp_path / f"{first}-{second}" / "x"
        saved(folder, 1.0)
        save_until(monkeypatch, folder, 2.0, first)
        save_until(monkeypatch, folder, 3.0, second)
        assert value_in(folder) in (1.0, 2.0, 3.0)


def test_after_a_kill_between_the_renames_the_checkpoint_can_be_removed_for_good(tmp_path):
    folder = saved(tmp_path / "x")
    folder.rename(tmp_path / "x.old")
    assert checkpoint.exists(folder) and value_in(folder) == 1.0
    checkpoint.remove(folder)
    assert not checkpoint.exists(folder)
    assert list(tmp_path.iterdir()) == []


def with_an_older_one(folder: Path) -> Path:
    """2.0, and 1.0 in the folder beside: as a kill between steps 3 and 4 leaves them."""
    saved(folder, 2.0)
    saved(folder.parent / "elsewhere" / folder.name, 1.0).rename(folder.with_name(folder.name + ".old"))
    return folder


def test_after_a_kill_behind_the_renames_the_newer_one_is_read(tmp_path):
    assert value_in(with_an_older_one(tmp_path / "x")) == 2.0


def test_a_kill_while_it_is_removed_does_not_bring_the_older_one_back(tmp_path, monkeypatch):
    folder = with_an_older_one(tmp_path.resolve() / "x")
    rename, done = os.rename, itertools.count()

    def dying(*how: Any) -> None:
        if next(done):
            raise Killed
        rename(*how)

    with monkeypatch.context() as mortal:
        mortal.setattr(os, "rename", dying)
        with pytest.raises(Killed):
            checkpoint.remove(folder)
    assert value_in(folder) == 2.0


def test_removing_a_checkpoint_sweeps_away_what_kills_left_beside_it(tmp_path):
    folder = saved(tmp_path / "x")
    (tmp_path / ".x.0badcafe.tmp").mkdir()
    checkpoint.remove(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """Somebody saves between the reading of the config and that of the tensors."""
    folder = saved(tmp_path / "x", 1.0)
    read, once = checkpoint._read_tensors, iter([True])

    def meanwhile(*how: Any) -> bytes | None:
        if next(once, False):
            saved(folder, 2.0)
        return read(*how)

    monkeypatch.setattr(checkpoint, "_read_tensors", meanwhile)
    assert value_in(folder) == 2.0


def test_leftovers_of_kills_are_swept_away(tmp_path):
    leftover = tmp_path / ".x.0badcafe.tmp"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    saved(tmp_path / "x")
    assert leftover.exists(), "it may belong to a saving that is still going on"
    long_ago = time.time() - 3600
    os.utime(leftover, (long_ago, long_ago))
    saved(tmp_path / "x")
    assert not leftover.exists()


SAVE_FOR_EVER = """
import itertools, sys
from pathlib import Path
import numpy, safetensors.numpy
from course import checkpoint

checkpoint._serialise = safetensors.numpy.save     # without torch, so that thirty programs start quickly
print("ready", flush=True)
for n in itertools.count():
    n %= 256
    checkpoint.save(Path(sys.argv[1]), {"x": numpy.full(300_000, n, "uint8")}, {"kind": "base", "n": n})
"""


def test_thirty_six_programs_killed_while_saving_leave_a_whole_checkpoint(tmp_path):
    folder = tmp_path / "x"
    chance = random.Random(0)
    numbers = set()
    for _ in range(36):
        program = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        with program.stdout as said:
            assert said.readline().strip() == "ready"
            time.sleep(chance.uniform(0.01, 0.06))
            program.kill()
            program.wait()
        if checkpoint.exists(folder):  # the very first saving may not have ended
            loaded, config = checkpoint.load(folder, expect="base")
            assert (loaded["x"] == config["n"]).all()
            numbers.add(config["n"])
    assert len(numbers) > 1, "no program got as far as saving twice: the machine is too slow for this test"


def test_reading_while_another_program_saves_gives_a_whole_checkpoint(tmp_path):
    folder = tmp_path / "x"
    program = subprocess.Popen(
        [sys.executable, "-c", SAVE_FOR_EVER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None and program.stdout.readline().strip() == "ready"
        while not checkpoint.exists(folder):
            time.sleep(0.01)
        for _ in range(100):
            loaded, config = checkpoint.load(folder, expect="base")
            assert (loaded["x"] == config["n"]).all()
    finally:
        program.kill()
        program.communicate()


# --- an interrupted training --------------------------------------------------------------------------------


def small_training() -> tuple[GPT, TokenBatches, TrainConfig]:
    """A training of some hundred quick steps."""
    torch.set_num_threads(1)
    config = GPTConfig(vocab_size=31, context_length=8, n_layer=1, n_head=2, d_model=16)
    model = GPT(config, torch.Generator().manual_seed(0))
    tokens = torch.randint(31, (200,), generator=torch.Generator().manual_seed(1))
    return model, TokenBatches(tokens, 4, 8, seed=2), TrainConfig(steps=200, warmup=10, precision="float32")


def train_in_a_program(folder: Path) -> None:
    """What the interrupted programs run: train, save and say every step, at last a fingerprint."""
    model, batches, config = small_training()
    for record in train(model, batches, config, checkpoint=folder, save_seconds=0.0, progress=False):
        if not record.replayed:
            print(record.step, flush=True)
    print("weights", weights_fingerprint(model), flush=True)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT] if POSIX else [signal.SIGTERM])
def test_a_training_that_is_interrupted_again_and_again_ends_with_the_same_weights(tmp_path, how):
    threads = torch.get_num_threads()
    try:
        model, batches, config = small_training()
        for _ in train(model, batches, config, progress=False):
            pass
    finally:
        torch.set_num_threads(threads)
    program = (
        "import importlib.util, sys; from pathlib import Path;"
        f"spec = importlib.util.spec_from_file_location('this_test', {str(Path(__file__))!r});"
        "this_test = importlib.util.module_from_spec(spec); spec.loader.exec_module(this_test);"
        "this_test.train_in_a_program(Path(sys.argv[1]))"
    )
    chance = random.Random(int(how))
    said: list[str] = []
    for stop_after in (40, 60, None):  # steps that each program may do before it is interrupted
        running = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "base.partial")],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert running.stdout is not None
        if stop_after is not None:
            said += [running.stdout.readline().strip() for _ in range(stop_after)]
            time.sleep(chance.uniform(0.0, 0.02))
            running.send_signal(how)
            running.communicate()
            assert running.returncode != 0
        else:
            rest, wrong = running.communicate()
            assert running.returncode == 0, wrong
            said += rest.split("\n")[:-1]
    assert said[-1] == f"weights {weights_fingerprint(model)}"
    steps = [int(line) for line in said[:-1]]
    assert steps[-1] == config.steps - 1
    assert len(steps) < config.steps + 10, "the interrupted programs' work was not done again"


def test_two_programs_that_save_in_one_place_do_not_stop_each_other(tmp_path):
    folder = saved(tmp_path / "base")
    code = (
        "import sys, torch; from pathlib import Path; from course import checkpoint\n"
        f"for i in range(60): checkpoint.save(Path({str(folder)!r}), {{'w': torch.full((3,), float(i))}}, "
        "{'kind': 'base'})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert checkpoint.load(folder)[0]["w"][0] == 59
