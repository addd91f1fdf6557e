"""Findings about duplicates within a split, across splits, and across classes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.finding import Finding, Severity

_MESSAGES: dict[str, tuple[Severity, str]] = {
    "duplicate_across_classes": (
        "error",
        "of duplicates in different classes: the same picture has several labels, and the model "
        "learns all of them. Keep each picture only in the right class",
    ),
    "duplicate_with_other_labels": (
        "error",
        "of duplicates with different labels: the model learns that the same picture has a label "
        "and does not have it. Give them the same labels, or keep only one picture of each group",
    ),
    "duplicate_across_splits": (
        "error",
        "of duplicates in different splits: the model is tested on pictures that it has learned "
        "from, so the measured accuracy is too high. Delete the copies in train/, or remove the "
        "split folders and let Graft split the pictures",
    ),
    "exact_duplicate": (
        "warning",
        "of copies of the same file. Graft keeps copies in one split, but each counts as a "
        "picture: delete all but one of each group",
    ),
    "near_duplicate": (
        "warning",
        "of copies of the same photo (re-encoded, resized, turned or retouched). Graft keeps "
        "copies in one split, but each counts as a picture: delete all but the best of each group",
    ),
}
"""Severity and message of each kind of finding. The number of groups ("3 groups") precedes the
message."""


def find_duplicates(dataset: Dataset, _: int) -> Iterator[Finding]:
    """Find groups of duplicates, one finding for each kind of problem."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    order = np.argsort(dataset.duplicate_groups, kind="stable")
    starts = np.flatnonzero(np.diff(dataset.duplicate_groups[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if len(rows) > 1:
            paths = tuple(dataset.paths[row] for row in rows)
            for kind in _kinds(dataset, rows):
                groups.setdefault(kind, []).append(paths)
    for kind, (severity, text) in _MESSAGES.items():
        if kind in groups:
            same_kind = tuple(groups[kind])
            plural = "" if len(same_kind) == 1 else "s"
            message = f"{len(same_kind):,} group{plural} {text}"
            paths = tuple(path for group in same_kind for path in group)
            yield Finding(kind, severity, message, paths, same_kind)


def _kinds(dataset: Dataset, rows: NDArray[np.int64]) -> Iterator[str]:
    """Yield the kind of each finding that must report this group of duplicates.

    Duplicates in one class and one split are reported only if the group has no worse problem.
    """
    is_mislabelled = len(set(dataset.names(rows))) > 1
    is_leak = len({dataset.splits[row] for row in rows}) > 1
    if is_mislabelled:
        is_multi_label = dataset.is_multi_label
        yield "duplicate_with_other_labels" if is_multi_label else "duplicate_across_classes"
    if is_leak:
        yield "duplicate_across_splits"
    if not is_mislabelled and not is_leak:
        files = len({dataset.digests[row] for row in rows})
        if files < len(rows):
            yield "exact_duplicate"
        if files > 1:
            yield "near_duplicate"
