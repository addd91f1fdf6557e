"""How promises are tried: a backbone is loaded, and each promise returns what it saw or fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.base import Backbone

if TYPE_CHECKING:
    import keras

PICTURES = 8
"""Pictures in a trial."""


class BrokenPromiseError(Exception):
    """A backbone breaks a promise; the message says what was seen and what to do."""


@dataclass(frozen=True)
class Trial:
    """A backbone with random weights, and what promises need to try it.

    Attributes:
        body: the model that `backbone.load("none", size)` returned.
        images: (PICTURES, size, size, 3) float32 in 0..255, of whole numbers.
        folder: empty at the start, for files.
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
    """Whether a promise is kept, and a message about what was seen."""

    promise: str
    is_kept: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.is_kept else 'FAIL'} {self.promise}: {self.message}"


Promise = Callable[[Trial], str]
"""Returns a message about what was seen, or raises BrokenPromiseError."""


def try_promises(
    backbone: Backbone, folder: Path, promises: Mapping[str, Promise], size: int | None = None
) -> Iterator[Result]:
    """Load a backbone and try promises in order; they share the network, and change it.

    Args:
        folder: an empty folder for files.
        size: side of the pictures in pixels; None for 64, or min_image_size where that is larger.
    """
    import keras

    size = size or max(64, backbone.variants[backbone.variant].min_image_size)
    keras.utils.set_random_seed(0)
    try:
        body = backbone.load("none", size)
        message = _check_shapes(body, size)
    except Exception as error:  # any error of a backbone's code is a broken promise
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
            "build(), use the image_size that it is given, and do not fix the batch size"
        )
    if len(body.output_shape) != 4 or body.output_shape[0] is not None:
        raise BrokenPromiseError(
            f"the network returns {body.output_shape} instead of feature maps (None, height, "
            "width, channels): remove its pooling and its top, and any Reshape that fixes the "
            "batch size"
        )
    return f"pictures {expected} become feature maps {body.output_shape}"


def _draw_images(size: int) -> Any:
    """Draw patches of colour under noise; to a random network, noise alone always looks alike."""
    import keras

    coarse = keras.random.uniform((PICTURES, 4, 4, 3), 0, 200, seed=0)
    fine = keras.random.uniform((PICTURES, size, size, 3), 0, 55, seed=1)
    pixels = keras.ops.image.resize(coarse, (size, size), "nearest") + fine
    return keras.ops.convert_to_numpy(keras.ops.round(pixels)).astype("float32")


def _broken(promise: str, error: Exception) -> Result:
    kind = "" if isinstance(error, BrokenPromiseError) else f"{type(error).__name__}: "
    return Result(promise, False, f"{kind}{error}".strip())
