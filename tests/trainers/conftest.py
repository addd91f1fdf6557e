"""What tests of training share: a tiny backbone and a run on drawn pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from plugins.registry import resolve
from trainers import data, pictures, scanning, splitting
from trainers.cache import Cache
from trainers.config import TrainingConfig
from trainers.network import Network
from trainers.progress import Progress
from trainers.running import Run

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Room for everything that a test makes, and for nothing beyond it."""
    return Cache(tmp_path / "cache", 1e9, tmp_path / "work", SILENT)


@pytest.fixture
def start(tmp_path: Path, draw_folder: DrawFolder, cache: Cache) -> Callable[..., Run]:
    """A run of the tiny backbone on drawn pictures: start(fine_tune_epochs=3, red=9, ...)."""

    def start(red: int = 30, blue: int = 30, **options: object) -> Run:
        folder = draw_folder(tmp_path / "pictures", red=red, blue=blue)
        dataset = splitting.split(data.read(scanning.scan(folder), cache), 0)
        dataset = pictures.decode(dataset, 32, cache)
        options = {"output": tmp_path / "out", "batch_size": 8, "weights": "none", **options}
        config = TrainingConfig(plugin="tiny", **options)
        return Run(config, Network(resolve("tiny"), "none", 32, 0), dataset, cache, SILENT)

    return start
