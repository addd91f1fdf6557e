"""Scenes: a class is a recipe of colours, textures and shapes; a picture is one draw of it.

Pictures of a class share palette, textures, kind of shape and layout. They differ in pose, warp,
places, light, contrast, blur and grain, as photographs of one thing do.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.pretraining.fields import TURN, Map, as_map, cells, pose, smooth_step
from trainers.pretraining.patterns import Texture

LAYOUTS = {"none": 0.25, "one": 0.25, "few": 0.15, "many": 0.2, "path": 0.15}
"""How many shapes lie on the ground, and the share of classes that are so."""

Picture = NDArray[np.float32]
"""(S, S, 3) float32 RGB, 0..1, before it is clipped."""


@dataclass(frozen=True)
class Shape:
    """A closed curve by the superformula (Gielis 2003): polygons, stars, petals, discs.

    Attributes:
        symmetry: number of corners or petals; 0 is a disc.
        exponents: how round, hollow or sharp they are.
        size: radius, in halves of a picture.
        core: radius of a heart of another colour, relative to the shape; 0 for none.
    """

    symmetry: int
    exponents: tuple[float, float, float]
    size: float
    core: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Shape:
        low, high = np.log([0.4, 0.5, 0.5]), np.log([6, 8, 8])
        one, two, three = np.exp(rng.uniform(low, high)).tolist()
        return cls(
            symmetry=int(rng.choice([0, 2, 3, 4, 5, 6, 8, 10, 13, 16])),
            exponents=(one, two, three),
            size=float(rng.uniform(0.45, 0.95)),
            core=float(rng.choice([0, rng.uniform(0.2, 0.5)])),
        )

    def depth(self, x: Map, y: Map) -> Map:
        """How far out each place is: 0 in the middle, 1 on the outline, more outside."""
        one, two, three = self.exponents
        angle = np.arctan2(y, x) * self.symmetry / 4
        powers = np.abs(np.cos(angle)) ** two + np.abs(np.sin(angle)) ** three
        outline = (powers + 1e-6) ** (-1 / one)
        if self.symmetry:
            outline = outline / max(float(outline.max()), 1e-3)
        return as_map(np.hypot(x, y) / (self.size * np.maximum(outline, 0.12)))


@dataclass(frozen=True)
class Recipe:
    """What the pictures of one class share. Colours: two of the ground, two of the shapes, heart.

    Attributes:
        angle: of the ground; `turn` is how far pictures depart from it, in radians.
        warp: largest displacement, in halves of a picture.
        relief: how much light and shade follow the textures.
        colour_spread: deviation of a picture's colours from the palette's.
    """

    palette: NDArray[np.float32]  # (5, 3)
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
    def draw(cls, rng: np.random.Generator) -> Recipe:
        return cls(
            palette=_palette(rng),
            ground=Texture.draw(rng),
            surface=Texture.draw(rng),
            shape=Shape.draw(rng),
            layout=str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values()))),
            angle=float(rng.uniform(0, TURN)),
            turn=float(rng.choice([0.1, TURN / 2])),
            warp=float(rng.uniform(0, 0.25)),
            relief=float(rng.choice([0, rng.uniform(0.15, 1.2)])),
            colour_spread=float(rng.uniform(0.02, 0.1)),
        )


def draw_picture(recipe: Recipe, size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture of a class: (size, size, 3) uint8 RGB."""
    x, y = _warped_plane(recipe.warp, size, rng)
    angle = recipe.angle + recipe.turn * rng.normal()
    scale = float(np.exp(rng.normal(0, 0.2)))
    palette = recipe.palette + rng.normal(0, recipe.colour_spread, (5, 3)).astype(np.float32)

    ground_x, ground_y = pose(x, y, angle, scale)
    height = recipe.ground.paint(ground_x + rng.uniform(-1, 1), ground_y + rng.uniform(-1, 1), rng)
    picture = _between(palette[0], palette[1], height)
    edge = float(np.exp(rng.uniform(np.log(8), np.log(60))))
    for shape_x, shape_y, depth in _places(recipe, x, y, angle, scale, rng):
        surface = recipe.surface.paint(shape_x, shape_y, rng)
        colour = _between(palette[2], palette[3], surface)
        colour *= (1.15 - 0.35 * np.minimum(depth, 1))[..., None]  # darker towards the outline
        if recipe.shape.core:
            heart = smooth_step(1 - depth / recipe.shape.core, 12)
            colour += heart[..., None] * (palette[4] - colour)
        mask = smooth_step(1 - depth, edge)
        picture += mask[..., None] * (colour - picture)
        height = height + mask * (0.5 + 0.5 * surface - height)
    return _photograph(picture, _light(recipe.relief, height, rng), rng)


def _palette(rng: np.random.Generator) -> NDArray[np.float32]:
    """Five colours, of one hue or of several; the two of a material near each other or not."""
    hues = rng.uniform() + rng.choice([0.06, 0.2, 0.5]) * rng.normal(size=5)
    saturations = rng.beta(1.3, 1.6, 5)
    values = 0.08 + 0.9 * rng.beta(2.2, 1.6, 5)
    palette = np.array(
        [
            colorsys.hsv_to_rgb(hue % 1, saturation, value)
            for hue, saturation, value in zip(hues, saturations, values, strict=True)
        ]
    )
    for one, other in ((0, 1), (2, 3)):
        palette[other] = palette[one] + rng.uniform(0.15, 1) * (palette[other] - palette[one])
    return palette.astype(np.float32)


def _warped_plane(warp: float, size: int, rng: np.random.Generator) -> tuple[Map, Map]:
    """Coordinates -1..1, bent by a few slow waves."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    bend = warp * rng.uniform(0.3, 1)
    pace, shift = rng.uniform(1, 3, 4), rng.uniform(0, TURN, 4)
    x, y = (
        x + bend * np.sin(2 * pace[0] * y + shift[0]) * np.cos(pace[1] * x + shift[1]),
        y + bend * np.sin(2 * pace[2] * x + shift[2]) * np.cos(pace[3] * y + shift[3]),
    )
    return as_map(x), as_map(y)


def _places(
    recipe: Recipe, x: Map, y: Map, angle: float, scale: float, rng: np.random.Generator
) -> Iterator[tuple[Map, Map, Map]]:
    """For each layer of shapes: coordinates of its own, and how deep inside a shape a place is."""
    shape = recipe.shape
    if recipe.layout == "path":
        along, across = pose(x, y, angle, scale)
        bend = rng.normal(0, 0.3) * np.sin(along * rng.uniform(1, 4) + rng.uniform(0, TURN))
        across = as_map(across - bend - rng.normal(0, 0.3))
        yield along, across, as_map(np.abs(across) / (0.08 + 0.3 * (shape.size - 0.45)))
    elif recipe.layout == "many":
        density = 1.2 + 4.4 * (0.95 - shape.size)
        u, v = pose(x, y, angle, scale / density)
        spread = 0.2 + 0.6 * recipe.surface.irregularity
        found = cells(u + rng.uniform(0, 9), v + rng.uniform(0, 9), spread, rng)
        own = 2 * recipe.turn * found.value
        cos, sin = 1.7 * np.cos(own), 1.7 * np.sin(own)
        u, v = cos * found.x + sin * found.y, cos * found.y - sin * found.x
        yield u, v, shape.depth(u, v)
    elif recipe.layout != "none":
        is_one = recipe.layout == "one"
        for _ in range(1 if is_one else rng.integers(2, 6)):
            shift_x, shift_y = rng.normal(0, 0.2 if is_one else 0.6, 2)
            own_angle = angle + 0.6 * recipe.turn * rng.normal()
            own_scale = scale if is_one else scale * rng.uniform(0.35, 0.6)
            u, v = pose(x - shift_x, y - shift_y, own_angle, own_scale)
            yield u, v, shape.depth(u, v)


def _between(one: NDArray[np.float32], other: NDArray[np.float32], share: Map) -> Picture:
    return one + share[..., None] * (other - one)


def _light(relief: float, height: Map, rng: np.random.Generator) -> Map:
    """Brightness of each place: falling off to one side, and on the slopes of the relief."""
    line = np.linspace(-1, 1, len(height), dtype=np.float32)
    light = 1 + rng.normal(0, 0.15) * line + rng.normal(0, 0.15) * line[:, None]
    if relief:
        down, along = np.gradient(height)
        from_where = rng.uniform(0, TURN)
        slope = np.cos(from_where) * along + np.sin(from_where) * down
        light = light + relief * slope.clip(-0.5, 0.5)
    return as_map(light)


def _photograph(picture: Picture, light: Map, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light, white balance, contrast, blur and grain, as of different cameras and hours."""
    tint = rng.uniform(0.65, 1.3) * rng.uniform(0.92, 1.08, 3)
    lit = picture * light[..., None] * tint
    lit = 0.5 + rng.uniform(0.6, 1.15) * (lit - 0.5) + rng.uniform(-0.1, 0.1)
    framed = np.pad(lit, ((1, 1), (1, 1), (0, 0)), mode="edge")
    soft = (framed[:-2, 1:-1] + framed[2:, 1:-1] + framed[1:-1, :-2] + framed[1:-1, 2:]) / 4
    blurred = lit + rng.uniform(0, 0.8) * (soft - lit)
    grain = rng.standard_normal((*light.shape, 1), dtype=np.float32)
    grainy = blurred + rng.uniform(0, 0.2) ** 2 * grain
    return (255 * grainy).clip(0, 255).astype(np.uint8)
