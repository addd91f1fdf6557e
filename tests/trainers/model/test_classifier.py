from __future__ import annotations

import keras
import numpy as np

from plugins.registry import resolve
from trainers.heads.head import build_head
from trainers.model.classifier import Classifier, build_embedder, hash_weights

RNG = np.random.default_rng(0)


def make_classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    head = build_head(np.ones(12, np.float32), np.zeros(12, np.float32), classes=3)
    return Classifier(backbone, body, build_embedder(body), head, hash_weights(body))


def test_the_model_has_the_outputs_of_its_parts() -> None:
    classifier = make_classifier()
    classifier.head.set_weights(
        [RNG.normal(size=weight.shape) for weight in classifier.head.get_weights()]
    )
    images = RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    embedding = np.asarray(classifier.body(images, training=False)).mean(axis=(1, 2))
    outputs = classifier.build_model()(images, training=False)
    np.testing.assert_allclose(outputs["embedding"], embedding, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], classifier.head(embedding), atol=1e-5)


def test_earlier_weights_can_be_restored() -> None:
    classifier = make_classifier()
    weights = classifier.get_weights()
    classifier.assign_weights([weight + 1 for weight in weights])
    assert not np.array_equal(classifier.get_weights()[0], weights[0])
    classifier.assign_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(classifier.get_weights(), weights, strict=True))


def test_the_hash_depends_on_the_weights() -> None:
    body = make_classifier().body
    expected = hash_weights(body)
    assert hash_weights(body) == expected
    body.weights[0].assign_add(body.weights[0])
    assert hash_weights(body) != expected
