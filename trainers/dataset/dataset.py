"""The dataset: pictures with classes, splits and inspections, and the files that were left out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS
from trainers.cache.array_cache import Cache
from trainers.dataset.decoded_images import Images
from trainers.dataset.digests import read_unchanged
from trainers.dataset.duplicates import find_duplicates
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names
from trainers.dataset.folders.layout import Layout
from trainers.dataset.folders.scan import LeftOut, Scan, format_left_out
from trainers.dataset.folders.suggestions import suggest_folder
from trainers.dataset.inspection import inspect_files
from trainers.dataset.scanning import picture_path
from trainers.dataset.tables.labels import SEPARATOR

MIN_PICTURES = 2
"""Smallest number of pictures per class: one for training and one for the test."""


@dataclass(frozen=True)
class Dataset:
    """Pictures that can be decoded, with their classes and splits.

    `paths`, `labels`, `splits`, `digests`, `inspections` and `duplicate_groups` have one entry per
    picture, in the same order. So do `images` and `sources`, unless they are empty.

    Attributes:
        folder: the folder of the pictures; for an archive, the folder into which it was unpacked.
        classes: names, sorted.
        paths: relative to the folder, or URIs.
        labels: (N,) int64, indices of classes. If pictures have several labels, the rarest label of
            each picture, to sample and split by; the number of classes for a picture without one.
        splits: names from SPLITS. Until `splits.splitting.split` has run, "" for each picture whose
            folder does not name a split.
        digests: SHA-256 of the files, in hexadecimal.
        inspections: (N,) records of `inspection.INSPECTION`.
        duplicate_groups: (N,) int64, for each picture the first row of its group of duplicates.
        fingerprint: SHA-256 of paths, classes and digests.
        left_out: files and folders that are not used.
        images: the pictures at the model's input size; empty until `features.decoding` sets it.
        data_path: the folder or the archive, as the user named it.
        layout: where in the folder the classes are.
        sources: the source of each picture as found by --group, "" if there is none; an empty tuple
            without --group.
        targets: (N, classes) bool, whether each picture has each label; (0, 0) for one class each.
        pinned: numbers of pictures by how --split has decided their split (see
            `splits.pinning.PinnedSplit`); empty without --split.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    digests: tuple[str, ...]
    inspections: NDArray[np.void]
    duplicate_groups: NDArray[np.int64]
    fingerprint: str
    left_out: tuple[LeftOut, ...]
    images: Images = field(
        default_factory=lambda: Images.from_array(np.zeros((0, 0, 0, 3), np.uint8))
    )
    data_path: Path | None = None
    layout: Layout = field(default_factory=Layout)
    sources: tuple[str, ...] = ()
    targets: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    pinned: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return bool(self.targets.size)

    @property
    def title(self) -> Path:
        """The folder or the archive, as the user named it; messages show this path."""
        return self.data_path or self.folder

    @property
    def significant_bits(self) -> int:
        """The number of bits, 8 to 16, that the samples of the 16-bit pictures use.

        The decoder maps the samples of 16-bit pictures, which range from 0 to
        2 ** significant_bits - 1, to 0..255. Without 16-bit pictures, the number is 16.
        """
        bits = self.inspections["bits"]
        used = self.inspections["significant_bits"][bits == FULL_RANGE_BITS]
        return int(used.max()) if len(used) else FULL_RANGE_BITS

    @property
    def cache_keys(self) -> list[bytes]:
        """The cache key of each picture, 32 bytes: normally the digest of its file.

        If `significant_bits` is less than 16, the keys of 16-bit pictures also depend on this
        number, because their decoded pixels depend on it.
        """
        keys, bits = [bytes.fromhex(digest) for digest in self.digests], self.significant_bits
        if bits < FULL_RANGE_BITS:
            for row in np.flatnonzero(self.inspections["bits"] == FULL_RANGE_BITS):
                keys[row] = hashlib.sha256(keys[row] + bytes([bits])).digest()
        return keys

    def read_picture(self, row: int) -> bytes:
        """Read the file of a picture.

        Raises:
            DataError: the file has changed since the folder was read, or can no longer be read.
        """
        return read_unchanged(picture_path(self.folder, self.paths[row]), self.digests[row])

    def rows(self, split: str) -> NDArray[np.int64]:
        """Indices of the pictures of one split, in order."""
        return np.flatnonzero(np.array(self.splits) == split)

    def truth(self, rows: NDArray[np.int64]) -> NDArray[np.int64] | NDArray[np.bool_]:
        """The class indexes (M,) of some pictures, or whether they have each label (M, classes)."""
        return self.targets[rows] if self.is_multi_label else self.labels[rows]

    def prefetch(self, *splits: str) -> None:
        """Start to decode the pictures of these splits in the background."""
        for split in splits:
            self.images.prefetch(self.rows(split))

    def with_splits(self, splits: tuple[str, ...]) -> Dataset:
        return replace(self, splits=splits)

    def names(self, rows: NDArray[np.int64]) -> list[str]:
        """The class of each picture, or its labels, joined by |; "" if it has none."""
        if not self.is_multi_label:
            return [self.classes[label] for label in self.labels[rows]]
        return [self.join_labels(own) for own in self.targets[rows]]

    def join_labels(self, chosen: NDArray[np.bool_]) -> str:
        """Join the names of labels by |, from a mask (classes,)."""
        return SEPARATOR.join(self.classes[index] for index in np.flatnonzero(chosen))

    def count_classes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of pictures (classes,) of each class or with each label, among some rows."""
        if self.is_multi_label:
            counts: NDArray[np.int64] = self.targets[rows].sum(axis=0)
            return counts
        return np.bincount(self.labels[rows], minlength=len(self.classes))

    def class_counts(self) -> dict[str, int]:
        """Number of pictures of each class; 0 for a class without readable pictures."""
        counts = self.count_classes(np.arange(len(self.paths)))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def class_weights(self) -> NDArray[np.float32]:
        """Weights (classes,) float32 that balance the classes of the training split.

        The formula for N training pictures is that of class_weight="balanced" in scikit-learn:
        N / (classes * count). If all classes have the same size, the weights are 1.
        """
        labels = self.labels[self.rows("train")]
        counts = np.bincount(labels, minlength=len(self.classes))
        return (len(labels) / (len(counts) * counts)).astype(np.float32)


def load_dataset(scan: Scan, cache: Cache) -> Dataset:
    """Inspect every scanned picture and group duplicates; leave out undecodable files.

    Raises:
        DataError: a file was changed while the folder was read.
        CacheError: the cache cannot be written.
    """
    inspections, digests, problems = inspect_files(scan.pictures, cache)
    readable = [row for row in range(len(scan.pictures)) if row not in problems]
    pictures = [scan.pictures[row] for row in readable]
    digests = [digests[row] for row in readable]
    labels, targets = _encode_labels(scan, [picture.label for picture in pictures])
    sources = tuple(picture.group for picture in pictures)
    lines = [
        f"{picture.name} {picture.label} {digest}"
        for picture, digest in zip(pictures, digests, strict=True)
    ]
    return Dataset(
        folder=scan.folder,
        classes=scan.classes,
        paths=tuple(picture.name for picture in pictures),
        labels=labels,
        splits=tuple(picture.split for picture in pictures),
        digests=tuple(digests),
        inspections=inspections[readable],
        duplicate_groups=find_duplicates(digests, inspections[readable], labels, cache),
        fingerprint=hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        left_out=tuple(
            sorted((*scan.left_out, *problems.values()), key=lambda left_out: left_out.path)
        ),
        data_path=scan.data_path,
        layout=scan.layout,
        sources=sources if any(sources) else (),
        targets=targets,
    )


def _encode_labels(scan: Scan, names: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return `labels` and `targets` of a `Dataset`, from the label of each picture."""
    index = {name: number for number, name in enumerate(scan.classes)}
    if not scan.is_multi_label:
        return np.array([index[name] for name in names], np.int64), np.zeros((0, 0), np.bool_)
    targets = np.zeros((len(names), len(index)), np.bool_)
    for row, name in enumerate(names):
        targets[row, [index[part] for part in name.split(SEPARATOR) if part]] = True
    counts = np.append(targets.sum(axis=0), len(names) + 1)
    own = np.column_stack([targets, np.ones(len(names), np.bool_)])  # the last one: no label
    return np.where(own, counts, len(names) + 2).argmin(axis=1), targets


def check_classes(dataset: Dataset) -> None:
    """Check that there are two classes or more, each with enough pictures.

    Raises:
        DataError: there is only one class, or a class has fewer readable pictures than
            MIN_PICTURES.
    """
    title, counts = dataset.title, dataset.class_counts()
    small = [f"`{label}` ({count})" for label, count in counts.items() if count < MIN_PICTURES]
    if small:
        raise DataError(
            f"{title}: every class needs at least {MIN_PICTURES} readable pictures, but there are "
            f"fewer in {format_names(small)}: add pictures to each such class, or remove it"
            + format_left_out(dataset.left_out)
        )
    if len(counts) < 2 and dataset.is_multi_label:
        raise DataError(
            f"{title} has only one label (`{next(iter(counts))}`), but a classifier needs two: "
            "give each picture one of two classes, and train without --task multi-label"
        )
    if len(counts) < 2:
        inner = [f"--data {dataset.folder}/{path}" for path in dataset.layout.inner_roots]
        hint = f"; if the folders inside it are the classes, use {inner[0]}" if inner else ""
        raise DataError(
            f"{title} has only one class (`{next(iter(counts))}`), but a classifier needs at least "
            f"two: make one sub-folder per class, or a table of labels (labels.csv){hint}"
            + suggest_folder(dataset.title)
            + format_left_out(dataset.left_out)
        )
