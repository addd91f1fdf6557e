"""What every family promises, proven on its smallest networks with the trainer's own parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from plugins.base import leaf_layers
from plugins.registry import families, resolve
from trainers import export
from trainers.head import build, standardisation
from trainers.model import Classifier, embedder, weights_hash
from trainers.phases import moving_statistics

SIZE = 64
LAYERS = 5
ALSO = ("efficientnet:v2-b0", "mobilenet:v3-small")
"""Built differently from the smallest network of their family."""


def smallest_of_each_family() -> Iterator[str]:
    for family, backbone in families().items():
        if backbone.__module__.startswith("plugins."):
            sizes = {name: spec.parameters for name, spec in backbone.variants.items()}
            yield f"{family}:{min(sizes, key=sizes.__getitem__)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*smallest_of_each_family(), *ALSO])
def test_a_backbone_keeps_its_contract(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, SIZE, SIZE, 3)).astype(np.uint8)
    labels = np.arange(8) % 3
    backbone = resolve(name)

    # builds: pictures in, feature maps out, as large as its table says
    body = backbone.load("none", SIZE)
    assert body.input_shape == (None, SIZE, SIZE, 3)
    assert len(body.output_shape) == 4
    assert body.count_params() == families()[backbone.family].variants[backbone.variant].parameters

    # freezes
    backbone.freeze(body)
    assert body.trainable_weights == []

    # fine-tunes: the last layers and only those, normalisation never
    countable = [
        layer
        for layer in leaf_layers(body)
        if layer.weights
        and not isinstance(layer, keras.layers.BatchNormalization)
        and not isinstance(layer, keras.layers.Normalization)
    ]
    thawed = backbone.fine_tune(body, LAYERS)
    assert thawed == countable[-LAYERS:]
    assert [layer for layer in leaf_layers(body) if layer.trainable_weights] == thawed

    # trains: the thawed weights move, everything else stays bit for bit
    embed = embedder(body)
    embeddings = np.asarray(embed(images.astype(np.float32), training=False))
    head = build(*standardisation(embeddings[:, None]), classes=3)
    classifier = Classifier(backbone, body, embed, head, weights_hash(body))
    statistics = moving_statistics(body)
    frozen = body.non_trainable_weights
    before = [weight.numpy().copy() for weight in frozen]
    moving = [weight.numpy().copy() for weight in body.trainable_weights]
    answers = keras.Model(embed.input, head(embed.output))
    answers.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy")
    answers.fit(images.astype(np.float32), labels, batch_size=4, epochs=2, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, frozen, strict=True))
    after = moving_statistics(body)
    assert all(np.array_equal(statistics[path], after[path]) for path in statistics)
    assert any(
        not np.array_equal(a, b) for a, b in zip(moving, body.trainable_weights, strict=True)
    )

    # saves, and comes back by --weights FILE as the same network, with the same scaling
    network = backbone.build(None, SIZE)
    network.set_weights(body.get_weights())
    network.save_weights(tmp_path / "body.weights.h5")
    again = backbone.load(str(tmp_path / "body.weights.h5"), SIZE)
    floats = images.astype(np.float32)
    np.testing.assert_array_equal(again(floats, training=False), body(floats, training=False))

    # exports, and agrees
    export.export(classifier, tmp_path)
    parity = export.check_parity(classifier, tmp_path, images)
    assert set(parity["max_difference"]) == {"onnx", "saved_model"}
    model = onnx.load(tmp_path / "model.onnx")
    assert [node.op_type for node in model.graph.node].count("Transpose") <= 1  # NHWC input
