"""Measures how well models tell unknown pictures from known ones, over several seeds.

    .venv/bin/python -m benchmarks.trust.unknown PLUGIN WEIGHTS FOLDER [SEEDS=10] [OTHER_FOLDER ...]

Each seed makes another split and another model. Its test pictures are compared with those of other
folders, with drawn pictures and with noise. Then each class is left out of the training in turn,
and its pictures are compared with the test pictures of the other classes. The figures are AUROC:
the probability that an unknown picture is more novel than a test picture.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bentoml
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from service.bundle.reading import Bundle
from service.engine.classification import KNOWN_SHARE
from service.engine.predictor import Predictor
from service.imaging import SUFFIXES
from trainers import train
from trainers.dataset.samples import DISEASES, draw_leaf
from trainers.dataset.splits.split_table import read_split
from trainers.pretraining.noise_fields import to_frame
from trainers.pretraining.textures import Texture

Images = NDArray[np.uint8]
Figures = dict[str, float]
PICTURES = 200
"""Number of unknown pictures of each kind."""


def main(plugin: str, weights: str, folder: str, seeds: str = "10", *others: str) -> None:
    """Print the mean figures as a table."""
    figures: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as work:
        os.environ["BENTOML_HOME"] = work
        for seed in range(int(seeds)):
            for name, value in measure(plugin, weights, Path(folder), seed, others):
                figures[name].append(value)
            print(f"seed {seed} is done", file=sys.stderr, flush=True)
    print(f"| {plugin}, {folder}, {seeds} seeds | mean | lowest |\n|---|---|---|")
    for name, values in figures.items():
        print(f"| {name} | {np.mean(values):.3f} | {min(values):.3f} |")


def measure(
    plugin: str, weights: str, folder: Path, seed: int, others: tuple[str, ...]
) -> Iterator[tuple[str, float]]:
    """Yield the figures of one seed, by name."""
    with trained(plugin, weights, folder, seed) as predictor:
        known = judge(predictor, test_pictures(predictor, folder))
        yield "test pictures called unknown", float((known[0] > KNOWN_SHARE).mean())
        for name, images in far_pictures(predictor, others):
            for figure, value in compare(known, judge(predictor, images)).items():
                yield f"{name}: {figure}", value
    labels = sorted(path.name for path in folder.iterdir() if path.is_dir())
    results = [hold_out(plugin, weights, folder, seed, label) for label in labels]
    for figure in results[0]:
        yield f"a class held out: {figure}", float(np.mean([row[figure] for row in results]))
    worst = min(row["novelty"] - row["highest probability"] for row in results)
    yield "a class held out: lowest difference of the two", worst


@contextmanager
def trained(plugin: str, weights: str, folder: Path, seed: int) -> Iterator[Predictor]:
    """Train a model, yield its predictor, and delete its files."""
    with tempfile.TemporaryDirectory() as work:
        options = {"strategy": "features", "name": "unknown", "output": work}
        result = train(plugin, folder, weights=weights, seed=seed, **options)
        yield Predictor(Bundle.read(result.bundle), threads=1)
        bentoml.models.delete(result.model)


def hold_out(plugin: str, weights: str, folder: Path, seed: int, label: str) -> Figures:
    """Train without one class; compare its pictures with the test pictures of the others."""
    with tempfile.TemporaryDirectory() as links:
        for path in folder.iterdir():
            if path.is_dir() and path.name != label:
                (Path(links) / path.name).symlink_to(path.resolve())
        with trained(plugin, weights, Path(links), seed) as predictor:
            known = judge(predictor, test_pictures(predictor, Path(links)))
            return compare(known, judge(predictor, folder_pictures(predictor, folder / label)))


def judge(predictor: Predictor, images: Images) -> tuple[NDArray[np.float64], ...]:
    """Return the novelty (N,) and the highest probability (N,) of pictures."""
    answers = [answer for image in images for answer in predictor.classify(image[np.newaxis])]
    novelties = [np.nan if answer.novelty is None else answer.novelty for answer in answers]
    return np.array(novelties), np.array([answer.probabilities.max() for answer in answers])


def compare(
    known: tuple[NDArray[np.float64], ...], unknown: tuple[NDArray[np.float64], ...]
) -> Figures:
    """Return the AUROC of both scores, and the share of unknown pictures that are found."""
    return {
        "novelty": auroc(known[0], unknown[0]),
        "highest probability": auroc(-known[1], -unknown[1]),
        "called unknown": float((unknown[0] > KNOWN_SHARE).mean()),
    }


def auroc(known: NDArray[np.float64], unknown: NDArray[np.float64]) -> float:
    """Return the share of pairs whose unknown picture has the higher score; a tie is half."""
    from sklearn.metrics import roc_auc_score

    is_unknown = np.repeat([0, 1], [len(known), len(unknown)])
    return float(roc_auc_score(is_unknown, np.concatenate([known, unknown])))


def test_pictures(predictor: Predictor, folder: Path) -> Images:
    paths = [row.path for row in read_split(predictor.bundle) if row.split == "test"]
    return np.stack([predictor.decode((folder / path).read_bytes()) for path in paths])


def folder_pictures(predictor: Predictor, folder: Path) -> Images:
    """Return at most PICTURES pictures of a folder and its sub-folders, evenly spaced."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    chosen = np.linspace(0, len(files) - 1, min(PICTURES, len(files))).astype(np.int64)
    return np.stack([predictor.decode(files[index].read_bytes()) for index in chosen])


def far_pictures(predictor: Predictor, others: tuple[str, ...]) -> Iterator[tuple[str, Images]]:
    """Yield pictures of other folders, and drawn ones."""
    for other in others:
        yield Path(other).name, folder_pictures(predictor, Path(other))
    size = predictor.image_size
    for draw in (draw_texture, draw_leaf_picture, draw_page, draw_uniform_noise, draw_normal_noise):
        rngs = (np.random.default_rng((7, number)) for number in range(PICTURES))
        yield draw.__name__.removeprefix("draw_"), np.stack([draw(size, rng) for rng in rngs])


def draw_texture(size: int, rng: np.random.Generator) -> Images:
    """Draw a texture in two colours."""
    line = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = to_frame(*np.meshgrid(line, line), angle=rng.uniform(0, 2 * np.pi), scale=1.0)
    height = Texture.sample(rng).paint(x, y, rng)[..., np.newaxis]
    dark, light = rng.uniform(0, 255, (2, 3))
    return (dark + (light - dark) * height).clip(0, 255).astype(np.uint8)


def draw_leaf_picture(size: int, rng: np.random.Generator) -> Images:
    disease = rng.choice(list(DISEASES))
    return np.asarray(draw_leaf(rng, DISEASES[disease]).resize((size, size)))


def draw_page(size: int, rng: np.random.Generator) -> Images:
    """Draw a page of text."""
    paper = Image.new("RGB", (620, 877), tuple(rng.integers(230, 256, 3).tolist()))
    pen, height = ImageDraw.Draw(paper), int(rng.integers(11, 26))
    font, ink = ImageFont.load_default(height), tuple(rng.integers(0, 70, 3).tolist())
    for top in range(40, 830, round(height * 1.35)):
        letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz   "), int(1000 / height))
        pen.text((40, top), "".join(letters), fill=ink, font=font)
    return np.asarray(paper.resize((size, size), Image.Resampling.BILINEAR))


def draw_uniform_noise(size: int, rng: np.random.Generator) -> Images:
    return rng.integers(0, 256, (size, size, 3), np.uint8)


def draw_normal_noise(size: int, rng: np.random.Generator) -> Images:
    """Draw noise around a colour, of pixels or of blocks of 2 or 4 pixels."""
    block = int(rng.choice([1, 2, 4]))
    cells = rng.normal(
        rng.uniform(40, 215, 3), rng.uniform(15, 70), (size // block + 1,) * 2 + (3,)
    )
    pixels = cells.repeat(block, axis=0).repeat(block, axis=1)[:size, :size]
    return (rng.uniform(40, 215, 3) + pixels).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(*sys.argv[1:])
