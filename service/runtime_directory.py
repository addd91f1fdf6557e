"""The directory that the workers of one service share while it runs: metrics, and the last reload.

The parent makes it, in memory where the system has a place for that, and removes it when it ends.
Every byte is written before it is needed: a mapped page for which a disk has no room kills its
process (SIGBUS). A worker takes a slot, four files of prometheus_client's multiprocess mode, under
a lock that ends with it; its successor takes the slot over, with its counts and its room.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from filelock import BaseFileLock

from service.errors import GraftError, SettingError
from service.locks import hold, locked

VARIABLE: Final = "_GRAFT_RUNTIME_DIRECTORY"
"""By which the parent names it to its workers."""
PREFIX: Final = "graft-service-"
KINDS: Final = ("counter", "histogram", "gauge_livesum", "gauge_livemax")
"""prometheus_client has a file for each, and for each other mode of a gauge that is used."""
RESERVED_BYTES: Final = 128 * 1024
"""Of each file. Figures with all their labels but the classes take 15 KB of the first, 55 KB of the
second."""
_SERVICE_LOCK: Final = "service.lock"
_RELOAD: Final = "reload"
_RELOAD_BYTES: Final = 64
_MEMORY: Final = Path("/dev/shm")
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.01

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
        path = _file(self.path, kind, self.slot)
        try:
            with path.open("rb") as file:
                used = int.from_bytes(file.read(4), sys.byteorder)
            size = path.stat().st_size
            if used + size_bytes > size:
                _fill(path, 2 * size)
        except OSError:
            return False
        return True

    def files(self) -> list[str]:
        """All files with figures; of slots whose worker is dead the counts alone."""
        found = []
        for slot in _slots(self.path):
            is_live = slot == self.slot or _is_locked(_lock_of(self.path, slot))
            kinds = [kind for kind in KINDS if is_live or not kind.startswith("gauge_live")]
            paths = [_file(self.path, kind, slot) for kind in kinds]
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
    """Take a slot, for a worker, once; None where its parent made no directory, or nothing fits."""
    if not os.environ.get(VARIABLE):
        return None
    path = Path(os.environ[VARIABLE])
    try:
        path.stat()  # a lock would make the directory anew, where somebody has removed it
        slot, lock = _take_slot(path)
        try:
            _prepare(path, slot)
        except OSError:
            lock.release()
            raise
    except (OSError, GraftError) as error:
        _log.warning("this worker shows its own figures alone at /metrics: %s", error)
        return None
    return RuntimeDirectory(path, slot, lock)


def _prepare(path: Path, slot: int) -> None:
    for kind in KINDS:
        _fill(_file(path, kind, slot), RESERVED_BYTES)
        if kind.startswith("gauge"):  # of the worker before; its blocks stay where they are
            _overwrite(_file(path, kind, slot))


def _make(place: Path, workers: int) -> Path:
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    try:
        lock = hold(path / _SERVICE_LOCK, wait=False)
        (path / _RELOAD).write_bytes(b" " * _RELOAD_BYTES)
        for slot in range(workers):
            _lock_of(path, slot).touch()
        for slot, kind in itertools.product(range(workers), KINDS):
            _fill(_file(path, kind, slot), RESERVED_BYTES)
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


def _take_slot(path: Path) -> tuple[int, BaseFileLock]:
    """The first slot that nobody holds, or a new one. Whoever asks for the figures looks for a
    moment whether one is held; hence more than one try."""
    for is_last in (*[False] * _TRIES, True):
        taken = _slots(path)
        for slot in itertools.count() if is_last else taken:
            try:
                return slot, hold(_lock_of(path, slot), wait=False)
            except BlockingIOError:
                continue
        time.sleep(_PAUSE_SECONDS)
    raise AssertionError("unreachable: counting does not end")


def _slots(path: Path) -> list[int]:
    return sorted(int(file.stem.rpartition("_")[2]) for file in path.glob(f"{KINDS[0]}_*.db"))


def _file(path: Path, kind: str, slot: int) -> Path:
    return path / f"{kind}_{slot}.db"  # prometheus_client's name for it


def _lock_of(path: Path, slot: int) -> Path:
    return path / f"{slot}.lock"


def _is_locked(path: Path) -> bool:
    try:
        hold(path, wait=False).release()
    except (OSError, GraftError):  # or it cannot be told
        return True
    return False


def _fill(path: Path, size_bytes: int) -> None:
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
