from __future__ import annotations

from pathlib import Path

from trainers.cache.eviction import make_room
from trainers.cache.leases import Leases


def write_store(folder: Path, name: str, size_bytes: int) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / "records").write_bytes(b"x" * size_bytes)


def test_reserved_bytes_are_not_available_to_others(
    tmp_path: Path, own_leases: Leases, other_leases: Leases
) -> None:
    assert make_room(own_leases, "a", 60, 0, 100) is True
    assert make_room(other_leases, "b", 60, 0, 100) is False
    assert other_leases.reserved == {}
    assert make_room(other_leases, "b", 40, 0, 100) is True
    assert list(tmp_path.glob("[!.]*")) == []


def test_nothing_is_evicted_unless_it_makes_enough_room(
    tmp_path: Path, own_leases: Leases, other_leases: Leases
) -> None:
    write_store(tmp_path, "old", 50)
    write_store(tmp_path, "used", 50)
    other_leases.reserve("used", 0)
    assert make_room(own_leases, "new", 60, 0, 100) is False
    assert (tmp_path / "old").is_dir()
    assert make_room(own_leases, "new", 50, 0, 100) is True
    assert not (tmp_path / "old").exists()
    assert (tmp_path / "used").is_dir()


def test_a_store_that_this_run_is_filling_is_not_evicted(
    tmp_path: Path, own_leases: Leases
) -> None:
    write_store(tmp_path, "filling", 50)
    write_store(tmp_path, "full", 50)
    own_leases.reserve("filling", 10)
    own_leases.reserve("full", 0)
    assert make_room(own_leases, "new", 80, 0, 130) is False
    assert make_room(own_leases, "new", 60, 0, 120) is True
    assert (tmp_path / "filling").is_dir()
    assert not (tmp_path / "full").exists()


def test_stores_without_keys_count_and_are_evicted(tmp_path: Path, own_leases: Leases) -> None:
    write_store(tmp_path, "killed", 90)
    assert make_room(own_leases, "new", 60, 0, 100) is True
    assert not (tmp_path / "killed").exists()
