"""Augmentation of the training pictures: fixed views, and mixup of training batches.

A view is a copy of a picture with some changes: mirrored, zoomed, upside down. It is the same in
every run, so its features are computed once and cached. Mixup is random and changes every batch.

To add another such change, add a constant for its bit, apply the change in `make_view`, and list
the new views in TRAINING_VIEWS. To add a random change of batches, add a function beside `mix_up`,
and call it in `batches.Batches`.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Flip = Literal["none", "horizontal", "all"]
FLIPS: tuple[Flip, ...] = get_args(Flip)

MIRRORED, ZOOMED, UPSIDE_DOWN = 1, 2, 4
"""Changes of a picture. The number of a view is the sum of its changes; 0 is the picture itself."""
ZOOM = 1.25
"""Magnification of a zoomed view."""

TRAINING_VIEWS: dict[Flip, tuple[int, ...]] = {
    "none": (0, ZOOMED),
    "horizontal": (0, MIRRORED, ZOOMED, MIRRORED | ZOOMED),
    "all": (0, MIRRORED, UPSIDE_DOWN, MIRRORED | UPSIDE_DOWN),
}
"""The views that a model is trained on, as numbers, for each value of --flip except auto."""
UNZOOMED_VIEWS: dict[Flip, tuple[int, ...]] = {
    flip: tuple(number for number in numbers if not number & ZOOMED)
    for flip, numbers in TRAINING_VIEWS.items()
}


def make_view(image: NDArray[np.uint8], number: int, key: bytes) -> NDArray[np.uint8]:
    """Make one view of a picture.

    Args:
        image: (S, S, 3) uint8.
        number: the number of the view, such as MIRRORED | ZOOMED; 0 is the picture itself.
        key: the cache key of the picture. Its first two bytes determine the part of the picture
            that a zoomed view shows. So the view is the same in every run.
    """
    if number & ZOOMED:
        image = _zoom(image, key)
    rows = slice(None, None, -1 if number & UPSIDE_DOWN else 1)
    columns = slice(None, None, -1 if number & MIRRORED else 1)
    return np.ascontiguousarray(image[rows, columns])


def _zoom(image: NDArray[np.uint8], key: bytes) -> NDArray[np.uint8]:
    size = len(image)
    margin = size - size / ZOOM
    left, top = (margin * byte / 255 for byte in key[:2])
    box = (left, top, left + size / ZOOM, top + size / ZOOM)
    zoomed = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(zoomed)


def mix_up(
    inputs: NDArray[np.float32],
    targets: NDArray[np.float32],
    alpha: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mix the inputs and the targets of each row with those of a random row of the batch (mixup).

    Source: Zhang et al. 2018, https://arxiv.org/abs/1710.09412; applied to features: Verma et al.
    2019, https://arxiv.org/abs/1806.05236.

    Args:
        inputs: (M, ...) float32: pictures or features.
        targets: (M, classes) float32: class probabilities.
        alpha: both parameters of the beta distribution of the share that a row keeps. With larger
            values, the shares are closer to one half.
    """
    share = rng.beta(alpha, alpha, len(inputs)).astype(np.float32)
    other = rng.permutation(len(inputs))
    return _mix(inputs, other, share), _mix(targets, other, share)


def _mix(
    values: NDArray[Any], other: NDArray[np.int64], share: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return share * values + (1 - share) * values[other], row by row."""
    share = share.reshape(-1, *[1] * (values.ndim - 1))
    mixed: NDArray[np.float32] = share * values + (1 - share) * values[other]
    return mixed
