from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainers.examples import Examples
from trainers.head import Head, better, build, standardisation
from trainers.hidden import train_hidden
from trainers.linear import INVERSE_REGULARISATIONS, solve_linear

RNG = np.random.default_rng(0)


def examples(classes: int = 3, views: int = 2, noise: float = 2.0, n: int = 90) -> Examples:
    """Clouds in 12 dimensions; the views of a picture lie close to each other."""
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 1, (classes, 12))
    labels, validation_labels = np.arange(n) % classes, np.arange(60) % classes

    def points(labels: np.ndarray, views: int) -> np.ndarray:
        seen = centres[labels] + rng.normal(0, noise, (len(labels), 12))
        return (seen[:, None] + rng.normal(0, 0.1, (len(labels), views, 12)) + 5).astype(np.float32)

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
    given = examples(classes, views=1)
    head = solve_linear(given)
    strength = min(head.history, key=lambda row: row["val_loss"] or 0)["C"]
    scale, offset = standardisation(given.train)
    expected = LogisticRegression(C=strength or 0, tol=1e-6, max_iter=1000).fit(
        given.train[:, 0] * scale + offset, given.labels
    )
    found = np.asarray(head.model(given.validation, training=False))
    np.testing.assert_allclose(
        found, expected.predict_proba(given.validation * scale + offset), atol=0.02
    )
    assert head.loss == pytest.approx(min(row["val_loss"] or 9 for row in head.history), abs=1e-5)


def test_the_penalty_with_the_lowest_validation_loss_is_taken() -> None:
    tried = solve_linear(examples()).history
    assert [row["C"] for row in tried] == list(INVERSE_REGULARISATIONS)
    assert "C 0.00" in str(solve_linear(examples(noise=50.0)))  # nothing to learn: hold back
    assert "C 0.1" in str(solve_linear(examples(noise=0.3)))


def test_the_penalty_stays_for_fine_tuning() -> None:
    """scikit-learn minimises C * sum(loss) + |w|^2 / 2; Keras mean(loss) + l2 * |w|^2."""
    head = solve_linear(examples(noise=0.3, n=90))
    penalty = head.model.get_layer("logits").kernel_regularizer.l2
    assert penalty == pytest.approx(1 / (2 * 0.1 * 90))


def test_weights_give_rare_classes_their_say() -> None:
    given = examples(classes=2, noise=3.0)
    rare = np.where(given.labels == 1, 20, 1).astype(np.float32)
    weighted = Examples(
        given.train, given.labels, rare, given.validation, given.validation_labels, 2
    )
    even, tilted = (
        np.asarray(solve_linear(one).model(given.validation))[:, 1].mean()
        for one in (given, weighted)
    )
    assert tilted > even + 0.1


def test_a_hidden_layer_learns_what_no_line_separates() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (1200, 1, 2)).astype(np.float32)
    labels = (points[:, 0, 0] * points[:, 0, 1] > 0).astype(np.int64)  # exclusive or
    given = Examples(
        points[:1000],
        labels[:1000],
        np.ones(1000, np.float32),
        points[1000:, 0],
        labels[1000:],
        2,
    )
    keras.utils.set_random_seed(0)
    linear, hidden = solve_linear(given), train_hidden(given, 60, 3e-3)
    assert linear.accuracy < 0.65
    assert hidden.accuracy > linear.accuracy + 0.2
    assert better(linear, hidden) is hidden
    assert set(hidden.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.parametrize(
    ("gain", "spread", "is_taken"), [(0.1, 0.01, True), (0.1, 3.0, False), (-0.1, 0.01, False)]
)
def test_the_simple_head_stays_unless_the_other_is_clearly_better(
    gain: float, spread: float, is_taken: bool
) -> None:
    losses = RNG.uniform(0, 1, 100)
    simple = Head(None, "simple", losses, 0.8)
    other = Head(None, "other", losses - gain + spread * RNG.normal(0, 1, 100).round(2), 0.9)
    assert (better(simple, other) is other) == is_taken


def test_a_lower_loss_with_as_many_mistakes_is_no_reason() -> None:
    simple = Head(None, "simple", np.ones(5), 0.8)
    assert better(simple, Head(None, "other", np.zeros(5), 0.8)) is simple


def test_a_head_that_diverged_is_not_taken() -> None:
    simple = Head(None, "simple", np.ones(5), 0.8)
    assert better(simple, Head(None, "other", np.full(5, np.nan), 0.9)) is simple


def test_an_untrained_head_finds_all_classes_equally_probable() -> None:
    head = build(np.ones(4, np.float32), np.zeros(4, np.float32), classes=5)
    np.testing.assert_allclose(head(np.ones((2, 4), np.float32)), 0.2, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-20, 1.0, 1e6])
def test_embeddings_of_any_size_are_standardised(size: float) -> None:
    embeddings = (RNG.normal(3, 2, (250, 2, 4)) * size).astype(np.float32)
    scale, offset = standardisation(embeddings)
    standardised = embeddings.reshape(-1, 4) * scale + offset
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), 1, rtol=1e-4)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    scale, offset = standardisation(np.full((4, 1, 2), 7, np.float32))
    assert np.isfinite(np.full((1, 2), 8, np.float32) * scale + offset).all()
