"""Checks promises: loads a backbone with random weights, and passes it to each check.

A promise is something that training or export expects of every backbone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import Backbone

if TYPE_CHECKING:
    import keras

PICTURES = 8
"""The number of pictures in a trial."""


class BrokenPromiseError(Exception):
    """A backbone breaks a promise. The message says what was measured and what to change."""


@dataclass(frozen=True)
class Trial:
    """A backbone with random weights, and pictures to check it with. All checks share one trial.

    Attributes:
        body: the model that `backbone.load("none", size)` returned.
        images: (PICTURES, size, size, 3) float32, whole numbers from 0 to 255.
        folder: a folder for files of the checks, empty at first.
    """

    backbone: Backbone
    body: keras.Model
    images: Any
    folder: Path

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.images.shape[1])


@dataclass(frozen=True)
class Result:
    """The result of a check: whether the promise is kept, and what was measured."""

    promise: str
    is_kept: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_kept else 'FAIL'} {self.promise}: {self.message}"


Promise = Callable[[Trial], str]
"""A check of a promise. It returns a message with its result, or raises BrokenPromiseError."""


def try_promises(
    backbone: Backbone, folder: Path, promises: Mapping[str, Promise], size: int | None = None
) -> Iterator[Result]:
    """Load a backbone and check promises one after another on the same network.

    Checks may change the network. Any exception of a check counts as a broken promise. The first
    result says whether the backbone could be loaded. If it could not, no other results follow.

    Args:
        folder: an empty folder for the files of the checks.
        size: side of the pictures in pixels; None means 64, or the next size that the backbone
            accepts.
    """
    import keras

    spec = backbone.variants[backbone.variant]
    patches = math.ceil(max(64, spec.min_image_size) / spec.patch_size)
    size = size or patches * spec.patch_size
    keras.utils.set_random_seed(0)
    try:
        body = backbone.load("none", size)
        message = _check_shapes(body, size)
    except Exception as error:  # a backbone may raise anything
        yield _broken("builds", error)
        return
    yield Result("builds", True, message)
    trial = Trial(backbone, body, _draw_images(size), folder)
    for name, promise in promises.items():
        try:
            yield Result(name, True, promise(trial))
        except Exception as error:
            yield _broken(name, error)


def _check_shapes(body: keras.Model, size: int) -> str:
    expected = (None, size, size, 3)
    if body.input_shape != expected:
        raise BrokenPromiseError(
            f"load() returned a network with input {body.input_shape} instead of {expected}: in "
            "build(), use the argument image_size, and do not fix the batch size"
        )
    if len(body.output_shape) != 4 or body.output_shape[0] is not None:
        raise BrokenPromiseError(
            f"the network returns {body.output_shape} instead of feature maps (None, height, "
            "width, channels): remove its pooling and top layers, and any Reshape that fixes the "
            "batch size"
        )
    return f"pictures {expected} become feature maps {body.output_shape}"


def _draw_images(size: int) -> Any:
    """Draw coloured patches with noise.

    With noise alone, a random network would give nearly the same features for all pictures.
    """
    import keras

    coarse = keras.random.uniform((PICTURES, 4, 4, 3), 0, 200, seed=0)
    fine = keras.random.uniform((PICTURES, size, size, 3), 0, 55, seed=1)
    pixels = keras.ops.image.resize(coarse, (size, size), "nearest") + fine
    return keras.ops.convert_to_numpy(keras.ops.round(pixels)).astype("float32")


def _broken(promise: str, error: Exception) -> Result:
    kind = "" if isinstance(error, BrokenPromiseError) else f"{type(error).__name__}: "
    return Result(promise, False, f"{kind}{error}".strip())
