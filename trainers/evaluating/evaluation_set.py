"""Chooses the pictures of a folder on which a model is measured: those that it did not learn from.

Classes are matched by name. Pictures of other classes are kept, too: they show how the model
answers to what it does not know. If pictures have several labels, those that the model does not
know are ignored.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.classification import SEPARATOR
from service.engine.predictor import Predictor
from service.settings import Settings
from trainers.cache.array_cache import Cache
from trainers.cache.record_store import Records
from trainers.dataset.decoded_images import Images, Rows
from trainers.dataset.digests import hash_files, read_unchanged
from trainers.dataset.findings import files, finding
from trainers.dataset.folders.errors import DataError
from trainers.dataset.folders.filenames import format_names, normalize
from trainers.dataset.folders.scan import PictureFile, Scan
from trainers.dataset.splits.split_table import read_split
from trainers.progress import log

UNKNOWN = -1
"""The label of a picture whose class the model does not know."""


@dataclass(frozen=True)
class EvaluationSet:
    """Labelled pictures that a model has not learned from, before they are decoded.

    Attributes:
        scan: all files of the folder.
        classes: the classes of the model, in the order of its probabilities.
        files: the n pictures that are left.
        digests: SHA-256 of their files, in hexadecimal; "" for a file that cannot be read.
        labels: (n,) int64 indexes of `classes`, or UNKNOWN. If pictures have several labels, the
            first label that the model knows.
        targets: (n, classes) bool, whether each picture has each label; (0, 0) for one class each.
        seen: the number of pictures that are left out, because the model learned from them.
        has_record: whether the bundle records by hash which pictures the model learned from.
        images: the pictures at the model's input size; empty until `decode_lazily` sets it.
    """

    scan: Scan
    classes: tuple[str, ...]
    files: tuple[PictureFile, ...]
    digests: tuple[str, ...]
    labels: NDArray[np.int64]
    targets: NDArray[np.bool_]
    seen: int
    has_record: bool
    images: Images = field(
        default_factory=lambda: Images.from_array(np.zeros((0, 0, 0, 3), np.uint8))
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the pictures, relative to the data folder."""
        return tuple(file.name for file in self.files)

    @property
    def is_multi_label(self) -> bool:
        """Whether a picture may have several labels, or none."""
        return self.scan.is_multi_label

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """(n,) whether the picture counts: the model knows its class, or it may have no label."""
        known: NDArray[np.bool_] = (self.labels != UNKNOWN) | self.is_multi_label
        return known

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the paths, classes and contents of the pictures."""
        pairs = zip(self.files, self.digests, strict=True)
        lines = [f"{file.name} {file.label} {digest}" for file, digest in pairs]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def unknown_classes(self) -> dict[str, int]:
        """The classes that the model does not know, sorted, with their numbers of pictures."""
        counts = Counter(name for file in self.files for name in _names(file, self.scan))
        return {label: counts[label] for label in sorted(set(counts) - set(self.classes))}

    @property
    def absent_classes(self) -> list[str]:
        """The classes of the model that have no picture here."""
        present = {name for file in self.files for name in _names(file, self.scan)}
        return [label for label in self.classes if label not in present]


def choose_pictures(scan: Scan, bundle: Bundle, cache: Cache) -> EvaluationSet:
    """Leave out the pictures that a model was trained or validated on.

    They are recognised by the SHA-256 of the file, which the split.csv of the bundle records. A
    copy that was saved again, or resized, is not recognised.

    Raises:
        DataError: no picture of a class of the model is left.
        CacheError: the cache cannot be written.
    """
    classes = bundle.manifest.classes
    # Files that cannot be read get no digest here, and a reason when they are classified.
    digests = hash_files([file.path for file in scan.pictures], lambda *_: None, cache)
    split = read_split(bundle) if "split.csv" in bundle.manifest.files else []
    learned = {row.sha256 for row in split if row.split != "test"} - {""}
    kept = [row for row, digest in enumerate(digests) if digest not in learned]
    pictures = tuple(scan.pictures[row] for row in kept)
    labels, targets = _encode(pictures, classes, scan)
    chosen = EvaluationSet(
        scan=scan,
        classes=classes,
        files=pictures,
        digests=tuple(digests[row] for row in kept),
        labels=labels,
        targets=targets if scan.is_multi_label else np.zeros((0, 0), np.bool_),
        seen=len(digests) - len(kept),
        has_record=bool(split) and all(row.sha256 for row in split),
    )
    if (chosen.labels == UNKNOWN).all():
        raise DataError(_why_nothing_is_left(chosen, bundle))
    return chosen


def _encode(
    pictures: Sequence[PictureFile], classes: tuple[str, ...], scan: Scan
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the first known class (n,) of each picture, and all of them (n, classes)."""
    indexes = {label: index for index, label in enumerate(classes)}
    labels = np.full(len(pictures), UNKNOWN, np.int64)
    targets = np.zeros((len(pictures), len(classes)), np.bool_)
    for row, file in enumerate(pictures):
        known = [indexes[name] for name in _names(file, scan) if name in indexes]
        targets[row, known] = True
        labels[row] = min(known, default=UNKNOWN)
    return labels, targets


def _names(file: PictureFile, scan: Scan) -> list[str]:
    """Return the class of a picture, or all its labels."""
    if not scan.is_multi_label:
        return [file.label]
    return [name for name in file.label.split(SEPARATOR) if name]


def decode_lazily(chosen: EvaluationSet, predictor: Predictor, settings: Settings) -> EvaluationSet:
    """Return the pictures with `images`, each decoded when it is first needed.

    The page shows only a few of them, so no decoded pictures are kept while all are classified.
    """
    limits = settings.limits()

    def load(rows: Rows) -> Records:
        contents = (read_unchanged(chosen.files[row].path, chosen.digests[row]) for row in rows)
        images = np.stack([predictor.decode(content, limits) for content in contents])
        return Records(images, np.arange(len(rows)))

    return replace(chosen, images=Images(len(chosen.files), predictor.image_size, load))


def log_choice(chosen: EvaluationSet) -> None:
    """Log which files and pictures are left out, and which classes do not match."""
    for line in (*finding.list_notes(chosen.scan), *describe(chosen)):
        log.info("%s", line)
    finding.log_findings([*files.report_left_out(chosen.scan.left_out)])


def describe(chosen: EvaluationSet) -> Iterator[str]:
    """Yield lines about pictures that the model learned from, and about classes."""
    total = len(chosen.files) + chosen.seen
    if chosen.seen:
        yield (
            f"{chosen.seen:,} of {total:,} pictures are those that the model was trained or "
            "validated on: left out"
        )
    if not chosen.has_record:
        yield (
            "this model does not record which pictures it was trained on: if some of them are in "
            "the folder, the accuracy is too high. To know, train the model again"
        )
    if chosen.is_multi_label:
        kind = "label"
        effect = "is ignored, so a picture with no other label counts as one without labels"
        no_pictures = (
            "no picture here has these labels of the model, so an answer with one of them counts "
            "as wrong"
        )
    else:
        kind, effect = "class", "does not count in the accuracy, and is measured as unknown"
        no_pictures = "classes of the model that have no picture to measure them on"
    absent = chosen.absent_classes
    for label, count in chosen.unknown_classes.items():
        yield (
            f"`{label}` ({count:,} picture{'' if count == 1 else 's'}) is not a {kind} of the model"
            f"{_suggest(label, absent, chosen)}: it {effect}"
        )
    if absent:
        yield f"{no_pictures}: {format_names([f'`{label}`' for label in absent])}"


def _suggest(label: str, absent: list[str], chosen: EvaluationSet) -> str:
    """Name a class of the model that is spelt almost like `label`; "" if there is none."""
    same = [other for other in absent if normalize(other) == normalize(label)]
    thing = "label" if chosen.is_multi_label else "folder"
    return f" (it has `{same[0]}`: rename the {thing} if both are the same)" if same else ""


def _why_nothing_is_left(chosen: EvaluationSet, bundle: Bundle) -> str:
    folder = chosen.scan.data_path
    if known := set(chosen.classes) & set(chosen.scan.classes):
        return (
            f"{folder}: the model was trained or validated on all pictures of its classes "
            f"({format_names([f'`{label}`' for label in sorted(known)])}), so nothing is left to "
            f"measure it on: set --data to other pictures. {bundle.path / 'metrics.json'} has its "
            "accuracy on the test pictures of its training"
        )
    ours, theirs = (
        format_names([f"`{label}`" for label in labels])
        for labels in (chosen.scan.classes, chosen.classes)
    )
    hints = [_suggest(label, list(chosen.classes), chosen) for label in chosen.scan.classes]
    one, several, source, things = (
        ("label", "Labels", "table", "labels")
        if chosen.is_multi_label
        else ("class", "Classes", "folder", "folders")
    )
    return (
        f"{folder} has no {one} of the model. {several} of the {source}: {ours}; of the model: "
        f"{theirs}. Rename the {things}, or name another model" + next(filter(None, hints), "")
    )
