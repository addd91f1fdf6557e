from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainers.dataset.dataset import Dataset
from trainers.dataset.decoded_images import Images
from trainers.dataset.inspection import INSPECTION
from trainers.evaluation.predictions import Predictions
from trainers.reporting.gallery import (
    SIDE_PIXELS,
    confusions_of_pair,
    most_confident_mistakes,
    right_answers,
    shrink,
    suspects,
)

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def dataset() -> Dataset:
    """Six grey pictures with the values 0, 40, 80, ..."""
    images = np.stack([np.full((160, 160, 3), 40 * number, np.uint8) for number in range(6)])
    return Dataset(
        folder=Path("pets"),
        classes=CLASSES,
        paths=tuple(f"{number}.png" for number in range(6)),
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
def predictions() -> Predictions:
    first = np.array([0.2, 0.9, 0.2, 0.6, 0.1])
    second = np.array([0.5, 0.05, 0.7, 0.2, 0.8])
    return Predictions(
        rows=np.array([0, 1, 2, 3, 5]),
        labels=np.array([0, 0, 0, 1, 2]),
        probabilities=np.stack([first, second, 1 - first - second], axis=1).astype(np.float32),
    )


def open_data_uri(data_uri: str) -> Image.Image:
    kind, data = data_uri.split(",")
    assert kind == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_the_most_confident_mistakes_come_first_each_with_its_picture(
    predictions: Predictions, dataset: Dataset
) -> None:
    mistakes = most_confident_mistakes(predictions, dataset, 3)
    assert [(picture.path, picture.truth, picture.answer) for picture in mistakes] == [
        ("5.png", "owl", "dog"),
        ("2.png", "cat", "dog"),
        ("3.png", "dog", "cat"),
    ]
    assert mistakes[0].score == pytest.approx(0.8)
    levels = [open_data_uri(picture.data_uri).getpixel((9, 9))[0] for picture in mistakes]  # type: ignore[index]
    assert levels == [200, 80, 120]


def test_a_pair_is_shown_both_ways(predictions: Predictions, dataset: Dataset) -> None:
    pictures = confusions_of_pair(predictions, dataset, ("cat", "dog"), 9)
    assert [picture.path for picture in pictures] == ["2.png", "3.png", "0.png"]
    assert confusions_of_pair(predictions, dataset, ("cat", "owl"), 9) == []


@pytest.mark.parametrize(("size", "expected"), [(600, SIDE_PIXELS), (32, 32)])
def test_thumbnails_are_small_and_never_enlarged(size: int, expected: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    data_uri = shrink(noise)
    assert open_data_uri(data_uri).size == (expected, expected)
    assert len(data_uri) < 20_000


def test_right_answers_are_spread_over_the_scores(dataset: Dataset) -> None:
    scores = np.array([0.9, 0.5, 0.7, 0.4, 0.3, 0.2])
    predictions = Predictions(
        rows=np.arange(6),
        labels=np.array([0, 0, 0, 0, 0, 1]),
        probabilities=np.stack([scores, (1 - scores) * 0.4, (1 - scores) * 0.6], 1).astype(
            np.float32
        ),
    )
    shown = right_answers(predictions, dataset, "cat", 2)
    assert [picture.score for picture in shown] == pytest.approx([0.9, 0.4])
    assert {picture.answer for picture in shown} == {"cat"}
    assert [picture.score for picture in right_answers(predictions, dataset, "cat", 9)] == (
        pytest.approx([0.9, 0.7, 0.5, 0.4])
    )
    assert right_answers(predictions, dataset, "dog", 2) == []


def test_suspects_have_their_label_and_the_suggestion(dataset: Dataset) -> None:
    recorded = [
        {"path": f"{row}.png", "label": "cat", "suggested_label": "owl", "suggested_score": 0.9}
        for row in (4, 1, 0)
    ]
    shown = suspects({"pictures": recorded}, dataset, 2)
    assert [(shot.path, shot.truth, shot.answer, shot.score) for shot in shown] == [
        ("4.png", "cat", "owl", 0.9),
        ("1.png", "cat", "owl", 0.9),
    ]
    assert open_data_uri(shown[0].data_uri).getpixel((0, 0)) == (160, 160, 160)
    assert suspects({"pictures": []}, dataset, 2) == []
