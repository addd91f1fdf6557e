"""The directory that the workers of one service share while it runs: metrics, and the last reload.

The parent makes it, in memory where the system has a place for that, and removes it when it ends.
A worker takes a slot in it under a lock that ends with the worker; its successor takes the slot
over, with its counts and its room.
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
from service.server.slots import KINDS, RESERVED_BYTES
from service.system.locks import hold, locked

VARIABLE: Final = "_GRAFT_RUNTIME_DIRECTORY"
"""By which the parent names it to its workers."""
PREFIX: Final = "graft-service-"
_SERVICE_LOCK: Final = "service.lock"
_RELOAD: Final = "reload"
_RELOAD_BYTES: Final = 64
_MEMORY: Final = Path("/dev/shm")

_log = logging.getLogger("bentoml.graft")  # below BentoML's, whose INFO is shown


class RuntimeDirectory:
    """A worker's place in the directory.

    Args:
        path: the directory.
        slot: which of its slots is this worker's.
        lock: of that slot, held until the process ends.
    """

    def __init__(self, path: Path, slot: int, lock: BaseFileLock) -> None:
        self.path, self.slot, self._lock = path, slot, lock

    def reserve(self, kind: str, size_bytes: int) -> bool:
        """Have room for so many more bytes in this worker's file of a kind; False: there is none.

        prometheus_client doubles a full file, so it must not be asked for more than one doubling
        at a time. The first 4 bytes of a file say how many are used.
        """
        path = slots.file_of(self.path, kind, self.slot)
        try:
            with path.open("rb") as file:
                used = int.from_bytes(file.read(4), sys.byteorder)
            size = path.stat().st_size
            if used + size_bytes > size:
                slots.fill(path, 2 * size)
        except OSError:
            return False
        return True

    def files(self) -> list[str]:
        """All files with figures; of slots whose worker is dead the counts alone."""
        found = []
        for slot in slots.numbers(self.path):
            is_live = slot == self.slot or slots.is_held(self.path, slot)
            kinds = [kind for kind in KINDS if is_live or not kind.startswith("gauge_live")]
            paths = [slots.file_of(self.path, kind, slot) for kind in kinds]
            found += [str(path) for path in paths if path.is_file() and path.stat().st_size]
        return found

    def announce(self, version: str) -> None:
        """Tell the other workers which version was taken; OSError where that cannot be written."""
        with (self.path / _RELOAD).open("r+b", buffering=0) as file:
            file.write(version.encode().ljust(_RELOAD_BYTES))

    def announced(self) -> tuple[int, str] | None:
        """When, and the version; None before the first reload."""
        path = self.path / _RELOAD
        try:
            when, version = path.stat().st_mtime_ns, path.read_bytes().strip().decode()
        except OSError:
            return None
        return (when, version) if version else None


def create(workers: int) -> None:
    """Make the directory of a service and name it to its workers; for their parent, once.

    Where there is room nowhere, each worker keeps its figures for itself.

    Raises:
        SettingError: there is no folder for temporary files, which BentoML needs as well.
    """
    os.environ.pop(VARIABLE, None)
    problems = []
    for place in dict.fromkeys([_MEMORY, _temporary()]):
        _remove_abandoned(place)
        try:
            path = _make(place, workers)
        except (OSError, GraftError) as error:
            problems.append(str(error))
            continue
        os.environ[VARIABLE] = str(path)
        return
    _log.warning(
        "each worker shows its own figures at /metrics, and none follows another's reload: there "
        "is no place for what they share (%s)",
        "; ".join(problems),
    )


def _temporary() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise SettingError(f"{error.strerror}: make room there, or name one by TMPDIR") from error


def enter() -> RuntimeDirectory | None:
    """Take a slot, for a worker, once; None where its parent made no directory, or no slot
    could be prepared."""
    if not os.environ.get(VARIABLE):
        return None
    path = Path(os.environ[VARIABLE])
    try:
        path.stat()  # a lock would make the directory anew, where somebody has removed it
        slot, lock = slots.take(path)
        try:
            slots.prepare(path, slot)
        except OSError:
            lock.release()
            raise
    except (OSError, GraftError) as error:
        _log.warning("this worker shows its own figures alone at /metrics: %s", error)
        return None
    return RuntimeDirectory(path, slot, lock)


def _make(place: Path, workers: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        lock = hold(path / _SERVICE_LOCK, wait=False)
        (path / _RELOAD).write_bytes(b" " * _RELOAD_BYTES)
        for slot in range(workers):
            slots.lock_of(path, slot).touch()
        for slot, kind in itertools.product(range(workers), KINDS):
            slots.fill(slots.file_of(path, kind, slot), RESERVED_BYTES)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    atexit.register(_remove, path, lock)  # which keeps the lock
    return path


def _remove(path: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(path, ignore_errors=True)
    lock.release()


def _remove_abandoned(place: Path) -> None:
    """Remove what killed services left: no lock in it is held."""
    for path in place.glob(f"{PREFIX}*"):
        try:
            if not (path / _SERVICE_LOCK).is_file():
                continue  # not made yet
            with ExitStack() as stack:
                for lock in path.glob("*.lock"):
                    stack.enter_context(locked(lock, wait=False))
                shutil.rmtree(path, ignore_errors=True)
        except (OSError, GraftError):
            continue  # it still runs, or is somebody else's
