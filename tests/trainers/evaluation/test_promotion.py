"""Which pictures two models are compared on; tests/trainers/test_promote.py compares them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.errors import BundleError
from trainers.evaluation.promotion import promote, read_split, tag, unseen_test_rows

Make = Callable[..., Bundle]


@pytest.fixture
def make(tmp_path: Path, manifest: Manifest) -> Make:
    """A bundle with nothing but a split.csv: make("new", {"a.jpg": "test"}, sha256={...})."""

    def make(
        folder: str, splits: Mapping[str, str], sha256: Mapping[str, str] | None = None
    ) -> Bundle:
        path = tmp_path / folder
        path.mkdir()
        names = ["path", *(["sha256"] if sha256 else []), "class", "split"]
        with (path / "split.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            for name, split in splits.items():
                digest = {"sha256": sha256[name]} if sha256 else {}
                writer.writerow({"path": name, "class": "red", "split": split, **digest})
        return Bundle(path, manifest.model_copy(update={"name": folder, "id": "0123456789abcdef"}))

    return make


def test_the_split_is_read_back(make: Make) -> None:
    (row,) = read_split(make("new", {"a.jpg": "test"}, {"a.jpg": "00"}))
    assert (row.path, row.sha256, row.label, row.split) == ("a.jpg", "00", "red", "test")
    (older,) = read_split(make("old", {"a.jpg": "train"}))
    assert older.sha256 == ""


def test_pictures_that_the_old_model_learned_from_are_not_used(make: Make) -> None:
    new = make("new", {"a": "test", "b": "test", "c": "train"}, {"a": "1", "b": "2", "c": "3"})
    old = make("old", {"x": "train", "b": "test"}, {"x": "1", "b": "2"})
    assert [row.path for row in unseen_test_rows(new, old)] == ["b"]  # x is a, renamed


def test_without_digests_the_path_decides(make: Make) -> None:
    new = make("new", {"a": "test", "b": "test"})
    old = make("old", {"a": "validation"}, {"a": "1"})
    assert [row.path for row in unseen_test_rows(new, old)] == ["b"]


def test_nothing_to_compare_by_is_an_error(make: Make) -> None:
    new, old = make("new", {"a": "test"}), make("old", {"a": "train"})
    with pytest.raises(BundleError, match="was trained on all 1 test pictures"):
        unseen_test_rows(new, old)


def test_only_a_model_of_the_same_name_is_replaced(make: Make, tmp_path: Path) -> None:
    new, old = make("new", {"a": "test"}), make("old", {"b": "train"})
    with pytest.raises(BundleError, match="can only replace one of the same name"):
        promote(new, old, tmp_path)
    assert tag(new) == "new:0123456789ab"
