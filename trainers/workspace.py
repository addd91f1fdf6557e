"""Makes a folder for the temporary files of a run, and removes it even if the run fails."""

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
from service.system.interrupts import cleanup_on_signal
from service.system.locks import NoLocksError, acquire_lock, file_lock

PREFIX, SUFFIX = ".graft-", ".partial"


class WorkspaceError(GraftError):
    """The output folder cannot be used, or its disk has too little free space."""


@contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """Yield a new folder in `output`, and remove it at the end.

    The folder is on the same file system as `output`, so finished files can be moved to their final
    place without copying. The run locks the folder. If the run is killed, the operating system
    releases the lock, and the next run with the same `output` removes the folder.

    Raises:
        WorkspaceError: `output` is not a folder, cannot be created, or cannot be written to.
        NoLocksError: the file system of `output` does not support file locks.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"--output {output} cannot be created: {error}; set --output to another folder"
        ) from error
    try:
        with file_lock(output / ".graft.lock", wait=True):  # held until the new folder is locked
            for path in output.glob(f"{PREFIX}*{SUFFIX}"):
                remove_abandoned(path)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=output))
            lock = acquire_lock(folder / "lock", wait=False)
    except OSError as error:
        raise WorkspaceError(
            f"--output {output} cannot be written to: {error}; free space on its disk, give this "
            "user write permission, or set --output to another folder"
        ) from error
    try:
        with cleanup_on_signal(lambda: _remove(folder)):
            yield folder
    finally:
        with file_lock(output / ".graft.lock", wait=True):  # a starting run may inspect the folder
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _remove(folder: Path) -> None:
    """Remove a folder into which other threads may still write."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def disk_array(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Make an array in a file of the workspace, and reserve the disk space for it.

    Without the reservation, a write to a full disk would kill the process without a message.

    Raises:
        WorkspaceError: the disk has too little free space.
    """
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise WorkspaceError(
            f"the temporary file {path.name} needs {size_bytes / 1e9:.2f} GB in "
            f"{path.parent.parent}, which has {free / 1e9:.2f} GB free ({error.strerror}): free "
            "more space there, or set --output to a folder on another disk"
        ) from error
    return np.memmap(path, dtype, "r+" if size_bytes == path.stat().st_size else "w+", shape=shape)


def remove_abandoned(folder: Path) -> None:
    """Remove `folder` if it is the workspace of a run that has ended; otherwise do nothing.

    A workspace counts as abandoned if no process holds its lock. So a caller must prevent that a
    run creates this workspace now, unless it knows that the run has ended. A workspace that cannot
    be locked is left alone: it is in use, belongs to another user, or its disk has a problem.
    """
    is_workspace = folder.name.startswith(PREFIX) and folder.name.endswith(SUFFIX)
    if not (is_workspace and folder.is_dir()):
        return
    with suppress(OSError, NoLocksError), file_lock(folder / "lock", wait=False):
        shutil.rmtree(folder, ignore_errors=True)
