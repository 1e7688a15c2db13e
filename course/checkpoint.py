"""Checkpoints: how numbers get onto the disk so that they are still there after a power cut.

A checkpoint is a folder with two files: `model.safetensors` holds the tensors, `config.json` says what they
are. safetensors is names, shapes and raw numbers. A pickle, which `torch.save` writes, is a program that runs
when it is opened: a file from a stranger could do anything. So nothing here ever unpickles.

Writing takes time and may be cut off at any moment. The old checkpoint therefore stays until the new one is
whole:

    1. write the new one into a folder beside it, and wait until the disk has it (fsync)
    2. rename    name      ->  name.old
    3. rename    new one   ->  name
    4. delete    name.old

A kill before 2 leaves the old one, after 3 the new one, and between them `name.old`, which `load` then reads.
Checksums (SHA-256) in `config.json` show any byte that has changed since.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WINDOWS = os.name == "nt"
FORMAT = "chatgpt-from-scratch"
VERSION = 1  # of the files; raised when older code cannot read them
TENSORS, CONFIG = "model.safetensors", "config.json"
RESERVED = ("format", "format_version", "tensors_size", "tensors_sha256", "sha256")  # added by `save`
HARMLESS = (".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints")  # left behind by file browsers


def save(folder: Path, tensors: Mapping[str, Tensor] | None, config: Mapping[str, Any]) -> Path:
    """Write a checkpoint, in place of the one in `folder` if there is one.

    tensors: stored in their dtypes, from any device; None for a checkpoint that is all config.
    config: ready for JSON; by custom "kind" says what this is. Returns `folder`.
    Raises OSError (PermissionError, …) when it cannot be written, FileExistsError when the folder holds other
    files, TypeError when the config is not ready for JSON. Each time, what was there before stays there.
    """
    folder = Path(folder)
    taken = sorted(set(config) & set(RESERVED))
    if taken:
        raise ValueError(f"The config's {', '.join(taken)} would hide what the checkpoint itself notes; rename it.")
    data = None if tensors is None else _serialise(tensors)
    header: dict[str, Any] = {**config, "format": FORMAT, "format_version": VERSION}
    if data is not None:
        header |= {"tensors_size": len(data), "tensors_sha256": hashlib.sha256(data).hexdigest()}
    try:
        header = json.loads(json.dumps(header))  # as it will be read: tuples become lists, keys become text
        header["sha256"] = _config_hash(header)
        text = _layout(header).encode()
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The config for {folder} cannot be written as JSON ({error}); use plain Python values."
        ) from None
    with _plain_errors(f"{folder} could not be written", len(data or b"") + len(text)):
        real = folder.resolve()  # where a link points to
        real.parent.mkdir(parents=True, exist_ok=True)
        _refuse_to_replace_others(real)
        _sweep(real, older_than=600.0)
        new = _beside(real)
        try:
            new.mkdir()
            if data is not None:
                _write(new / TENSORS, data)
            _write(new / CONFIG, text)
            _sync_folder(new)
            _swap(new, real)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return folder


def load(folder: Path, expect: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a checkpoint: (tensors on the CPU, config). `expect`: the kind that it must be.

    The config comes with the notes of `save` (see `RESERVED`). Raises FileNotFoundError when a file is
    missing, ValueError when one is damaged, foreign, of another kind or of another version of the course.
    """
    data, config, place = _read(Path(folder), expect)
    if data is None:
        return {}, config
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load(data), config
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{place / TENSORS} does not hold safetensors ({error}). {_again(Path(folder))}") from None


def inspect(folder: Path, expect: str | None = None) -> dict[str, Any]:
    """The config alone, after the checks of `load` and with its errors, but without torch."""
    return _read(Path(folder), expect)[1]


def exists(folder: Path) -> bool:
    """Is there a checkpoint, whole or damaged? Raises OSError where nobody may look."""
    with _plain_errors(f"{folder} could not be read"):
        return _place(Path(folder)) is not None


def remove(folder: Path) -> None:
    """Delete a checkpoint and what interrupted savings left beside it; nothing happens if there is none.

    Raises FileExistsError when the folder holds other files, OSError when it cannot be deleted.
    """
    with _plain_errors(f"{folder} could not be deleted"):
        real = Path(folder).resolve()
        _refuse_to_replace_others(real)
        for path in (_old(real), real):  # in this order: the older one must not come back
            if path.exists():
                _discard(path, real)
        _sweep(real, older_than=0.0)


def check_free(folder: Path) -> None:
    """Raise FileExistsError, with the sentence that `save` would have, if `folder` is a file or holds other files."""
    with _plain_errors(f"{folder} could not be read"):
        _refuse_to_replace_others(folder.resolve())


def probe(folder: Path) -> None:
    """Raise OSError, with the sentence that `save` would have, if nothing can be written in `folder`."""
    with _plain_errors(f"Nothing can be written in {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        path = _beside(folder / "probe")
        try:
            _write(path, b"course")
        finally:
            path.unlink(missing_ok=True)


# --- writing ------------------------------------------------------------------------------------------------


def _serialise(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a safetensors file. Copies, since the format knows no shared memory."""
    import safetensors.torch
    import torch

    copies = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    return safetensors.torch.save(copies, metadata={"format": "pt"})


def _layout(config: Mapping[str, Any]) -> str:
    """A config as JSON, one entry per line: short, and still to be read in any editor."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in config.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a config without its own "sha256", however its JSON is laid out."""
    rest = {key: value for key, value in config.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder. Windows has no such call, and needs none."""
    if WINDOWS:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network drives cannot; that is no reason to fail
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _swap(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`: steps 2 to 4 of the module's docstring."""
    for again in range(50, -1, -1):
        try:
            _swap_once(new, folder)
            break
        except OSError as error:  # another program saves here at this moment: after it, it is our turn
            if not again or not new.exists() or error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
            time.sleep(0.01)
    _sync_folder(folder.parent)
    with suppress(OSError):  # somebody else was faster, or reads it: the new one is in place, the next saving clears up
        if _old(folder).exists():
            _discard(_old(folder), folder)


def _swap_once(new: Path, folder: Path) -> None:
    old = _old(folder)
    if folder.exists():
        if old.exists():  # left by a kill between steps 3 and 4
            _discard(old, folder)
        _rename(folder, old)
    try:
        _rename(new, folder)
    except BaseException:  # also Ctrl-C
        if old.exists() and not folder.exists():
            _rename(old, folder)
        raise


def _rename(source: Path, target: Path) -> None:
    """Rename a folder. On Windows a virus scanner may hold a file for a moment: try again for two seconds."""
    for pause in (0.05, 0.1, 0.2, 0.4, 0.8, 0.8):
        try:
            return os.rename(source, target)
        except PermissionError:
            if not WINDOWS:
                raise
            time.sleep(pause)
    os.rename(source, target)


def _beside(folder: Path) -> Path:
    """A new name beside `folder`, for what is unfinished or to be deleted."""
    return folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")


def _discard(path: Path, folder: Path) -> None:
    """Delete a folder. It loses its name first, so that a kill leaves no half of it under that name."""
    trash = _beside(folder)
    _rename(path, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _sweep(folder: Path, older_than: float) -> None:
    """Delete what savings that were killed left beside `folder`, if it is this many seconds old."""
    for path in folder.parent.glob(f".{folder.name}.*.tmp"):
        try:
            if time.time() - path.stat().st_mtime >= older_than:
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # somebody else was faster
            continue


def _refuse_to_replace_others(folder: Path) -> None:
    """Raise FileExistsError when `folder` is a file, or holds files that no checkpoint has."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # also while another program is putting its own in place
        return
    except NotADirectoryError:
        raise FileExistsError(f"{folder} is a file, and a folder is to be written there; move or rename it.") from None
    others = sorted(set(names) - {TENSORS, CONFIG, *HARMLESS})
    if others:
        raise FileExistsError(
            f"{folder} holds files that are not the course's ({', '.join(others[:3])}), which would be lost; "
            "move them elsewhere and try again."
        )


@contextmanager
def _plain_errors(what: str, size: int = 0) -> Iterator[None]:
    """Turn what the system says ("[Errno 28] …") into a sentence that says what to do; the type stays.

    what: "… could not be written". size: the bytes to be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a sentence of ours
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            why = f"there is no room left on the disk: free {max(1, round(size / 1e6))} MB and try again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            why = "the system forbids it: change the permissions, or let COURSE_HOME name a folder of yours"
            if WINDOWS and error.errno == errno.EACCES:
                why += "; or another program has it open: close it"
        else:
            why = f"{error.strerror}: check the folder, or let COURSE_HOME name another"
        unchanged = " What was there before is unchanged." if size else ""
        sentence = type(error)(f"{what}; {why}.{unchanged}")
        sentence.errno = error.errno
        raise sentence from error


# --- reading ------------------------------------------------------------------------------------------------


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def _place(folder: Path) -> Path | None:
    """Where the checkpoint lies: in `folder`, or in its .old after a kill between the two renames."""
    for path in (folder, _old(folder), folder):  # again, for a saving that ended between the first two looks
        if path.is_dir() and any((path / name).exists() for name in (CONFIG, TENSORS)):
            return path
    return None


def _again(folder: Path) -> str:
    return f"Delete the folder {folder} and make it again, or put back a copy."


def _read(folder: Path, expect: str | None) -> tuple[bytes | None, dict[str, Any], Path]:
    """(bytes of the tensors, config, the folder they lie in), all checked."""
    with _plain_errors(f"{folder} could not be read"):
        while True:
            place, stamp = _look(folder)
            if place is None:
                what = "is a file, not a folder" if folder.is_file() else "holds no checkpoint"
                raise FileNotFoundError(
                    f"{folder} {what}: a folder with {CONFIG} is expected. Make one first, or give the right path."
                )
            try:
                config = _read_config(place / CONFIG, folder)
                _check_kind(config, expect, place / CONFIG, folder)
                return _read_tensors(place / TENSORS, config, folder), config, place
            except (FileNotFoundError, ValueError):
                if (place, stamp) == _look(folder):  # else somebody saved while we read: look again
                    raise


def _look(folder: Path) -> tuple[Path | None, tuple[int, int] | None]:
    """Where the checkpoint lies, and a stamp that changes with every save; both of one look.

    Another program may move the folder between the two questions: then it is looked for again. A checkpoint
    without a config has no stamp, however often one looks.
    """
    for _ in range(3):
        place = _place(folder)
        if place is None:
            return None, None
        try:
            found = (place / CONFIG).stat()
        except FileNotFoundError:  # renamed this moment, or not there
            continue
        return place, (found.st_ino, found.st_mtime_ns)
    return place, None


def _read_config(path: Path, folder: Path) -> dict[str, Any]:
    """The config, if it is one that `save` wrote and nobody changed."""
    try:
        config = json.loads(path.read_bytes().decode())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} is missing, which says what the tensors beside it are. {_again(folder)}"
        ) from None
    except (ValueError, RecursionError):  # not UTF-8, or not JSON
        raise ValueError(f"{path} is damaged: it should be JSON, and is not. {_again(folder)}") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise ValueError(
            f'{path} was not written by this course: its "format" should be "{FORMAT}". Give another folder; '
            "a checkpoint of Hugging Face is loaded by course.huggingface."
        )
    version = config.get("format_version")
    if version != VERSION:
        newer = isinstance(version, int) and version > VERSION
        todo = "Update the course, or delete the folder" if newer else "Delete the folder"
        raise ValueError(
            f"{path} has format version {version!r}, and this version of the course reads {VERSION}. "
            f"{todo} {folder} and make it again."
        )
    if config.get("sha256") != _config_hash(config):
        raise ValueError(f"{path} is damaged: its SHA-256 is not the one noted in it. {_again(folder)}")
    return config


def _check_kind(config: dict[str, Any], expect: str | None, path: Path, folder: Path) -> None:
    if expect is not None and config.get("kind") != expect:
        raise ValueError(
            f'{path} is of the kind "{config.get("kind")}", and "{expect}" is expected. Give the folder of '
            f"that kind, or delete {folder} and make it again."
        )


def _read_tensors(path: Path, config: dict[str, Any], folder: Path) -> bytes | None:
    """The bytes of the tensors, if they are those that the config speaks of; None if it speaks of none."""
    if "tensors_sha256" not in config:
        return None
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing, which should hold the tensors. {_again(folder)}") from None
    if len(data) == config["tensors_size"] and hashlib.sha256(data).hexdigest() == config["tensors_sha256"]:
        return data
    if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and data[-1:] == b"."):
        why = (
            "is a pickle (torch.save writes them), and safetensors are expected. It was not opened, because "
            "a pickle can run any program"
        )
    elif len(data) != config["tensors_size"]:
        expected = f"{config['tensors_size']:,}"
        why = f"has {len(data):,} bytes, and {expected} are expected: it was cut off or exchanged"
    else:
        why = f"is damaged or another model's: its SHA-256 is not the one in {CONFIG} beside it"
    raise ValueError(f"{path} {why}. {_again(folder)}")
