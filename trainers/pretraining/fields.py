"""Random fields that textures and scenes are made of: cells, noise, soft edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
"""(S, S) float32: a value for each pixel."""

TURN = 2 * np.pi
PERIOD = 64
"""Lattice points after which random cells repeat: more than a picture shows."""


@dataclass(frozen=True)
class Cells:
    """A cellular field (S, S).

    Attributes:
        nearest, second: distances to the two nearest points.
        value: 0..1, random, the same within a cell.
        x, y: offset from the nearest point.
    """

    nearest: Map
    second: Map
    value: Map
    x: Map
    y: Map


def worley_cells(x: Map, y: Map, jitter: float, rng: np.random.Generator) -> Cells:
    """Cellular noise of a jittered unit lattice at the coordinates (x, y) (Worley 1996)."""
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
    roughness: float = 1.2,
    stretch: float = 1.0,
    angle: float = 0.0,
    frequency: float | None = None,
) -> Map:
    """Gaussian noise (size, size) of mean 0 and standard deviation 1.

    Its amplitude falls with frequency to the power of `roughness`, or lies in a band around
    `frequency` (periods per picture). `stretch` is the anisotropy, in the direction of `angle`.
    """
    down, along = np.fft.fftfreq(size)[:, None] * size, np.fft.rfftfreq(size)[None] * size
    u = (along * np.cos(angle) + down * np.sin(angle)) * stretch
    v = down * np.cos(angle) - along * np.sin(angle)
    radius = np.maximum(np.hypot(u, v), 1e-6)
    if frequency is None:
        amplitude = radius**-roughness
    else:
        amplitude = np.exp(-(((radius - frequency) / (frequency / 4 + 1)) ** 2))
    amplitude[0, 0] = 0
    white = rng.standard_normal((size, size), dtype=np.float32)
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(size, size))
    return as_map(field / (field.std() + 1e-6))


def smooth_step(inside: Map, sharpness: float) -> Map:
    """The logistic function: 0 where `inside` is well below zero, 1 where it is well above."""
    return as_map(1 / (1 + np.exp(np.clip(-sharpness * inside, -30, 30))))


def to_frame(x: Map, y: Map, angle: float, scale: float) -> tuple[Map, Map]:
    """The coordinates (x, y) in a frame that is turned by `angle` and enlarged by `scale`."""
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    return as_map(cos * x + sin * y), as_map(cos * y - sin * x)


def as_map(values: NDArray[np.floating]) -> Map:
    return values.astype(np.float32, copy=False)
