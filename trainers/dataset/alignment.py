"""Decides whether two thumbnails show the same photo, by aligning one with the other.

A least-squares fit moves and scales one thumbnail by about a pixel, and changes its brightness and
contrast, to match the other. Two thumbnails count as the same photo if the fit leaves a difference
of only a few gray levels, and no spot that differs much more. So a photo of an intact part and a
photo of a scratched part on the same stand count as different pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.inspection import THUMBNAIL_SIZE

Floats = NDArray[np.float32]

MIN_CORRELATION = 0.97
"""Two thumbnails count as duplicates only if their correlation after the fit is at least this."""
BASE_ERROR, MAX_ERROR = 2.0, 7.0
"""Two thumbnails count as duplicates only if the difference that the fit leaves (root mean square,
in gray levels) is within a limit. The limit is BASE_ERROR if the fit changes neither position,
scale nor contrast. It grows with these changes, up to MAX_ERROR."""
ERROR_PER_PIXEL, FREE_PIXELS, ERROR_PER_CONTRAST = 12.0, 0.2, 30.0
"""The limit grows by ERROR_PER_PIXEL gray levels for each pixel of movement beyond FREE_PIXELS, and
by ERROR_PER_CONTRAST gray levels for each unit by which the logarithm of the contrast changes."""
MIN_SPOT, MIN_SPOT_RATIO = 20.0, 10.5
"""Two pictures count as different if the difference at any pixel exceeds both limits: MIN_SPOT gray
levels, and MIN_SPOT_RATIO times the root mean square of the differences at all pixels. The second
limit is for copies that were brightened until colours saturate: these differ at many pixels."""
_BORDER = 2
"""Width in pixels of the border that is not compared, because a shift may move it out of view."""


def are_duplicates(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether two thumbnails show the same photo, for each of M pairs.

    Args:
        left, right: (M, side, side) uint8, gray.

    Returns:
        (M,) bool.
    """
    forward, forward_error, forward_fits = _fit(left, right)
    back, back_error, back_fits = _fit(right, left)
    # The fit back inverts a real change, so half the difference of both fits is that change. A bias
    # from noise is the same in both fits and cancels out.
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
    """Fit right = a + b * left, with `left` moved and scaled, for all pairs in one computation.

    Moving and scaling are approximated to first order.

    Returns:
        Three arrays. (M, 5): log b and four movements in pixels, which are the shift along each
        axis and how far scaling moves the edges along each axis. (M,): the remaining difference in
        gray levels. (M,): whether the thumbnails correlate and no pixel differs much more than the
        others.
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
    normal += 1e-3 * np.eye(len(terms))  # a ridge keeps the matrix invertible
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
    """Blur with weights 1 2 1 in both directions, so that gradients predict small shifts."""
    padded = np.pad(thumbnails.astype(np.float32), ((0, 0), (1, 1), (1, 1)), "edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: Floats = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(16)
    return blurred
