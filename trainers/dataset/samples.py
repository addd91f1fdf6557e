"""Draws the sample dataset: leaves, healthy and with three diseases.

It is for trying out Graft, for tests, and for machines without pictures. The leaves differ in
shape, colour, angle, light and background, and the diseases differ in extent, so that the classes
can be learned but are not trivial.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from service.system.folders import cache_folder
from service.system.interrupts import cleanup_on_signal

PICTURES_PER_CLASS = 150
SIZE = 160
VERSION = 1
"""Part of the name of the dataset's folder: increase it whenever the pictures change."""

Colour = tuple[int, int, int]
Draw = Callable[[Image.Image, NDArray[np.bool_], np.random.Generator], Image.Image]


def draw_samples(cache: Path, per_class: int = PICTURES_PER_CLASS, seed: int = 0) -> Path:
    """Draw the dataset unless `cache` has it; return the folder that holds one folder per class.

    Args:
        cache: the folder that keeps the dataset.
        per_class: number of pictures of each class.
        seed: seed of the random leaves.
    """
    folder = cache / f"leaves-{VERSION}-{per_class}-{seed}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=cache, prefix=".leaves-") as staging,
        cleanup_on_signal(lambda: shutil.rmtree(staging)),
    ):
        drawn = Path(staging) / "leaves"
        for index, (label, disease) in enumerate(DISEASES.items()):
            (drawn / label).mkdir(parents=True)
            for number in range(per_class):
                rng = np.random.default_rng((seed, index, number))
                picture = draw_leaf(rng, disease)
                picture.save(drawn / label / f"{number:03}.jpg", quality=88)
        if not folder.exists():
            shutil.move(drawn, folder)
    return folder


def is_sample_dataset(folder: Path) -> bool:
    """Whether a folder is a sample dataset, judging by its name and its place in Graft's cache.

    A link to a sample dataset counts, too.
    """
    place = folder.resolve()
    return place.parent == cache_folder().resolve() and place.name.startswith("leaves-")


def draw_leaf(rng: np.random.Generator, disease: Draw, size: int = SIZE) -> Image.Image:
    """Draw one leaf on soil, straw, sky or grass: (size, size) RGB."""
    background = _draw_background(rng, size)
    outline = _draw_outline(rng, size)
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    leaf = _draw_blade(rng, size, outline)
    leaf = disease(leaf, np.asarray(mask) > 0, rng)
    background.paste(leaf, mask=mask.filter(ImageFilter.GaussianBlur(0.8)))
    return _vary_light(background, rng)


def healthy(leaf: Image.Image, inside: NDArray[np.bool_], rng: np.random.Generator) -> Image.Image:
    """Draw at most two specks of dust on a leaf."""
    _draw_spots(
        leaf, inside, rng, count=int(rng.integers(0, 3)), radius=(0.5, 1.5), colour=(150, 140, 110)
    )
    return leaf


def leaf_spot(
    leaf: Image.Image, inside: NDArray[np.bool_], rng: np.random.Generator
) -> Image.Image:
    """Draw a few large brown spots with a yellow rim on a leaf."""
    for point in _random_points(inside, rng, int(rng.integers(4, 12))):
        radius = rng.uniform(4, 10)
        _draw_disc(leaf, point, radius * 1.5, (188, 176, 62))
        _draw_disc(leaf, point, radius, (96 + int(rng.integers(20)), 62, 34))
        _draw_disc(leaf, point, radius * 0.4, (150, 128, 96))
    return leaf.filter(ImageFilter.GaussianBlur(0.7))


def powdery_mildew(
    leaf: Image.Image, inside: NDArray[np.bool_], rng: np.random.Generator
) -> Image.Image:
    """Draw white dust in soft patches on a leaf."""
    patches = Image.new("L", leaf.size)
    for point in _random_points(inside, rng, int(rng.integers(5, 14))):
        _draw_disc(patches, point, rng.uniform(6, 16), int(rng.integers(120, 235)))
    soft = np.asarray(patches.filter(ImageFilter.GaussianBlur(4)), np.float32)
    dusty = soft * rng.uniform(0.55, 1.0, soft.shape)
    white = Image.new("RGB", leaf.size, (232, 234, 226))
    return Image.composite(white, leaf, Image.fromarray(dusty.astype(np.uint8)))


def rust(leaf: Image.Image, inside: NDArray[np.bool_], rng: np.random.Generator) -> Image.Image:
    """Draw many small orange pustules on a leaf."""
    _draw_spots(
        leaf, inside, rng, count=int(rng.integers(40, 140)), radius=(1, 2.8), colour=(196, 98, 28)
    )
    return leaf


DISEASES: dict[str, Draw] = {
    "healthy": healthy,
    "leaf_spot": leaf_spot,
    "powdery_mildew": powdery_mildew,
    "rust": rust,
}


def _draw_background(rng: np.random.Generator, size: int) -> Image.Image:
    colours = ((96, 74, 54), (168, 150, 112), (150, 178, 200), (70, 92, 52))  # soil straw sky grass
    base = np.array(colours[rng.integers(len(colours))], np.float32) + rng.normal(0, 14, 3)
    coarse = Image.fromarray(rng.integers(0, 256, (size // 8, size // 8), np.uint8))
    texture = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 128
    grain = rng.normal(0, 6, (size, size, 1))
    pixels = base * (0.75 + 0.25 * texture[..., np.newaxis]) + grain
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _draw_outline(rng: np.random.Generator, size: int) -> list[tuple[float, float]]:
    """Return the points (x, y) of a pointed oval with a wavy edge, turned, moved and scaled."""
    turn = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    length, width = size * rng.uniform(0.34, 0.46), size * rng.uniform(0.16, 0.27)
    along = length * np.cos(turn)
    taper = np.abs(np.sin(turn)) ** rng.uniform(0.9, 1.5)
    waves = 1 + rng.uniform(0, 0.06) * np.sin(rng.integers(8, 20) * turn)
    across = width * np.sign(np.sin(turn)) * taper * waves
    angle = rng.uniform(0, 2 * np.pi)
    x = along * np.cos(angle) - across * np.sin(angle) + size / 2 + rng.normal(0, size * 0.03)
    y = along * np.sin(angle) + across * np.cos(angle) + size / 2 + rng.normal(0, size * 0.03)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _draw_blade(
    rng: np.random.Generator, size: int, outline: list[tuple[float, float]]
) -> Image.Image:
    """Draw a green blade with a midrib and side veins."""
    green = np.array([58, 122, 44]) + rng.normal(0, 1, 3) * (24, 22, 14)
    shade = rng.normal(0, 5, (size, size, 1))
    blade = Image.fromarray((green + shade).clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(blade)
    vein = tuple((green * 1.25 + 18).clip(0, 255).astype(int).tolist())
    points = np.array(outline)
    tip, stem = points[0], points[len(points) // 2]
    pen.line([tuple(tip), tuple(stem)], fill=vein, width=2)
    for share in np.linspace(0.15, 0.85, rng.integers(4, 8)):
        start = stem + share * (tip - stem)
        edge = int(len(points) * np.arccos(min(2 * share - 0.6, 0.98)) / (2 * np.pi))
        for side in (points[edge], points[-edge]):  # nearer to the tip than `start`
            pen.line([tuple(start), tuple(side)], fill=vein, width=1)
    return blade


def _vary_light(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Vary brightness, tint and blur, as between different cameras and hours of the day."""
    pixels = np.asarray(picture, np.float32) * rng.uniform(0.7, 1.25) * rng.uniform(0.93, 1.07, 3)
    lit = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return lit.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9)))


def _draw_spots(
    leaf: Image.Image,
    inside: NDArray[np.bool_],
    rng: np.random.Generator,
    count: int,
    radius: tuple[float, float],
    colour: Colour,
) -> None:
    for point in _random_points(inside, rng, count):
        red, green, blue = (np.array(colour) + rng.normal(0, 12, 3)).clip(0, 255).astype(int)
        _draw_disc(leaf, point, rng.uniform(*radius), (int(red), int(green), int(blue)))


def _random_points(
    inside: NDArray[np.bool_], rng: np.random.Generator, count: int
) -> list[tuple[int, int]]:
    """Return `count` random points (x, y) on the leaf."""
    rows, columns = np.nonzero(inside)
    chosen = rng.integers(len(rows), size=count)
    return [(int(columns[index]), int(rows[index])) for index in chosen]


def _draw_disc(
    picture: Image.Image, point: tuple[int, int], radius: float, colour: Colour | int
) -> None:
    x, y = point
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).ellipse(box, fill=colour)
