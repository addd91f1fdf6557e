"""Fits the reference to which the service compares the pictures that it classifies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.monitoring.drift_reference import DriftReference
from trainers.dataset.dataset import Dataset
from trainers.evaluation.predictions import Predictions
from trainers.novelty.embedded_pictures import EmbeddedPictures
from trainers.progress import log

MAX_DIRECTIONS, PICTURES_PER_DIRECTION = 64, 5
"""Embeddings are compared in as many directions as there are PICTURES_PER_DIRECTION pictures for,
but at most in MAX_DIRECTIONS."""
MIN_VALIDATION_PICTURES = 10
PRIOR_PICTURES, PRIOR_DEVIATION = 10, 0.2
"""The standard deviation of the scores is estimated as if PRIOR_PICTURES more validation pictures
had had PRIOR_DEVIATION. Otherwise a few scores that are all near 1 would make any change drift."""
SMALLEST_VARIANCE = 1e-6
"""A direction in which embeddings vary less than this, compared with the first one, is left out."""


def write_drift_reference(
    path: Path, train: EmbeddedPictures, dataset: Dataset, validation: Predictions
) -> None:
    """Fit the reference and write its file; log a line instead if there are too few pictures.

    Args:
        path: the path of the file in the bundle.
        train: training pictures; the shares of the classes are those of the whole split.
        validation: the predictions of the exported model.
    """
    count, classes = len(train.labels), len(dataset.classes)
    enough = count - classes >= PICTURES_PER_DIRECTION
    if not enough or len(validation.rows) < MIN_VALIDATION_PICTURES:
        log.info(
            "/metrics will not show drift for this model: that needs at least %d training pictures "
            "and %d validation pictures, and there are %d and %d",
            *(PICTURES_PER_DIRECTION + classes, MIN_VALIDATION_PICTURES),
            *(count, len(validation.rows)),
        )
        return
    labels = dataset.labels[dataset.rows("train")]
    shares = np.bincount(labels, minlength=classes) / len(labels)
    reference = fit_drift_reference(train.embeddings, train.labels, shares, validation.scores)
    if reference:
        reference.write(path)


def fit_drift_reference(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    class_shares: NDArray[np.float64],
    scores: NDArray[np.float32],
) -> DriftReference | None:
    """Fit the reference; return None if all pictures of a class have the same embedding.

    Args:
        embeddings: (n, D), of training pictures.
        labels: (n,) the indexes of their classes.
        class_shares: (classes,) the share of each class among all training pictures.
        scores: (m,) the highest probabilities of validation pictures.
    """
    classes = len(class_shares)
    counts = np.bincount(labels, minlength=classes)
    # A class without pictures here counts as one picture that is like the mean of all.
    means = np.repeat(embeddings.mean(axis=0)[np.newaxis], classes, axis=0)
    for label in np.unique(labels):
        means[label] = embeddings[labels == label].mean(axis=0)
    projection = _whiten(embeddings - means[labels], len(labels) - int((counts > 0).sum()))
    if not projection.size:
        return None
    variance = (len(scores) * scores.var() + PRIOR_PICTURES * PRIOR_DEVIATION**2) / (
        len(scores) + PRIOR_PICTURES
    )
    arrays = (
        projection,
        means @ projection,
        np.maximum(counts, 1),
        np.maximum(class_shares, 1e-6),
        scores.mean(),
        np.sqrt(variance),
        len(scores),
    )
    return DriftReference(*(np.asarray(array, np.float32) for array in arrays))


def _whiten(residuals: NDArray[np.float32], degrees: int) -> NDArray[np.float64]:
    """Return the projection (D, r) to the directions of largest variance, each divided by it.

    Args:
        residuals: (n, D) the differences of embeddings from the means of their classes.
        degrees: the degrees of freedom of their variances.
    """
    from sklearn.utils.extmath import randomized_svd

    directions = min(MAX_DIRECTIONS, degrees // PICTURES_PER_DIRECTION, residuals.shape[1])
    _, lengths, axes = randomized_svd(residuals, directions, n_iter=4, random_state=0)
    deviations = lengths.astype(np.float64) / np.sqrt(degrees)
    kept = deviations**2 > SMALLEST_VARIANCE * deviations[0] ** 2
    projection: NDArray[np.float64] = axes[kept].T / deviations[kept]
    return projection
