"""What lies in a folder: files that may be pictures, the class of each, and everything else.

Nothing is opened here; names decide. `trainers.data` reads the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.errors import GraftError
from service.imaging import SUFFIXES

SPLITS = ("train", "validation", "test")
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


class DataError(GraftError):
    """The folder cannot be trained on; the message says what, where and what next."""


@dataclass(frozen=True)
class LeftOut:
    path: str
    reason: str


@dataclass(frozen=True)
class Candidate:
    path: Path
    name: str  # relative to the folder
    label: str
    split: str


@dataclass(frozen=True)
class Scan:
    """What lies in a folder, by name: files that may be pictures, in a fixed order, and others."""

    folder: Path
    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]


def scan(folder: Path) -> Scan:
    """Find the files that may be pictures, without opening them.

    Raises:
        DataError: no folder, or nothing in it that is called like a picture.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; name one with --data (or --data demo)")
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    for split, parents in (_split_folders(folder) or {"": [folder]}).items():
        for parent in parents:
            for path in _files(parent):
                name = path.relative_to(folder).as_posix()
                inside = path.relative_to(parent).parts
                reason = _not_a_picture(path, is_in_class=len(inside) > 1)
                if reason:
                    left_out.append(LeftOut(name, reason))
                else:
                    candidates.append(Candidate(path, name, inside[0], split))
    if not candidates:
        raise DataError(
            f"no pictures in the sub-folders of {folder} (looked for {' '.join(SUFFIXES)}); "
            f"put them into one sub-folder per class, e.g. {folder}/healthy/1.jpg"
            + listing(left_out, "; left out:")
        )
    return Scan(folder, tuple(candidates), tuple(left_out))


def _split_folders(folder: Path) -> dict[str, list[Path]]:
    """split -> folders, when all sub-folders are splits and one is for training; else nothing."""
    children = [path for path in sorted(folder.iterdir()) if _is_shown(path) and path.is_dir()]
    found: dict[str, list[Path]] = {}
    for child in children:
        split = _SPLIT_FOLDERS.get(child.name.lower())
        if split is None:
            return {}
        found.setdefault(split, []).append(child)
    return found if "train" in found and len(found) > 1 else {}


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_shown(Path(name)))
        yield from (Path(parent, name) for name in sorted(files) if _is_shown(Path(name)))


def _is_shown(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def _not_a_picture(path: Path, is_in_class: bool) -> str | None:
    """Why a file is left out unread, or None."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        kind = f"`{suffix}` is" if suffix else "a name without an ending is"
        return f"{kind} not among {' '.join(SUFFIXES)}: convert or rename it if it is a picture"
    if not is_in_class:
        return "lies in no class folder: move it into one"
    return None


def listing(left_out: Sequence[LeftOut], title: str = "", most: int = 20) -> str:
    """The reasons as lines of text under a title; nothing where nothing was left out."""
    lines = [f"\n  {one.path}: {one.reason}" for one in left_out[:most]]
    if len(left_out) > most:
        lines.append(
            f"\n  and {len(left_out) - most} more (a finished run lists them all in metrics.json)"
        )
    return title + "".join(lines) if lines else ""
