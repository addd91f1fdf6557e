from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.trainers.dataset.splits.test_splitting import dataset
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.duplication import find_duplicates
from trainers.dataset.findings.finding import Finding


def grouped(*groups: int, splits: tuple[str, ...] | None = None) -> Dataset:
    """A dataset of pictures in these duplicate groups; each half of them is one class."""
    half = len(groups) // 2
    return replace(dataset(half, half, splits=splits), duplicate_groups=np.array(groups))


def find(data: Dataset) -> dict[str, Finding]:
    return {finding.kind: finding for finding in find_duplicates(data, 224)}


def test_pictures_without_duplicates_have_no_finding() -> None:
    assert find(grouped(0, 1, 2, 3)) == {}


def test_the_kind_of_a_group_is_its_worst_problem() -> None:
    findings = find(grouped(0, 0, 2, 3, 4, 2))
    assert findings.keys() == {"near_duplicate", "duplicate_across_classes"}
    assert findings["near_duplicate"].groups == (("0/0.png", "0/1.png"),)
    assert findings["duplicate_across_classes"].paths == ("0/2.png", "1/5.png")
    assert findings["duplicate_across_classes"].severity == "error"


def test_a_group_in_two_splits_is_an_error() -> None:
    splits = ("train", "test", "train", "train")
    (finding,) = find(grouped(0, 0, 2, 3, splits=splits)).values()
    assert (finding.kind, finding.severity) == ("duplicate_across_splits", "error")


def test_copies_of_a_file_are_exact_duplicates() -> None:
    data = replace(grouped(0, 0, 0, 3, 4, 5), digests=("a", "a", "b", "c", "d", "e"))
    findings = find(data)
    assert findings.keys() == {"exact_duplicate", "near_duplicate"}
    assert findings["exact_duplicate"].message.startswith("1 group of copies of the same file")


def test_copies_with_other_labels_are_an_error() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], np.bool_)
    data = replace(grouped(0, 0, 2, 3), targets=targets)
    (finding,) = find(data).values()
    assert (finding.kind, finding.severity) == ("duplicate_with_other_labels", "error")
    assert find(replace(data, targets=targets[[0, 0, 2, 3]])).keys() == {"near_duplicate"}
