from __future__ import annotations

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers.model import Classifier, embedder, linear_head, weights_hash

RNG = np.random.default_rng(0)


def classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    head = linear_head(RNG.normal(size=(20, 12)).astype(np.float32), classes=3, pictures=10)
    return Classifier(backbone, body, embedder(body), head, weights_hash(body))


def test_an_untrained_head_finds_all_classes_equally_probable() -> None:
    head = linear_head(RNG.normal(3, 5, (20, 4)).astype(np.float32), classes=5, pictures=20)
    np.testing.assert_allclose(head(np.ones((2, 4), np.float32)), 0.2, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e6])
def test_embeddings_of_any_size_are_standardised(scale: float) -> None:
    embeddings = (RNG.normal(3, 2, (500, 4)) * scale).astype(np.float32)
    head = linear_head(embeddings, classes=2, pictures=500)
    standardise = keras.Model(head.input, head.get_layer("standardise").output)
    standardised = np.asarray(standardise(embeddings))
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.std(axis=0), 1, rtol=1e-4)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    head = linear_head(np.full((4, 2), 7, np.float32), classes=2, pictures=4)
    assert np.isfinite(head(np.full((1, 2), 8, np.float32))).all()


def test_the_penalty_is_that_of_logistic_regression() -> None:
    """scikit-learn minimises C * sum(loss) + |w|^2 / 2; Keras mean(loss) + l2 * |w|^2."""
    head = linear_head(np.eye(40, 4, dtype=np.float32), classes=2, pictures=20)  # two views
    assert head.get_layer("logits").kernel_regularizer.l2 == pytest.approx(1 / (2 * 0.01 * 40))


def test_the_parts_answer_as_one() -> None:
    one = classifier()
    one.head.set_weights([RNG.normal(size=weight.shape) for weight in one.head.get_weights()])
    images = RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    embedding = np.asarray(one.body(images, training=False)).mean(axis=(1, 2))
    outputs = one.outputs()(images, training=False)
    np.testing.assert_allclose(outputs["embedding"], embedding, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], one.head(embedding), atol=1e-5)


def test_weights_can_be_kept_and_put_back() -> None:
    one = classifier()
    kept = one.weights()
    one.set_weights([weight + 1 for weight in kept])
    assert not np.array_equal(one.weights()[0], kept[0])
    one.set_weights(kept)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights(), kept, strict=True))


def test_the_hash_follows_the_weights() -> None:
    body = classifier().body
    before = weights_hash(body)
    assert weights_hash(body) == before
    body.weights[0].assign_add(body.weights[0])
    assert weights_hash(body) != before
