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

from service.system.locks import locked
from trainers.cache.array_cache import Cache, CacheError, Recipe
from trainers.cache.record_store import Records, Shelf
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
NUMBERS = np.arange(200)


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


class Squares:
    """Makes squares, 8 KB each, and remembers of which numbers."""

    def __init__(self, numbers: NDArray[np.int64] = NUMBERS, pause: float = 0) -> None:
        self.numbers, self.pause = numbers, pause
        self.made: list[int] = []

    def fill(self, cache: Cache, origin: str = "squares") -> Records:
        keys = [key(number) for number in self.numbers]
        return cache.fill("squares", origin, keys, lambda: Recipe((1024,), np.int64, self._make))

    def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        time.sleep(self.pause)
        self.made += self.numbers[positions].tolist()
        return np.repeat(self.numbers[positions, np.newaxis] ** 2, 1024, axis=1)


def check(found: Records, numbers: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(found[:], np.repeat(numbers[:, np.newaxis] ** 2, 1024, axis=1))


def make(tmp_path: Path, max_bytes: float = 1e9) -> Cache:
    return Cache(tmp_path / "cache", max_bytes, tmp_path / "work", SILENT)


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    first, again = Squares(), Squares()
    check(first.fill(make(tmp_path)), NUMBERS)
    check(again.fill(make(tmp_path)), NUMBERS)
    assert sorted(first.made) == NUMBERS.tolist()
    assert again.made == []


def test_only_what_is_new_is_made(tmp_path: Path) -> None:
    Squares(NUMBERS[:150]).fill(make(tmp_path))
    more = Squares(NUMBERS[::-1])
    check(more.fill(make(tmp_path)), NUMBERS[::-1])
    assert sorted(more.made) == list(range(150, 200))


def test_a_key_that_comes_twice_is_made_once(tmp_path: Path) -> None:
    twice = Squares(np.array([3, 4, 3]))
    check(twice.fill(make(tmp_path)), twice.numbers)
    assert sorted(twice.made) == [3, 4]


def test_another_origin_is_another_shelf(tmp_path: Path) -> None:
    Squares().fill(make(tmp_path), "squares")
    other = Squares()
    other.fill(make(tmp_path), "squares by another decoder")
    assert len(other.made) == 200


def test_nothing_asked_is_nothing_found(tmp_path: Path) -> None:
    assert Squares(NUMBERS[:0]).fill(make(tmp_path)).shape == (0, 1024)


@pytest.mark.parametrize("max_bytes", [0, 200 * 8192 - 1])
def test_what_does_not_fit_goes_with_the_run(tmp_path: Path, max_bytes: float) -> None:
    cache = make(tmp_path, max_bytes)
    one, again = Squares(), Squares()
    check(one.fill(cache), NUMBERS)
    check(again.fill(cache), NUMBERS)
    assert again.made == []  # within the run it is kept
    assert not list((tmp_path / "cache").glob("**/records"))


def test_the_least_recently_used_shelves_make_room(tmp_path: Path) -> None:
    cache = make(tmp_path, 3.1 * 20 * 8192)
    numbers = NUMBERS[:20]
    for age, origin in enumerate("abc"):
        Squares(numbers).fill(cache, origin)
        for folder in (tmp_path / "cache").glob("squares-*"):
            os.utime(folder, (folder.stat().st_atime, folder.stat().st_mtime - 10))
        assert age < 3
    Squares(numbers).fill(cache, "a")  # used again: b is the oldest now
    Squares(numbers).fill(cache, "d")
    made = {}
    for origin in "acd":
        squares = Squares(numbers)
        squares.fill(cache, origin)
        made[origin] = len(squares.made)
    assert made == {"a": 0, "c": 0, "d": 0}
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))
    assert size <= 3.1 * 20 * 8192
    gone = Squares(numbers)
    gone.fill(cache, "b")
    assert len(gone.made) == 20


def test_old_records_of_the_same_shelf_make_room_at_last(tmp_path: Path) -> None:
    bound = 160 * 8228
    Squares(NUMBERS[:100]).fill(make(tmp_path, bound))
    newer = Squares(NUMBERS[80:180])
    check(newer.fill(make(tmp_path, bound)), newer.numbers)
    assert sorted(newer.made) == list(range(100, 180))  # 80 to 99 were copied, 0 to 79 went
    (records,) = tmp_path.glob("*/*/records")
    assert records.stat().st_size == 100 * 8192
    assert records.is_relative_to(tmp_path / "cache")


def test_what_this_run_has_used_of_a_shelf_is_not_given_up_for_more_of_it(tmp_path: Path) -> None:
    cache = make(tmp_path, 150 * 8228)
    for numbers in (NUMBERS[:100], NUMBERS[100:]):
        check(Squares(numbers).fill(cache), numbers)
    again = Squares(NUMBERS[:100])
    check(again.fill(make(tmp_path, 150 * 8228)), again.numbers)
    assert again.made == []


def test_two_runs_that_do_not_fit_together_do_not_take_each_others_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They did, for ever: 41,000 records were made of 640 in a minute, and neither run ended."""
    monkeypatch.setattr("trainers.cache.array_cache._BLOCK_BYTES", 32 * 8192)
    runs = [Squares(NUMBERS, pause=0.01), Squares(NUMBERS, pause=0.01)]

    def run(squares: Squares, origin: str) -> None:
        check(squares.fill(make(tmp_path, 300 * 8228), origin), NUMBERS)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(run, *one) for one in zip(runs, "ab", strict=True)]:
            done.result(60)
    assert [sorted(run.made) for run in runs] == [NUMBERS.tolist()] * 2
    size = sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))
    assert size <= 300 * 8192


def test_what_a_run_uses_stays_until_it_is_over(tmp_path: Path) -> None:
    bound = 30 * 8228
    first, second = make(tmp_path, bound), make(tmp_path, bound)
    numbers = NUMBERS[:20]
    Squares(numbers).fill(first, "a")
    check(Squares(numbers).fill(second, "b"), numbers)  # in its own workspace
    assert len(list((tmp_path / "cache").glob("*/records"))) == 1
    kept = Squares(numbers)
    kept.fill(make(tmp_path, bound), "a")
    assert kept.made == []
    first.close()
    third = make(tmp_path, bound)
    Squares(numbers).fill(third, "c")
    third.close()
    after = Squares(numbers)
    after.fill(make(tmp_path, bound), "c")
    assert after.made == []


def test_what_the_cache_has_of_a_shelf_without_room_is_copied(tmp_path: Path) -> None:
    bound = 150 * 8228
    Squares(NUMBERS[:100]).fill(make(tmp_path, bound))
    other = make(tmp_path, bound)
    Squares(NUMBERS[:1]).fill(other)  # so that nobody may give the shelf up
    more = Squares()
    check(more.fill(make(tmp_path, bound)), NUMBERS)
    assert sorted(more.made) == list(range(100, 200))


def test_an_error_while_making_comes_through_and_leaves_what_was_made(tmp_path: Path) -> None:
    class Failing(Squares):
        def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
            raise KeyError(positions[0])

    Squares(NUMBERS[:50]).fill(make(tmp_path))
    with pytest.raises(KeyError):
        Failing().fill(make(tmp_path))
    rest = Squares()
    check(rest.fill(make(tmp_path)), NUMBERS)
    assert min(rest.made) >= 50


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "more room"),
        (errno.EACCES, "this user can write to"),
        (errno.ENODEV, "on a local disk"),  # as where no file can be mapped
    ],
)
def test_a_disk_that_cannot_be_used_is_said(
    tmp_path: Path, number: int, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("trainers.cache.record_store._write", fail)
    expected = rf"nothing can be kept under .*{os.strerror(number)}; .* folders .*{advice}"
    with pytest.raises(CacheError, match=expected):
        Squares().fill(make(tmp_path))


def fill_slowly(tmp_path: Path, numbers: NDArray[np.int64], pause: float) -> None:
    check(Squares(numbers, pause).fill(make(tmp_path)), numbers)


def test_runs_at_the_same_time_share_a_shelf(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    parts = (NUMBERS, NUMBERS[::-1], NUMBERS[50:])
    runs = [context.Process(target=fill_slowly, args=(tmp_path, part, 0.01)) for part in parts]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0, 0]
    after = Squares()
    check(after.fill(make(tmp_path)), NUMBERS)
    assert after.made == []
    (records,) = (tmp_path / "cache").glob("*/records")
    assert records.stat().st_size == 200 * 8192  # each picture once


def test_a_shelf_that_vanishes_while_it_is_filled_is_filled_again(tmp_path: Path) -> None:
    class Robbed(Squares):
        def _make(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
            if 150 in self.numbers[positions] and 150 not in self.made:
                with locked(tmp_path / "cache/.lock", wait=True):
                    for folder in (tmp_path / "cache").glob("squares-*"):
                        shutil.rmtree(folder)
            return super()._make(positions)

    Squares(NUMBERS[:100]).fill(make(tmp_path))
    check(Robbed().fill(make(tmp_path)), NUMBERS)


def kept_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records"))


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_valid_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = multiprocessing.get_context("spawn")
    for attempt in range(4):
        run = context.Process(target=fill_slowly, args=(tmp_path, NUMBERS, 0.05))
        before = kept_bytes(tmp_path)
        run.start()
        while run.is_alive() and kept_bytes(tmp_path) == before:
            time.sleep(0.01)
        time.sleep(attempt * 0.06)
        run.kill()
        run.join(60)
    check(Squares().fill(make(tmp_path)), NUMBERS)


def test_without_room_nothing_that_others_kept_is_read(tmp_path: Path) -> None:
    Squares().fill(make(tmp_path))
    alone = Squares()
    check(alone.fill(make(tmp_path, 0)), NUMBERS)
    assert len(alone.made) == 200


def test_what_the_run_itself_has_used_goes_last(tmp_path: Path) -> None:
    numbers = NUMBERS[:20]
    Squares(numbers).fill(make(tmp_path), "of another run")
    cache = make(tmp_path, 2.1 * 20 * 8192)
    Squares(numbers).fill(cache, "mine")
    for folder in (tmp_path / "cache").glob("squares-*"):
        os.utime(folder, (0, 0))
    Squares(numbers).fill(cache, "mine, too")
    again = Squares(numbers)
    again.fill(cache, "mine")
    assert again.made == []


def test_the_bound_holds_while_a_shelf_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.cache.array_cache._BLOCK_BYTES", 40 * 8192)
    bound = 210 * 8192.0
    sizes = []
    append = Shelf.append

    def watched(shelf: Shelf, *arguments: Any) -> None:
        append(shelf, *arguments)
        sizes.append(sum(path.stat().st_size for path in (tmp_path / "cache").glob("*/records")))

    monkeypatch.setattr(Shelf, "append", watched)
    Squares().fill(make(tmp_path, bound), "first")
    Squares().fill(make(tmp_path, bound), "second")
    assert max(sizes) <= bound
