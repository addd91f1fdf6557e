"""What is wrong with a folder of pictures, and what to do about it.

Thresholds are there to accuse nothing of a clean folder: the flowers and the satellite tiles of
the tests marked `real` have no finding but true ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from service.imaging import KINDS
from trainers.dataset.dataset import MIN_PICTURES, Dataset, some
from trainers.dataset.findings import appearance, leakage
from trainers.dataset.findings.finding import Finding, Severity, counted
from trainers.dataset.folders.filenames import ending, looks

FEW = 10
"""Pictures of a class, below which its accuracy is all or nothing: its test has one or two."""
IMBALANCE = 3.0
"""Largest class to smallest: from here on it is said."""

_SUFFIXES = {kind.name: kind.suffixes for kind in KINDS}
_LEFT_OUT = {
    "unreadable": "that cannot be read, so left out: replace, rename or delete {them}",
    "pointer": "without {their} content, so left out: fetch it",
    "web_page": "with a web page or a server's answer inside, so left out: download {them} again",
    "empty_file": "of 0 bytes, so left out: copy {them} again from where {they} came from",
    "truncated": "damaged or cut short, so left out: copy {them} again from where {they} came from",
    "too_large": "above the limits of what is decoded, so left out: shrink {them}",
    "unsupported": "of a format that is not read here, so left out: convert {them} to JPEG or PNG",
    "misplaced": "in no class folder, so left out: move {them} into one",
    "empty_class": "empty, so no class: put the forgotten pictures in, or remove {them}",
}
_WHOLLY_SAID = ("web_page", "empty_file", "misplaced", "empty_class")
"""Kinds whose files are left out for one reason, which the text is."""


def examine(dataset: Dataset, image_size: int) -> tuple[Finding, ...]:
    """Everything that is wrong, errors first.

    Args:
        dataset: with the splits that the folder gave, before others are drawn.
        image_size: side of the model's input, in pixels.
    """
    found = [
        *_levels(dataset),
        *_left_out(dataset),
        *_wrong_extensions(dataset),
        *_duplicates(dataset),
        *leakage.examine(dataset),
        *_classes(dataset),
        *appearance.examine(dataset, image_size),
    ]
    return tuple(sorted(found, key=lambda one: one.severity != "error"))


def _levels(dataset: Dataset) -> Iterator[Finding]:
    """Class folders that hold folders alone: one level may have been taken for another."""
    if inner := dataset.layout.inner:
        message = (
            f"the classes hold no pictures but folders of them, so {some(list(dataset.classes))} "
            "are told apart: if the folders inside are the classes, name --data "
            f"{dataset.folder}/{inner[0]}"
        )
        yield Finding("nested_classes", "error", message, inner)
    if shared := dataset.layout.shared:
        message = (
            "the classes hold folders of the same names: if those are the classes, move their "
            "pictures together, or call the folders above train, val and test"
        )
        yield Finding("nested_classes", "warning", message, shared)


def _left_out(dataset: Dataset) -> Iterator[Finding]:
    for kind, text in _LEFT_OUT.items():
        found = [one for one in dataset.left_out if one.kind == kind]
        if found:
            noun = "folder" if kind == "empty_class" else "file"
            finding = counted(kind, text, [one.path for one in found], noun)
            # One of each, whatever numbers are in it.
            reasons = {re.sub(r"[\d,]+", "", one.reason): one.reason for one in reversed(found)}
            said = f" ({'; '.join([*reversed(reasons.values())][:3])})"
            is_clear = kind in _WHOLLY_SAID
            yield finding if is_clear else replace(finding, message=finding.message + said)


def _wrong_extensions(dataset: Dataset) -> Iterator[Finding]:
    formats = [one.decode() for one in dataset.looks["format"].tolist()]
    paths = [
        path
        for path, kind in zip(dataset.paths, formats, strict=True)
        if ending(path) not in _SUFFIXES[kind]
    ]
    if paths:
        text = (
            "named for another format than {they} hold{s}, or for none, and used by content: "
            "rename {them}"
        )
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
        alike.setdefault(looks(label), []).append(label)
    groups = tuple(tuple(group) for group in alike.values() if len(group) > 1)
    if groups:
        text = "called alike but for capitals or blanks: move {them} together if {they} {are} one"
        paths = [label for group in groups for label in group]
        yield replace(counted("same_class", text, paths, "class"), groups=groups)
