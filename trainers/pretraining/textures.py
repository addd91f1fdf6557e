"""Procedural textures: waves, noise, cells, bricks. Values are 0 to 1; noise may go a bit beyond.

Pretraining on drawn pictures follows Kataoka et al. 2020 (formulas instead of photographs) and
Baradad et al. 2021 (noise with the statistics of natural pictures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainers.pretraining.noise_fields import (
    PERIOD,
    TURN,
    Cells,
    Map,
    as_map,
    noise,
    smooth_step,
    worley_cells,
)


@dataclass(frozen=True)
class Texture:
    """A texture: a pattern and its parameters, the same in all pictures of a class.

    Attributes:
        pattern: a key of PATTERNS.
        frequency: number of periods in half the side of a picture.
        sharpness: contrast of edges, from 0.4 (soft) to 8 (hard).
        smoothness: smoothness of noise, from 0.6 (grain) to 2.2 (clouds). Larger values also make
            spots and the gaps between bricks larger.
        stretch: scale of one direction relative to the other.
        irregularity: how irregular the pattern is, from 0 to 1; e.g. the positions of its cells.
    """

    pattern: str
    frequency: float
    sharpness: float
    smoothness: float
    stretch: float
    irregularity: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Texture:
        return cls(
            pattern=str(rng.choice(list(PATTERNS))),
            frequency=_log_uniform(rng, 1.2, 9),
            sharpness=_log_uniform(rng, 0.4, 8),
            smoothness=float(rng.uniform(0.6, 2.2)),
            stretch=float(np.exp(rng.normal(0, 0.5))),
            irregularity=float(rng.uniform()),
        )

    def paint(self, x: Map, y: Map, rng: np.random.Generator) -> Map:
        """Draw the texture at the coordinates (x, y) of each pixel; return (S, S), 0 to 1."""
        return PATTERNS[self.pattern](self, x, y, rng)


def grating(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    return _edges(np.sin(TURN * texture.frequency * x + _phase(rng)), texture.sharpness)


def plaid(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    along_x = np.sin(TURN * texture.frequency * x + _phase(rng))
    along_y = np.sin(TURN * texture.frequency * texture.stretch * y + _phase(rng))
    return _edges((along_x + along_y) / 2, texture.sharpness)


def marble(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    bent = 6 * texture.irregularity * noise(len(x), rng, smoothness=2.2)
    return _edges(np.sin(TURN * texture.frequency * x + bent), texture.sharpness)


def cloud(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    angle = np.arctan2(y[0, -1] - y[0, 0], x[0, -1] - x[0, 0])
    clouds = noise(len(x), rng, texture.smoothness, texture.stretch, float(angle))
    return _edges(clouds, 0.3 * texture.sharpness)


def blotches(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    spots = noise(len(x), rng, stretch=texture.stretch, frequency=2 * texture.frequency)
    return _edges(spots, texture.sharpness)


def rings(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    centre_x, centre_y = rng.normal(0, 0.4, 2)
    radius = np.hypot(x - centre_x, (y - centre_y) * texture.stretch)
    return _edges(np.sin(TURN * texture.frequency * radius + _phase(rng)), texture.sharpness)


def spiral(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    centre_x, centre_y = rng.normal(0, 0.3, 2)
    radius = np.hypot(x - centre_x, y - centre_y)
    arms = (1 + round(6 * texture.irregularity)) * np.arctan2(y - centre_y, x - centre_x)
    wave = np.sin(TURN * texture.frequency / 2 * radius + arms + _phase(rng))
    return _edges(wave, texture.sharpness)


def mosaic(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    return _cells(texture, x, y, rng).value


def cracks(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    cells = _cells(texture, x, y, rng)
    return as_map(1 - np.exp(-(1 + 2 * texture.sharpness) * (cells.second - cells.nearest)))


def spots(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    scale = texture.frequency
    cells = worley_cells(x * scale, y * scale, texture.irregularity, rng)
    radius = 0.1 + 0.15 * texture.smoothness
    return smooth_step(radius - cells.nearest, 4 * (1 + texture.sharpness))


def bricks(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Map:
    down = y * texture.frequency * 1.5
    row = np.floor(down).astype(np.int32)
    shift = row % 2 * 0.5 * (texture.irregularity > 0.4)
    along = x * texture.frequency * texture.stretch + shift + rng.uniform()
    column = np.floor(along).astype(np.int32)
    tints = rng.uniform(0.35, 1, (PERIOD, PERIOD))
    gap = 0.12 * texture.smoothness
    to_side = np.minimum(along - column, 1 - along + column)
    to_top = np.minimum(down - row, 1 - down + row)
    return as_map(tints[row % PERIOD, column % PERIOD] * ((to_side > 0.7 * gap) & (to_top > gap)))


PATTERNS: dict[str, Callable[[Texture, Map, Map, np.random.Generator], Map]] = {
    pattern.__name__: pattern
    for pattern in (
        *(grating, plaid, marble, cloud, blotches, rings),
        *(spiral, mosaic, cracks, spots, bricks),
    )
}


def _cells(texture: Texture, x: Map, y: Map, rng: np.random.Generator) -> Cells:
    scale, jitter = texture.frequency, 0.3 + 0.7 * texture.irregularity
    return worley_cells(x * scale, y * scale * texture.stretch, jitter, rng)


def _edges(wave: Map, sharpness: float) -> Map:
    """Map a wave from -1 to 1 to values from 0 to 1, with edges of this sharpness."""
    return as_map(0.5 + 0.5 * np.tanh(sharpness * wave) / np.tanh(sharpness))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _phase(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, TURN))
