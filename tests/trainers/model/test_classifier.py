from __future__ import annotations

import keras
import numpy as np

from plugins.registry import resolve
from trainers.heads.head import build_head
from trainers.model.classifier import Classifier, build_embedder, hash_weights

RNG = np.random.default_rng(0)


def classifier() -> Classifier:
    keras.utils.set_random_seed(1)
    backbone = resolve("tiny")
    body = backbone.load("none")
    head = build_head(np.ones(12, np.float32), np.zeros(12, np.float32), classes=3)
    return Classifier(backbone, body, build_embedder(body), head, hash_weights(body))


def test_the_model_answers_as_its_parts_do() -> None:
    one = classifier()
    one.head.set_weights([RNG.normal(size=weight.shape) for weight in one.head.get_weights()])
    images = RNG.integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    embedding = np.asarray(one.body(images, training=False)).mean(axis=(1, 2))
    outputs = one.build_model()(images, training=False)
    np.testing.assert_allclose(outputs["embedding"], embedding, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], one.head(embedding), atol=1e-5)


def test_weights_can_be_set_to_earlier_ones() -> None:
    one = classifier()
    kept = one.get_weights()
    one.assign_weights([weight + 1 for weight in kept])
    assert not np.array_equal(one.get_weights()[0], kept[0])
    one.assign_weights(kept)
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), kept, strict=True))


def test_the_hash_depends_on_the_weights() -> None:
    body = classifier().body
    before = hash_weights(body)
    assert hash_weights(body) == before
    body.weights[0].assign_add(body.weights[0])
    assert hash_weights(body) != before
