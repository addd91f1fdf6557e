from __future__ import annotations

import resource
from pathlib import Path

import pytest

from service.server import slots
from service.server.slots import KINDS, RESERVED_BYTES, fill


def test_a_slot_that_is_free_is_taken_and_else_a_new_one(tmp_path: Path) -> None:
    first, lock = slots.take(tmp_path)
    slots.prepare(tmp_path, first)
    second, other = slots.take(tmp_path)
    slots.prepare(tmp_path, second)
    assert (first, second) == (0, 1)
    assert slots.is_held(tmp_path, 0)
    lock.release()
    assert not slots.is_held(tmp_path, 0)
    again, lock = slots.take(tmp_path)
    assert again == 0
    assert slots.numbers(tmp_path) == [0, 1]
    lock.release()
    other.release()


def test_counts_are_kept_and_gauges_begin_at_0(tmp_path: Path) -> None:
    slots.prepare(tmp_path, 3)
    for kind in KINDS:
        path = slots.file_of(tmp_path, kind, 3)
        path.write_bytes(b"x" * RESERVED_BYTES)
    slots.prepare(tmp_path, 3)
    contents = {kind: slots.file_of(tmp_path, kind, 3).read_bytes() for kind in KINDS}
    assert {kind: set(content) for kind, content in contents.items()} == {
        **{"counter": {ord("x")}, "histogram": {ord("x")}},
        **{"gauge_livesum": {0}, "gauge_livemax": {0}},
    }
    assert {len(content) for content in contents.values()} == {RESERVED_BYTES}


def test_a_file_is_filled_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "f"
    fill(path, 5000)
    assert path.read_bytes() == bytes(5000)
    assert path.stat().st_blocks * 512 >= 5000
    fill(path, 100)
    assert path.stat().st_size == 5000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))  # as a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            fill(path, 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == 5000
