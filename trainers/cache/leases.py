"""Tracks which record stores each run uses, and how many bytes each run will still write to them.

A lease is a JSON file with a locked file beside it. The operating system releases the lock when the
process ends. So the next run can remove the lease and the workspace of a run that was killed.
"""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from service.system.locks import NoLocksError, acquire_lock, file_lock
from trainers.workspace import remove_abandoned

_STORES = "shelves"
"""The field of a lease file that maps each store to its reserved bytes. Do not rename the field:
runs of older versions of Graft read and write the same files."""


class Leases:
    """The leases of this run and of other runs. Callers of a method must hold the cache's lock.

    Args:
        cache_folder: the folder of the cache; each store is a folder in it.
        workspace: the folder for the temporary files of this run.

    Attributes:
        folder: the folder of the lease files, inside the folder of the cache.
        reserved: how many bytes this run will still write to each store that it uses, by the name
            of the store.
    """

    def __init__(self, cache_folder: Path, workspace: Path) -> None:
        self.cache_folder, self.folder = cache_folder, cache_folder / ".leases"
        self._workspace = workspace
        self._name = uuid.uuid4().hex
        self._lock: BaseFileLock | None = None
        self._is_released = False
        self.reserved: dict[str, int] = {}

    def reserve(self, store: str, pending_bytes: int) -> None:
        """Lease a store, and reserve space for the bytes that this run will still write to it.

        After `release`, this method does nothing, because background threads may still call it.
        """
        if self._is_released or self.reserved.get(store) == pending_bytes:
            return
        self.reserved[store] = pending_bytes
        if self._lock is None:
            self._lock = acquire_lock(self.folder / f"{self._name}.lock", wait=True)
        lease = {"workspace": str(self._workspace.absolute()), _STORES: self.reserved}
        (self.folder / f"{self._name}.json").write_text(json.dumps(lease), encoding="utf-8")

    def reserved_by_others(self) -> dict[str, int]:
        """Return how many bytes other runs will still write to each store that they use, by name.

        The leases of runs that have ended are removed, and not counted. A lease that
        cannot be locked is counted, because nobody knows whether its run has ended.
        """
        reserved: dict[str, int] = {}
        for path in self.folder.glob("*.lock"):
            if path.stem == self._name or self._remove_abandoned(path):
                continue
            for store, size_bytes in _read(path)[_STORES].items():
                reserved[store] = reserved.get(store, 0) + size_bytes
        return reserved

    def release(self) -> None:
        """Give up the leases and reservations of this run."""
        if self._lock is not None:
            self._lock.release()
            self._remove(self.folder / f"{self._name}.lock")
        self._lock, self.reserved, self._is_released = None, {}, True

    def _remove_abandoned(self, path: Path) -> bool:
        """Remove the lease and the workspace of the run with this lock file, if the run has ended.

        Returns:
            Whether the run has ended; False if that is unknown because the file cannot be locked.
        """
        try:
            with file_lock(path, wait=False):
                if workspace := _read(path)["workspace"]:
                    remove_abandoned(Path(workspace))
                self._remove(path)
        except (OSError, NoLocksError):  # in use, of another user, or on a disk with a problem
            return False
        return True

    @staticmethod
    def _remove(path: Path) -> None:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """Read the lease of the run with this lock file.

    If the lease file is missing, or was not written completely, return an empty lease.
    """
    lease: dict[str, Any] = {"workspace": "", _STORES: {}}
    with suppress(OSError, ValueError):
        lease |= json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return lease
