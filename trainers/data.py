"""Scanned files -> pictures with classes, digests and looks, and reasons for what was left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers import duplicates, looking
from trainers.cache import Cache
from trainers.scanning import DataError, LeftOut, Scan, listing
from trainers.shelf import Records

MIN_PICTURES = 2
"""Per class: one to learn from and one to test on."""


@dataclass(frozen=True)
class Dataset:
    """Pictures that could be looked at.

    `paths`, `labels`, `splits`, `digests`, `looks`, `groups` and `images` have one entry per
    picture, in the same order: paths relative to the folder, class indices (N,) int64, names from
    SPLITS ("" where the folder does not say), sha256 of the files, records (N,) of
    `looking.LOOK`, and the first row (N,) of each picture's duplicates.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    digests: tuple[str, ...]
    looks: NDArray[np.void]
    groups: NDArray[np.int64]
    fingerprint: str
    left_out: tuple[LeftOut, ...]
    decoding: Future[Records] = field(default_factory=Future)
    sources: tuple[str, ...] = ()
    """What each picture comes from, as --group says ("": nobody knows); empty without a rule."""

    @property
    def images(self) -> Records:
        """(N, size, size, 3) uint8 RGB; waits until `trainers.pictures` has decoded them."""
        return self.decoding.result()

    @property
    def significant_bits(self) -> int:
        """Of 16-bit samples: as many as the pictures use; the others are left out of the range."""
        used = self.looks["significant_bits"][self.looks["bits"] == FULL_RANGE_BITS]
        return int(used.max()) if len(used) else FULL_RANGE_BITS

    @property
    def keys(self) -> list[bytes]:
        """What everything made from a picture is kept under: its digest, as bytes.

        The pixels of a 16-bit picture depend on the range as well.
        """
        keys, bits = [bytes.fromhex(digest) for digest in self.digests], self.significant_bits
        if bits < FULL_RANGE_BITS:
            for row in np.flatnonzero(self.looks["bits"] == FULL_RANGE_BITS):
                keys[row] = hashlib.sha256(keys[row] + bytes([bits])).digest()
        return keys

    def content(self, row: int) -> bytes:
        """The bytes of a picture, as they were when it was looked at.

        Raises:
            DataError: they no longer are.
        """
        return looking.read_unchanged(self.folder / self.paths[row], self.digests[row])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of the pictures of one split, in order."""
        return np.flatnonzero(np.array(self.splits) == split)

    def with_splits(self, splits: tuple[str, ...]) -> Dataset:
        return replace(self, splits=splits)

    def counts(self) -> dict[str, int]:
        """Pictures per class, 0 for a class of which none can be read."""
        counts = Counter(self.labels.tolist())
        return {label: counts[index] for index, label in enumerate(self.classes)}

    def class_weights(self) -> NDArray[np.float32]:
        """(classes,) that give every class the same say in a loss; all 1 where they are even."""
        labels = self.labels[self.rows("train")]
        counts = np.bincount(labels, minlength=len(self.classes))
        return (len(labels) / (len(counts) * counts)).astype(np.float32)


def read(files: Scan, cache: Cache) -> Dataset:
    """Look at every file of a folder; what cannot be read is left out, for whatever reason."""
    looks, digests, problems = looking.look_at(files.candidates, cache)
    kept = [row for row in range(len(files.candidates)) if row not in problems]
    chosen = [files.candidates[row] for row in kept]
    found = [digests[row] for row in kept]
    with cache.progress.step("comparing pictures"):
        groups = duplicates.groups(found, looks[kept])
    lines = [f"{one.name} {one.label} {digest}" for one, digest in zip(chosen, found, strict=True)]
    left_out = sorted((*files.left_out, *problems.values()), key=lambda one: one.path)
    return Dataset(
        folder=files.folder,
        classes=files.classes,
        paths=tuple(one.name for one in chosen),
        labels=np.array([files.classes.index(one.label) for one in chosen], np.int64),
        splits=tuple(one.split for one in chosen),
        digests=tuple(found),
        looks=looks[kept],
        groups=groups,
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        left_out=tuple(left_out),
    )


def check_classes(dataset: Dataset) -> None:
    """Refuse what cannot be learned.

    Raises:
        DataError: one class only, or a class with fewer than 2 readable pictures.
    """
    folder, counts = dataset.folder, dataset.counts()
    reasons = listing(dataset.left_out, "; left out:")
    small = [f"`{label}` has {count}" for label, count in counts.items() if count < MIN_PICTURES]
    if small:
        raise DataError(
            f"{folder}: every class needs at least {MIN_PICTURES} readable pictures, "
            f"{some(small)}; add pictures or remove the folder" + reasons
        )
    if len(counts) < 2:
        raise DataError(
            f"{folder} has one class only (`{next(iter(counts))}`); a classifier needs two: "
            "one sub-folder per class" + reasons
        )


def some(names: list[str], most: int = 5) -> str:
    """The first few names in a line, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
