"""Slots: the files in which one worker counts, each byte of them with its place on the disk.

They are those of prometheus_client's multiprocess mode. A page of a mapped file that finds the disk
full ends its process (SIGBUS), so all are written before they are needed.
"""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Final

from filelock import BaseFileLock

from service.errors import GraftError
from service.system.locks import hold

KINDS: Final = ("counter", "histogram", "gauge_livesum", "gauge_livemax")
"""prometheus_client has a file for each, and for each other mode of a gauge that is used."""
RESERVED_BYTES: Final = 128 * 1024
"""Of each file. Figures with all their labels but the classes take 32 KB of the first and 48 KB of
the second."""
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.01


def take(path: Path) -> tuple[int, BaseFileLock]:
    """The first slot that nobody holds, or a new one. Whoever asks for the figures looks for a
    moment whether one is held; hence more than one try."""
    for is_last in (*[False] * _TRIES, True):
        taken = numbers(path)
        for slot in itertools.count() if is_last else taken:
            try:
                return slot, hold(lock_of(path, slot), wait=False)
            except BlockingIOError:
                continue
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: counting does not end")


def numbers(path: Path) -> list[int]:
    """Of the slots that there are, taken or not."""
    return sorted(int(file.stem.rpartition("_")[2]) for file in path.glob(f"{KINDS[0]}_*.db"))


def prepare(path: Path, slot: int) -> None:
    """For who has taken it: have all its room, and gauges at 0; OSError where there is no room."""
    for kind in KINDS:
        fill(file_of(path, kind, slot), RESERVED_BYTES)
        if kind.startswith("gauge"):  # of the worker before; its blocks stay where they are
            _overwrite(file_of(path, kind, slot))


def file_of(path: Path, kind: str, slot: int) -> Path:
    return path / f"{kind}_{slot}.db"  # prometheus_client's name for it


def lock_of(path: Path, slot: int) -> Path:
    return path / f"{slot}.lock"


def is_held(path: Path, slot: int) -> bool:
    """Whether its worker lives."""
    try:
        hold(lock_of(path, slot), wait=False).release()
    except (OSError, GraftError):  # or it cannot be told
        return True
    return False


def fill(path: Path, size_bytes: int) -> None:
    """Let a file have so many bytes, zeros at its end, each with its place on the disk.

    Raises:
        OSError: there is no room; the file is as it was.
    """
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while (missing := size_bytes - file.tell()) > 0:
                file.write(bytes(missing))
            os.fsync(file.fileno())  # a network's file system may say only now that it is full
        except OSError:
            file.truncate(before)
            raise


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        file.write(bytes(path.stat().st_size))
