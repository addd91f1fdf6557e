"""Embeddings like those of a backbone: each class is a cloud around its own direction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, CLASSES = 40, 4
DrawEmbeddings = Callable[..., tuple[NDArray[np.float32], NDArray[np.int64]]]


@pytest.fixture(scope="session")
def draw_embeddings() -> DrawEmbeddings:
    """Draw embeddings and labels: draw_embeddings(count, seed, classes=4)."""

    def draw(
        count: int, seed: int, classes: int = CLASSES
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        centres = np.random.default_rng(0).normal(size=(100, WIDTH))[:classes]
        rng = np.random.default_rng((1, seed))
        labels = rng.integers(classes, size=count)
        embeddings = 3 + centres[labels] + rng.normal(0, 0.8, (count, WIDTH))
        return embeddings.astype(np.float32), labels

    return draw
