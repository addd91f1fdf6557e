"""What tests of training share: a tiny backbone and a run on drawn pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from plugins.registry import resolve
from trainers import data, pictures, scanning, splitting
from trainers.config import TrainingConfig
from trainers.fitting import Run
from trainers.progress import Progress

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)
BICUBIC = Image.Resampling.BICUBIC
Scene = Callable[..., Image.Image]


@pytest.fixture
def start(tmp_path: Path, draw_folder: DrawFolder) -> Callable[..., tuple[keras.Model, Run]]:
    """A loaded tiny backbone and a run on drawn pictures: start(epochs=3, red=9, ...)."""

    def start(red: int = 12, blue: int = 12, **options: object) -> tuple[keras.Model, Run]:
        keras.utils.set_random_seed(0)
        folder = draw_folder(tmp_path / "pictures", red=red, blue=blue)
        (tmp_path / "work").mkdir()
        dataset = splitting.split(data.read(scanning.scan(folder), SILENT), 0)
        dataset = pictures.decode(dataset, 32, tmp_path / "work", SILENT)
        config = TrainingConfig(plugin="tiny", output=tmp_path / "out", batch_size=8, **options)
        return resolve("tiny").load("none"), Run.of(config, dataset, tmp_path / "work", SILENT)

    return start


def draw_scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture like a photo: patches of colour of all sizes; each seed another scene."""
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
