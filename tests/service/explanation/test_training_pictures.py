from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from service.bundle.manifest import Manifest
from service.bundle.sealing import seal
from service.engine.references import References
from service.errors import BundleError
from service.explanation.training_pictures import TrainingPictures

EMBEDDINGS = np.array([[200, 10, 0], [0, 180, 10], [0, 5, 220], [150, 60, 0]], np.float32)
ROWS = np.array([5, 2, 0, 3])
"""Rows of split.csv. Pictures 1 and 4 are not references."""


def make_references() -> References:
    directions = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    centre = directions.mean(axis=0)
    spacings = heights = np.ones(4, np.float32)
    return References(
        ROWS, centre, np.eye(3, dtype=np.float32), (directions - centre).T, 0 * heights, spacings, 2
    )


@pytest.fixture
def with_table(staging: Path) -> Path:
    """The files of a bundle with the table of its pictures."""
    with (staging / "split.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "sha256", "class", "split"])
        writer.writerows([f"folder/{row}, é.jpg", "", f"class {row}", "train"] for row in range(6))
    return staging


def read(folder: Path, manifest: Manifest) -> TrainingPictures:
    return TrainingPictures(seal(folder, manifest, folder.parent), make_references())


def write_thumbnails(folder: Path) -> None:
    jpegs = [b"five", b"", b"zero"]
    ends = np.cumsum([len(jpeg) for jpeg in jpegs])
    joined = np.frombuffer(b"".join(jpegs), np.uint8)
    np.savez(folder / "thumbnails.npz", rows=[5, 2, 0], ends=ends, jpegs=joined)


def test_the_most_similar_pictures_come_first(with_table: Path, manifest: Manifest) -> None:
    pictures = read(with_table, manifest)
    nearest = pictures.nearest(np.array([100, 20, 0], np.float32), 3)
    assert [picture.path for picture in nearest] == [
        "folder/5, é.jpg",
        "folder/3, é.jpg",
        "folder/2, é.jpg",
    ]
    assert [picture.label for picture in nearest] == ["class 5", "class 3", "class 2"]
    expected = (200 * 100 + 10 * 20) / np.hypot(200, 10) / np.hypot(100, 20)
    assert nearest[0].similarity == pytest.approx(expected, abs=1e-3)
    assert nearest[0].similarity > nearest[1].similarity > nearest[2].similarity
    assert nearest[0].thumbnail is None
    assert len(pictures.nearest(np.array([1, 1, 1], np.float32), 9)) == 4


def test_thumbnails_are_those_of_the_pictures(with_table: Path, manifest: Manifest) -> None:
    write_thumbnails(with_table)
    pictures = read(with_table, manifest)
    nearest = pictures.nearest(np.array([100, 0, 40], np.float32), 4)
    thumbnails = {picture.label: picture.thumbnail for picture in nearest}
    assert thumbnails == {
        "class 5": b"five",
        "class 3": None,
        "class 0": b"zero",
        "class 2": b"",
    }


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4"])
def test_damaged_thumbnails_are_an_error(
    with_table: Path, manifest: Manifest, content: bytes
) -> None:
    (with_table / "thumbnails.npz").write_bytes(content)
    pictures = read(with_table, manifest)
    with pytest.raises(BundleError, match=r"thumbnails\.npz is damaged"):
        pictures.nearest(np.ones(3, np.float32), 1)
