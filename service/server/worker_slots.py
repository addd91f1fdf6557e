"""Slots of the runtime directory, each with the metrics files of one worker.

In its multiprocess mode, prometheus_client writes these files through memory maps. If the disk is
full when it first writes to a page, the process is killed (SIGBUS). So all pages are allocated on
disk before they are needed.
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
"""Types of the metrics files. prometheus_client writes one file per type of metric, and for gauges
one file per mode."""
RESERVED_BYTES: Final = 128 * 1024
"""Initial size of each metrics file. Without time series per class, the file for counters needs
32 KB, and the file for histograms needs 48 KB."""
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 0.01


def acquire_slot(directory: Path) -> tuple[int, BaseFileLock]:
    """Take the first free slot, or add a slot; return its number and its lock.

    A slot is added only after several attempts to take an existing one: `is_held`, which is called
    when metrics are collected, locks a free slot for a moment.

    Raises:
        OSError: the lock file cannot be opened.
        NoLocksError: the file system does not support file locks.
    """
    for is_last in (*[False] * _ATTEMPTS, True):
        existing = slot_numbers(directory)
        for slot in itertools.count() if is_last else existing:
            try:
                return slot, acquire_lock(lock_file(directory, slot), wait=False)
            except BlockingIOError:
                continue
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: itertools.count() does not end")


def slot_numbers(directory: Path) -> list[int]:
    """List the numbers of all slots, taken or free."""
    files = directory.glob(f"{METRIC_FILE_TYPES[0]}_*.db")
    return sorted(int(file.stem.rpartition("_")[2]) for file in files)


def prepare_slot(directory: Path, slot: int) -> None:
    """Allocate the metrics files of a slot that this worker has acquired, and set its gauges to 0.

    Raises:
        OSError: the disk is full.
    """
    for file_type in METRIC_FILE_TYPES:
        path = metrics_file(directory, file_type, slot)
        allocate(path, RESERVED_BYTES)
        if file_type.startswith("gauge"):
            _zero(path)  # remove the previous worker's values; the pages stay allocated


def metrics_file(directory: Path, file_type: str, slot: int) -> Path:
    """Return the path that prometheus_client uses for a type of metrics file of a slot."""
    return directory / f"{file_type}_{slot}.db"


def lock_file(directory: Path, slot: int) -> Path:
    """Return the path of the lock file of a slot."""
    return directory / f"{slot}.lock"


def is_held(directory: Path, slot: int) -> bool:
    """Whether a worker holds the slot; True if that cannot be determined."""
    try:
        acquire_lock(lock_file(directory, slot), wait=False).release()
    except (OSError, GraftError):
        return True
    return False


def allocate(path: Path, size_bytes: int) -> None:
    """Extend a file with zeros to `size_bytes` bytes, and allocate all of them on disk.

    Raises:
        OSError: the disk is full. The file then keeps its old size.
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
