"""Tracks which record stores running processes use, and how many bytes they will still write.

A lease is a JSON file with a locked one beside it. The operating system releases the lock when the
process ends, so the next run can remove the lease, and the workspace, of a run that was killed.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from service.system.locks import acquire_lock, file_lock
from trainers.workspace import remove_abandoned

_STORES = "shelves"
"""Field of a lease; runs of an older version read it as well."""


class Leases:
    """The leases of this run and of others; the caller of a method holds the cache's lock.

    Args:
        folder: of the cache; the stores are the folders in it.
        workspace: the run's own folder.

    Attributes:
        reserved: bytes that this run will still write, by the name of each store that it uses.
    """

    def __init__(self, folder: Path, workspace: Path) -> None:
        self._stores, self._folder, self._workspace = folder, folder / ".leases", workspace
        self._name = uuid.uuid4().hex
        self._lock: BaseFileLock | None = None
        self._is_released = False
        self.reserved: dict[str, int] = {}

    def reserve(self, store: str, pending_bytes: int) -> None:
        """Lease a store, and reserve the bytes that this run will still write there.

        It does nothing after `release`: background threads may still call it.
        """
        if self._is_released or self.reserved.get(store) == pending_bytes:
            return
        self.reserved[store] = pending_bytes
        if self._lock is None:
            self._lock = acquire_lock(self._folder / f"{self._name}.lock", wait=True)
        lease = {"workspace": str(self._workspace.absolute()), _STORES: self.reserved}
        (self._folder / f"{self._name}.json").write_text(json.dumps(lease), encoding="utf-8")

    def reserved_by_others(self) -> dict[str, int]:
        """Bytes that all other live runs will still write, by store."""
        reserved: dict[str, int] = {}
        for path in self._folder.glob("*.lock"):
            if path.stem == self._name or self._remove_abandoned(path):
                continue
            for store, size_bytes in _read(path)[_STORES].items():
                reserved[store] = reserved.get(store, 0) + size_bytes
        return reserved

    def make_room(self, store: str, total_bytes: int, present_bytes: int, max_bytes: float) -> bool:
        """Reserve the missing bytes of a store; evict other stores, least recently used first.

        Stores that another run uses, or that this run is still filling, stay. The store itself is
        evicted last, and only where nobody has used it: its old records are then lost.

        Args:
            total_bytes: size of all records that this run needs of the store.
            present_bytes: size of those that the store already has.
            max_bytes: limit of the cache.

        Returns:
            Whether there is room; if not, nothing was removed and nothing reserved.
        """
        others = self.reserved_by_others()
        sizes = {
            path: sum(file.stat().st_size for file in path.iterdir())
            for path in self._stores.iterdir()
            if path.is_dir() and path != self._folder
        }
        in_use = {name for name, size_bytes in self.reserved.items() if size_bytes} | set(others)
        evictable = [path for path in sizes if path.name not in {store, *in_use}]
        evictable.sort(key=lambda path: (path.name in self.reserved, path.stat().st_mtime))
        pending = {**self.reserved, store: total_bytes - present_bytes}
        excess = sum((*sizes.values(), *others.values(), *pending.values())) - max_bytes
        own_path = self._stores / store
        if excess > sum(sizes[path] for path in evictable):
            if store in {*self.reserved, *others} or own_path not in sizes:
                return False
            evictable.append(own_path)
            pending[store] = total_bytes
            if excess + present_bytes > sum(sizes[path] for path in evictable):
                return False
            excess += present_bytes
        for path in evictable:
            if excess > 0:
                shutil.rmtree(path)
                excess -= sizes[path]
        self.reserve(store, pending[store])
        return True

    def release(self) -> None:
        """Give up everything that this run has leased."""
        if self._lock is not None:
            self._lock.release()
            self._remove(self._folder / f"{self._name}.lock")
        self._lock, self.reserved, self._is_released = None, {}, True

    def _remove_abandoned(self, path: Path) -> bool:
        """Whether the run with this lock is dead; its lease and workspace are removed then."""
        try:
            with file_lock(path, wait=False):
                if workspace := _read(path)["workspace"]:
                    remove_abandoned(Path(workspace))
                self._remove(path)
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def _remove(path: Path) -> None:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """The content of a lease; empty where a kill or a full disk cut it short."""
    lease: dict[str, Any] = {"workspace": "", _STORES: {}}
    with suppress(OSError, ValueError):
        lease |= json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return lease
