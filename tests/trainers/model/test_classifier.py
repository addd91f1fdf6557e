from __future__ import annotations

import keras
import numpy as np

from plugins.registry import resolve
from trainers.heads.head import build
from trainers.model.classifier import Classifier, embedder, weights_hash

RNG = np.random.default_rng(0)


def classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    head = build(np.ones(12, np.float32), np.zeros(12, np.float32), classes=3)
    return Classifier(backbone, body, embedder(body), head, weights_hash(body))


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
    one.restore([weight + 1 for weight in kept])
    assert not np.array_equal(one.weights()[0], kept[0])
    one.restore(kept)
    assert all(np.array_equal(a, b) for a, b in zip(one.weights(), kept, strict=True))


def test_the_hash_follows_the_weights() -> None:
    body = classifier().body
    before = weights_hash(body)
    assert weights_hash(body) == before
    body.weights[0].assign_add(body.weights[0])
    assert weights_hash(body) != before
