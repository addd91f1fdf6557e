"""Which shelves of the cache running processes use, and how many bytes they are still to write.

A lease is a file with a locked one beside it. The lock ends with its process, so whoever looks next
removes the lease of a run that was killed, and the workspace that it left.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from service.system.locks import hold, locked
from trainers.workspace import remove_abandoned


class Leases:
    """A run's lease among those of others; whoever calls a method holds the cache's lock.

    Args:
        folder: of the cache, whose shelves are the folders in it.
        workspace: the run's own folder.

    Attributes:
        own: bytes still to come, by the name of each shelf that this run uses.
    """

    def __init__(self, folder: Path, workspace: Path) -> None:
        self._shelves, self._folder, self._workspace = folder, folder / ".leases", workspace
        self._name = uuid.uuid4().hex
        self._lock: BaseFileLock | None = None
        self._has_ended = False
        self.own: dict[str, int] = {}

    def take(self, shelf: str, bytes_to_come: int) -> None:
        """Say that this run uses a shelf, and what it is still to write there.

        It does nothing after the run's end (background threads may still call it).
        """
        if self._has_ended or self.own.get(shelf) == bytes_to_come:
            return
        self.own[shelf] = bytes_to_come
        if self._lock is None:
            self._lock = hold(self._folder / f"{self._name}.lock", wait=True)
        page = {"workspace": str(self._workspace.absolute()), "shelves": self.own}
        (self._folder / f"{self._name}.json").write_text(json.dumps(page), encoding="utf-8")

    def others(self) -> dict[str, int]:
        """Bytes still to come, by shelf, of all other runs that are alive."""
        found: dict[str, int] = {}
        for path in self._folder.glob("*.lock"):
            if path.stem == self._name or self._is_over(path):
                continue
            for shelf, size_bytes in _read(path)["shelves"].items():
                found[shelf] = found.get(shelf, 0) + size_bytes
        return found

    def make_room(self, shelf: str, all_bytes: int, there_bytes: int, max_bytes: float) -> bool:
        """Lease a shelf and remove others, the least recently used first, until what is to come
        has room below a bound. Shelves that another run uses, or that this one is filling, stay;
        the shelf itself goes last and only where nobody has used it: what is old in it then goes.

        Args:
            all_bytes, there_bytes: size of all records that are wanted of the shelf, and of those
                that are there already.

        Returns:
            Whether there is room; where there is none, nothing was removed and nothing leased.
        """
        others = self.others()
        sizes = {
            path: sum(file.stat().st_size for file in path.iterdir())
            for path in self._shelves.iterdir()
            if path.is_dir() and path != self._folder
        }
        used = {name for name, size_bytes in self.own.items() if size_bytes} | set(others)
        free = [path for path in sizes if path.name not in {shelf, *used}]
        free.sort(key=lambda path: (path.name in self.own, path.stat().st_mtime))
        to_come = {**self.own, shelf: all_bytes - there_bytes}
        excess = sum((*sizes.values(), *others.values(), *to_come.values())) - max_bytes
        old = self._shelves / shelf
        if excess > sum(sizes[path] for path in free):
            if shelf in {*self.own, *others} or old not in sizes:
                return False
            free.append(old)
            to_come[shelf] = all_bytes
            if excess + there_bytes > sum(sizes[path] for path in free):
                return False
            excess += there_bytes
        for path in free:
            if excess > 0:
                shutil.rmtree(path)
                excess -= sizes[path]
        self.take(shelf, to_come[shelf])
        return True

    def end(self) -> None:
        """Give up what was leased."""
        if self._lock is not None:
            self._lock.release()
            self._remove(self._folder / f"{self._name}.lock")
        self._lock, self.own, self._has_ended = None, {}, True

    def _is_over(self, path: Path) -> bool:
        """Whether the run that a lock belonged to is dead; what it left is removed then."""
        try:
            with locked(path, wait=False):
                if left := _read(path)["workspace"]:
                    remove_abandoned(Path(left))
                self._remove(path)
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def _remove(path: Path) -> None:
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """What a lease says; nothing where a kill, or a full disk, cut it short."""
    page: dict[str, Any] = {"workspace": "", "shelves": {}}
    with suppress(OSError, ValueError):
        page |= json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return page
