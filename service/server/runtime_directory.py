"""The directory that the workers of a service share while it runs: metrics, and the last reload.

The parent creates it, in memory if possible (/dev/shm), and removes it at its end. A worker holds a
slot in it by a lock that ends with the worker; the next worker takes over the slot and its counts.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from filelock import BaseFileLock

from service.errors import GraftError, SettingError
from service.server import slots
from service.server.slots import METRIC_FILE_TYPES, RESERVED_BYTES
from service.system.locks import acquire_lock, file_lock

DIRECTORY_VARIABLE: Final = "_GRAFT_RUNTIME_DIRECTORY"
"""Environment variable by which the parent tells its workers the path."""
DIRECTORY_PREFIX: Final = "graft-service-"
_SERVICE_LOCK: Final = "service.lock"
_RELOAD: Final = "reload"
_RELOAD_BYTES: Final = 64
_MEMORY_FOLDER: Final = Path("/dev/shm")

_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


class RuntimeDirectory:
    """The directory, as one worker uses it.

    Args:
        path: the directory.
        slot: number of this worker's slot.
        lock: the lock of that slot, held until the process ends.
    """

    def __init__(self, path: Path, slot: int, lock: BaseFileLock) -> None:
        self.path, self.slot, self._lock = path, slot, lock

    def reserve(self, kind: str, size_bytes: int) -> bool:
        """Allocate `size_bytes` more in this worker's file of a kind; return False without room.

        prometheus_client doubles a full file, so never reserve more than doubles it. The first 4
        bytes of a file hold the number of bytes used.
        """
        path = slots.metrics_file(self.path, kind, self.slot)
        try:
            with path.open("rb") as file:
                used = int.from_bytes(file.read(4), sys.byteorder)
            size = path.stat().st_size
            if used + size_bytes > size:
                slots.allocate(path, 2 * size)
        except OSError:
            return False
        return True

    def metrics_files(self) -> list[str]:
        """List the metrics files of all workers; of dead workers only counters and histograms."""
        files = []
        for slot in slots.slot_numbers(self.path):
            is_live = slot == self.slot or slots.is_held(self.path, slot)
            kinds = [
                kind for kind in METRIC_FILE_TYPES if is_live or not kind.startswith("gauge_live")
            ]
            paths = [slots.metrics_file(self.path, kind, slot) for kind in kinds]
            files += [str(path) for path in paths if path.is_file() and path.stat().st_size]
        return files

    def announce_reload(self, version: str) -> None:
        """Tell the other workers which version was loaded; raises OSError if that fails."""
        with (self.path / _RELOAD).open("r+b", buffering=0) as file:
            file.write(version.encode().ljust(_RELOAD_BYTES))

    def last_reload(self) -> tuple[int, str] | None:
        """Return time (ns since the epoch) and version of the last reload; None = no reload."""
        path = self.path / _RELOAD
        try:
            time_ns, version = path.stat().st_mtime_ns, path.read_bytes().strip().decode()
        except OSError:
            return None
        return (time_ns, version) if version else None


def create_runtime_directory(workers: int) -> None:
    """Create the directory of a service; for the parent, once.

    Without room for it, each worker keeps its metrics to itself, and a warning is logged.

    Raises:
        SettingError: there is no folder for temporary files, which BentoML needs too.
    """
    os.environ.pop(DIRECTORY_VARIABLE, None)
    problems = []
    for parent in dict.fromkeys([_MEMORY_FOLDER, _temporary_folder()]):
        _remove_abandoned(parent)
        try:
            path = _create(parent, workers)
        except (OSError, GraftError) as error:
            problems.append(str(error))
            continue
        os.environ[DIRECTORY_VARIABLE] = str(path)
        return
    _log.warning(
        "each worker shows only its own figures at /metrics, and reloads only itself: there is no "
        "room for a directory that workers share (%s)",
        "; ".join(problems),
    )


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise SettingError(
            f"{error.strerror}: make room there, or set TMPDIR to a folder"
        ) from error


def join_runtime_directory() -> RuntimeDirectory | None:
    """Take a slot; for a worker, once. Return None without a directory, or room for a slot."""
    if not os.environ.get(DIRECTORY_VARIABLE):
        return None
    path = Path(os.environ[DIRECTORY_VARIABLE])
    try:
        path.stat()  # if the directory was removed, a lock would create it again
        slot, lock = slots.acquire_slot(path)
        try:
            slots.prepare_slot(path, slot)
        except OSError:
            lock.release()
            raise
    except (OSError, GraftError) as error:
        _log.warning("this worker shows only its own figures at /metrics: %s", error)
        return None
    return RuntimeDirectory(path, slot, lock)


def _create(parent: Path, workers: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=parent))
    try:
        lock = acquire_lock(path / _SERVICE_LOCK, wait=False)
        (path / _RELOAD).write_bytes(b" " * _RELOAD_BYTES)
        for slot in range(workers):
            slots.lock_file(path, slot).touch()
        for slot, kind in itertools.product(range(workers), METRIC_FILE_TYPES):
            slots.allocate(slots.metrics_file(path, kind, slot), RESERVED_BYTES)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    atexit.register(_remove, path, lock)  # also keeps the lock held
    return path


def _remove(path: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lock.release()


def _remove_abandoned(parent: Path) -> None:
    """Remove the directories of services that were killed: none of their locks is held."""
    for path in parent.glob(f"{DIRECTORY_PREFIX}*"):
        try:
            if not (path / _SERVICE_LOCK).is_file():
                continue  # still being created
            with ExitStack() as stack:
                for lock in path.glob("*.lock"):
                    stack.enter_context(file_lock(lock, wait=False))
                shutil.rmtree(path, ignore_errors=True)
        except (OSError, GraftError):
            continue  # the service still runs, or belongs to another user
