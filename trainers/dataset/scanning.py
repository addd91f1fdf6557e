"""What lies in a folder or an archive: files that may be pictures, the class of each, and the rest.

Names decide, and where a name is that of no picture the first bytes do: whatever starts like a
picture is one. `folders.layout` says where the classes are, `inspection` reads the pictures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.imaging import SUFFIXES
from service.system.resources import cache_folder
from trainers.dataset.folders import archives, contents, layout, nearby
from trainers.dataset.folders.contents import Verdict
from trainers.dataset.folders.filenames import (
    SPLITS,
    UNLABELLED,
    ending,
    is_hidden,
    is_of_system,
    is_text,
    is_versioning,
    printable,
)
from trainers.dataset.folders.layout import DataError, Layout

__all__ = ["SPLITS", "Candidate", "DataError", "LeftOut", "Scan", "listing", "scan"]

_EMPTY = Verdict("empty_class", "is empty")
_NO_TEXT = Verdict("unreadable", "has a name with control characters, or not in UTF-8: rename it")
_ICLOUD = ".icloud"
"""Of .1.jpg.icloud, which macOS leaves where it has moved 1.jpg to its servers."""
_BUNDLE = ("manifest.json", "metrics.json")
"""Files by which a folder is known as a bundle, an output of Graft."""


@dataclass(frozen=True)
class LeftOut:
    path: str
    reason: str
    kind: str = ""
    """Of the finding that this is (findings.checks); none for what was never meant as a picture."""


@dataclass(frozen=True)
class Candidate:
    path: Path
    name: str  # relative to the folder
    label: str
    split: str


@dataclass(frozen=True)
class Scan:
    """What lies in a folder: files that may be pictures, in a fixed order, and others.

    Attributes:
        data: the folder, or the archive, as it was named.
        folder: where the files are; of an archive, where it is unpacked.
        classes: the folders that hold pictures of any kind, also where none of them can be read.
        layout: where in the folder the classes are.
    """

    data: Path
    folder: Path
    candidates: tuple[Candidate, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    layout: Layout


@dataclass(frozen=True)
class _Entry:
    """A file, or a folder where a walk ended, before anyone knows which class it is of.

    Attributes:
        parts: of its path below the folder; one more, empty, for a folder that cannot be opened.
        is_meant: as a picture of any kind, or as a folder of them.
        verdict: why it is left out unread; None where it is not.
    """

    path: Path
    parts: tuple[str, ...]
    is_meant: bool
    verdict: Verdict | None

    @property
    def name(self) -> str:
        return printable("/".join(filter(None, self.parts))) or "."


def scan(data: Path) -> Scan:
    """Find the files that may be pictures.

    Args:
        data: a folder, or a Zip or tar archive.

    Raises:
        DataError: nothing is there, nothing in it is called like a picture, or no one can tell
            which folders are the classes.
    """
    if not is_text(str(data)):
        raise DataError(f"--data {printable(str(data))} {_NO_TEXT.reason}")
    folder = archives.unpacked(data) if data.is_file() else data
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; name one with --data{nearby.meant(folder)}")
    if refusal := _why_closed(folder):
        raise DataError(f"--data {folder} {refusal}; make it readable for this user")
    entries = [_entry(path, path.relative_to(folder).parts) for path in _walk(folder)]
    try:
        found = layout.find((one.parts for one in entries if one.is_meant), str(folder))
    except DataError as error:
        raise DataError(f"{data}: {error}") from None
    settled = [_settled(one, found) for one in entries]
    candidates = tuple(one for one in settled if isinstance(one, Candidate))
    left_out = (
        *(one for one in settled if isinstance(one, LeftOut)),
        *(_not_unpacked(*one) for one in (archives.left_out(folder) if folder != data else ())),
    )
    if not candidates:
        packed = [one for one in entries if ending(one.path.name) in archives.ENDINGS]
        hint = f", or name an archive, e.g. --data {packed[0].path}" if packed else ""
        raise DataError(
            f"no pictures in the sub-folders of {data} (looked for {' '.join(SUFFIXES)}); "
            f"put them into one sub-folder per class, e.g. {data}/healthy/1.jpg{hint}"
            + nearby.meant(data)
            + listing(sorted(left_out, key=lambda one: not one.kind), "; left out:")
        )
    return Scan(data, folder, candidates, _classes(entries, found), left_out, found)


def _settled(one: _Entry, found: Layout) -> Candidate | LeftOut:
    location = found.locate(one.parts)
    label, split = location or ("", "")
    if one.verdict:
        is_class = location is not None and not label
        kind = "" if one.verdict.kind == _EMPTY.kind and not is_class else one.verdict.kind
        return LeftOut(one.name, one.verdict.reason, kind)
    if split == UNLABELLED:
        return LeftOut(one.name, "lies in a folder of pictures that are not labelled")
    if not label:
        return LeftOut(one.name, "lies in no class folder: move it into one", "misplaced")
    return Candidate(one.path, one.name, label, split)


def _not_unpacked(name: str, reason: str) -> LeftOut:
    is_loss = contents.is_meant_as_picture(name) or not ending(name)  # perhaps a class folder
    return LeftOut(name, reason, "unreadable" if is_loss else "")


def _classes(entries: Sequence[_Entry], found: Layout) -> tuple[str, ...]:
    places = (found.locate(one.parts) for one in entries if one.is_meant)
    labels = {place[0] for place in places if place and place[1] != UNLABELLED}
    return tuple(sorted({printable(label) for label in labels if label}))


def _walk(folder: Path) -> Iterator[Path]:
    """All shown files in order, through links; and folders where a walk ends: empty, met before,
    hidden, of a system, closed, or made by Graft. No folder is read twice."""
    met = {os.path.realpath(folder)}
    closed: list[Path] = []
    cache = os.path.realpath(cache_folder())
    for parent, folders, files in os.walk(
        folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True
    ):
        if {*_BUNDLE} <= {*files} or os.path.realpath(parent) == cache:
            folders.clear()
            yield Path(parent)
            continue
        hidden = sorted(name for name in folders if is_hidden(name) and not is_versioning(name))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        shown = sorted(name for name in files if not is_hidden(name) or _is_hidden_picture(name))
        if not folders and not shown and Path(parent) != folder:
            yield Path(parent)
        # Real folders before links to them, whose names would take over otherwise.
        for name in sorted(folders, key=lambda name: Path(parent, name).is_symlink()):
            real = os.path.realpath(Path(parent, name))
            if real in met or is_of_system(name):
                folders.remove(name)
                yield Path(parent, name)
            met.add(real)
        yield from (Path(parent, name) for name in hidden + shown)
    yield from closed


def _is_hidden_picture(name: str) -> bool:
    """Not ._1.jpg, in which macOS keeps what it knows about 1.jpg."""
    is_one = contents.is_meant_as_picture(name) or name.endswith(_ICLOUD)
    return is_one and not name.startswith("._")


def _entry(path: Path, parts: tuple[str, ...]) -> _Entry:
    is_named = contents.is_meant_as_picture(path.name)
    if not is_text("/".join(parts)):
        return _Entry(path, parts, is_named and not path.is_dir(), _NO_TEXT)
    if path.name.endswith(_ICLOUD):
        return _Entry(path, parts, True, Verdict("pointer", "is still in iCloud: download it"))
    if is_hidden(path.name):
        return _Entry(path, parts, False, Verdict("", "is hidden, so not read"))
    if path.is_dir():
        is_closed = bool(reason := _why_closed(path))
        verdict = Verdict("unreadable", reason) if is_closed else _why_a_walk_ended(path)
        return _Entry(path, (*parts, "") if is_closed else parts, is_closed, verdict)
    if not path.is_file():
        reason = "is no file" if path.exists() else "is a link that leads nowhere"
        return _Entry(path, parts, is_named, Verdict("unreadable", reason))
    found = None if ending(path.name) in SUFFIXES else contents.look_into(path)
    return _Entry(path, parts, is_named or not found or bool(found.kind), found)


def _why_closed(folder: Path) -> str:
    """Why a folder cannot be opened; nothing where it can be."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    return ""


def _why_a_walk_ended(folder: Path) -> Verdict:
    if is_of_system(folder.name):
        return Verdict("", "is a folder of a system or a tool: rename it if it is a class")
    names = [one.name for one in folder.iterdir()]
    if {*_BUNDLE} <= {*names}:
        return Verdict("", "is a bundle, an output of Graft")
    if os.path.realpath(folder) == os.path.realpath(cache_folder()):
        return Verdict("", "is the cache of Graft")
    if not all(map(is_hidden, names)):
        return Verdict("", "leads to a folder that is read already")
    return _EMPTY


def listing(left_out: Sequence[LeftOut], title: str = "", most: int = 5) -> str:
    """The reasons as lines of text under a title; nothing where nothing was left out."""
    lines = [f"\n  {one.path}: {one.reason}" for one in left_out[:most]]
    if len(left_out) > most:
        lines.append(f"\n  and {len(left_out) - most} more")
    return title + "".join(lines) if lines else ""
