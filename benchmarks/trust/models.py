"""Trains the models that are measured, one with each seed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.reading import Bundle
from service.engine.predictor import Predictor
from trainers import train
from trainers.dataset.splits.split_table import read_split


@dataclass(frozen=True)
class Model:
    """A trained model, and the folder of its pictures.

    Attributes:
        metrics: the content of metrics.json.
    """

    bundle: Bundle
    folder: Path
    metrics: dict[str, Any]

    def test_pictures(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Classify the test pictures.

        Returns:
            Their probabilities (n, classes), and the indexes (n,) of their true classes.
        """
        predictor = Predictor(self.bundle, threads=2)
        rows = [row for row in read_split(self.bundle) if row.split == "test"]
        images = [predictor.decode((self.folder / row.path).read_bytes()) for row in rows]
        probabilities = [predictor.predict(image[np.newaxis])[0] for image in images]
        labels = [predictor.classes.index(row.label) for row in rows]
        return np.stack(probabilities), np.array(labels)


def train_models(
    plugin: str, weights: str, folder: Path, seeds: int, options: dict[str, Any]
) -> Iterator[Model]:
    """Train a model with each seed; each seed makes another split."""
    for seed in range(seeds):
        result = train(plugin, folder, weights=weights, seed=seed, name="trust", **options)
        yield Model(Bundle.read(result.bundle), folder, result.metrics)
        print(f"seed {seed} is done", file=sys.stderr, flush=True)
