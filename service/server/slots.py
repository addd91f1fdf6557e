"""Slots of the runtime directory: the metrics files of one worker, fully allocated on disk.

The files are those of prometheus_client's multiprocess mode. If a page of a mapped file finds the
disk full, its process dies (SIGBUS); so all pages are written before they are needed.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Final

from filelock import BaseFileLock

from service.errors import GraftError
from service.system.locks import acquire_lock

METRIC_FILE_TYPES: Final = ("counter", "histogram", "gauge_livesum", "gauge_livemax")
"""prometheus_client has one file for each, and one for each mode of gauges in use."""
RESERVED_BYTES: Final = 128 * 1024
"""Size of each file. All series without those of classes take 32 KB of the first file and 48 KB of
the second."""
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.01


def acquire_slot(directory: Path) -> tuple[int, BaseFileLock]:
    """Take the first free slot, or add one; return its number and its lock.

    Several attempts, because `is_held` locks a slot for a moment when figures are collected.
    """
    for is_last in (*[False] * _ATTEMPTS, True):
        existing = slot_numbers(directory)
        for slot in itertools.count() if is_last else existing:
            try:
                return slot, acquire_lock(lock_file(directory, slot), wait=False)
            except BlockingIOError:
                continue
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: counting does not end")


def slot_numbers(directory: Path) -> list[int]:
    """List the numbers of all slots, taken or not."""
    files = directory.glob(f"{METRIC_FILE_TYPES[0]}_*.db")
    return sorted(int(file.stem.rpartition("_")[2]) for file in files)


def prepare_slot(directory: Path, slot: int) -> None:
    """Allocate the files of a slot that was acquired, and set its gauges to 0.

    Raises:
        OSError: the disk has no room.
    """
    for kind in METRIC_FILE_TYPES:
        allocate(metrics_file(directory, kind, slot), RESERVED_BYTES)
        if kind.startswith("gauge"):  # values of the previous worker; the pages stay allocated
            _zero(metrics_file(directory, kind, slot))


def metrics_file(directory: Path, kind: str, slot: int) -> Path:
    """Return the path that prometheus_client uses for a kind of metrics."""
    return directory / f"{kind}_{slot}.db"


def lock_file(directory: Path, slot: int) -> Path:
    """Return the path of a slot's lock."""
    return directory / f"{slot}.lock"


def is_held(directory: Path, slot: int) -> bool:
    """Whether the slot's worker is alive."""
    try:
        acquire_lock(lock_file(directory, slot), wait=False).release()
    except (OSError, GraftError):  # or it is unknown
        return True
    return False


def allocate(path: Path, size_bytes: int) -> None:
    """Extend a file with zeros to `size_bytes`, all of them allocated on disk.

    Raises:
        OSError: there is no room; the file is unchanged.
    """
    with path.open("ab", buffering=0) as file:
        old_size = file.tell()
        try:
            while (missing := size_bytes - file.tell()) > 0:
                file.write(bytes(missing))
            os.fsync(file.fileno())  # network file systems may report a full disk only now
        except OSError:
            file.truncate(old_size)
            raise


def _zero(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(bytes(path.stat().st_size))
