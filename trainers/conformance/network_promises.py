"""Promises about the network as it is loaded: its size, its scaling, the same answer every time."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from plugins.base import BackboneError, leaf_layers
from trainers.conformance.trial import PICTURES, BrokenPromiseError, Trial

if TYPE_CHECKING:
    import keras


def check_parameters(trial: Trial) -> str:
    """Check that the network has as many weights as its Variant says."""
    actual = trial.body.count_params()
    declared = trial.backbone.variants[trial.backbone.variant].parameters
    if actual != declared:
        raise BrokenPromiseError(
            f"the network has {actual:,} weights, but its Variant says {declared:,}: "
            f"write {actual:_}"
        )
    return f"{actual:,} weights, as its Variant says"


def check_smallest_size(trial: Trial) -> str:
    """Check that it can be built at `min_image_size`, and that `load` refuses anything smaller."""
    backbone = trial.backbone
    smallest = backbone.variants[backbone.variant].min_image_size
    try:
        is_built = trial.size == smallest
        maps = (trial.body if is_built else backbone.build(None, smallest)).output_shape
    except Exception as error:
        raise BrokenPromiseError(
            f"it cannot be built for {smallest} pixels a side ({error}): raise min_image_size"
        ) from error
    if not (maps[1] and maps[2]):
        raise BrokenPromiseError(f"at {smallest} pixels its maps are {maps}: raise min_image_size")
    try:
        backbone.load("none", smallest - 1)
    except BackboneError:
        return f"from {smallest} pixels a side"
    raise BrokenPromiseError(
        f"load() accepts pictures below its min_image_size of {smallest} pixels instead of raising "
        "BackboneError: do not override load(), override build()"
    )


def check_scaling(trial: Trial) -> str:
    """Check that pixels reach the first weights in the range that these were trained with.

    Networks of keras.applications are compared with their own `preprocess_input`. Of others, only
    the range is judged.
    """
    import keras

    layer, inputs = _first_weighted_layer(trial.body, trial.images)
    summary = f"{layer.name} gets {_summarize(inputs)}"
    name = trial.backbone.variants[trial.backbone.variant].application
    if name:
        application: Any = getattr(keras.applications, name)
        preprocess_input = sys.modules[application.__module__].preprocess_input
        network = trial.backbone.build(None, trial.size)
        _, expected = _first_weighted_layer(network, preprocess_input(trial.images.copy()))
        if abs(inputs - expected).max() > 1e-3 * max(1, abs(expected).max()):
            raise BrokenPromiseError(
                f"{summary}; with Keras' own preprocess_input of {name} it would get "
                f"{_summarize(expected)}: choose another function of plugins.scaling"
            )
        return f"{summary}, as with the preprocess_input of {name}"
    if isinstance(layer, (keras.layers.BatchNormalization, keras.layers.Normalization)):
        return f"{summary}, and normalises them by learned statistics"
    is_centred = abs(inputs.mean()) < inputs.std() / 2  # BGR minus mean is large, but centred
    if abs(inputs).max() > 20 and not is_centred:
        raise BrokenPromiseError(
            f"{summary}: the pixels are not scaled; give the Variant the scale that the network "
            "was trained with, e.g. plugins.scaling.to_unit_range"
        )
    if inputs.std() < 0.02:
        raise BrokenPromiseError(
            f"{summary}: the pixels are scaled twice; if the network scales them itself, give the "
            "Variant the scale plugins.scaling.as_is"
        )
    return summary


def _summarize(values: Any) -> str:
    return f"{values.min():.3g} to {values.max():.3g} (deviation {values.std():.2g})"


def _first_weighted_layer(model: keras.Model, images: Any) -> tuple[keras.layers.Layer, Any]:
    """Return the first layer with weights, and its inputs as a NumPy array."""
    import keras

    layer = next(layer for layer in leaf_layers(model) if layer.weights)
    recorded: list[Any] = []

    def record(inputs: Any, *_: Any, **__: Any) -> Any:
        recorded.append(keras.ops.convert_to_numpy(inputs))
        raise _StopCall  # the other layers do not matter here

    layer.call = record
    try:
        with suppress(_StopCall):
            model(images, training=False)
    finally:
        del layer.call
    return layer, recorded[0]


class _StopCall(BaseException):
    """Ends the call of a model; Keras would replace an Exception by another one."""


def check_determinism(trial: Trial) -> str:
    """Check that a picture has the same feature maps in every call and in every batch."""
    import keras

    def predict(images: Any) -> Any:
        return keras.ops.convert_to_numpy(trial.body(images, training=False))

    maps = predict(trial.images)
    largest = abs(maps).max()
    if not largest < float("inf"):
        raise BrokenPromiseError(
            "with random weights the feature maps contain NaN or infinity: check the scaling and "
            "the initial weights of its layers"
        )
    repeated = abs(predict(trial.images) - maps).max()
    if repeated > 1e-5 * largest:
        raise BrokenPromiseError(
            f"two calls on the same pictures differ by {repeated / largest:.2g} of the largest "
            "value: a layer is random at inference; make it depend on `training`"
        )
    alone = abs(predict(trial.images[:1]) - maps[:1]).max()
    if alone > 1e-3 * largest:
        raise BrokenPromiseError(
            f"a picture alone and in a batch of {PICTURES} differs by {alone / largest:.2g} of the "
            "largest value: a layer mixes the pictures of a batch; make it work on each picture"
        )
    return f"the same in every call, alone and in a batch of {PICTURES}"
