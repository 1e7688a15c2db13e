"""Which platform a folder was downloaded from, and what of it is only the wrapping."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from course.grading.archives import is_zip, members
from course.grading.files import File, Tree, lone, reason, walk
from course.grading.names import NOTEBOOK, person_in
from course.grading.platforms import INBOUND, METADATA, PLATFORMS, REPOSITORIES, SAKAI, TIMESTAMP, Download, Platform
from course.grading.text import clean

WRAPPINGS = 4  # folders and zips around everything, such as in "download.zip/submissions/ps2"


@dataclass
class Recognised:
    """The files without their wrapping, whose download it is, and what the platform says in other places.

    notes: what the teacher should know about the wrapping.
    """

    files: list[File]
    platform: Platform
    download: Download = field(default_factory=Download)
    notes: list[str] = field(default_factory=list)


def recognise(folder: Path, stack: ExitStack, platform: str | None = None) -> Recognised:
    """Look at the names below a folder. platform: one of `PLATFORMS` that it is said to be.

    stack: the files can be read until it is closed.
    """
    notes: list[str] = []
    tree, name = _unwrapped(folder, stack, notes)
    files: list[File] = []
    # Downloads may lie side by side, such as submissions.zip and "submissions (1).zip"; a zip beside other things may
    # be anybody's, and has a learner's bounds.
    whole = stack if all(len(file.parts) == 1 and _is_download(file.name) for file in tree.files) else None
    for file in tree.files:
        files += _opened(file, whole) if len(file.parts) == 1 and _is_download(file.name) else [file]
    tree.files = files
    used, depth = _best(tree, name, PLATFORMS[platform] if platform is not None else None)
    found = Recognised([_below(file, depth) for file in files], used, Download(name), notes)
    used.prepare(found.files, found.download)
    return found


# --- the wrapping -------------------------------------------------------------------------------------------


def _unwrapped(folder: Path, stack: ExitStack, notes: list[str]) -> tuple[Tree, str]:
    """The tree below what is a lone folder or zip around everything, and the name of the folder that it is."""
    base: tuple[str, ...] = ()
    tree, name = walk(folder) if folder.is_dir() else lone(folder), folder.name
    in_zip = False
    for _ in range(WRAPPINGS):
        first = tree.files[0] if tree.files else None
        if first is None or len({file.key[0] for file in tree.files}) > 1:
            break
        if len(first.parts) == 1:
            if not is_zip(first.name) or first.trouble:
                break
            inner = [_below(file, 1) for file in _opened(first, stack)]
            if first.trouble or not _wraps(first.name, inner):
                break
            tree, in_zip = Tree(inner), True
        elif _wraps(first.parts[0], inner := [_below(file, 1) for file in tree.files]):
            base = (*base, first.key[0])
            # Walked anew, for what may lie below an entry is bounded, and there the entries are the learners'.
            tree = Tree(inner) if in_zip else walk(folder, base)
        else:
            break
        name = first.parts[0]
        notes.append(f"“{clean(name)}” is taken for the whole class's.")
    return tree, name


def _wraps(name: str, inner: list[File]) -> bool:
    """Is a lone folder or zip that of everybody, and not of one learner?"""
    if any(platform.whose((name, "x"), Download()) for platform in PLATFORMS.values() if platform.strict):
        return False
    if name.endswith(REPOSITORIES):
        return True
    tops = {file.parts[0]: len(file.parts) > 1 for file in inner}
    if not person_in(name) or any(_share(platform, Tree(inner), 0, name) > 0.5 for platform in PLATFORMS.values()
                                  if platform.strict):  # fmt: skip
        return bool(tops)
    return sum(bool(person_in(top)) and (folder or bool(NOTEBOOK.search(top))) for top, folder in tops.items()) > 1


def _is_download(name: str) -> bool:
    """Is a zip named after nobody, so that it may hold everybody's?"""
    return is_zip(name) and not person_in(name)


def _opened(file: File, stack: ExitStack | None) -> list[File]:
    """What is in a zip of everybody's (stack: until when); the zip itself, with its trouble, where it is none."""
    try:
        return members(file, whole=stack) if not file.trouble else [file]
    except (OSError, ValueError) as error:
        file.trouble = reason(error)
        return [file]


def _below(file: File, depth: int) -> File:
    """The file as seen from so many folders further in; what lies before them stays where it is."""
    if depth == 0 or len(file.parts) <= depth:
        return file
    return replace(file, parts=file.parts[depth:], key=file.key[depth:], before=(*file.before, *file.parts[:depth]))


# --- the platform -------------------------------------------------------------------------------------------


def _best(tree: Tree, name: str, wanted: Platform | None) -> tuple[Platform, int]:
    """The platform, and how many folders stand before its names."""
    if wanted is not None:
        shares = [_share(wanted, tree, depth, name) for depth in range(3)]
        return wanted, shares.index(max(shares))
    for depth in range(2):  # 1: a folder for each assignment, say, and in it what the platform wrote
        for platform in PLATFORMS.values():
            if (platform.strict or depth == 0) and _share(platform, tree, depth, name) > 0.5:
                return platform, depth
    return PLATFORMS["folders"], 0


def _share(platform: Platform, tree: Tree, depth: int, name: str) -> float:
    """The part of the entries at a depth that are named as the platform names them.

    Further in, the part of the entries most of whose own are: no single folder or zip, however full, decides for all.
    """
    if depth:
        inside: dict[str, Tree] = defaultdict(Tree)
        for file in tree.files:
            inside[file.parts[0]].files += [_below(file, 1)] * (len(file.parts) > 1)
        for place in tree.repositories - {()}:  # the whole may be one, too
            inside[place[0]].repositories |= {place[1:]}
        shares = [_share(platform, inner, depth - 1, top) for top, inner in inside.items()]
        return sum(share > 0.5 for share in shares) / max(1, len(shares))
    below = tree.files
    tops, folders = {file.parts[0] for file in below}, {file.parts[0] for file in below if len(file.parts) > 1}
    if platform.key == "folders":
        return 0.0  # what is left when nothing else fits
    if platform.key == "gradescope":
        return float(any(file.parts == METADATA for file in below))
    if platform.key == "sakai":
        stamped = {file.parts[0] for file in below if len(file.parts) == 2 and file.name == TIMESTAMP}
        return len({top for top in stamped if SAKAI.fullmatch(top)}) / max(1, len(folders))
    if platform.key == "github":
        repositories = sum(len(place) == 1 for place in tree.repositories)
        return max(repositories / max(1, len(tops)), float(name.endswith(REPOSITORIES)))
    if platform.key == "nbgrader":
        marked = {file.parts[0] for file in below if len(file.parts) == 3 and file.name == TIMESTAMP}
        marked |= {top for top in tops if INBOUND.fullmatch(top)}
        if name == "submitted":
            marked |= {file.parts[0] for file in below if len(file.parts) > 2}
        return len(marked) / max(1, len(tops))
    named: dict[tuple[str, ...], bool] = defaultdict(bool)
    names: dict[str, set[str]] = defaultdict(set)
    for file in below:
        senders = platform.whose(file.parts, Download())
        named[(*file.before, file.parts[0])] |= bool(senders)
        for sender in senders:
            names[sender.id].add(sender.name)
    if platform.key == "canvas" and any(len(found) > 1 for found in names.values()):
        return 0.0  # an id has one name there; these numbers are dates, say
    return sum(named.values()) / max(1, len(named))
