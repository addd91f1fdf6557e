"""Promises about the loaded network: parameter count, image size, scaling, determinism.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from plugins.base import BackboneError, leaf_layers
from trainers.conformance.trial import PICTURES, BrokenPromiseError, Trial

if TYPE_CHECKING:
    import keras


def check_parameters(trial: Trial) -> str:
    """Check that the network has the number of parameters that its Variant declares."""
    backbone, actual = trial.backbone, trial.body.count_params()
    declared = backbone.variants[backbone.variant].parameters
    if actual != declared:  # position embeddings depend on the image size
        actual = backbone.build(None, backbone.image_size).count_params()
    if actual != declared:
        raise BrokenPromiseError(
            f"the network has {actual:,} weights, but its Variant declares {declared:,}: "
            f"write {actual:_} in the Variant"
        )
    return f"{actual:,} weights, as its Variant declares"


def check_smallest_size(trial: Trial) -> str:
    """Check that the network can be built at `min_image_size`; `load` must refuse smaller sizes."""
    backbone = trial.backbone
    smallest = backbone.variants[backbone.variant].min_image_size
    try:
        is_built = trial.size == smallest
        maps = (trial.body if is_built else backbone.build(None, smallest)).output_shape
    except Exception as error:
        raise BrokenPromiseError(
            f"the network cannot be built for pictures of {smallest} x {smallest} pixels, the size "
            f"that min_image_size declares ({error}): increase min_image_size"
        ) from error
    if not (maps[1] and maps[2]):
        raise BrokenPromiseError(
            f"for pictures of {smallest} x {smallest} pixels, the feature maps are empty (their "
            f"shape is {maps}): increase min_image_size"
        )
    try:
        backbone.load("none", smallest - 1)
    except BackboneError:
        return f"built for {smallest} x {smallest} pixels; load() refuses smaller pictures"
    raise BrokenPromiseError(
        f"load() must raise BackboneError for pictures of {smallest - 1} pixels, because "
        f"min_image_size is {smallest}: do not override load(), override build()"
    )


def check_scaling(trial: Trial) -> str:
    """Check that the first layer with weights gets pixels in the range that it was trained with.

    For networks of keras.applications, this layer must get the same inputs as after Keras'
    `preprocess_input`. For other networks, only the range and spread of the inputs are checked. If
    this layer itself normalises its inputs, not even these are checked.
    """
    import keras

    layer, inputs = _first_weighted_layer(trial.body, trial.images)
    summary = f"the layer {layer.name} gets {_summarize(inputs)}"
    name = trial.backbone.variants[trial.backbone.variant].application
    if name:
        application: Any = getattr(keras.applications, name)
        preprocess_input = sys.modules[application.__module__].preprocess_input
        network = trial.backbone.build(None, trial.size)
        _, expected = _first_weighted_layer(network, preprocess_input(trial.images.copy()))
        if abs(inputs - expected).max() > 1e-3 * max(1, abs(expected).max()):
            raise BrokenPromiseError(
                f"{summary}, but with the preprocess_input that Keras has for {name} it would get "
                f"{_summarize(expected)}: use another function of plugins.scaling in the Variant"
            )
        return f"{summary}, as with the preprocess_input that Keras has for {name}"
    if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Normalization)):
        return f"{summary}; it normalises them with learned statistics"
    is_centred = abs(inputs.mean()) < inputs.std() / 2  # as after to_bgr_minus_mean: up to 151
    if abs(inputs).max() > 20 and not is_centred:
        raise BrokenPromiseError(
            f"{summary}: the pixels are not scaled; in the Variant, use the scale function that "
            "the network was trained with, e.g. plugins.scaling.to_unit_range"
        )
    if inputs.std() < 0.02:
        raise BrokenPromiseError(
            f"{summary}: the pixels are scaled twice; if the network scales them itself, use "
            "plugins.scaling.as_is as the scale function in the Variant"
        )
    return summary


def _summarize(values: Any) -> str:
    spread = f"standard deviation {values.std():.2g}"
    return f"values from {values.min():.3g} to {values.max():.3g} ({spread})"


def _first_weighted_layer(model: keras.Model, images: Any) -> tuple[keras.layers.Layer, Any]:
    """Return the first layer with weights, and its inputs as a NumPy array."""
    import keras

    layer = next(layer for layer in leaf_layers(model) if layer.weights)
    recorded: list[Any] = []

    def record(inputs: Any, *_: Any, **__: Any) -> Any:
        recorded.append(keras.ops.convert_to_numpy(inputs))
        raise _StopCall  # the later layers are not needed

    layer.call = record
    try:
        with suppress(_StopCall):
            model(images, training=False)
    finally:
        del layer.call
    return layer, recorded[0]


class _StopCall(BaseException):
    """Stops the call of a model. It is a BaseException, because Keras would wrap an Exception."""


def check_determinism(trial: Trial) -> str:
    """Check that feature maps are finite, repeatable, and independent of the rest of the batch."""
    import keras

    def predict(images: Any) -> Any:
        return keras.ops.convert_to_numpy(trial.body(images, training=False))

    maps = predict(trial.images)
    largest = abs(maps).max()
    if not largest < float("inf"):
        raise BrokenPromiseError(
            "with random weights, the feature maps contain NaN or infinity: check the scale "
            "function in the Variant and the initializers of the layers"
        )
    repeated = abs(predict(trial.images) - maps).max()
    if repeated > 1e-5 * largest:
        raise BrokenPromiseError(
            "the feature maps of two calls with the same pictures differ by "
            f"{repeated / largest:.2g} of the largest value: a layer is random at inference; make "
            "it random only if `training` is true"
        )
    alone = abs(predict(trial.images[:1]) - maps[:1]).max()
    if alone > 1e-3 * largest:
        raise BrokenPromiseError(
            f"the feature maps of a picture alone and in a batch of {PICTURES} differ by "
            f"{alone / largest:.2g} of the largest value: a layer mixes the pictures of a batch; "
            "make it process each picture separately"
        )
    return f"a picture gets the same feature maps in every call, alone and in a batch of {PICTURES}"
