from __future__ import annotations

import resource
from pathlib import Path

import pytest

from service.server import worker_slots
from service.server.worker_slots import METRIC_FILE_TYPES, RESERVED_BYTES, allocate


def test_a_free_slot_is_acquired_before_a_new_one(tmp_path: Path) -> None:
    slot, lock = worker_slots.acquire_slot(tmp_path)
    worker_slots.prepare_slot(tmp_path, slot)
    next_slot, next_lock = worker_slots.acquire_slot(tmp_path)
    worker_slots.prepare_slot(tmp_path, next_slot)
    assert (slot, next_slot) == (0, 1)
    assert worker_slots.is_held(tmp_path, 0)
    lock.release()
    assert not worker_slots.is_held(tmp_path, 0)
    reused_slot, lock = worker_slots.acquire_slot(tmp_path)
    assert reused_slot == 0
    assert worker_slots.slot_numbers(tmp_path) == [0, 1]
    lock.release()
    next_lock.release()


def test_counters_are_kept_and_gauges_start_at_0(tmp_path: Path) -> None:
    worker_slots.prepare_slot(tmp_path, 3)
    for kind in METRIC_FILE_TYPES:
        path = worker_slots.metrics_file(tmp_path, kind, 3)
        path.write_bytes(b"x" * RESERVED_BYTES)
    worker_slots.prepare_slot(tmp_path, 3)
    contents = {
        kind: worker_slots.metrics_file(tmp_path, kind, 3).read_bytes()
        for kind in METRIC_FILE_TYPES
    }
    assert {kind: set(content) for kind, content in contents.items()} == {
        **{"counter": {ord("x")}, "histogram": {ord("x")}},
        **{"gauge_livesum": {0}, "gauge_livemax": {0}},
    }
    assert {len(content) for content in contents.values()} == {RESERVED_BYTES}


def test_a_file_is_allocated_or_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "f"
    allocate(path, 5000)
    assert path.read_bytes() == bytes(5000)
    assert path.stat().st_blocks * 512 >= 5000
    allocate(path, 100)
    assert path.stat().st_size == 5000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, limits[1]))  # as a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            allocate(path, 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.stat().st_size == 5000
