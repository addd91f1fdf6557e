from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from service.engine.onnx_session import open_session
from trainers.heads.head import build_head
from trainers.model.conversion import ConversionError, to_onnx
from trainers.model.heat_maps import build_heat_maps

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 16, 16, 3)).astype(np.float32)


def make_body() -> keras.Model:
    """A body with a nested model: pictures (N, 16, 16, 3) -> feature maps (N, 4, 4, 5)."""
    images, inner = keras.Input((16, 16, 3)), keras.Input((8, 8, 4))
    nested = keras.Model(inner, keras.layers.Conv2D(5, 3, 2, "same", activation="relu")(inner))
    return keras.Model(images, nested(keras.layers.Conv2D(4, 3, 2, "same")(images / 255)))


def make_head(width: int) -> keras.Model:
    scale, offset = RNG.uniform(0.5, 2, width), RNG.normal(size=width)
    head = build_head(scale.astype(np.float32), offset.astype(np.float32), 3)
    head.set_weights([RNG.normal(size=weight.shape) for weight in head.get_weights()])
    return head


def convert(body: keras.Model, head: keras.Model, pooling: keras.layers.Layer) -> onnx.ModelProto:
    signature = [tf.TensorSpec((None, 16, 16, 3), tf.float32, "images")]

    @tf.function(input_signature=signature, autograph=False)
    def classify(images: tf.Tensor) -> dict[str, tf.Tensor]:
        embedding = pooling(body(images, training=False))
        return {"embedding": embedding, "probabilities": head(embedding, training=False)}

    return to_onnx(classify, ("probabilities", "embedding"))


def test_heat_maps_are_the_gradients_of_the_logits_times_the_feature_maps() -> None:
    keras.utils.set_random_seed(0)
    body, head = make_body(), make_head(5)
    model = convert(body, head, keras.layers.GlobalAveragePooling2D())
    before = model.SerializeToString()
    part = build_heat_maps(model, head)
    assert model.SerializeToString() == before, "the model itself does not change"

    session = open_session(before + part.SerializeToString(), threads=1)
    names = ["probabilities", "embedding", "heat_maps"]
    *others, heat_maps = session.run(names, {"images": IMAGES})
    for output, expected in zip(
        others, open_session(before, 1).run(names[:2], {"images": IMAGES}), strict=True
    ):
        np.testing.assert_array_equal(output, expected)

    feature_maps = tf.convert_to_tensor(body(IMAGES, training=False))
    logits = keras.Model(head.input, head.get_layer("logits").output)
    with tf.GradientTape() as tape:
        tape.watch(feature_maps)
        outputs = logits(tf.reduce_mean(feature_maps, axis=(1, 2)), training=False)
    gradients = tape.batch_jacobian(outputs, feature_maps).numpy()  # (N, classes, h, w, D)
    positions = feature_maps.shape[1] * feature_maps.shape[2]
    weights = positions * gradients.mean(axis=(2, 3))
    expected = np.einsum("nhwd,ncd->nhwc", feature_maps.numpy(), weights)
    assert heat_maps.shape == (3, 4, 4, 3)
    np.testing.assert_allclose(heat_maps, expected, rtol=1e-4, atol=1e-5)


def test_the_mean_of_the_heat_map_is_the_logit() -> None:
    body, head = make_body(), make_head(5)
    model = convert(body, head, keras.layers.GlobalAveragePooling2D())
    part = build_heat_maps(model, head)
    joined = open_session(model.SerializeToString() + part.SerializeToString(), 1)
    heat_maps, probabilities = joined.run(["heat_maps", "probabilities"], {"images": IMAGES})
    logits = heat_maps.mean(axis=(1, 2)) - np.log(probabilities)
    differences = logits - logits[0]  # what remains is the bias, and the norm of each softmax
    np.testing.assert_allclose(differences - differences[:, :1], 0, atol=1e-4)


def test_channels_of_the_whole_picture_are_left_out() -> None:
    """Channels last, as in transformers: nothing has to be transposed."""
    images = keras.Input((16, 16, 3))
    tokens = keras.layers.Reshape((4, 4, 48))(images)
    body, head = keras.Model(images, keras.layers.Dense(5)(tokens)), make_head(5)
    model = convert(body, head, keras.layers.GlobalAveragePooling2D())
    part = build_heat_maps(model, head, whole_picture_channels=2)
    assert [node.op_type for node in part.graph.node] == ["MatMul"]
    joined = open_session(model.SerializeToString() + part.SerializeToString(), 1)
    kernel = np.asarray(head.get_layer("logits").kernel)
    kernel = kernel * np.asarray(head.get_layer("scaling").scale)[:, None]
    expected = np.asarray(body(IMAGES))[..., :3] @ kernel[:3]
    (heat_maps,) = joined.run(["heat_maps"], {"images": IMAGES})
    np.testing.assert_allclose(heat_maps, expected, rtol=1e-4, atol=1e-3)


def test_other_pooling_is_refused() -> None:
    body, head = make_body(), make_head(5)
    model = convert(body, head, keras.layers.GlobalMaxPooling2D())
    with pytest.raises(ConversionError, match="does not compute the embedding by global average"):
        build_heat_maps(model, head)
