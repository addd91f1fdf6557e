"""Each worker makes its share, and all workers get all records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.cache import sharded_cache
from trainers.cache.array_cache import Recipe
from trainers.cache.sharded_cache import SharedCache
from trainers.distributed.collectives import Exchange
from trainers.progress import Progress

Together = Callable[[int, Callable[[Exchange], Any]], list[Any]]
KEYS = [hashlib.sha256(bytes([number])).digest() for number in range(11)]


class Worker:
    """Fills its cache, and records what it made itself."""

    def __init__(self, exchange: Exchange, folder: Path, max_bytes: float = 1e9) -> None:
        workspace = folder.parent / f"work-{exchange.cluster.rank}"
        workspace.mkdir(parents=True, exist_ok=True)
        self.cache = SharedCache(exchange, folder, max_bytes, workspace, Progress(is_quiet=True))
        self.made: list[int] = []

    def fill(self, keys: list[bytes] = KEYS) -> NDArray[Any]:
        def make(positions: NDArray[np.int64]) -> NDArray[np.float32]:
            self.made += positions.tolist()
            return np.array([[KEYS.index(keys[at])] * 3 for at in positions], np.float32)

        return self.cache.get_or_create(
            "maps", "origin", keys, lambda: Recipe((3,), np.float32, make)
        )[:]


EXPECTED = np.repeat(np.arange(11, dtype=np.float32), 3).reshape(11, 3)


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize("max_bytes", [1e9, 0])
def test_every_record_is_made_once(
    tmp_path: Path, is_shared: bool, max_bytes: float, together: Together
) -> None:
    def work(exchange: Exchange) -> list[int]:
        rank = exchange.cluster.rank
        folder = tmp_path / ("all" if is_shared else str(rank)) / "arrays"
        worker = Worker(exchange, folder, max_bytes)
        np.testing.assert_array_equal(worker.fill(), EXPECTED)
        return worker.made

    made = together(3, work)
    assert [sorted(rows) for rows in made] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8]]


def test_what_all_have_is_neither_made_nor_sent(tmp_path: Path, together: Together) -> None:
    def work(exchange: Exchange) -> list[int]:
        folder = tmp_path / str(exchange.cluster.rank) / "arrays"
        Worker(exchange, folder).fill()
        again = Worker(exchange, folder)
        np.testing.assert_array_equal(again.fill(), EXPECTED)
        return again.made

    assert together(2, work) == [[], []]


def test_a_worker_that_has_everything_sends_it_to_one_that_has_nothing(
    tmp_path: Path, together: Together
) -> None:
    (tmp_path / "0").mkdir()
    together(1, lambda exchange: Worker(exchange, tmp_path / "0" / "arrays").fill())

    def work(exchange: Exchange) -> list[int]:
        worker = Worker(exchange, tmp_path / str(exchange.cluster.rank) / "arrays")
        np.testing.assert_array_equal(worker.fill(), EXPECTED)
        return worker.made

    assert together(2, work) == [[], [1, 3, 5, 7, 9]]


def test_fewer_records_than_workers_and_blocks_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: Together
) -> None:
    monkeypatch.setattr(sharded_cache, "_BLOCK_BYTES", 1)

    def work(exchange: Exchange) -> NDArray[Any]:
        folder = tmp_path / str(exchange.cluster.rank) / "arrays"
        np.testing.assert_array_equal(Worker(exchange, folder).fill(), EXPECTED)
        return Worker(exchange, folder.parent / "few").fill(KEYS[:2])

    for records in together(3, work):
        np.testing.assert_array_equal(records, EXPECTED[:2])
