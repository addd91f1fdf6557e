"""A run's own folder beside its bundle: there while it works, gone afterwards, however it ends."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, SUFFIX = ".graft-", ".partial"


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """Make `output` and an empty folder in it, on the same file system as the bundle to be.

    A run that was killed leaves its folder; the next run removes it. Folders of runs that are
    still going are locked, and a lock ends with its process.
    """
    output.mkdir(parents=True, exist_ok=True)
    with _locked(output / ".graft.lock", wait=True):  # between making a folder and locking it
        _remove_abandoned(output)
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=output))
        lock = _lock(folder / "lock", wait=False)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(output: Path) -> None:
    for folder in output.glob(f"{PREFIX}*{SUFFIX}"):
        try:
            with _locked(folder / "lock", wait=False):
                shutil.rmtree(folder)
        except BlockingIOError:
            continue  # its run is still going


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[None]:
    lock = _lock(path, wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, wait: bool) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
