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

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def make_bundle(tmp_path: Path, manifest: Manifest) -> MakeBundle:
    """Write a bundle with only a split.csv: make_bundle("new", {"a.jpg": "test"}, sha256={...})."""

    def make_bundle(
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

    return make_bundle


def test_the_split_is_read_back(make_bundle: MakeBundle) -> None:
    (row,) = read_split(make_bundle("new", {"a.jpg": "test"}, {"a.jpg": "00"}))
    assert (row.path, row.sha256, row.label, row.split) == ("a.jpg", "00", "red", "test")
    (older,) = read_split(make_bundle("old", {"a.jpg": "train"}))
    assert older.sha256 == ""


def test_training_pictures_of_the_old_model_are_not_used(make_bundle: MakeBundle) -> None:
    new = make_bundle(
        "new", {"a": "test", "b": "test", "c": "train"}, {"a": "1", "b": "2", "c": "3"}
    )
    old = make_bundle("old", {"x": "train", "b": "test"}, {"x": "1", "b": "2"})
    assert [row.path for row in unseen_test_rows(new, old)] == ["b"]  # x is a, renamed


def test_without_digests_pictures_are_compared_by_path(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test", "b": "test"})
    old = make_bundle("old", {"a": "validation"}, {"a": "1"})
    assert [row.path for row in unseen_test_rows(new, old)] == ["b"]


def test_no_unseen_test_picture_is_an_error(make_bundle: MakeBundle) -> None:
    new, old = make_bundle("new", {"a": "test"}), make_bundle("old", {"a": "train"})
    with pytest.raises(BundleError, match=r"on every test picture of .*\(test pictures: 1\)"):
        unseen_test_rows(new, old)


def test_only_a_model_of_the_same_name_is_replaced(make_bundle: MakeBundle, tmp_path: Path) -> None:
    new, old = make_bundle("new", {"a": "test"}), make_bundle("old", {"b": "train"})
    with pytest.raises(BundleError, match="can only replace a model of the same name"):
        promote(new, old, tmp_path)
    assert tag(new) == "new:0123456789ab"
