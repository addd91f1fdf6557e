"""Thumbnails of misclassified pictures, small enough to be part of a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainers.dataset.dataset import Dataset
from trainers.evaluation.metrics import Predictions

SIDE_PIXELS = 112
"""Of a thumbnail: 56 of them take 0.3 MB as text."""
_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A misclassified picture.

    Attributes:
        data_uri: the picture as a JPEG.
        path: relative to the data folder.
        truth: its class.
        answer: the class that the model answered, with the probability `score`.
    """

    data_uri: str
    path: str
    truth: str
    answer: str
    score: float


def most_confident_mistakes(
    predictions: Predictions, dataset: Dataset, limit: int
) -> list[Thumbnail]:
    """The wrong answers with the highest scores, highest first."""
    return _thumbnails(predictions, dataset, predictions.mistakes()[:limit])


def confusions_of_pair(
    predictions: Predictions, dataset: Dataset, pair: tuple[str, str], limit: int
) -> list[Thumbnail]:
    """Pictures of either class that were taken for the other, the highest score first."""
    first, second = (dataset.classes.index(label) for label in pair)
    confusions = ((first, second), (second, first))
    positions = [
        position
        for position in predictions.mistakes()
        if (predictions.labels[position], predictions.predicted[position]) in confusions
    ]
    return _thumbnails(predictions, dataset, positions[:limit])


def shrink(image: NDArray[np.uint8]) -> str:
    """A decoded picture (S, S, 3) as a small JPEG in a data URI."""
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _thumbnails(
    predictions: Predictions, dataset: Dataset, positions: Iterable[int]
) -> list[Thumbnail]:
    thumbnails = []
    for position in positions:
        row = int(predictions.rows[position])
        thumbnails.append(
            Thumbnail(
                shrink(dataset.images[np.array([row])][0]),
                dataset.paths[row],
                dataset.classes[predictions.labels[position]],
                dataset.classes[predictions.predicted[position]],
                float(predictions.scores[position]),
            )
        )
    return thumbnails
