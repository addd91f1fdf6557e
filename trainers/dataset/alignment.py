"""Decides whether two thumbnails show the same shot, by aligning one with the other.

One thumbnail, moved and scaled by about a pixel and with another brightness and contrast, has to
explain the other by least squares, up to a few gray levels and without a single large spot. So
photos of a good and of a scratched part on one stand are two pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.inspection import THUMBNAIL_SIZE

Floats = NDArray[np.float32]

MIN_CORRELATION = 0.97
"""Of two aligned thumbnails, for a duplicate."""
BASE_ERROR, MAX_ERROR = 2.0, 7.0
"""Largest unexplained difference (root mean square, in gray levels): of thumbnails that lie pixel
on pixel in the same light, and of any."""
ERROR_PER_PIXEL, FREE_PIXELS, ERROR_PER_CONTRAST = 12.0, 0.2, 30.0
"""What a shift (in pixels of a thumbnail) and a contrast (its logarithm) add to BASE_ERROR."""
MIN_SPOT, MIN_SPOT_RATIO = 20.0, 10.5
"""A difference at one place that tells two pictures apart: in gray levels, and relative to the root
mean square of all. Brightening that saturates colours leaves smaller ones."""
_BORDER = 2
"""Pixels at the edge of a thumbnail that a shifted one may not show."""


def are_duplicates(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails (M, side, side) show the same shots, pair by pair (M,)."""
    forward, forward_error, forward_fits = _fit(left, right)
    back, back_error, back_fits = _fit(right, left)
    # A real change is undone on the way back; one that noise only suggests is not.
    contrast, *shifts = np.abs(forward - back).T / 2
    allowed = BASE_ERROR + ERROR_PER_CONTRAST * contrast
    allowed += ERROR_PER_PIXEL * np.maximum(np.max(shifts, axis=0) - FREE_PIXELS, 0)
    error = np.maximum(forward_error, back_error)
    is_same: NDArray[np.bool_] = (
        forward_fits & back_fits & (error <= np.minimum(allowed, MAX_ERROR))
    )
    return is_same


def _fit(
    left: NDArray[np.uint8], right: NDArray[np.uint8]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Fit `right` = a + b * `left`, moved and scaled: for all pairs at once, to first order.

    Returns:
        log b and the shifts in pixels (M, 5), the error in gray levels (M,), and whether the pair
        correlates and differs at no single spot (M,).
    """
    moved, target = _blur(left), _blur(right)
    down, across = np.gradient(moved, axis=(1, 2))
    place = np.linspace(-1, 1, THUMBNAIL_SIZE, dtype=np.float32)
    constant = np.ones_like(moved)
    terms = [constant, moved, across, across * place, down, down * place[:, None]]
    inner = slice(_BORDER, -_BORDER)
    pixels = (THUMBNAIL_SIZE - 2 * _BORDER) ** 2
    x = np.stack(terms, axis=1)[:, :, inner, inner].reshape(-1, len(terms), pixels)
    y = target[:, inner, inner].reshape(-1, pixels)
    normal = (x @ x.transpose(0, 2, 1)).astype(np.float64)
    normal += 1e-3 * np.eye(len(terms))  # a ridge: never singular
    weights = np.linalg.solve(normal, (x @ y[:, :, None]).astype(np.float64)).astype(np.float32)
    residual = y - (weights.transpose(0, 2, 1) @ x)[:, 0].clip(0, 255)
    error = residual.std(axis=1)
    explained = 1 - (error / np.maximum(y.std(axis=1), 1e-6)) ** 2
    peak = np.abs(residual).max(axis=1)
    has_spot = (peak > MIN_SPOT) & (peak > MIN_SPOT_RATIO * error)
    correlates = (explained >= MIN_CORRELATION**2) & (weights[:, 1, 0] > 0)
    fits: NDArray[np.bool_] = correlates & ~has_spot
    contrast = np.maximum(weights[:, 1], 0.01)
    return np.concatenate([np.log(contrast), weights[:, 2:, 0] / contrast], axis=1), error, fits


def _blur(thumbnails: NDArray[np.uint8]) -> Floats:
    """With weights 1 2 1 in both directions, so that slopes predict small shifts."""
    padded = np.pad(thumbnails.astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: Floats = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(16)
    return blurred
