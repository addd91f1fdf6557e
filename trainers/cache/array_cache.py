"""Caches arrays on disk for all runs, each under a hash of what it was computed from.

Pictures are decoded, and features computed, only once, unless the picture, the input size or the
code changes, or the cache evicts the results. Only one run writes to the cache at a time.
"""

from __future__ import annotations

import errno
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from service.errors import GraftError
from service.system.locks import file_lock
from service.system.resources import usable_cores
from trainers.cache.eviction import make_room
from trainers.cache.leases import Leases
from trainers.cache.record_store import OVERHEAD_BYTES, Records, RecordStore
from trainers.progress import Progress

_BLOCK_BYTES = 32 * 1024**2
"""Size of the blocks in which records are written. A killed run loses at most two blocks."""
_CHUNK = 32
"""Records per call of `Recipe.make`: few, so that all threads have work and can stop quickly."""
_DISK_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "with more room"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT), "that this user can write to"
    ),
}


class CacheError(GraftError):
    """The cache cannot be written to, or it was closed."""


@dataclass(frozen=True)
class Recipe:
    """How to compute missing records.

    Attributes:
        shape, dtype: the shape and the data type of one record.
        make: a function: positions (M,) in the list of keys -> records (M, *shape).
    """

    shape: tuple[int, ...]
    dtype: DTypeLike
    make: Callable[[NDArray[np.int64]], NDArray[Any]]

    @property
    def record_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Cache:
    """Record stores in a folder, with a limit on their total size.

    Args:
        folder: the folder of the stores, which all runs of a user share.
        max_bytes: the limit on the total size. If new records would exceed it, `eviction` removes
            stores. Records that still do not fit go to the workspace, and are removed with it.
            If the limit is 0, all records go to the workspace.
        workspace: the folder for the temporary files of this run.
        progress: shows the progress of `get_or_create`.
    """

    def __init__(self, folder: Path, max_bytes: float, workspace: Path, progress: Progress) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._workspace, self.progress = workspace, progress
        self._leases = Leases(folder, workspace)
        self._is_closed = False

    def close(self) -> None:
        """Release the stores of this run. Threads that still make records raise CacheError."""
        self._is_closed = True
        if self._max_bytes and self._folder.is_dir():
            with self._locked(self._folder):
                self._leases.release()

    def get_or_create(
        self,
        label: str,
        dependencies: str,
        keys: Sequence[bytes],
        make_recipe: Callable[[], Recipe],
    ) -> Records:
        """Return the records of `keys`. Make missing records with one thread per processor core.

        Args:
            label: the kind of records, for the progress bar and the name of the store.
            dependencies: a text that identifies all that determines a record, besides its key.
            keys: 32 bytes each; equal keys mean equal records.
            make_recipe: returns the recipe; called only if a record is missing or `keys` is empty.

        Raises:
            CacheError: a folder cannot be written to, its disk is full, or the cache was closed.
        """
        name = _store_name(label, dependencies)
        if (records := self._find(name, keys)) is not None:
            return records
        recipe = make_recipe()
        if not keys:
            return Records(np.zeros((0, *recipe.shape), recipe.dtype), np.zeros(0, np.int64))
        while (records := self._find(name, keys)) is None:  # again if the store was evicted
            store, missing = self._choose_store(name, keys, recipe.record_bytes)
            try:
                for positions, values in self._make(missing, label, recipe):
                    self._append(store, keys, positions, values)
            finally:
                self._reserve(store, 0)
        return records

    def find(self, label: str, dependencies: str, keys: Sequence[bytes]) -> Records | None:
        """Return the records of `keys`, or None if the cache lacks any of them."""
        return self._find(_store_name(label, dependencies), keys)

    def add(
        self,
        label: str,
        dependencies: str,
        keys: Sequence[bytes],
        positions: NDArray[np.int64],
        values: NDArray[Any],
    ) -> None:
        """Add records `values` (M, ...), computed elsewhere, for the keys at `positions` (M,).

        Raises:
            CacheError: a folder cannot be written to, or its disk is full.
        """
        store, _ = self._choose_store(_store_name(label, dependencies), keys, values[0].nbytes)
        self._append(store, keys, positions, values)

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        try:
            with file_lock(folder / ".lock", wait=True):
                yield
        except OSError as error:
            advice = _DISK_ADVICE.get(error.errno or 0, "on a local disk")
            raise CacheError(
                f"cannot write to the cache in {folder}: {error}; set GRAFT_CACHE and --output to "
                f"folders {advice}"
            ) from error

    def _find(self, name: str, keys: Sequence[bytes]) -> Records | None:
        for root in (self._folder, self._workspace) if self._max_bytes else (self._workspace,):
            if keys and (root / name).is_dir():
                with self._locked(root):
                    records = RecordStore(root / name).find(keys)
                    if records is not None and root == self._folder:
                        self._leases.reserve(name, self._leases.reserved.get(name, 0))
                if records is not None:
                    return records
        return None

    def _choose_store(
        self, name: str, keys: Sequence[bytes], record_bytes: int
    ) -> tuple[RecordStore, NDArray[np.int64]]:
        """Choose a store with room for the records of all keys: in the cache, or in the workspace.

        Returns:
            The store, and the positions of the keys whose records it lacks.
        """
        shared, private = RecordStore(self._folder / name), RecordStore(self._workspace / name)
        store, present, records = private, [], None
        if self._max_bytes and not private.folder.exists():
            with self._locked(self._folder):
                index = shared.index()
                present = [key for key in dict.fromkeys(keys) if key in index]
                records = shared.find(present) if present else None  # readable after eviction
                size_bytes = record_bytes + OVERHEAD_BYTES
                sizes = (len(set(keys)) * size_bytes, len(present) * size_bytes)
                if make_room(self._leases, name, *sizes, self._max_bytes):
                    store = shared
        if records is not None and not store.folder.exists():
            self._copy(records, present, store)
        with self._locked(store.folder.parent):
            return store, _missing_positions(keys, store.index())

    def _copy(self, records: Records, keys: Sequence[bytes], store: RecordStore) -> None:
        size = max(1, _BLOCK_BYTES * len(records) // records.nbytes)
        for start in range(0, len(records), size):
            positions = np.arange(len(records))[start : start + size]
            self._append(store, keys, positions, records[positions])

    def _append(
        self,
        store: RecordStore,
        keys: Sequence[bytes],
        positions: NDArray[np.int64],
        values: NDArray[Any],
    ) -> None:
        with self._locked(store.folder.parent):
            index = store.index()
            new = [at for at, row in enumerate(positions) if keys[row] not in index]
            if new:
                store.append([keys[positions[at]] for at in new], values[new])
        pending = self._leases.reserved.get(store.folder.name, 0)
        self._reserve(store, max(0, pending - values.nbytes - len(values) * OVERHEAD_BYTES))

    def _reserve(self, store: RecordStore, pending_bytes: int) -> None:
        if store.folder.parent == self._folder:
            with self._locked(self._folder):
                self._leases.reserve(store.folder.name, pending_bytes)

    def _make(
        self, missing: NDArray[np.int64], label: str, recipe: Recipe
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield blocks of positions and records. Make one block while the caller writes another."""
        size = max(_CHUNK, _BLOCK_BYTES // recipe.record_bytes)
        blocks = [missing[start : start + size] for start in range(0, len(missing), size)]
        pool = ThreadPoolExecutor(usable_cores())

        def submit(block: NDArray[np.int64]) -> list[Future[NDArray[Any]]]:
            starts = range(0, len(block), _CHUNK)
            return [pool.submit(recipe.make, block[start : start + _CHUNK]) for start in starts]

        try:
            with self.progress.steps(len(missing), label) as advance:
                pending = [submit(block) for block in blocks[:1]]
                for at, block in enumerate(blocks):
                    pending += [submit(later) for later in blocks[at + 1 : at + 2]]
                    chunks = []
                    for future in pending.pop(0):
                        if self._is_closed:
                            raise CacheError(f"{label}: stopped, because the run has ended")
                        chunks.append(future.result())
                        advance(len(chunks[-1]))
                    yield block, np.concatenate(chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def _store_name(label: str, dependencies: str) -> str:
    return f"{label.replace(' ', '-')}-{hashlib.sha256(dependencies.encode()).hexdigest()[:24]}"


def _missing_positions(keys: Sequence[bytes], index: dict[bytes, int]) -> NDArray[np.int64]:
    """Return the positions of the keys that are not in the index; of equal keys, only the first."""
    first = {key: at for at, key in reversed(list(enumerate(keys))) if key not in index}
    return np.array(sorted(first.values()), np.int64)
