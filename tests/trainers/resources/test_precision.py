from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from plugins.base import leaf_layers
from plugins.registry import resolve
from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.resources.precision import POLICIES, choose_policy, with_loss_scaling, with_policy

Start = Callable[..., TrainingContext]
MIXED = POLICIES["bfloat16"]
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([], "float32"),
        ([(6, 1)], "float32"),
        ([(0, 0)], "float32"),
        ([(7, 0)], "mixed_float16"),
        ([(7, 5)], "mixed_float16"),
        ([(8, 0), (9, 0)], "mixed_bfloat16"),
        ([(12, 0)], "mixed_bfloat16"),
        ([(8, 0), (7, 0)], "mixed_float16"),
        ([(9, 0), (6, 0)], "float32"),
    ],
)
def test_16_bits_are_used_if_every_gpu_has_units_for_them(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[tuple[int, int]], expected: str
) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: capabilities)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": gpu}
    )
    assert choose_policy("auto") == expected
    assert choose_policy("bfloat16") == "mixed_bfloat16"
    assert choose_policy("float16") == "mixed_float16"
    assert choose_policy("float32") == "float32"


def test_the_loss_is_scaled_in_float16_only() -> None:
    adam = keras.optimizers.Adam()
    assert with_loss_scaling(adam, "float32") is with_loss_scaling(adam, "mixed_bfloat16") is adam
    assert with_loss_scaling(adam, "mixed_float16").inner_optimizer is adam


def test_gradients_below_the_range_of_float16_change_the_weights() -> None:
    """1e-9 is 0 in float16, whose smallest number is 6e-8; infinite losses are skipped."""
    values = keras.Input((1,))
    layer = keras.layers.Dense(1, use_bias=False, dtype="mixed_float16")
    model = keras.Model(values, keras.layers.Activation("linear", dtype="float32")(layer(values)))

    def loss(_: object, predicted: object) -> object:
        return 1e-9 * predicted

    for name, is_learned in (("float32", False), ("mixed_float16", True)):
        layer.set_weights([np.ones((1, 1), np.float32)])
        model.compile(with_loss_scaling(keras.optimizers.Adam(0.1, epsilon=1e-12), name), loss)
        model.fit(np.ones((4, 1)), np.ones(4), epochs=3, verbose=0)
        assert (layer.get_weights()[0][0, 0] < 0.9) == is_learned


def test_a_copy_has_the_weights_and_computes_in_16_bits() -> None:
    keras.utils.set_random_seed(0)
    backbone = resolve("tiny")
    model = backbone.load("none")
    backbone.fine_tune(model, 1)
    copy = with_policy(model, MIXED)
    assert all(map(np.array_equal, copy.get_weights(), model.get_weights()))
    layers = [layer for layer in leaf_layers(copy) if layer.weights]
    assert {layer.compute_dtype for layer in layers} == {"bfloat16"}
    assert {weight.dtype for weight in copy.weights} == {"float32"}
    trained = [layer.name for layer in leaf_layers(copy) if layer.trainable_weights]
    assert trained == ["conv3"]
    actual, expected = np.asarray(copy(IMAGES), np.float32), np.asarray(model(IMAGES))
    assert 0 < np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def test_nothing_is_copied_for_float32() -> None:
    model = resolve("tiny").load("none")
    assert with_policy(model, "float32") is model


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_model_trained_in_16_bits_is_exported_in_32(
    start: Start, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    context = start(strategy="fine-tune", fine_tune_epochs=2, precision=precision)
    monkeypatch.setattr("trainers.model.classifier.Classifier.assign_weights", lambda *_: None)
    kernel_before = context.network.body.get_layer("conv3").get_weights()[0]
    outputs = transfer_learning.train(context).classifier.build_model()
    assert not np.array_equal(
        kernel_before, context.network.body.get_layer("conv3").get_weights()[0]
    )
    assert {weight.dtype for weight in outputs.weights} == {"float32"}
    assert outputs(IMAGES)["embedding"].dtype == "float32"


class Block(keras.layers.Layer):
    """A layer that contains layers, as in backbones of other packages."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.convolution = keras.layers.Conv2D(4, 3, padding="same")
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape: tuple[int, ...]) -> None:
        self.convolution.build(shape)
        self.norm.build((*shape[:-1], 4))

    def call(self, inputs: object) -> object:
        return self.norm(self.convolution(inputs))


def test_layers_frozen_inside_a_layer_stay_frozen_in_the_copy() -> None:
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, Block()(images))
    resolve("tiny").fine_tune(model, 1)
    assert [weight.path for weight in model.trainable_weights] != []
    expected = [layer.trainable for layer in leaf_layers(model)]
    assert not all(expected[1:])
    assert [layer.trainable for layer in leaf_layers(with_policy(model, MIXED))] == expected
