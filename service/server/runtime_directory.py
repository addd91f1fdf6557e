"""The directory in which the workers of a service share metrics and the version of the last reload.

The parent process creates the directory, in memory if possible (/dev/shm), and removes it when the
service ends. Each worker has a slot: numbered files for its metrics, and a lock that is released
when the worker ends. The next worker that starts takes over the slot, with its counters.
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
from service.server import worker_slots
from service.server.worker_slots import METRIC_FILE_TYPES, RESERVED_BYTES
from service.system.locks import acquire_lock, file_lock

DIRECTORY_VARIABLE: Final = "_GRAFT_RUNTIME_DIRECTORY"
"""Environment variable in which the parent process passes the directory's path to the workers."""
DIRECTORY_PREFIX: Final = "graft-service-"
_SERVICE_LOCK: Final = "service.lock"
_RELOAD: Final = "reload"
_RELOAD_BYTES: Final = 64
_MEMORY_FOLDER: Final = Path("/dev/shm")

_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


class RuntimeDirectory:
    """One worker's access to the runtime directory.

    Args:
        path: path of the directory.
        slot: number of this worker's slot.
        lock: the lock of this slot, which this worker holds until it ends.
    """

    def __init__(self, path: Path, slot: int, lock: BaseFileLock) -> None:
        self.path, self.slot, self._lock = path, slot, lock

    def reserve(self, file_type: str, size_bytes: int) -> bool:
        """Make sure that `size_bytes` more bytes fit into a metrics file of this worker.

        If they do not fit, this method doubles the size of the file, as prometheus_client would do.
        So `size_bytes` must not exceed the size of the file. The first 4 bytes of a file are the
        number of used bytes.

        Args:
            file_type: type of the metrics file, one of `METRIC_FILE_TYPES`.
            size_bytes: number of bytes that will be added.

        Returns:
            False if the disk is full, or the file cannot be read.
        """
        path = worker_slots.metrics_file(self.path, file_type, self.slot)
        try:
            with path.open("rb") as file:
                used = int.from_bytes(file.read(4), sys.byteorder)
            size = path.stat().st_size
            if used + size_bytes > size:
                worker_slots.allocate(path, 2 * size)
        except OSError:
            return False
        return True

    def metrics_files(self) -> list[str]:
        """List the paths of all metrics files, without the gauges of workers that have ended."""
        files = []
        for slot in worker_slots.slot_numbers(self.path):
            is_live = slot == self.slot or worker_slots.is_held(self.path, slot)
            types = [
                file_type
                for file_type in METRIC_FILE_TYPES
                if is_live or not file_type.startswith("gauge_live")
            ]
            paths = [worker_slots.metrics_file(self.path, file_type, slot) for file_type in types]
            files += [str(path) for path in paths if path.is_file() and path.stat().st_size]
        return files

    def announce_reload(self, version: str) -> None:
        """Announce to the other workers that this version of the model was loaded.

        Raises:
            OSError: the version cannot be written.
        """
        with (self.path / _RELOAD).open("r+b", buffering=0) as file:
            file.write(version.encode().ljust(_RELOAD_BYTES))

    def last_reload(self) -> tuple[int, str] | None:
        """Return when the last reload was, and which version it loaded.

        Returns:
            The time (ns since the epoch) and the version; None if there was no reload.
        """
        path = self.path / _RELOAD
        try:
            time_ns, version = path.stat().st_mtime_ns, path.read_bytes().strip().decode()
        except OSError:
            return None
        return (time_ns, version) if version else None


def create_runtime_directory(workers: int) -> None:
    """Create the runtime directory of a service; call this once, in the parent process.

    If the directory cannot be created, for example because the disk is full, a warning is logged,
    and each worker reports only its own metrics.

    Args:
        workers: number of workers. A slot is allocated for each of them.

    Raises:
        SettingError: there is no usable folder for temporary files. BentoML needs one, too.
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
        "the workers cannot share a directory (%s): /metrics shows the metrics of one worker only, "
        "and a reload affects one worker only; free some space in /dev/shm or the folder for "
        "temporary files, then restart the service",
        "; ".join(problems),
    )


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise SettingError(
            f"{error.strerror}: free some space there, or set TMPDIR to a folder to which this "
            "user may write"
        ) from error


def join_runtime_directory() -> RuntimeDirectory | None:
    """Take a slot in the runtime directory; call this once in each worker.

    Returns:
        The directory; None if there is no runtime directory or no slot can be taken.
    """
    if not os.environ.get(DIRECTORY_VARIABLE):
        return None
    path = Path(os.environ[DIRECTORY_VARIABLE])
    try:
        path.stat()  # fail if the directory was removed: a lock would create it again
        slot, lock = worker_slots.acquire_slot(path)
        try:
            worker_slots.prepare_slot(path, slot)
        except OSError:
            lock.release()
            raise
    except (OSError, GraftError) as error:
        _log.warning(
            "this worker cannot share its metrics (%s): /metrics may show the metrics of one "
            "worker only; free some space in /dev/shm or the folder for temporary files, then "
            "restart the service",
            error,
        )
        return None
    return RuntimeDirectory(path, slot, lock)


def _create(parent: Path, workers: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix=DIRECTORY_PREFIX, dir=parent))
    try:
        lock = acquire_lock(path / _SERVICE_LOCK, wait=False)
        (path / _RELOAD).write_bytes(b" " * _RELOAD_BYTES)
        for slot in range(workers):
            worker_slots.lock_file(path, slot).touch()
        for slot, file_type in itertools.product(range(workers), METRIC_FILE_TYPES):
            worker_slots.allocate(worker_slots.metrics_file(path, file_type, slot), RESERVED_BYTES)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    atexit.register(_remove, path, lock)  # this reference also keeps the lock held
    return path


def _remove(path: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lock.release()


def _remove_abandoned(parent: Path) -> None:
    """Remove from `parent` the directories of services that were killed.

    No process holds the lock of such a directory.
    """
    for path in parent.glob(f"{DIRECTORY_PREFIX}*"):
        try:
            if not (path / _SERVICE_LOCK).is_file():
                continue  # it is still being created
            with ExitStack() as stack:
                for lock in path.glob("*.lock"):
                    stack.enter_context(file_lock(lock, wait=False))
                shutil.rmtree(path, ignore_errors=True)
        except (OSError, GraftError):
            continue  # its service is still running, or belongs to another user
