"""Fixtures of the multi-label tests: drawn pictures with none to three of four colours."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from plugins.registry import resolve
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import load_dataset
from trainers.dataset.splits import splitting
from trainers.features import decoding
from trainers.features.network import Network
from trainers.phases.context import TrainingContext
from trainers.progress import Progress

COLOURS = {"blue": "#2838e0", "green": "#28c040", "red": "#e03028", "yellow": "#f0e020"}
SIDE = 64
Scene = Callable[..., Image.Image]
DrawTable = Callable[..., Path]


@pytest.fixture(scope="session")
def draw_table(scene: Scene) -> DrawTable:
    """Draw pictures with labels.csv: draw_table(folder, 200) -> the path of the table."""

    def draw_table(folder: Path, count: int) -> Path:
        folder.mkdir(exist_ok=True)
        rows = [("path", "label")]
        for number in range(count):
            rng = np.random.default_rng(number)
            labels = sorted(rng.choice(list(COLOURS), number % 4, replace=False))
            picture = scene(number, (SIDE, SIDE))
            shapes = ImageDraw.Draw(picture)
            for label, cell in zip(labels, rng.permutation(4), strict=False):
                left, top = (
                    int(cell) // 2 * 32 + rng.integers(2, 8) for cell in (cell, cell % 2 * 2)
                )
                side = int(rng.integers(18, 24))
                draw = shapes.ellipse if rng.random() < 0.5 else shapes.rectangle
                draw((left, top, left + side, top + side), fill=COLOURS[label])
            picture.save(folder / f"{number}.png")
            rows.append((f"{number}.png", "|".join(labels)))
        with (folder / "labels.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        return folder / "labels.csv"

    return draw_table


@pytest.fixture
def start(tmp_path: Path, draw_table: DrawTable, cache: Cache) -> Callable[..., TrainingContext]:
    """Prepare a run of the tiny backbone: start(pictures=60, fine_tune_epochs=3)."""

    def start(pictures: int = 60, **options: object) -> TrainingContext:
        table = draw_table(tmp_path / "pictures", pictures)
        dataset = load_dataset(scanning.scan(table, task="multi-label"), cache)
        dataset = decoding.decode_lazily(splitting.split(dataset, 0), 32, cache)
        options = {"output": tmp_path / "out", "batch_size": 8, "weights": "none", **options}
        config = TrainingConfig(plugin="tiny", task="multi-label", **options)
        network = Network(resolve("tiny"), "none", 32, 0)
        return TrainingContext(config, network, dataset, cache, Progress(is_quiet=True))

    return start
