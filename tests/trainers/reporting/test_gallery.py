from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.dataset.dataset import Dataset
from trainers.dataset.images import Images
from trainers.dataset.inspection import INSPECTION
from trainers.evaluation.metrics import Answers
from trainers.reporting.gallery import SIDE, of_pair, thumbnail, worst

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def dataset() -> Dataset:
    """Six pictures, each of one gray: 0, 40, 80, ..."""
    images = np.stack([np.full((160, 160, 3), 40 * at, np.uint8) for at in range(6)])
    return Dataset(
        folder=Path("pets"),
        classes=CLASSES,
        paths=tuple(f"{at}.png" for at in range(6)),
        labels=np.array([0, 0, 0, 1, 1, 2]),
        splits=("test",) * 6,
        digests=("00" * 32,) * 6,
        inspections=np.zeros(6, INSPECTION),
        duplicate_groups=np.arange(6),
        fingerprint="",
        left_out=(),
        images=Images.from_array(images),
    )


@pytest.fixture
def answers() -> Answers:
    return Answers(
        rows=np.array([0, 1, 2, 3, 5]),
        true=np.array([0, 0, 0, 1, 2]),
        found=np.array([1, 0, 1, 0, 1]),
        scores=np.array([0.5, 0.9, 0.7, 0.6, 0.8], np.float32),
    )


def opened(source: str) -> Image.Image:
    kind, data = source.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_surest_mistakes_come_first_each_with_its_picture(
    answers: Answers, dataset: Dataset
) -> None:
    shots = worst(answers, dataset, 3)
    assert [(one.path, one.truth, one.answer) for one in shots] == [
        ("5.png", "owl", "dog"),
        ("2.png", "cat", "dog"),
        ("3.png", "dog", "cat"),
    ]
    assert shots[0].score == pytest.approx(0.8)
    assert [opened(one.source).getpixel((9, 9))[0] for one in shots] == [200, 80, 120]  # type: ignore[index]


def test_a_pair_is_shown_both_ways(answers: Answers, dataset: Dataset) -> None:
    assert [one.path for one in of_pair(answers, dataset, ("cat", "dog"), 9)] == [
        *("2.png", "3.png", "0.png")
    ]
    assert of_pair(answers, dataset, ("cat", "owl"), 9) == []


@pytest.mark.parametrize(("size", "shown"), [(600, SIDE), (32, 32)])
def test_thumbnails_are_small_and_never_blown_up(size: int, shown: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    source = thumbnail(noise)
    assert opened(source).size == (shown, shown)
    assert len(source) < 20_000
