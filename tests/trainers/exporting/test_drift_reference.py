"""The reference of drift is fitted on training and validation pictures."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trainers.evaluation.predictions import Predictions
from trainers.exporting.drift_reference import (
    MAX_DIRECTIONS,
    fit_drift_reference,
    write_drift_reference,
)
from trainers.novelty.embedded_pictures import EmbeddedPictures

SHARES = np.array([0.5, 0.25, 0.25])
SCORES = np.full(90, 0.8, np.float32)


def draw(count: int, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.choice(2, count)
    scale = np.linspace(3, 1, width)
    return (10 * labels[:, None] + rng.normal(0, scale, (count, width))).astype(np.float32), labels


def test_embeddings_of_a_class_have_variance_1_after_projection() -> None:
    embeddings, labels = draw(500)
    reference = fit_drift_reference(embeddings, labels, SHARES, SCORES)
    assert reference is not None
    residuals = embeddings @ reference.projection - reference.class_means[labels]
    covariance = residuals.T @ residuals / (500 - 2)
    np.testing.assert_allclose(covariance, np.eye(6), atol=1e-3)
    for label in range(2):
        assert residuals[labels == label].mean() == pytest.approx(0, abs=1e-3)


def test_a_class_without_pictures_is_like_the_mean_of_all() -> None:
    embeddings, labels = draw(500)
    reference = fit_drift_reference(embeddings, labels, SHARES, SCORES)
    assert reference is not None
    expected = embeddings.mean(axis=0) @ reference.projection
    np.testing.assert_allclose(reference.class_means[2], expected, atol=1e-3)
    np.testing.assert_array_equal(reference.class_counts, [*np.bincount(labels), 1])
    np.testing.assert_array_equal(reference.class_shares, SHARES.astype(np.float32))


def test_few_pictures_are_compared_in_few_directions() -> None:
    for count, directions in ((22, 4), (200, 39), (1000, MAX_DIRECTIONS)):
        reference = fit_drift_reference(*draw(count, 100), SHARES, SCORES)
        assert reference is not None
        assert reference.projection.shape == (100, directions)


def test_directions_without_variance_are_left_out() -> None:
    embeddings, labels = draw(500)
    embeddings[:, 4:] = 7
    reference = fit_drift_reference(embeddings, labels, SHARES, SCORES)
    assert reference is not None
    assert reference.projection.shape == (6, 4)
    assert fit_drift_reference(np.ones_like(embeddings), labels, SHARES, SCORES) is None


def test_the_deviation_of_few_scores_is_not_trusted() -> None:
    deviations = []
    for count in (10, 1000):
        scores = np.full(count, 0.99, np.float32)
        reference = fit_drift_reference(*draw(500), SHARES, scores)
        assert reference is not None
        assert reference.score_mean == pytest.approx(0.99)
        assert reference.score_count == count
        deviations.append(float(reference.score_deviation))
    assert deviations == pytest.approx([0.141, 0.02], abs=1e-3)


@pytest.mark.parametrize(("sampled", "is_written"), [(300, True), (100, False)])
def test_the_sample_must_have_enough_pictures_for_its_classes(
    tmp_path: Path, sampled: int, is_written: bool
) -> None:
    """With many classes, the sample may have only one picture of each class."""
    embeddings, labels = draw(300)[0], np.arange(300) % 100
    dataset: Any = SimpleNamespace(
        labels=labels, classes=("leaf",) * 100, rows=lambda split: np.arange(300)
    )
    train = EmbeddedPictures(np.arange(sampled), labels[:sampled], embeddings[:sampled])
    validation = Predictions(np.arange(20), labels[:20], np.full((20, 100), 0.01, np.float32))
    write_drift_reference(tmp_path / "drift.npz", train, dataset, validation)
    assert (tmp_path / "drift.npz").exists() == is_written
