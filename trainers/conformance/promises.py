"""What every backbone promises, as functions: tried on one network, each says what it saw.

Here is how promises are tried, and those of the network as it is loaded; training_contract.py has
those of its training, check.py those of its export.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import Backbone, BackboneError, leaf_layers

if TYPE_CHECKING:
    import keras

PICTURES = 8
"""Pictures in a trial."""


class BrokenPromiseError(Exception):
    """A backbone does not do what it promises; the message says what was seen and what to do."""


@dataclass(frozen=True)
class Trial:
    """A backbone with random weights, and what it is tried with.

    Attributes:
        body: what `backbone.load("none", size)` gave.
        images: (PICTURES, size, size, 3) float32 in 0..255, of whole numbers.
        folder: empty, for files.
    """

    backbone: Backbone
    body: keras.Model
    images: Any
    folder: Path

    @property
    def size(self) -> int:
        return int(self.images.shape[1])


@dataclass(frozen=True)
class Finding:
    """What became of one promise, in words."""

    promise: str
    is_kept: bool
    words: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_kept else 'FAIL'} {self.promise}: {self.words}"


Promise = Callable[[Trial], str]
"""Returns what was seen, or raises BrokenPromiseError."""


def examine(
    backbone: Backbone, folder: Path, promises: Mapping[str, Promise], size: int | None = None
) -> Iterator[Finding]:
    """Load a backbone and try its promises in order; they share the network, and change it.

    Args:
        size: side of the pictures in pixels; None for 64, or the smallest where that is more.
    """
    import keras

    smallest = backbone.variants[backbone.variant].min_image_size
    size = size or max(64, smallest)
    keras.utils.set_random_seed(0)
    try:
        body = backbone.load("none", size)
        words = _require_maps(body, size)
    except Exception as error:  # whatever a stranger's code raises is the finding
        yield _broken("builds", error)
        return
    yield Finding("builds", True, words)
    trial = Trial(backbone, body, _draw(size), folder)
    for name, promise in promises.items():
        try:
            yield Finding(name, True, promise(trial))
        except Exception as error:
            yield _broken(name, error)


def _draw(size: int) -> Any:
    """Patches of colour under noise: pictures of noise alone are all the same to a network."""
    import keras

    coarse = keras.random.uniform((PICTURES, 4, 4, 3), 0, 200, seed=0)
    fine = keras.random.uniform((PICTURES, size, size, 3), 0, 55, seed=1)
    pixels = keras.ops.image.resize(coarse, (size, size), "nearest") + fine
    return keras.ops.convert_to_numpy(keras.ops.round(pixels)).astype("float32")


def _broken(promise: str, error: Exception) -> Finding:
    kind = "" if isinstance(error, BrokenPromiseError) else f"{type(error).__name__}: "
    return Finding(promise, False, f"{kind}{error}".strip())


def _require_maps(body: keras.Model, size: int) -> str:
    expected = (None, size, size, 3)
    if body.input_shape != expected:
        raise BrokenPromiseError(
            f"load() gave a network for {body.input_shape} in place of {expected}: leave the "
            "batch open and take the size that build() is called with"
        )
    if len(body.output_shape) != 4 or body.output_shape[0] is not None:
        raise BrokenPromiseError(
            f"the network gives {body.output_shape} in place of feature maps (None, height, width, "
            "channels): leave out its pooling and its top, and no Reshape with a fixed batch"
        )
    return f"pictures {expected} become feature maps {body.output_shape}"


def counts(trial: Trial) -> str:
    """As many weights as the table of variants says."""
    found, said = trial.body.count_params(), trial.backbone.variants[trial.backbone.variant]
    if found != said.parameters:
        raise BrokenPromiseError(
            f"the network has {found:,} weights, its Variant says {said.parameters:,}: "
            f"write {found:_}"
        )
    return f"{found:,} weights, as its Variant says"


def builds_smallest(trial: Trial) -> str:
    """It can be built at `min_image_size`, and says so itself where less is asked for."""
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
        f"load() takes pictures below its min_image_size of {smallest} pixels without a "
        "BackboneError: leave load() to Backbone and override build()"
    )


def scales(trial: Trial) -> str:
    """Pixels reach the first weights as these were trained to see them.

    Compared with the network's own `preprocess_input` where it is one of keras.applications;
    else judged by their range.
    """
    import keras

    first, seen = _reaching_the_weights(trial.body, trial.images)
    sees = f"{first.name} sees {_span(seen)}"
    name = trial.backbone.variants[trial.backbone.variant].application
    if name:
        application: Any = getattr(keras.applications, name)
        prepare = sys.modules[application.__module__].preprocess_input
        network = trial.backbone.build(None, trial.size)
        _, expected = _reaching_the_weights(network, prepare(trial.images.copy()))
        if abs(seen - expected).max() > 1e-3 * max(1, abs(expected).max()):
            raise BrokenPromiseError(
                f"{sees}; behind Keras' own preprocess_input of {name} it would see "
                f"{_span(expected)}: choose another scale of plugins.scaling"
            )
        return f"{sees}, as behind the preprocess_input of {name}"
    if isinstance(first, (keras.layers.BatchNormalization, keras.layers.Normalization)):
        return f"{sees}, and normalises by what it has learnt"
    is_centred = abs(seen.mean()) < seen.std() / 2  # BGR minus mean is large, but centred
    if abs(seen).max() > 20 and not is_centred:
        raise BrokenPromiseError(
            f"{sees}: pixels that nothing scales; give the Variant the scale that the network was "
            "trained with, e.g. plugins.scaling.to_unit_range"
        )
    if seen.std() < 0.02:
        raise BrokenPromiseError(
            f"{sees}: scaled twice; give the Variant the scale as_is if its network scales itself"
        )
    return sees


def _span(values: Any) -> str:
    return f"{values.min():.3g} to {values.max():.3g} (deviation {values.std():.2g})"


def _reaching_the_weights(model: keras.Model, images: Any) -> tuple[keras.layers.Layer, Any]:
    """The first layer with weights, and what it is given."""
    import keras

    first = next(layer for layer in leaf_layers(model) if layer.weights)
    seen: list[Any] = []

    def record(inputs: Any, *_: Any, **__: Any) -> Any:
        seen.append(keras.ops.convert_to_numpy(inputs))
        raise _Reached  # the other layers have nothing to say here

    first.call = record
    try:
        with suppress(_Reached):
            model(images, training=False)
    finally:
        del first.call
    return first, seen[0]


class _Reached(BaseException):
    """No Exception: Keras would put another in its place."""


def answers(trial: Trial) -> str:
    """The same picture has the same maps in every call and in every batch."""
    import keras

    def maps(images: Any) -> Any:
        return keras.ops.convert_to_numpy(trial.body(images, training=False))

    once = maps(trial.images)
    largest = abs(once).max()
    if not largest < float("inf"):
        raise BrokenPromiseError("the maps of random weights are not all numbers")
    again = abs(maps(trial.images) - once).max()
    if again > 1e-5 * largest:
        raise BrokenPromiseError(
            f"two calls on the same pictures differ by {again / largest:.2g} of the largest value: "
            "a layer is random at inference; it must look at `training`"
        )
    alone = abs(maps(trial.images[:1]) - once[:1]).max()
    if alone > 1e-3 * largest:
        raise BrokenPromiseError(
            f"a picture alone differs from itself among {PICTURES} by {alone / largest:.2g} of the "
            "largest value: a layer mixes the pictures of a batch"
        )
    return f"the same in every call, alone and among {PICTURES}"
