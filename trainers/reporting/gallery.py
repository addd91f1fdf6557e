"""Thumbnails of misclassified pictures, small enough to be embedded in an HTML page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainers.evaluation.predictions import Pictures, Predictions

SIDE_PIXELS = 112
"""The longer side of a thumbnail in pixels. A report contains up to 146 thumbnails, which add
0.8 MB to the page."""
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class Thumbnail:
    """A picture with its class and an answer of a model.

    Attributes:
        data_uri: the thumbnail, a JPEG in a data URI.
        path: path of the picture, relative to the data folder.
        truth: its true class.
        answer: the class that the model predicted.
        score: the predicted probability of that class, 0 to 1.
    """

    data_uri: str
    path: str
    truth: str
    answer: str
    score: float


def most_confident_mistakes(
    predictions: Predictions, pictures: Pictures, limit: int
) -> list[Thumbnail]:
    """Return thumbnails of at most `limit` misclassified pictures, the highest score first."""
    return _thumbnails(predictions, pictures, predictions.mistakes()[:limit])


def confusions_of_pair(
    predictions: Predictions, pictures: Pictures, pair: tuple[str, str], limit: int
) -> list[Thumbnail]:
    """Return thumbnails of at most `limit` pictures for which the classes of `pair` were confused.

    Their true class is one class of the pair, and the predicted class is the other. The picture
    with the highest score comes first.
    """
    first, second = (pictures.classes.index(label) for label in pair)
    confusions = ((first, second), (second, first))
    positions = [
        position
        for position in predictions.mistakes()
        if (predictions.labels[position], predictions.predicted[position]) in confusions
    ]
    return _thumbnails(predictions, pictures, positions[:limit])


def right_answers(
    predictions: Predictions, pictures: Pictures, label: str, limit: int
) -> list[Thumbnail]:
    """Return thumbnails of at most `limit` correctly classified pictures of a class.

    They are spread evenly from the highest score to the lowest.
    """
    index = pictures.classes.index(label)
    right = np.flatnonzero((predictions.labels == index) & (predictions.predicted == index))
    ordered = right[np.argsort(-predictions.scores[right], kind="stable")]
    spread = np.linspace(0, len(ordered) - 1, min(limit, len(ordered))).round().astype(np.int64)
    return _thumbnails(predictions, pictures, ordered[spread])


def suspects(recorded: Mapping[str, Any], pictures: Pictures, limit: int) -> list[Thumbnail]:
    """Return thumbnails of at most `limit` pictures whose label may be wrong.

    `truth` is the label of the picture, and `answer` is the class that is suggested instead.

    Args:
        recorded: `suspects` of metrics.json.
    """
    shown = recorded["pictures"][:limit]
    rows = np.array([pictures.paths.index(suspect["path"]) for suspect in shown], np.int64)
    return [
        Thumbnail(
            shrink(image),
            suspect["path"],
            suspect["label"],
            suspect["suggested_label"],
            suspect["suggested_score"],
        )
        for suspect, image in zip(shown, pictures.images[rows], strict=True)
    ]


def shrink(image: NDArray[np.uint8]) -> str:
    """Shrink a decoded picture (S, S, 3) uint8, and return it as a JPEG in a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(make_jpeg(image)).decode()}"


def make_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Shrink a decoded picture (S, S, 3) uint8, and return it as a JPEG without metadata."""
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def _thumbnails(
    predictions: Predictions, pictures: Pictures, positions: Iterable[int]
) -> list[Thumbnail]:
    thumbnails = []
    for position in positions:
        row = int(predictions.rows[position])
        thumbnails.append(
            Thumbnail(
                shrink(pictures.images[np.array([row])][0]),
                pictures.paths[row],
                pictures.classes[predictions.labels[position]],
                pictures.classes[predictions.predicted[position]],
                float(predictions.scores[position]),
            )
        )
    return thumbnails
