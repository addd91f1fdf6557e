"""What is wrong with a folder of pictures, and what to do about it.

Thresholds are there to accuse nothing of a clean folder: the flowers and the satellite tiles of
the tests marked `real` have no finding but true ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.imaging import FULL_RANGE_BITS, KINDS
from trainers import frames
from trainers.data import MIN_PICTURES, Dataset
from trainers.findings import Finding, Severity, counted

FEW = 10
"""Pictures of a class, below which its accuracy is all or nothing: its test has one or two."""
IMBALANCE = 3.0
"""Largest class to smallest: from here on it is said."""
TOO_SMALL = 0.5
"""Side of a picture to that of the model's input."""
ODD_SIDE, ODD_SHAPE = 4.0, 2.0
"""How many times larger, or longer for its width, than the folder's median a picture may be."""

_SUFFIXES = {kind.name: kind.suffixes for kind in KINDS}
_LEFT_OUT = {
    "unreadable": "cannot be read, so left out: replace, rename or delete {them}",
    "truncated": "damaged or cut short, so left out: copy {them} again from where {they} came from",
    "unsupported": "of a format that is not read here, so left out: convert {them} to JPEG or PNG",
    "misplaced": "in no class folder, so left out: move {them} into one",
    "empty_class": "empty, so no class: put the forgotten pictures in, or remove {them}",
}
_MODES = {
    "animated": "animated: the first frame counts; choose another or cut {them} apart",
    "16-bit": "of 16 bits per sample among others of 8: check that all have the same brightness",
    "CMYK": "in CMYK, whose colours shift: save {them} as RGB",
    "transparent": "transparent, laid over white: give {them} the background of the others",
    "palette": "of few colours in a palette: take the originals if there are any",
    "gray": "gray among coloured ones: fine if the service will get gray ones, too",
    "coloured": "coloured among others: fine if the service will get coloured ones, too",
}


def examine(dataset: Dataset, image_size: int) -> tuple[Finding, ...]:
    """Everything that is wrong, errors first.

    Args:
        dataset: with the splits that the folder gave, before others are drawn.
        image_size: side of the model's input, in pixels.
    """
    found = [
        *_left_out(dataset),
        *_wrong_extensions(dataset),
        *_duplicates(dataset),
        *frames.examine(dataset),
        *_classes(dataset),
        *_sizes(dataset, image_size),
        *_modes(dataset),
        *_content(dataset),
    ]
    return tuple(sorted(found, key=lambda one: one.severity != "error"))


def _left_out(dataset: Dataset) -> Iterator[Finding]:
    for kind, text in _LEFT_OUT.items():
        paths = [one.path for one in dataset.left_out if one.kind == kind]
        if paths:
            noun = "folder" if kind == "empty_class" else "file"
            yield counted(kind, text, paths, noun)


def _wrong_extensions(dataset: Dataset) -> Iterator[Finding]:
    formats = [one.decode() for one in dataset.looks["format"].tolist()]
    paths = [
        path
        for path, kind in zip(dataset.paths, formats, strict=True)
        if Path(path).suffix.lower() not in _SUFFIXES[kind]
    ]
    if paths:
        text = "named for another format than {they} hold{s}, and used by content: rename {them}"
        s = "s" if len(paths) == 1 else ""
        yield counted("wrong_extension", text.replace("{s}", s), paths)


def _duplicates(dataset: Dataset) -> Iterator[Finding]:
    groups: dict[str, list[tuple[str, ...]]] = {}
    order = np.argsort(dataset.groups, kind="stable")
    starts = np.flatnonzero(np.diff(dataset.groups[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            paths = tuple(dataset.paths[row] for row in rows)
            for kind in _kinds_of_group(dataset, rows):
                groups.setdefault(kind, []).append(paths)
    for kind, (severity, text) in _DUPLICATES.items():
        if found := groups.get(kind):
            paths = tuple(path for group in found for path in group)
            count = f"{len(found):,} group{'' if len(found) == 1 else 's'} of "
            yield Finding(kind, severity, f"{count}{text}", paths, tuple(found))


_DUPLICATES: dict[str, tuple[Severity, str]] = {
    "duplicate_across_classes": (
        "error",
        "pictures that are duplicates of each other in different classes: keep each in its own",
    ),
    "duplicate_across_splits": (
        "error",
        "duplicates in different splits: the test asks what was learned by heart; "
        "delete those in train/, or let Graft split",
    ),
    "exact_duplicate": ("warning", "copies of one file, kept in one split: delete all but one"),
    "near_duplicate": (
        "warning",
        "pictures of the same shot (re-encoded, resized, turned or retouched), kept in one "
        "split: delete all but the best",
    ),
}


def _kinds_of_group(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[str]:
    """The worst that can be said of a group of duplicates."""
    splits = {dataset.splits[row] for row in rows}
    is_mislabelled, is_leak = len(set(dataset.labels[rows])) > 1, len(splits) > 1
    if is_mislabelled:
        yield "duplicate_across_classes"
    if is_leak:
        yield "duplicate_across_splits"
    if not is_mislabelled and not is_leak:
        files = len({dataset.digests[row] for row in rows})
        if files < len(rows):
            yield "exact_duplicate"
        if files > 1:
            yield "near_duplicate"


def _classes(dataset: Dataset) -> Iterator[Finding]:
    counts = dataset.counts()
    tiny = [label for label, count in counts.items() if MIN_PICTURES <= count < FEW]
    useless = [label for label, count in counts.items() if count < MIN_PICTURES]
    if useless:
        text = f"with fewer than {MIN_PICTURES} readable pictures: add pictures or remove {{them}}"
        yield counted("tiny_class", text, useless, "class", "error")
    if tiny:
        text = f"with fewer than {FEW} pictures, about which figures mean little: add pictures"
        yield counted("tiny_class", text, tiny, "class")
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[large] >= IMBALANCE * max(1, counts[small]):
        message = (
            f"`{large}` has {counts[large]:,} pictures and `{small}` {counts[small]:,}: pictures "
            f"of small classes count for more in training, but add some to `{small}`"
        )
        yield Finding("imbalance", "warning", message, (small, large))
    yield from _classes_alike(dataset.classes)


def _classes_alike(labels: Sequence[str]) -> Iterator[Finding]:
    """Folders of one name but for capitals, blanks, and how accents are stored: macOS and Windows
    often take them for one. `a` and `A` may be letters, so this is no error."""
    alike: dict[str, list[str]] = {}
    for label in labels:
        name = unicodedata.normalize("NFKC", label).casefold()
        alike.setdefault(re.sub(r"[\s_-]+", " ", name).strip(), []).append(label)
    groups = tuple(tuple(group) for group in alike.values() if len(group) > 1)
    if groups:
        text = "called alike but for capitals or blanks: move {them} together if {they} {are} one"
        paths = [label for group in groups for label in group]
        yield replace(counted("same_class", text, paths, "class"), groups=groups)


def _sizes(dataset: Dataset, image_size: int) -> Iterator[Finding]:
    if not len(dataset.paths):
        return
    width, height = (dataset.looks[side].astype(np.float64) for side in ("width", "height"))
    is_small = np.minimum(width, height) < TOO_SMALL * image_size
    paths = _where(dataset, is_small)
    if paths:
        text = (
            f"smaller than half of the model's input ({image_size} x {image_size}), so blurred "
            "when enlarged: take larger ones, or a smaller --image-size"
        )
        yield counted("too_small", text, paths)
    side, shape = np.sqrt(width * height), np.maximum(width, height) / np.minimum(width, height)
    is_odd = (side > ODD_SIDE * np.median(side)) | (side < np.median(side) / ODD_SIDE)
    is_odd = (is_odd & ~is_small) | (shape > ODD_SHAPE * np.median(shape))
    paths = _where(dataset, is_odd)
    if paths:
        typical = f"{np.median(width):.0f} x {np.median(height):.0f}"
        text = (
            f"of another size or shape than the rest (typically {typical}): check that {{they}} "
            "{are} not cut out, stitched or scanned"
        )
        yield counted("odd_size", text, paths)


def _modes(dataset: Dataset) -> Iterator[Finding]:
    """A folder of one mode is fine, whichever it is; where there are several, the rarer are odd."""
    looks = dataset.looks
    is_gray = np.isin(looks["mode"], [b"L", b"1", b"LA", b"I;16", b"I"])
    tests = [
        looks["frames"] > 1,
        looks["bits"] == 16,
        np.isin(looks["mode"], [b"CMYK", b"YCCK"]),
        looks["is_transparent"],
        looks["mode"] == b"P",
        is_gray,
    ]
    names = np.array(list(_MODES))
    mode = names[np.select(tests, range(len(tests)), default=len(tests))]
    present, counts = np.unique(mode, return_counts=True)
    for name in present[np.argsort(-counts)][1:]:
        yield counted("odd_mode", _MODES[name], _where(dataset, mode == name))


def _content(dataset: Dataset) -> Iterator[Finding]:
    """Pictures that show nothing, and 16 bits of which only some are used."""
    looks, bits = dataset.looks, dataset.significant_bits
    if paths := _where(dataset, looks["is_blank"]):
        text = (
            "of one colour everywhere, once decoded (black, or transparent throughout): replace or "
            "remove {them}"
        )
        yield counted("blank", text, paths)
    if bits < FULL_RANGE_BITS:
        text = (
            f"of 16 bits per sample whose values stay below {2**bits:,} ({bits} bits): that range "
            "is spread over the model's, here and when it serves; send it pictures of that scale"
        )
        yield counted("narrow_range", text, _where(dataset, looks["bits"] == FULL_RANGE_BITS))


def _where(dataset: Dataset, rows: NDArray[np.bool_]) -> list[str]:
    return [dataset.paths[row] for row in np.flatnonzero(rows)]
