from __future__ import annotations

from pathlib import Path

import pytest

from trainers.cache.eviction import make_room
from trainers.cache.leases import Leases


def write_store(folder: Path, name: str, size_bytes: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "records").write_bytes(b"x" * size_bytes)


@pytest.fixture
def own(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "work")


@pytest.fixture
def another(tmp_path: Path) -> Leases:
    return Leases(tmp_path, tmp_path / "other-work")


def test_reserved_bytes_are_not_available_to_others(
    tmp_path: Path, own: Leases, another: Leases
) -> None:
    assert make_room(own, "a", 60, 0, 100) is True
    assert make_room(another, "b", 60, 0, 100) is False
    assert another.reserved == {}
    assert make_room(another, "b", 40, 0, 100) is True
    assert list(tmp_path.glob("[!.]*")) == []


def test_nothing_is_evicted_unless_it_makes_enough_room(
    tmp_path: Path, own: Leases, another: Leases
) -> None:
    write_store(tmp_path, "old", 50)
    write_store(tmp_path, "used", 50)
    another.reserve("used", 0)
    assert make_room(own, "new", 60, 0, 100) is False
    assert (tmp_path / "old").is_dir()
    assert make_room(own, "new", 50, 0, 100) is True
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "used").is_dir()


def test_a_store_that_this_run_is_filling_is_not_evicted(tmp_path: Path, own: Leases) -> None:
    write_store(tmp_path, "filling", 50)
    write_store(tmp_path, "full", 50)
    own.reserve("filling", 10)
    own.reserve("full", 0)
    assert make_room(own, "new", 80, 0, 130) is False
    assert make_room(own, "new", 60, 0, 120) is True
    assert (tmp_path / "filling").is_dir()
    assert not (tmp_path / "full").exists()


def test_stores_without_keys_count_and_are_evicted(tmp_path: Path, own: Leases) -> None:
    write_store(tmp_path, "killed", 90)
    assert make_room(own, "new", 60, 0, 100) is True
    assert not (tmp_path / "killed").exists()
