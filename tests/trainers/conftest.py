"""What tests of training share: a tiny backbone and a run on drawn pictures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.registry import resolve
from service.errors import GraftError
from trainers import data, pictures, scanning, splitting
from trainers.cluster import Cluster
from trainers.config import TrainingConfig
from trainers.exchange import Exchange
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


class Threads(Exchange):
    """An exchange between threads, by a table in place of TensorFlow's collectives."""

    table: dict[int, NDArray[Any]]
    barrier: threading.Barrier

    def _gather(self, values: NDArray[Any]) -> NDArray[Any]:
        self.table[self.cluster.rank] = values
        self.barrier.wait(10)
        rows = np.stack([self.table[rank] for rank in range(self.cluster.size)])
        self.barrier.wait(10)
        return rows


@pytest.fixture(scope="session")
def together() -> Callable[[int, Callable[[Exchange], Any]], list[Any]]:
    """Let threads be the workers of a cluster: together(3, work) -> what each returns or raises."""

    def together(count: int, work: Callable[[Exchange], Any]) -> list[Any]:
        table: dict[int, NDArray[Any]] = {}
        barrier = threading.Barrier(count)
        addresses = tuple(f"host:{port}" for port in range(count))

        def one(rank: int) -> Any:
            exchange = Threads(Cluster(addresses, rank, (("worker", count),)))
            vars(exchange).update(table=table, barrier=barrier)
            try:
                return work(exchange)
            except GraftError as error:
                return error

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    return together
