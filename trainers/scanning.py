"""What lies in a folder: files that may be pictures, the class of each, and everything else.

Names decide; files without an ending, or with that of another kind of picture, are looked into:
they may be pictures under a wrong name. `trainers.looking` reads the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import GraftError, RequestError
from service.imaging import OTHER_SUFFIXES, SUFFIXES, identify

SPLITS = ("train", "validation", "test")
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
EMPTY = "is empty"
_OF_SYSTEMS = ("lost+found", "System Volume Information", "$RECYCLE.BIN", "@eaDir", "__MACOSX")
"""Folders that volumes and archives bring along; some of them nobody may open."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
"""Characters that would break a line or steer a terminal, and how they are shown."""


class DataError(GraftError):
    """The folder cannot be trained on; the message says what, where and what next."""


@dataclass(frozen=True)
class LeftOut:
    path: str
    reason: str
    kind: str = ""
    """Of the finding that this is (trainers.doctor); none for what was never meant as a picture."""


@dataclass(frozen=True)
class Candidate:
    path: Path
    name: str  # relative to the folder
    label: str
    split: str


@dataclass(frozen=True)
class Scan:
    """What lies in a folder: files that may be pictures, in a fixed order, and others.

    `classes` are the folders that hold pictures of any kind, also where none of them can be read.
    """

    folder: Path
    candidates: tuple[Candidate, ...]
    classes: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def scan(folder: Path) -> Scan:
    """Find the files that may be pictures.

    Raises:
        DataError: no folder, nothing in it that is called like a picture, or classes beside splits.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; name one with --data")
    if refusal := _why_closed(folder):
        raise DataError(f"--data {folder} {refusal}; make it readable for this user")
    candidates: list[Candidate] = []
    classes: set[str] = set()
    left_out: list[LeftOut] = []
    met: set[str] = set()
    for split, parents in (_split_folders(folder) or {"": [folder]}).items():
        for parent in parents:
            for path in _entries(parent, met):
                name = _printable(path.relative_to(folder).as_posix())
                inside = path.relative_to(parent).parts
                if reason := _not_a_picture(path, len(inside)):
                    left_out.append(LeftOut(name, *reason))
                else:
                    candidates.append(Candidate(path, name, inside[0], split))
                if _speaks_for_a_class(path, len(inside)) and _is_text(inside[0]):
                    classes.add(inside[0])
    if not candidates:
        raise DataError(
            f"no pictures in the sub-folders of {folder} (looked for {' '.join(SUFFIXES)}); "
            f"put them into one sub-folder per class, e.g. {folder}/healthy/1.jpg"
            + listing(left_out, "; left out:")
        )
    return Scan(folder, tuple(candidates), tuple(sorted(classes)), tuple(left_out))


def _split_folders(folder: Path) -> dict[str, list[Path]]:
    """split -> folders, when there is one for training with classes in it; else nothing.

    Raises:
        DataError: other folders with pictures lie beside them.
    """
    found: dict[str, list[Path]] = {}
    others: list[str] = []
    for child in sorted(folder.iterdir()):
        if not (_is_shown(child.name) and child.is_dir()):
            continue
        split = _SPLIT_FOLDERS.get(child.name.lower())
        if split:
            found.setdefault(split, []).append(child)
        elif any(_is_meant_as_picture(path) for path in _entries(child, set())):
            others.append(child.name)
    if "train" not in found or (len(found) == 1 and not any(map(_holds_classes, found["train"]))):
        return {}
    if others:
        raise DataError(
            f"{folder} has split folders ({', '.join(sorted(found))}) and beside them folders with "
            f"pictures of their own ({', '.join(others[:5])}): move those into the splits or away, "
            "or rename the split folders if they are classes"
        )
    return found


def _holds_classes(folder: Path) -> bool:
    """False for a class that is called train, with pictures directly in it, and for no pictures."""
    pictures = filter(_is_meant_as_picture, _entries(folder, set()))
    return {path.parent == folder for path in pictures} == {False}


def _entries(folder: Path, met: set[str]) -> Iterator[Path]:
    """All shown files in order, through links; and folders where a walk ends: empty, met before.

    `met` holds the real paths of all folders walked so far: no picture is read twice.
    """
    if (real := os.path.realpath(folder)) in met:
        yield folder
        return
    met.add(real)
    closed: list[Path] = []
    for parent, folders, files in os.walk(
        folder, onerror=lambda error: closed.append(Path(error.filename)), followlinks=True
    ):
        folders[:], shown = sorted(filter(_is_shown, folders)), sorted(filter(_is_shown, files))
        if not folders and not shown and Path(parent) != folder:
            yield Path(parent)
        # Real folders before links to them, whose names would take over otherwise.
        for name in sorted(folders, key=lambda name: Path(parent, name).is_symlink()):
            if (real := os.path.realpath(Path(parent, name))) in met:
                folders.remove(name)
                yield Path(parent, name)
            met.add(real)
        yield from (Path(parent, name) for name in shown)
    yield from closed


def _speaks_for_a_class(path: Path, depth: int) -> bool:
    """Whether there is a class that a file, or a folder where a walk ended, lies in or is.

    A class folder that cannot be opened is one, whose pictures are all missing.
    """
    if depth > 1:
        return _is_meant_as_picture(path)
    return path.is_dir() and bool(_why_closed(path))


def _why_closed(folder: Path) -> str:
    """Why a folder cannot be opened; nothing where it can be."""
    try:
        os.scandir(folder).close()
    except OSError as error:
        return f"cannot be opened: {error.strerror}"
    return ""


def _is_text(name: str) -> bool:
    """False for bytes that are no UTF-8, and for control characters: Linux allows both in names."""
    return _printable(name) == name


def _printable(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode().translate(_CONTROLS)


def _is_shown(name: str) -> bool:
    return not name.startswith((".", *_OF_SYSTEMS))


def _is_meant_as_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix or not path.is_file():
        # The folder of pictures that cannot be read here is a class all the same.
        return suffix in (*SUFFIXES, *OTHER_SUFFIXES) and not path.is_dir()
    return _holds_picture(path)


def _holds_picture(path: Path) -> bool:
    """Whether a file starts like a picture that can be read here."""
    try:
        with path.open("rb") as file:
            identify(file.read(4096))
    except (RequestError, OSError):
        return False
    return True


def _not_a_picture(path: Path, depth: int) -> tuple[str, str] | None:
    """Why a file is left out unread, and which finding that is; None where it is not.

    Args:
        path: of a file, or of a folder where a walk ended.
        depth: 1 where it lies beside the class folders, or is one; more inside.
    """
    if not _is_text(str(path)):
        return "has a name with control characters, or not in UTF-8: rename it", "unreadable"
    if path.is_dir():
        return _why_a_walk_ended(path, depth)
    if not path.is_file():
        return ("is no file" if path.exists() else "is a link that leads nowhere"), "unreadable"
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES and not (_is_meant_as_picture(path) and _holds_picture(path)):
        kind = f"`{suffix}` is" if suffix else "a name without an ending is"
        return (
            f"{kind} not among {' '.join(SUFFIXES)}: convert it if it is a picture",
            "unsupported" if _is_meant_as_picture(path) else "",
        )
    return None if depth > 1 else ("lies in no class folder: move it into one", "misplaced")


def _why_a_walk_ended(folder: Path, depth: int) -> tuple[str, str]:
    if reason := _why_closed(folder):
        return reason, "unreadable"
    if any(_is_shown(path.name) for path in folder.iterdir()):
        return "leads to a folder that is read already", ""
    return EMPTY, "empty_class" if depth == 1 else ""


def listing(left_out: Sequence[LeftOut], title: str = "", most: int = 5) -> str:
    """The reasons as lines of text under a title; nothing where nothing was left out."""
    lines = [f"\n  {one.path}: {one.reason}" for one in left_out[:most]]
    if len(left_out) > most:
        lines.append(f"\n  and {len(left_out) - most} more")
    return title + "".join(lines) if lines else ""
