"""A run's own folder beside its bundle: there while it works, gone afterwards, however it ends."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from service.errors import GraftError
from service.system.interrupts import cleaned
from service.system.locks import hold, locked

PREFIX, SUFFIX = ".graft-", ".partial"


class WorkspaceError(GraftError):
    """The output folder cannot hold what the run needs."""


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """Make `output` and an empty folder in it, on the same file system as the bundle to be.

    A run that was killed leaves its folder; the next run removes it. Folders of runs that are
    still going are locked, and a lock ends with its process.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"--output {output} cannot be made a folder: {error}") from error
    try:
        with locked(output / ".graft.lock", wait=True):  # between making a folder and locking it
            for left in output.glob(f"{PREFIX}*{SUFFIX}"):
                remove_abandoned(left)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=output))
            lock = hold(folder / "lock", wait=False)
    except OSError as error:
        raise WorkspaceError(
            f"--output {output} cannot be written: {error}; name another folder, or make room and "
            "give this user the right to write there"
        ) from error
    try:
        with cleaned(lambda: _remove(folder)):
            yield folder
    finally:
        with locked(output / ".graft.lock", wait=True):  # a starting run may be looking at it
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _remove(folder: Path) -> None:
    """Remove a folder that other threads may still write into."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def disk_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array in a file of the workspace, with its room on the disk taken at once.

    Without that, a disk that gets full ends the process at a write, by a signal and in silence.

    Raises:
        WorkspaceError: the disk has too little room.
    """
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise WorkspaceError(
            f"{path.name} needs {size_bytes / 1e9:.2f} GB under {path.parent.parent}, which has "
            f"{free / 1e9:.2f} GB free ({error.strerror}): make room or choose another --output"
        ) from error
    return np.memmap(path, dtype, "r+" if size_bytes == path.stat().st_size else "w+", shape=shape)


def remove_abandoned(folder: Path) -> None:
    """Remove the workspace of a run that is over; leave any other folder alone."""
    is_workspace = folder.name.startswith(PREFIX) and folder.name.endswith(SUFFIX)
    if not (is_workspace and folder.is_dir()):
        return
    with suppress(BlockingIOError), locked(folder / "lock", wait=False):  # else it is going on
        shutil.rmtree(folder, ignore_errors=True)
