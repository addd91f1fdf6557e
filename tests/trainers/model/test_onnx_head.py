from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from service.engine.onnx_session import open_session
from trainers.heads.head import build_head, fit_scaling
from trainers.model.classifier import build_embedder
from trainers.model.conversion import serving_function, to_onnx
from trainers.model.onnx_head import join

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def embedder() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_embedder(resolve("tiny").load("none"))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_joined_model_computes_the_head_on_the_embedding(
    embedder: keras.Model, classes: int, activation: Any
) -> None:
    embeddings = np.asarray(embedder(IMAGES.astype(np.float32), training=False))
    head = build_head(*fit_scaling(embeddings[:, None]), classes, activation=activation)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    converted = to_onnx(serving_function(embedder), ("embedding",))
    before = converted.SerializeToString()
    session = open_session(join(converted, head).SerializeToString())
    outputs = session.run(["probabilities", "embedding"], {"images": IMAGES})
    np.testing.assert_allclose(outputs[0], np.asarray(head(embeddings)), atol=1e-5)
    np.testing.assert_allclose(outputs[1], embeddings, atol=1e-5)
    assert [output.shape for output in session.get_outputs()] == [["batch", classes], ["batch", 12]]
    assert converted.SerializeToString() == before
