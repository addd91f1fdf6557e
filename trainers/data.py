"""A folder of pictures -> classes, decoded pictures and the reasons for what was left out.

Every picture is decoded once, by the decoder that the service uses, at the model's input size,
into one file in the run's workspace: epochs read it from there, whatever its size.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import GraftError, RequestError
from service.imaging import SUFFIXES, decode, sniff
from trainers.progress import Progress, log

SPLITS = ("train", "validation", "test")
_SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_FORMAT_OF_SUFFIX = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP"}
MIN_PICTURES = 2
"""Per class: one to learn from and one to test on."""


class DataError(GraftError):
    """The folder cannot be trained on; the message says what, where and what next."""


@dataclass(frozen=True)
class LeftOut:
    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Pictures that could be decoded, all at one size.

    `paths`, `labels`, `splits` and `images` have one entry per picture, in the same order:
    paths relative to the folder, class indices (N,) int64, names from SPLITS ("" where the folder
    does not say), and (N, size, size, 3) uint8 RGB on disk.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    images: NDArray[np.uint8]
    fingerprint: str
    left_out: tuple[LeftOut, ...]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of the pictures of one split, in order."""
        return np.flatnonzero(np.array(self.splits) == split)

    def with_splits(self, splits: tuple[str, ...]) -> Dataset:
        return replace(self, splits=splits)


@dataclass(frozen=True)
class _Candidate:
    path: Path
    name: str  # relative to the folder
    label: str
    split: str


@dataclass(frozen=True)
class Scan:
    """What lies in a folder, by name: files that may be pictures, in a fixed order, and others."""

    folder: Path
    candidates: tuple[_Candidate, ...]
    left_out: tuple[LeftOut, ...]


def scan(folder: Path) -> Scan:
    """Find the files that may be pictures, without opening them.

    Raises:
        DataError: no folder, or nothing in it that is called like a picture.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; name one with --data (or --data demo)")
    candidates: list[_Candidate] = []
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
                    candidates.append(_Candidate(path, name, inside[0], split))
    if not candidates:
        raise DataError(
            f"no pictures in the sub-folders of {folder} (looked for {' '.join(SUFFIXES)}); "
            f"put them into one sub-folder per class, e.g. {folder}/healthy/1.jpg"
            + _listing(left_out, "; left out:")
        )
    return Scan(folder, tuple(candidates), tuple(left_out))


def read(files: Scan, size: int, workspace: Path, progress: Progress) -> Dataset:
    """Decode the pictures of a folder into `workspace`.

    Raises:
        DataError: one class only, a class with fewer than 2 readable pictures, or too little
            room on the disk.
    """
    folder, candidates, left_out = files.folder, files.candidates, list(files.left_out)
    images, digests, problems = _decode(candidates, size, workspace, progress)
    left_out += [LeftOut(candidates[row].name, reason) for row, reason in problems.items()]
    kept = [row for row in range(len(candidates)) if row not in problems]
    for new, old in enumerate(kept):  # close the gaps of what could not be decoded
        if new != old:
            images[new] = images[old]
    left_out.sort(key=lambda one: one.path)
    _check_classes(folder, candidates, kept, left_out)
    if left_out:
        log.warning("%d files are left out:%s", len(left_out), _listing(left_out))
    chosen = [candidates[row] for row in kept]
    classes = tuple(sorted({candidate.label for candidate in chosen}))
    lines = [f"{candidates[row].name} {candidates[row].label} {digests[row]}" for row in kept]
    return Dataset(
        folder=folder,
        classes=classes,
        paths=tuple(candidate.name for candidate in chosen),
        labels=np.array([classes.index(candidate.label) for candidate in chosen], np.int64),
        splits=tuple(candidate.split for candidate in chosen),
        images=images[: len(kept)],
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        left_out=tuple(left_out),
    )


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


def _decode(
    candidates: tuple[_Candidate, ...], size: int, workspace: Path, progress: Progress
) -> tuple[NDArray[np.uint8], dict[int, str], dict[int, str]]:
    """Decode all, in threads, each into its row: images, digests and problems by row."""
    shape = (len(candidates), size, size, 3)
    _check_room(workspace, int(np.prod(shape)))
    images = np.memmap(workspace / "pictures.u8", np.uint8, "w+", shape=shape)
    digests: dict[int, str] = {}
    problems: dict[int, str] = {}

    def decode_row(row: int) -> None:
        path = candidates[row].path
        try:
            data = path.read_bytes()
            expected, found = _FORMAT_OF_SUFFIX[path.suffix.lower()], sniff(data)
            if found != expected:
                problems[row] = f"named `{path.suffix}` but holds {found} data: rename it"
                return
            images[row] = decode(data, size)
            digests[row] = hashlib.sha256(data).hexdigest()
        except (RequestError, OSError) as error:
            problems[row] = str(error)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        done = threads.map(decode_row, range(len(candidates)))
        for _ in progress.track(done, len(candidates), "decoding"):
            pass
    return images, digests, problems


def _check_room(workspace: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(workspace).free
    if needed_bytes > free:
        raise DataError(
            f"the decoded pictures need {needed_bytes / 1e9:.1f} GB under {workspace.parent}, "
            f"which has {free / 1e9:.1f} GB free: choose another --output or --image-size"
        )


def _check_classes(
    folder: Path, candidates: tuple[_Candidate, ...], kept: list[int], left_out: list[LeftOut]
) -> None:
    counts = Counter({candidate.label: 0 for candidate in candidates})
    counts.update(candidates[row].label for row in kept)
    small = sorted(label for label, count in counts.items() if count < MIN_PICTURES)
    if small:
        described = ", ".join(f"`{label}` has {counts[label]}" for label in small)
        raise DataError(
            f"{folder}: every class needs at least {MIN_PICTURES} readable pictures, {described}; "
            "add pictures or remove the folder" + _listing(left_out, "; left out:")
        )
    if len(counts) < 2:
        raise DataError(
            f"{folder} has one class only (`{next(iter(counts))}`); a classifier needs two: "
            "one sub-folder per class" + _listing(left_out, "; left out:")
        )


def _listing(left_out: list[LeftOut], title: str = "", most: int = 20) -> str:
    lines = [f"\n  {one.path}: {one.reason}" for one in left_out[:most]]
    if len(left_out) > most:
        lines.append(
            f"\n  and {len(left_out) - most} more (a finished run lists them all in metrics.json)"
        )
    return title + "".join(lines) if lines else ""
