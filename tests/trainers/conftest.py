"""Fixtures of the training tests: a cache, a run of the tiny backbone, pictures like photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plugins.registry import resolve
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning, splitting
from trainers.dataset.dataset import load_dataset
from trainers.features import decoding
from trainers.features.network import Network
from trainers.phases.context import TrainingContext
from trainers.progress import Progress

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)
BICUBIC = Image.Resampling.BICUBIC
Scene = Callable[..., Image.Image]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache of 1 GB in the temporary folder of the test."""
    return Cache(tmp_path / "cache", 1e9, tmp_path / "work", SILENT)


@pytest.fixture
def start(tmp_path: Path, draw_folder: DrawFolder, cache: Cache) -> Callable[..., TrainingContext]:
    """Prepare a run of the tiny backbone on drawn pictures: start(fine_tune_epochs=3, red=9)."""

    def start(red: int = 30, blue: int = 30, **options: object) -> TrainingContext:
        folder = draw_folder(tmp_path / "pictures", red=red, blue=blue)
        dataset = splitting.split(load_dataset(scanning.scan(folder), cache), 0)
        dataset = decoding.decode_lazily(dataset, 32, cache)
        options = {"output": tmp_path / "out", "batch_size": 8, "weights": "none", **options}
        config = TrainingConfig(plugin="tiny", **options)
        return TrainingContext(
            config, Network(resolve("tiny"), "none", 32, 0), dataset, cache, SILENT
        )

    return start


def draw_scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Draw patches of colour of all sizes, like a photo. Each seed gives a different scene."""
    rng = np.random.default_rng(seed)
    scene = np.full((size[1], size[0], 3), 128.0)
    for cells, strength in ((3, 40), (8, 25), (24, 15)):
        patches = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        scene += strength / 64 * (np.asarray(patches.resize(size, BICUBIC), float) - 128)
    return Image.fromarray(scene.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Draw a picture like a photo: scene(7) or scene(7, (640, 480))."""
    return draw_scene
