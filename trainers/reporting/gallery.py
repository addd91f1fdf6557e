"""Mistaken pictures, small enough to lie inside a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainers.dataset.dataset import Dataset
from trainers.evaluation.metrics import Answers

SIDE = 112
"""Of a thumbnail in pixels: 56 of them weigh 0.3 MB as text."""
_QUALITY = 80


@dataclass(frozen=True)
class Shot:
    """A picture, what it shows and what was answered; `source` is a data: URI."""

    source: str
    path: str
    truth: str
    answer: str
    score: float


def worst(answers: Answers, dataset: Dataset, most: int) -> list[Shot]:
    """The wrong answers that were surest."""
    return _shots(answers, dataset, answers.mistakes()[:most])


def of_pair(answers: Answers, dataset: Dataset, pair: tuple[str, str], most: int) -> list[Shot]:
    """Pictures of either class that were taken for the other, the surest first."""
    one, other = (dataset.classes.index(label) for label in pair)
    both = ((one, other), (other, one))
    chosen = [at for at in answers.mistakes() if (answers.true[at], answers.found[at]) in both]
    return _shots(answers, dataset, chosen[:most])


def thumbnail(image: NDArray[np.uint8]) -> str:
    """A decoded picture (S, S, 3) as a small JPEG in a data: URI."""
    picture = Image.fromarray(image)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _shots(answers: Answers, dataset: Dataset, positions: Iterable[int]) -> list[Shot]:
    shots = []
    for at in positions:
        row = int(answers.rows[at])
        shots.append(
            Shot(
                thumbnail(dataset.images[np.array([row])][0]),
                dataset.paths[row],
                dataset.classes[answers.true[at]],
                dataset.classes[answers.found[at]],
                float(answers.scores[at]),
            )
        )
    return shots
