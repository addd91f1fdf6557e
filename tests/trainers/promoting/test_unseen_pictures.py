from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.errors import BundleError
from trainers.dataset.splits.split_table import SplitRow
from trainers.dataset.tables.uris import local_path
from trainers.promoting.unseen_pictures import UnusablePicture, find_unseen, read_picture

MakeBundle = Callable[..., Bundle]


@pytest.fixture
def make_bundle(tmp_path: Path, manifest: Manifest) -> MakeBundle:
    """Write a bundle with only a split.csv: make_bundle("new", {"a.jpg": "test"}, sha256={...}).

    By default, the digest of a picture is its path; with is_old, there are no digests.
    """

    def make_bundle(
        folder: str,
        splits: Mapping[str, str],
        sha256: Mapping[str, str] | None = None,
        is_old: bool = False,
        labels: Mapping[str, str] | None = None,
        **changes: object,
    ) -> Bundle:
        path = tmp_path / folder
        path.mkdir()
        names = ["path", *([] if is_old else ["sha256"]), "class", "split"]
        with (path / "split.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            writer.writeheader()
            for name, split in splits.items():
                label, digest = (labels or {}).get(name, "red"), (sha256 or {}).get(name, name)
                row = {"path": name, "class": label, "split": split, "sha256": digest}
                writer.writerow(row)
        return Bundle(path, manifest.model_copy(update=changes))

    return make_bundle


def paths(new: Bundle, old: Bundle) -> list[str]:
    return [row.path for row in find_unseen(new, old).rows]


def test_test_pictures_of_both_models_are_used_once(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test", "b": "test"})
    old = make_bundle("old", {"b": "test", "c": "test"})
    assert paths(new, old) == ["a", "b", "c"]


def test_pictures_that_either_model_has_learned_from_are_not_used(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test", "b": "test", "c": "train", "d": "test"})
    old = make_bundle("old", {"a": "train", "b": "test", "c": "test", "d": "validation"})
    assert paths(new, old) == ["b"]


def test_pictures_are_recognised_by_digest(make_bundle: MakeBundle) -> None:
    """Picture x of the old model is a, renamed; its picture b is not the b of the new model."""
    new = make_bundle("new", {"a": "test", "b": "test"}, {"a": "1", "b": "2"})
    old = make_bundle("old", {"x": "train", "b": "train"}, {"x": "1", "b": "3"})
    assert [(row.path, row.sha256) for row in find_unseen(new, old).rows] == [("b", "2")]


def test_a_copy_of_a_picture_is_used_once(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test", "b": "test"}, {"a": "1", "b": "1"})
    assert paths(new, make_bundle("old", {"c": "train"})) == ["a"]


def test_without_digests_pictures_are_compared_by_path_with_a_warning(
    make_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    new = make_bundle("new", {"a": "test", "b": "test"})
    old = make_bundle("old", {"a": "validation"}, is_old=True)
    assert paths(new, old) == ["b"]
    assert "pictures are compared by path" in caplog.text


def test_the_class_is_that_of_the_new_model(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test"}, labels={"a": "green"})
    (row,) = find_unseen(new, make_bundle("old", {"a": "test"})).rows
    assert row.label == "green"


def test_pictures_of_a_class_of_only_one_model_are_counted(make_bundle: MakeBundle) -> None:
    new = make_bundle(
        "new",
        {"a": "test", "b": "test"},
        labels={"a": "red", "b": "teal"},
        classes=("red", "green", "teal"),
    )
    old = make_bundle("old", {"c": "test", "d": "test"}, labels=dict.fromkeys("cd", "blue"))
    unseen = find_unseen(new, old)
    assert [row.path for row in unseen.rows] == ["a"]
    assert unseen.left_out == {"teal": 1, "blue": 2}


def test_no_unseen_test_picture_is_an_error(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test", "b": "train"})
    old = make_bundle("old", {"a": "train", "b": "test"})
    with pytest.raises(BundleError, match=r"no picture is left .*with the --seed of the old one"):
        find_unseen(new, old)


def test_no_common_class_is_an_error(make_bundle: MakeBundle) -> None:
    new = make_bundle("new", {"a": "test"}, labels={"a": "cat"}, classes=("cat", "dog"))
    with pytest.raises(BundleError, match="have no class in common"):
        find_unseen(new, make_bundle("old", {"b": "test"}))


def test_a_missing_or_changed_picture_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    (tmp_path / "folder").mkdir()
    digest = hashlib.sha256(b"picture").hexdigest()
    assert read_picture(SplitRow("a.jpg", digest, "red", "test"), tmp_path) == b"picture"
    assert read_picture(SplitRow("a.jpg", "", "red", "test"), tmp_path) == b"picture"
    for row, message in (
        (SplitRow("a.jpg", "0", "red", "test"), "have changed"),
        (SplitRow("b.jpg", "0", "red", "test"), "are missing"),
        (SplitRow("folder", "0", "red", "test"), "cannot be read"),
    ):
        with pytest.raises(UnusablePicture, match=message):
            read_picture(row, tmp_path)


def test_a_picture_of_a_uri_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    path = local_path("https://example.org/1.jpg")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"picture")
    row = SplitRow("https://example.org/1.jpg", "", "red", "test")
    assert read_picture(row, tmp_path / "elsewhere") == b"picture"
