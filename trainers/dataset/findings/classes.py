"""Findings about classes: nested, small, unbalanced, or with similar names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainers.dataset.dataset import MIN_PICTURES, Dataset
from trainers.dataset.findings.finding import Finding, counted
from trainers.dataset.folders.filenames import format_names, normalize

FEW_PICTURES = 10
"""Of a class: with fewer, its test has one or two, and its accuracy is all or nothing."""
MAX_IMBALANCE = 3.0
"""Size of the largest class relative to the smallest; from here on it is a finding."""


def find_nested_classes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Class folders that hold only folders: perhaps those are the classes."""
    if inner := dataset.layout.inner_roots:
        message = (
            "the class folders hold no pictures but folders of pictures, so the model learns to "
            f"tell {format_names(list(dataset.classes))} apart: if the folders inside are the "
            f"classes, name --data {dataset.folder}/{inner[0]}"
        )
        yield Finding("nested_classes", "error", message, inner)
    if nested := dataset.layout.nested_classes:
        message = (
            "the class folders hold folders of the same names: if those are the classes, merge "
            "the folders of each class, or call the folders above train, val and test"
        )
        yield Finding("nested_classes", "warning", message, nested)


def find_small_classes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Classes with too few pictures to train on, or to measure."""
    counts = dataset.class_counts()
    if unusable := [label for label, count in counts.items() if count < MIN_PICTURES]:
        text = f"with fewer than {MIN_PICTURES} readable pictures: add pictures or remove {{them}}"
        yield counted("tiny_class", text, unusable, "class", "error")
    if small := [label for label, count in counts.items() if MIN_PICTURES <= count < FEW_PICTURES]:
        text = (
            f"with fewer than {FEW_PICTURES} pictures, too few for reliable figures: add pictures"
        )
        yield counted("tiny_class", text, small, "class")


def find_imbalance(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Classes of very different sizes."""
    counts = dataset.class_counts()
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[large] >= MAX_IMBALANCE * max(1, counts[small]):
        message = (
            f"`{large}` has {counts[large]:,} pictures and `{small}` {counts[small]:,}: pictures "
            f"of small classes count for more in training, but add some to `{small}`"
        )
        yield Finding("imbalance", "warning", message, (small, large))


def find_similar_names(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Class names that differ only in case, blanks or the Unicode form of accents.

    macOS and Windows often take such folders for one. `a` and `A` may be letters: no error.
    """
    similar: dict[str, list[str]] = {}
    for label in dataset.classes:
        similar.setdefault(normalize(label), []).append(label)
    groups = tuple(tuple(labels) for labels in similar.values() if len(labels) > 1)
    if groups:
        text = "called alike but for capitals or blanks: move {them} together if {they} {are} one"
        labels = [label for group in groups for label in group]
        yield replace(counted("same_class", text, labels, "class"), groups=groups)
