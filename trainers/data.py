"""Scanned files -> decoded pictures with their classes, and the reasons for what was left out.

Every picture is decoded once, by the decoder that the service uses, at the model's input size,
into one file in the run's workspace: epochs read it from there, whatever its size.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.errors import RequestError
from service.imaging import decode, sniff
from trainers.progress import Progress, log
from trainers.scanning import EMPTY, Candidate, DataError, LeftOut, Scan, listing
from trainers.workspace import disk_array

_FORMAT_OF_SUFFIX = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP"}
MIN_PICTURES = 2
"""Per class: one to learn from and one to test on."""
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Files are read whole, one per thread."""
FEW = 10
"""Below, a class has one test picture: its accuracy is all or nothing."""


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


def read(files: Scan, size: int, workspace: Path, progress: Progress) -> Dataset:
    """Decode the pictures of a folder into `workspace`.

    Raises:
        DataError: one class only, or a class with fewer than 2 readable pictures.
        WorkspaceError: too little room on the disk.
    """
    folder, candidates, left_out = files.folder, files.candidates, list(files.left_out)
    images, digests, problems = _decode(candidates, size, workspace, progress)
    left_out += [LeftOut(candidates[row].name, reason) for row, reason in problems.items()]
    kept = [row for row in range(len(candidates)) if row not in problems]
    for new, old in enumerate(kept):  # close the gaps of what could not be decoded
        if new != old:
            images[new] = images[old]
    left_out.sort(key=lambda one: one.path)
    _check_classes(files, kept, left_out)
    if left_out:
        title = f"left out: {len(left_out)} (a finished run lists all in metrics.json)"
        # Empty folders first: each may be a class whose pictures were forgotten.
        said = sorted(left_out, key=lambda one: one.reason != EMPTY)
        log.warning("%s", listing(said, title, most=20))
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


def _decode(
    candidates: tuple[Candidate, ...], size: int, workspace: Path, progress: Progress
) -> tuple[NDArray[np.uint8], dict[int, str], dict[int, str]]:
    """Decode all, in threads, each into its row: images, digests and problems by row."""
    shape = (len(candidates), size, size, 3)
    images = disk_array(workspace / "pictures.u8", np.uint8, shape)
    digests: dict[int, str] = {}
    problems: dict[int, str] = {}

    def decode_row(row: int) -> None:
        path = candidates[row].path
        try:
            size_bytes = path.stat().st_size
            if size_bytes > MAX_FILE_BYTES:
                problems[row] = f"has {size_bytes:,} bytes: larger than any picture"
                return
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


def _check_classes(files: Scan, kept: list[int], left_out: list[LeftOut]) -> None:
    folder, reasons = files.folder, listing(left_out, "; left out:")
    counts = Counter(dict.fromkeys(files.classes, 0))
    counts.update(files.candidates[row].label for row in kept)
    small = [label for label, count in sorted(counts.items()) if count < MIN_PICTURES]
    if small:
        described = _some([f"`{label}` has {counts[label]}" for label in small])
        raise DataError(
            f"{folder}: every class needs at least {MIN_PICTURES} readable pictures, {described}; "
            "add pictures or remove the folder" + reasons
        )
    if len(counts) < 2:
        raise DataError(
            f"{folder} has one class only (`{next(iter(counts))}`); a classifier needs two: "
            "one sub-folder per class" + reasons
        )
    few = [f"`{label}` ({count})" for label, count in sorted(counts.items()) if count < FEW]
    if few:
        log.warning(
            "figures from so few pictures mean little: %s; %d of each class are the least",
            *(_some(few), FEW),
        )


def _some(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
