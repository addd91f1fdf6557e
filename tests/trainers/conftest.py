"""What tests of training share: a tiny backbone and a run on drawn pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import pytest

from plugins.registry import resolve
from trainers import data, pictures, scanning, splitting
from trainers.config import TrainingConfig
from trainers.fitting import Run
from trainers.progress import Progress

DrawFolder = Callable[..., Path]
SILENT = Progress(is_quiet=True)


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
