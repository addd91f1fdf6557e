from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.system.locks import file_lock
from trainers.cache.array_cache import Cache, CacheError, Recipe
from trainers.cache.record_store import Records, RecordStore
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
NUMBERS = np.arange(200)


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


class Squares:
    """Creates records of 8 KB with squares; `made` lists the numbers that were squared."""

    def __init__(self, numbers: NDArray[np.int64] = NUMBERS, pause: float = 0) -> None:
        self.numbers, self.pause = numbers, pause
        self.made: list[int] = []

    def fill(self, cache: Cache, dependencies: str = "squares") -> Records:
        keys = [key(number) for number in self.numbers]
        return cache.get_or_create(
            "squares", dependencies, keys, lambda: Recipe((1024,), np.int64, self._make)
        )

    def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        time.sleep(self.pause)
        self.made += self.numbers[positions].tolist()
        return np.repeat(self.numbers[positions, np.newaxis] ** 2, 1024, axis=1)


def check_squares(records: Records, numbers: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(records[:], np.repeat(numbers[:, np.newaxis] ** 2, 1024, axis=1))


def make_cache(tmp_path: Path, max_bytes: float = 1e9) -> Cache:
    return Cache(tmp_path / "cache", max_bytes, tmp_path / "work", SILENT)


def test_cached_records_are_not_made_again(tmp_path: Path) -> None:
    first, second = Squares(), Squares()
    check_squares(first.fill(make_cache(tmp_path)), NUMBERS)
    check_squares(second.fill(make_cache(tmp_path)), NUMBERS)
    assert sorted(first.made) == NUMBERS.tolist()
    assert second.made == []


def test_only_missing_records_are_made(tmp_path: Path) -> None:
    Squares(NUMBERS[:150]).fill(make_cache(tmp_path))
    more = Squares(NUMBERS[::-1])
    check_squares(more.fill(make_cache(tmp_path)), NUMBERS[::-1])
    assert sorted(more.made) == list(range(150, 200))


def test_a_repeated_key_is_made_once(tmp_path: Path) -> None:
    twice = Squares(np.array([3, 4, 3]))
    check_squares(twice.fill(make_cache(tmp_path)), twice.numbers)
    assert sorted(twice.made) == [3, 4]


def test_other_dependencies_use_another_store(tmp_path: Path) -> None:
    Squares().fill(make_cache(tmp_path), "squares")
    other = Squares()
    other.fill(make_cache(tmp_path), "squares by another decoder")
    assert len(other.made) == 200


def test_no_keys_give_no_records(tmp_path: Path) -> None:
    assert Squares(NUMBERS[:0]).fill(make_cache(tmp_path)).shape == (0, 1024)


@pytest.mark.parametrize("max_bytes", [0, 200 * 8192 - 1])
def test_records_that_do_not_fit_go_to_the_workspace(tmp_path: Path, max_bytes: float) -> None:
    cache = make_cache(tmp_path, max_bytes)
    first, second = Squares(), Squares()
    check_squares(first.fill(cache), NUMBERS)
    check_squares(second.fill(cache), NUMBERS)
    assert second.made == []  # the workspace keeps them for the run
    assert not list((tmp_path / "cache").glob("**/records"))


def test_the_least_recently_used_stores_are_evicted(tmp_path: Path) -> None:
    cache = make_cache(tmp_path, 3.1 * 20 * 8192)
    numbers = NUMBERS[:20]
    for age, dependencies in enumerate("abc"):
        Squares(numbers).fill(cache, dependencies)
        for folder in (tmp_path / "cache").glob("squares-*"):
            os.utime(folder, (folder.stat().st_atime, folder.stat().st_mtime - 10))
        assert age < 3
    Squares(numbers).fill(cache, "a")  # used again: b is now the least recently used
    Squares(numbers).fill(cache, "d")
    made = {}
    for dependencies in "acd":
        squares = Squares(numbers)
        squares.fill(cache, dependencies)
        made[dependencies] = len(squares.made)
    assert made == {"a": 0, "c": 0, "d": 0}
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))
    assert size <= 3.1 * 20 * 8192
    evicted = Squares(numbers)
    evicted.fill(cache, "b")
    assert len(evicted.made) == 20


def test_old_records_of_the_same_store_are_evicted_last(tmp_path: Path) -> None:
    limit = 160 * 8228
    Squares(NUMBERS[:100]).fill(make_cache(tmp_path, limit))
    newer = Squares(NUMBERS[80:180])
    check_squares(newer.fill(make_cache(tmp_path, limit)), newer.numbers)
    assert sorted(newer.made) == list(range(100, 180))  # 80 to 99 were copied, 0 to 79 evicted
    (records,) = tmp_path.glob("*/*/records")
    assert records.stat().st_size == 100 * 8192
    assert records.is_relative_to(tmp_path / "cache")


def test_records_in_use_are_not_evicted_for_new_records_of_the_same_store(
    tmp_path: Path,
) -> None:
    cache = make_cache(tmp_path, 150 * 8228)
    for numbers in (NUMBERS[:100], NUMBERS[100:]):
        check_squares(Squares(numbers).fill(cache), numbers)
    again = Squares(NUMBERS[:100])
    check_squares(again.fill(make_cache(tmp_path, 150 * 8228)), again.numbers)
    assert again.made == []


def test_two_runs_too_large_for_the_cache_do_not_evict_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise neither run ends: each makes its records again after the other evicted them."""
    monkeypatch.setattr("trainers.cache.array_cache._BLOCK_BYTES", 32 * 8192)
    runs = [Squares(NUMBERS, pause=0.01), Squares(NUMBERS, pause=0.01)]

    def fill(squares: Squares, dependencies: str) -> None:
        check_squares(squares.fill(make_cache(tmp_path, 300 * 8228), dependencies), NUMBERS)

    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(fill, *pair) for pair in zip(runs, "ab", strict=True)]
        for future in futures:
            future.result(60)
    assert [sorted(squares.made) for squares in runs] == [NUMBERS.tolist()] * 2
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))
    assert size <= 300 * 8192


def test_stores_in_use_are_kept_until_the_run_ends(tmp_path: Path) -> None:
    limit = 30 * 8228
    first_cache, second_cache = make_cache(tmp_path, limit), make_cache(tmp_path, limit)
    numbers = NUMBERS[:20]
    Squares(numbers).fill(first_cache, "a")
    records = Squares(numbers).fill(second_cache, "b")  # stored in the workspace of that run
    check_squares(records, numbers)
    assert len(list((tmp_path / "cache").glob("*/records"))) == 1
    squares_a = Squares(numbers)
    squares_a.fill(make_cache(tmp_path, limit), "a")
    assert squares_a.made == []
    first_cache.close()
    third_cache = make_cache(tmp_path, limit)
    Squares(numbers).fill(third_cache, "c")
    third_cache.close()
    squares_c = Squares(numbers)
    squares_c.fill(make_cache(tmp_path, limit), "c")
    assert squares_c.made == []


def test_records_of_a_store_without_room_are_copied_to_the_workspace(tmp_path: Path) -> None:
    limit = 150 * 8228
    Squares(NUMBERS[:100]).fill(make_cache(tmp_path, limit))
    other = make_cache(tmp_path, limit)
    Squares(NUMBERS[:1]).fill(other)  # now the store is in use
    more = Squares()
    check_squares(more.fill(make_cache(tmp_path, limit)), NUMBERS)
    assert sorted(more.made) == list(range(100, 200))


def test_an_error_of_a_recipe_is_raised_and_cached_records_stay(tmp_path: Path) -> None:
    class Failing(Squares):
        def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
            raise KeyError(positions[0])

    Squares(NUMBERS[:50]).fill(make_cache(tmp_path))
    with pytest.raises(KeyError):
        Failing().fill(make_cache(tmp_path))
    rest = Squares()
    check_squares(rest.fill(make_cache(tmp_path)), NUMBERS)
    assert min(rest.made) >= 50


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "more room"),
        (errno.EACCES, "this user can write to"),
        (errno.ENODEV, "on a local disk"),  # for example where files cannot be mapped
    ],
)
def test_an_unusable_disk_is_an_error_with_advice(
    tmp_path: Path, number: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("trainers.cache.record_store._write", fail)
    expected = rf"cannot write to the cache in .*{os.strerror(number)}; .* folders .*{advice}"
    with pytest.raises(CacheError, match=expected):
        Squares().fill(make_cache(tmp_path))


def fill_slowly(tmp_path: Path, numbers: NDArray[np.int64], pause: float) -> None:
    check_squares(Squares(numbers, pause).fill(make_cache(tmp_path)), numbers)


def test_concurrent_runs_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    parts = (NUMBERS, NUMBERS[::-1], NUMBERS[50:])
    processes = [context.Process(target=fill_slowly, args=(tmp_path, part, 0.01)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    squares = Squares()
    check_squares(squares.fill(make_cache(tmp_path)), NUMBERS)
    assert squares.made == []
    (records,) = (tmp_path / "cache").glob("*/records")
    assert records.stat().st_size == 200 * 8192  # each picture once


def test_a_store_evicted_while_it_is_filled_is_filled_again(tmp_path: Path) -> None:
    class EvictedWhileFilling(Squares):
        def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
            if 150 in self.numbers[positions] and 150 not in self.made:
                with file_lock(tmp_path / "cache/.lock", wait=True):
                    for folder in (tmp_path / "cache").glob("squares-*"):
                        shutil.rmtree(folder)
            return super()._make(positions)

    Squares(NUMBERS[:100]).fill(make_cache(tmp_path))
    check_squares(EvictedWhileFilling().fill(make_cache(tmp_path)), NUMBERS)


def cache_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_valid_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    for attempt in range(4):
        process = context.Process(target=fill_slowly, args=(tmp_path, NUMBERS, 0.05))
        bytes_before = cache_bytes(tmp_path)
        process.start()
        while process.is_alive() and cache_bytes(tmp_path) == bytes_before:
            time.sleep(0.01)
        time.sleep(attempt * 0.06)
        process.kill()
        process.join(60)
    check_squares(Squares().fill(make_cache(tmp_path)), NUMBERS)


def test_with_a_limit_of_zero_the_shared_cache_is_not_read(tmp_path: Path) -> None:
    Squares().fill(make_cache(tmp_path))
    alone = Squares()
    check_squares(alone.fill(make_cache(tmp_path, 0)), NUMBERS)
    assert len(alone.made) == 200


def test_stores_used_by_this_run_are_evicted_last(tmp_path: Path) -> None:
    numbers = NUMBERS[:20]
    Squares(numbers).fill(make_cache(tmp_path), "of another run")
    cache = make_cache(tmp_path, 2.1 * 20 * 8192)
    Squares(numbers).fill(cache, "mine")
    for folder in (tmp_path / "cache").glob("squares-*"):
        os.utime(folder, (0, 0))
    Squares(numbers).fill(cache, "mine, too")
    again = Squares(numbers)
    again.fill(cache, "mine")
    assert again.made == []


def test_the_limit_is_never_exceeded_while_a_store_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.cache.array_cache._BLOCK_BYTES", 40 * 8192)
    limit = 210 * 8192.0
    sizes = []
    append = RecordStore.append

    def append_and_measure(store: RecordStore, *arguments: Any) -> None:
        append(store, *arguments)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records")))

    monkeypatch.setattr(RecordStore, "append", append_and_measure)
    Squares().fill(make_cache(tmp_path, limit), "first")
    Squares().fill(make_cache(tmp_path, limit), "second")
    assert max(sizes) <= limit
