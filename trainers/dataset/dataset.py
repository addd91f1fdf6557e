"""Scanned files -> pictures with classes, digests and looks, and reasons for what was left out."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers.cache.array_cache import Cache
from trainers.dataset import duplicates, inspection
from trainers.dataset.digests import read_unchanged
from trainers.dataset.folders import nearby
from trainers.dataset.folders.layout import Layout
from trainers.dataset.images import Images
from trainers.dataset.scanning import DataError, LeftOut, Scan, listing

MIN_PICTURES = 2
"""Per class: one to learn from and one to test on."""


@dataclass(frozen=True)
class Dataset:
    """Pictures that could be looked at.

    `paths`, `labels`, `splits`, `digests`, `looks`, `groups` and `images` have one entry per
    picture, in the same order: paths relative to the folder, class indices (N,) int64, names from
    SPLITS ("" where the folder does not say), sha256 of the files, records (N,) of
    `looking.LOOK`, and the first row (N,) of each picture's duplicates; no images before they are
    decoded at some size. `layout` says where in the folder the classes are.
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
    images: Images = field(default_factory=lambda: Images.of(np.zeros((0, 0, 0, 3), np.uint8)))
    named_as: Path | None = None
    layout: Layout = field(default_factory=Layout)
    sources: tuple[str, ...] = ()
    """What each picture comes from, as --group says ("": nobody knows); empty without a rule."""

    @property
    def title(self) -> Path:
        """How people named the data: its folder, or the archive that was unpacked there."""
        return self.named_as or self.folder

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
        return read_unchanged(self.folder / self.paths[row], self.digests[row])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of the pictures of one split, in order."""
        return np.flatnonzero(np.array(self.splits) == split)

    def begin(self, *splits: str) -> None:
        """Decode the pictures of splits in the background: they are needed soon."""
        for split in splits:
            self.images.begin(self.rows(split))

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
    looks, digests, problems = inspection.look_at(files.candidates, cache)
    kept = [row for row in range(len(files.candidates)) if row not in problems]
    chosen = [files.candidates[row] for row in kept]
    found = [digests[row] for row in kept]
    labels = np.array([files.classes.index(one.label) for one in chosen], np.int64)
    groups = duplicates.find_groups(found, looks[kept], labels, cache)
    lines = [f"{one.name} {one.label} {digest}" for one, digest in zip(chosen, found, strict=True)]
    left_out = sorted((*files.left_out, *problems.values()), key=lambda one: one.path)
    return Dataset(
        folder=files.folder,
        classes=files.classes,
        paths=tuple(one.name for one in chosen),
        labels=labels,
        splits=tuple(one.split for one in chosen),
        digests=tuple(found),
        looks=looks[kept],
        groups=groups,
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        left_out=tuple(left_out),
        named_as=files.data,
        layout=files.layout,
    )


def check_classes(dataset: Dataset) -> None:
    """Refuse what cannot be learned.

    Raises:
        DataError: one class only, or a class with fewer than 2 readable pictures.
    """
    title, counts = dataset.title, dataset.counts()
    reasons = listing(sorted(dataset.left_out, key=lambda one: not one.kind), "; left out:")
    small = [f"`{label}` has {count}" for label, count in counts.items() if count < MIN_PICTURES]
    if small:
        raise DataError(
            f"{title}: every class needs at least {MIN_PICTURES} readable pictures, "
            f"{some(small)}; add pictures or remove the folder" + reasons
        )
    if len(counts) < 2:
        inner = [f"--data {dataset.folder}/{one}" for one in dataset.layout.inner]
        meant = f"; if its folders are the classes: {inner[0]}" if inner else ""
        raise DataError(
            f"{title} has one class only (`{next(iter(counts))}`); a classifier needs two: "
            f"one sub-folder per class (tables of labels are not read){meant}"
            + nearby.meant(dataset.title)
            + reasons
        )


def some(names: list[str], most: int = 5) -> str:
    """The first few names in a line, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
