from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainers.heads.examples import Examples, Pool
from trainers.heads.folds import split_into_folds
from trainers.heads.head import fit_scaling
from trainers.heads.linear import (
    DEFAULT_INVERSE_REGULARISATION,
    INVERSE_REGULARISATIONS,
    fit_linear,
    predict_held_out,
    predict_out_of_fold,
)


def examples(classes: int = 3, views: int = 2, noise: float = 2.0, n: int = 90) -> Examples:
    """Clouds in 12 dimensions; the views of a picture lie close to each other."""
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 1, (classes, 12))
    labels, validation_labels = np.arange(n) % classes, np.arange(60) % classes

    def points(labels: np.ndarray, views: int) -> np.ndarray:
        picture_points = centres[labels] + rng.normal(0, noise, (len(labels), 12))
        return (picture_points[:, None] + rng.normal(0, 0.1, (len(labels), views, 12)) + 5).astype(
            np.float32
        )

    return Examples(
        points(labels, views),
        labels,
        np.ones(n, np.float32),
        points(validation_labels, 1)[:, 0],
        validation_labels,
        classes,
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_head_is_logistic_regression_folded_into_layers(classes: int) -> None:
    data = examples(classes, views=1)
    head = fit_linear(data)
    strength = min(head.history, key=lambda row: row["val_loss"] or 0)["C"]
    scale, offset = fit_scaling(data.train)
    expected = LogisticRegression(C=strength or 0, tol=1e-6, max_iter=1000).fit(
        data.train[:, 0] * scale + offset, data.labels
    )
    actual = np.asarray(head.model(data.validation, training=False))
    np.testing.assert_allclose(
        actual, expected.predict_proba(data.validation * scale + offset), atol=0.02
    )
    assert head.selection_result.loss == pytest.approx(
        min(row["val_loss"] or 9 for row in head.history), abs=1e-5
    )


def test_the_penalty_with_the_lowest_validation_loss_is_selected() -> None:
    history = fit_linear(examples()).history
    assert [row["C"] for row in history] == list(INVERSE_REGULARISATIONS)
    assert "C = 0.00" in str(fit_linear(examples(noise=50.0)))  # only noise
    assert "C = 0.1" in str(fit_linear(examples(noise=0.3)))


def test_the_layer_keeps_the_penalty_for_fine_tuning() -> None:
    """scikit-learn minimises C * sum(loss) + |w|^2 / 2; Keras mean(loss) + l2 * |w|^2."""
    head = fit_linear(examples(noise=0.3, n=90))
    penalty = head.model.get_layer("logits").kernel_regularizer.l2
    assert penalty == pytest.approx(1 / (2 * 0.1 * 90))


def test_weights_make_rare_classes_more_probable() -> None:
    data = examples(classes=2, noise=3.0)
    rare = np.where(data.labels == 1, 20, 1).astype(np.float32)
    weighted = Examples(data.train, data.labels, rare, data.validation, data.validation_labels, 2)
    even, tilted = (
        np.asarray(fit_linear(training_data).model(data.validation))[:, 1].mean()
        for training_data in (data, weighted)
    )
    assert tilted > even + 0.1


def cross_validated(data: Examples) -> Examples:
    """Hold out the training pictures in turn, as in cross-validation."""
    count = len(data.labels)
    draws = np.random.default_rng(0).random(count)
    folds = split_into_folds(data.labels, np.arange(count), draws)
    pool = Pool(data.train, data.labels, data.weights, folds, data.classes)
    return replace(data, validation=data.train[:, 0], validation_labels=data.labels, pool=pool)


def test_training_loss_selects_nothing_in_cross_validation() -> None:
    """On noise, a weaker penalty always lowers the training loss."""
    data = cross_validated(examples(noise=50.0, n=30))
    head = fit_linear(data)
    assert head.cross_validation is not None
    assert head.cross_validation.folds == 5
    assert len(head.cross_validation.losses) == 30
    assert "C = 0.00" in head.description
    training_accuracy = head.validation.accuracy
    assert training_accuracy > head.selection_result.accuracy + 0.2
    assert head.selection_result.loss == pytest.approx(
        min(row["val_loss"] or 9 for row in head.history)
    )


def test_cross_validation_agrees_with_many_validation_pictures() -> None:
    data = examples(n=300)
    validated, cross_validated_head = fit_linear(data), fit_linear(cross_validated(data))
    assert cross_validated_head.selection_result.accuracy == pytest.approx(
        validated.validation.accuracy, abs=0.1
    )


def test_without_validation_pictures_the_penalty_is_the_default() -> None:
    data = cross_validated(examples(n=3))
    head = fit_linear(data)
    assert f"C = {DEFAULT_INVERSE_REGULARISATION:g}" in head.description
    assert "not validated" in str(head)
    assert [row["C"] for row in head.history] == list(INVERSE_REGULARISATIONS)
    assert {row["val_loss"] for row in head.history} == {None}


@pytest.mark.filterwarnings("error")
def test_one_picture_per_class_gives_no_warning_of_scikit_learn() -> None:
    fit_linear(examples(classes=40, n=40))


def test_held_out_pictures_get_the_probabilities_of_one_value_of_c() -> None:
    data = examples()
    head = fit_linear(data)
    np.testing.assert_allclose(
        predict_held_out(data, head.strength), np.asarray(head.model(data.validation)), atol=0.02
    )


def test_every_picture_is_classified_by_a_head_that_did_not_see_it() -> None:
    data = examples(noise=50.0, n=60, views=1)  # noise can only be memorised
    pool = cross_validated(data).pool
    assert pool is not None
    predicted = predict_out_of_fold(pool, 0.1).argmax(axis=1)
    assert (predicted == pool.labels).mean() < 0.6
    part = replace(pool, folds=pool.folds[:1])
    is_known = np.isfinite(predict_out_of_fold(part, 0.1)).all(axis=1)
    assert np.flatnonzero(is_known).tolist() == pool.folds[0].validation.tolist()
