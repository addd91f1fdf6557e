"""Findings about classes that are nested, small, unbalanced, or have similar names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from trainers.dataset.dataset import MIN_PICTURES, Dataset
from trainers.dataset.findings.finding import Finding, make_finding
from trainers.dataset.folders.filenames import format_names, normalize

FEW_PICTURES = 10
"""A class with fewer pictures is reported: it usually has only one or two test pictures, so its
accuracy on them can only be 0, 50 or 100%."""
MAX_IMBALANCE = 3.0
"""The imbalance is reported if the largest class is at least this number of times as large as the
smallest class."""


def find_nested_classes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find class folders that hold other folders, if these inner folders may be the classes."""
    if inner := dataset.layout.inner_roots:
        message = (
            f"the class folders ({format_names(list(dataset.classes))}) hold folders that look "
            "like classes, but the model learns to distinguish only the outer folders. If the "
            "inner folders are the classes, train on one of the outer folders, e.g. with "
            f"--data {dataset.folder}/{inner[0]}"
        )
        yield Finding("nested_classes", "error", message, inner)
    if nested := dataset.layout.nested_classes:
        message = (
            "the class folders hold folders with the same names, so perhaps the inner folders are "
            "the classes. If so, merge the inner folders that have the same name. Or, if the outer "
            "folders are splits, rename them to train, val and test"
        )
        yield Finding("nested_classes", "warning", message, nested)


def find_small_classes(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find classes with too few pictures to train on, or to measure their accuracy reliably."""
    counts = dataset.class_counts()
    if unusable := [label for label, count in counts.items() if count < MIN_PICTURES]:
        text = (
            f"{{have}} fewer than {MIN_PICTURES} readable pictures, too few to train on: add "
            "pictures or remove {them}"
        )
        yield make_finding("tiny_class", text, unusable, "class", "error")
    if small := [label for label, count in counts.items() if MIN_PICTURES <= count < FEW_PICTURES]:
        text = (
            f"{{have}} fewer than {FEW_PICTURES} pictures, too few to measure {{their}} accuracy "
            "reliably: add pictures"
        )
        yield make_finding("tiny_class", text, small, "class")


def find_imbalance(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Report the largest and the smallest class if their sizes are very different.

    If a picture may have several labels, they are not balanced in training, and not reported.
    """
    if dataset.is_multi_label:
        return
    counts = dataset.class_counts()
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[large] >= MAX_IMBALANCE * max(1, counts[small]):
        message = (
            f"class `{large}` has {counts[large]:,} pictures, but `{small}` only "
            f"{counts[small]:,}, so the model sees less variety of `{small}`. Training gives small "
            f"classes more weight, but more pictures help more: add some to `{small}`"
        )
        yield Finding("imbalance", "warning", message, (small, large))


def find_similar_names(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find class names that differ only in case, spaces, `_`, `-` or the Unicode form of accents.

    macOS and Windows often treat names that differ only in case or accents as the same folder. The
    finding is only a warning, because `a` and `A` may be two classes.
    """
    similar: dict[str, list[str]] = {}
    for label in dataset.classes:
        similar.setdefault(normalize(label), []).append(label)
    groups = tuple(tuple(labels) for labels in similar.values() if len(labels) > 1)
    if groups:
        text = (
            "{have} names that differ only in capitals, spaces, _, - or the encoding of accents: "
            "if {they} {are} the same class, move {their} pictures into one folder"
        )
        labels = [label for group in groups for label in group]
        yield replace(make_finding("same_class", text, labels, "class"), groups=groups)
