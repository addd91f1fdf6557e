"""Building blocks of textures and scenes: cellular noise, Gaussian noise, soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
"""(S, S) float32: a value for each pixel."""

TURN = 2 * np.pi
"""A full turn, in radians."""
PERIOD = 64
"""The pattern of random cells repeats after this number of cells; a picture shows fewer."""


@dataclass(frozen=True)
class Cells:
    """Cellular noise: random points divide the plane into cells, one around each point.

    Attributes:
        nearest, second: distances of each pixel to the nearest and the second nearest point.
        value: a random number from 0 to 1, the same for all pixels of a cell.
        x, y: offset of each pixel from the nearest point.
    """

    nearest: Map
    second: Map
    value: Map
    x: Map
    y: Map


def worley_cells(x: Map, y: Map, jitter: float, rng: np.random.Generator) -> Cells:
    """Return cellular noise (Worley 1996) at the coordinates (x, y).

    Args:
        jitter: how irregular the points are: 0 = each at the centre of a unit square, 1 = anywhere
            in the square.
    """
    column, row = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    table = rng.uniform(size=(3, PERIOD, PERIOD)).astype(np.float32)
    nearest, second = np.full(x.shape, 9, np.float32), np.full(x.shape, 9, np.float32)
    value, to_x, to_y = (np.zeros(x.shape, np.float32) for _ in range(3))
    for step in np.ndindex(3, 3):
        i, j = column + step[0] - 1, row + step[1] - 1
        shift_x, shift_y, number = table[:, i % PERIOD, j % PERIOD]
        dx = x - (i + 0.5 + jitter * (shift_x - 0.5))
        dy = y - (j + 0.5 + jitter * (shift_y - 0.5))
        distance = np.sqrt(dx * dx + dy * dy)  # np.hypot is slower
        is_nearer = distance < nearest
        second = np.where(is_nearer, nearest, np.minimum(second, distance))
        nearest = np.where(is_nearer, distance, nearest)
        value = np.where(is_nearer, number, value)
        to_x, to_y = np.where(is_nearer, dx, to_x), np.where(is_nearer, dy, to_y)
    return Cells(*map(as_map, (nearest, second, value, to_x, to_y)))


def noise(
    size: int,
    rng: np.random.Generator,
    smoothness: float = 1.2,
    stretch: float = 1.0,
    angle: float = 0.0,
    frequency: float | None = None,
) -> Map:
    """Return Gaussian noise (size, size) with mean 0 and standard deviation 1.

    Args:
        smoothness: the amplitude falls with the spatial frequency f as f ** -smoothness, so 0 is
            white noise. Not used if `frequency` is given.
        stretch: in the direction of `angle`, patterns are longer by this factor.
        angle: the direction of `stretch`, in radians.
        frequency: the centre of a narrow band of spatial frequencies, in periods per picture; None
            for noise of all frequencies.
    """
    down, along = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None] * size
    u = (along * np.cos(angle) + down * np.sin(angle)) * stretch
    v = down * np.cos(angle) - along * np.sin(angle)
    radius = np.maximum(np.hypot(u, v), 1e-6)
    if frequency is None:
        amplitude = radius**-smoothness
    else:
        amplitude = np.exp(-(((radius - frequency) / (frequency / 4 + 1)) ** 2))
    amplitude[0, 0] = 0
    white = rng.standard_normal((size, size), dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(size, size))
    return as_map(field / (field.std() + 1e-6))


def smooth_step(inside: Map, sharpness: float) -> Map:
    """Return the logistic function of `sharpness * inside`, a soft step from 0 to 1."""
    return as_map(1 / (1 + np.exp(np.clip(-sharpness * inside, -30, 30))))


def to_frame(x: Map, y: Map, angle: float, scale: float) -> tuple[Map, Map]:
    """Convert the coordinates (x, y) to a frame turned by `angle` and enlarged by `scale`."""
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    return as_map(cos * x + sin * y), as_map(cos * y - sin * x)


def as_map(values: NDArray[np.floating]) -> Map:
    return values.astype(np.float32, copy=False)
