"""Chooses the pictures of a folder on which a model is measured: those that it did not learn from.

Classes are matched by name. Pictures of other classes are kept, too: they show how the model
answers to what it does not know.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
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
        labels: (n,) int64 indexes of `classes`, or UNKNOWN.
        seen: the number of pictures that are left out, because the model learned from them.
        has_record: whether the bundle records by hash which pictures the model learned from.
        images: the pictures at the model's input size; empty until `decode_lazily` sets it.
    """

    scan: Scan
    classes: tuple[str, ...]
    files: tuple[PictureFile, ...]
    digests: tuple[str, ...]
    labels: NDArray[np.int64]
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
    def fingerprint(self) -> str:
        """SHA-256 of the paths, classes and contents of the pictures."""
        pairs = zip(self.files, self.digests, strict=True)
        lines = [f"{file.name} {file.label} {digest}" for file, digest in pairs]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def unknown_classes(self) -> dict[str, int]:
        """The classes that the model does not know, sorted, with their numbers of pictures."""
        counts = Counter(file.label for file in self.files)
        return {label: counts[label] for label in sorted(set(counts) - set(self.classes))}

    @property
    def absent_classes(self) -> list[str]:
        """The classes of the model that have no picture here."""
        present = {file.label for file in self.files}
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
    indexes = {label: index for index, label in enumerate(classes)}
    pictures = tuple(scan.pictures[row] for row in kept)
    chosen = EvaluationSet(
        scan=scan,
        classes=classes,
        files=pictures,
        digests=tuple(digests[row] for row in kept),
        labels=np.array([indexes.get(file.label, UNKNOWN) for file in pictures], np.int64),
        seen=len(digests) - len(kept),
        has_record=bool(split) and all(row.sha256 for row in split),
    )
    if (chosen.labels == UNKNOWN).all():
        raise DataError(_why_nothing_is_left(chosen, bundle))
    return chosen


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
    for label, count in chosen.unknown_classes.items():
        yield (
            f"`{label}` ({count:,} picture{'' if count == 1 else 's'}) is not a class of the model"
            f"{_suggest(label, chosen.absent_classes)}: it does not count in the accuracy, and is "
            "measured as unknown"
        )
    if absent := chosen.absent_classes:
        names = format_names([f"`{label}`" for label in absent])
        yield f"classes of the model that have no picture to measure them on: {names}"


def _suggest(label: str, absent: list[str]) -> str:
    """Name a class of the model that is spelt almost like `label`; "" if there is none."""
    same = [other for other in absent if normalize(other) == normalize(label)]
    return f" (it has `{same[0]}`: rename the folder if both are the same)" if same else ""


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
    hints = [_suggest(label, list(chosen.classes)) for label in chosen.scan.classes]
    return (
        f"{folder} has no class of the model. Classes of the folder: {ours}; of the model: "
        f"{theirs}. Rename the folders, or name another model" + next(filter(None, hints), "")
    )
