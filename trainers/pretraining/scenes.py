"""Draws pictures of scenes: each class has its own colours, textures and shapes.

The pictures of a class share a palette, textures, a shape and a layout. They differ in
angle, distortion, positions, light, contrast, blur and grain, as photographs of one kind of object
do.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.pretraining.noise_fields import TURN, Map, as_map, smooth_step, to_frame, worley_cells
from trainers.pretraining.textures import Texture

LAYOUTS = {"none": 0.25, "one": 0.25, "few": 0.15, "many": 0.2, "path": 0.15}
"""Layout -> share of the classes that have it. A layout says how many shapes lie on the ground, and
where."""

Picture = NDArray[np.float32]
"""(S, S, 3) float32 RGB, 0 to 1. Values outside this range are clipped when a picture is ready."""


@dataclass(frozen=True)
class Shape:
    """A polygon, star, flower or disc, described by the superformula (Gielis 2003).

    Attributes:
        symmetry: the number of corners or petals; 0 is a disc.
        exponents: n1, n2 and n3 of the superformula, which say how round or sharp the shape is.
        size: radius of the shape; 1 is half the side of the picture.
        core: radius of an inner part with another colour, relative to the shape; 0 means none.
    """

    symmetry: int
    exponents: tuple[float, float, float]
    size: float
    core: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Shape:
        low, high = np.log([0.4, 0.5, 0.5]), np.log([6, 8, 8])
        n1, n2, n3 = np.exp(rng.uniform(low, high)).tolist()
        return cls(
            symmetry=int(rng.choice([0, 2, 3, 4, 5, 6, 8, 10, 13, 16])),
            exponents=(n1, n2, n3),
            size=float(rng.uniform(0.45, 0.95)),
            core=float(rng.choice([0, rng.uniform(0.2, 0.5)])),
        )

    def depth(self, x: Map, y: Map) -> Map:
        """Return the relative distance (S, S) from the centre: 1 on the outline, more outside."""
        n1, n2, n3 = self.exponents
        angle = np.arctan2(y, x) * self.symmetry / 4
        powers = np.abs(np.cos(angle)) ** n2 + np.abs(np.sin(angle)) ** n3
        outline = (powers + 1e-6) ** (-1 / n1)
        if self.symmetry:
            outline = outline / max(float(outline.max()), 1e-3)
        return as_map(np.hypot(x, y) / (self.size * np.maximum(outline, 0.12)))


@dataclass(frozen=True)
class SceneTemplate:
    """The properties that all pictures of one class share.

    Attributes:
        palette: (5, 3) RGB, 0 to 1: two colours of the ground, two of the shapes, and one of the
            cores of the shapes.
        ground: texture of the background.
        surface: texture of the shapes.
        shape: the shapes on the ground.
        layout: a key of LAYOUTS.
        angle: mean angle of the ground, in radians.
        turn: standard deviation of that angle between pictures, in radians.
        warp: the largest distortion; 1 is half the side of the picture.
        relief: strength of light and shade on the slopes of the textures.
        colour_spread: standard deviation of the differences between a picture's colours and the
            palette.
    """

    palette: NDArray[np.float32]
    ground: Texture
    surface: Texture
    shape: Shape
    layout: str
    angle: float
    turn: float
    warp: float
    relief: float
    colour_spread: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> SceneTemplate:
        return cls(
            palette=_sample_palette(rng),
            ground=Texture.sample(rng),
            surface=Texture.sample(rng),
            shape=Shape.sample(rng),
            layout=str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values()))),
            angle=float(rng.uniform(0, TURN)),
            turn=float(rng.choice([0.1, TURN / 2])),
            warp=float(rng.uniform(0, 0.25)),
            relief=float(rng.choice([0, rng.uniform(0.15, 1.2)])),
            colour_spread=float(rng.uniform(0.02, 0.1)),
        )


def draw_picture(template: SceneTemplate, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one picture of a class, (size, size, 3) uint8 RGB."""
    x, y = _warped_plane(template.warp, size, rng)
    angle = template.angle + template.turn * rng.normal()
    scale = float(np.exp(rng.normal(0, 0.2)))
    palette = template.palette + rng.normal(0, template.colour_spread, (5, 3)).astype(np.float32)

    ground_x, ground_y = to_frame(x, y, angle, scale)
    height = template.ground.paint(
        ground_x + rng.uniform(-1, 1), ground_y + rng.uniform(-1, 1), rng
    )
    picture = _blend(palette[0], palette[1], height)
    edge = float(np.exp(rng.uniform(np.log(8), np.log(60))))
    for shape_x, shape_y, depth in _shape_layers(template, x, y, angle, scale, rng):
        surface = template.surface.paint(shape_x, shape_y, rng)
        colour = _blend(palette[2], palette[3], surface)
        colour *= (1.15 - 0.35 * np.minimum(depth, 1))[..., None]  # darker towards the outline
        if template.shape.core:
            core = smooth_step(1 - depth / template.shape.core, 12)
            colour += core[..., None] * (palette[4] - colour)
        mask = smooth_step(1 - depth, edge)
        picture += mask[..., None] * (colour - picture)
        height = height + mask * (0.5 + 0.5 * surface - height)
    return _photograph(picture, _light(template.relief, height, rng), rng)


def _sample_palette(rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw the palette of a class, (5, 3) RGB.

    The two colours of the ground, and the two of the shapes, may be similar or very different.
    """
    hues = rng.uniform() + rng.choice([0.06, 0.2, 0.5]) * rng.normal(size=5)
    saturations = rng.beta(1.3, 1.6, 5)
    values = 0.08 + 0.9 * rng.beta(2.2, 1.6, 5)
    palette = np.array(
        [
            colorsys.hsv_to_rgb(hue % 1, saturation, value)
            for hue, saturation, value in zip(hues, saturations, values, strict=True)
        ]
    )
    for first, second in ((0, 1), (2, 3)):
        distance = palette[second] - palette[first]
        palette[second] = palette[first] + rng.uniform(0.15, 1) * distance
    return palette.astype(np.float32)


def _warped_plane(warp: float, size: int, rng: np.random.Generator) -> tuple[Map, Map]:
    """Return coordinates x and y (S, S) of the pixels, -1 to 1, distorted by a few long waves."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    bend = warp * rng.uniform(0.3, 1)
    pace, shift = rng.uniform(1, 3, 4), rng.uniform(0, TURN, 4)
    x, y = (
        x + bend * np.sin(2 * pace[0] * y + shift[0]) * np.cos(pace[1] * x + shift[1]),
        y + bend * np.sin(2 * pace[2] * x + shift[2]) * np.cos(pace[3] * y + shift[3]),
    )
    return as_map(x), as_map(y)


def _shape_layers(
    template: SceneTemplate, x: Map, y: Map, angle: float, scale: float, rng: np.random.Generator
) -> Iterator[tuple[Map, Map, Map]]:
    """Yield three maps (S, S) for each layer of shapes: x, y and depth.

    The coordinates x and y are relative to the shapes; for depth, see `Shape.depth`.
    """
    shape = template.shape
    if template.layout == "path":
        along, across = to_frame(x, y, angle, scale)
        bend = rng.normal(0, 0.3) * np.sin(along * rng.uniform(1, 4) + rng.uniform(0, TURN))
        across = as_map(across - bend - rng.normal(0, 0.3))
        yield along, across, as_map(np.abs(across) / (0.08 + 0.3 * (shape.size - 0.45)))
    elif template.layout == "many":
        density = 1.2 + 4.4 * (0.95 - shape.size)
        u, v = to_frame(x, y, angle, scale / density)
        spread = 0.2 + 0.6 * template.surface.irregularity
        cells = worley_cells(u + rng.uniform(0, 9), v + rng.uniform(0, 9), spread, rng)
        angles = 2 * template.turn * cells.value
        cos, sin = 1.7 * np.cos(angles), 1.7 * np.sin(angles)
        u, v = cos * cells.x + sin * cells.y, cos * cells.y - sin * cells.x
        yield u, v, shape.depth(u, v)
    elif template.layout != "none":
        is_one = template.layout == "one"
        for _ in range(1 if is_one else rng.integers(2, 6)):
            shift_x, shift_y = rng.normal(0, 0.2 if is_one else 0.6, 2)
            own_angle = angle + 0.6 * template.turn * rng.normal()
            own_scale = scale if is_one else scale * rng.uniform(0.35, 0.6)
            u, v = to_frame(x - shift_x, y - shift_y, own_angle, own_scale)
            yield u, v, shape.depth(u, v)


def _blend(first: NDArray[np.float32], second: NDArray[np.float32], share: Map) -> Picture:
    return first + share[..., None] * (second - first)


def _light(relief: float, height: Map, rng: np.random.Generator) -> Map:
    """Return the brightness (S, S). It varies across the picture and with the slope of `height`."""
    line = np.linspace(-1, 1, len(height), dtype=np.float32)
    light = 1 + rng.normal(0, 0.15) * line + rng.normal(0, 0.15) * line[:, None]
    if relief:
        down, along = np.gradient(height)
        direction = rng.uniform(0, TURN)
        slope = np.cos(direction) * along + np.sin(direction) * down
        light = light + relief * slope.clip(-0.5, 0.5)
    return as_map(light)


def _photograph(picture: Picture, light: Map, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Apply light, white balance, contrast, blur and grain, which differ between photographs."""
    tint = rng.uniform(0.65, 1.3) * rng.uniform(0.92, 1.08, 3)
    lit = picture * light[..., None] * tint
    lit = 0.5 + rng.uniform(0.6, 1.15) * (lit - 0.5) + rng.uniform(-0.1, 0.1)
    framed = np.pad(lit, ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = (framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:]) / 4
    blurred = lit + rng.uniform(0, 0.8) * (soft - lit)
    grain = rng.standard_normal((*light.shape, 1), dtype=np.float32)
    grainy = blurred + rng.uniform(0, 0.2) ** 2 * grain
    return (255 * grainy).clip(0, 255).astype(np.uint8)
