from __future__ import annotations

import numpy as np
import pytest

from trainers.evaluation.selection import ValidationResult
from trainers.heads.head import (
    Head,
    build_head,
    fit_scaling,
    select_lowest_loss,
)

RNG = np.random.default_rng(0)


def result(losses: object, correct: int, folds: int = 0) -> ValidationResult:
    """A result with these losses; the first `correct` pictures are classified correctly."""
    losses = np.asarray(losses)
    return ValidationResult(losses, np.arange(len(losses)) < correct, folds)


GOOD = result(np.zeros(2), 2)


def test_an_untrained_head_gives_all_classes_the_same_probability() -> None:
    head = build_head(np.ones(4, np.float32), np.zeros(4, np.float32), classes=5)
    np.testing.assert_allclose(head(np.ones((2, 4), np.float32)), 0.2, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e6])
def test_embeddings_of_any_size_are_scaled(size: float) -> None:
    deviations = np.array([0.1, 1, 2, 4])
    embeddings = (RNG.normal(3, deviations, (250, 2, 4)) * size).astype(np.float32)
    scale, offset = fit_scaling(embeddings)
    scaled = embeddings.reshape(-1, 4) * scale + offset
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.var(axis=0).mean(), 1, rtol=1e-4)
    own = embeddings.reshape(-1, 4).std(axis=0, dtype=np.float64) / size
    np.testing.assert_allclose(scaled.var(axis=0), own / own.mean(), rtol=1e-3)


def test_a_constant_feature_gives_finite_values() -> None:
    scale, offset = fit_scaling(np.full((4, 1, 2), 7, np.float32))
    assert np.isfinite(np.full((1, 2), 8, np.float32) * scale + offset).all()


def test_heads_are_selected_and_described_by_cross_validation() -> None:
    results = (result(np.full(9, 0.9), 5, folds=5), result(np.full(9, 0.2), 8, folds=5))
    first, other = (Head(None, GOOD, 0.01, 4, [], crossed) for crossed in results)
    assert select_lowest_loss([first, other]) is other
    assert str(other) == (
        "linear head (C = 0.01, 4 views of each picture; "
        "cross-validated loss 0.2000, accuracy 0.8889, on 9 pictures)"
    )


def test_the_last_head_is_selected_if_nothing_could_be_measured() -> None:
    unknown = ValidationResult.from_folds([])
    heads = [Head(None, GOOD, 0.01, views, [], unknown) for views in (1, 4)]
    assert select_lowest_loss(heads) is heads[1]


def test_sigmoids_are_independent_of_each_other() -> None:
    ones = np.ones(4, np.float32)
    head = build_head(ones, 0 * ones, classes=3, activation="sigmoid")
    np.testing.assert_allclose(head(ones[np.newaxis]), 0.5)
    bias = np.array([-9, 0, 9], np.float32)
    head.get_layer("logits").set_weights([np.zeros((4, 3)), bias])
    np.testing.assert_allclose(head(ones[np.newaxis])[0], 1 / (1 + np.exp(-bias)), rtol=1e-5)
