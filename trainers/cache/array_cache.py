"""What was computed once: arrays by the content they were computed from, shared between runs.

A picture is decoded once for a size, and goes through a frozen network once, as long as none of
them changes. Runs at the same time take turns in writing; what they read is mapped, not copied.
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
from service.system.locks import locked
from service.system.resources import usable_cores
from trainers.cache.leases import Leases
from trainers.cache.record_store import OVERHEAD_BYTES, Records, Shelf
from trainers.progress import Progress

_BLOCK_BYTES = 32 * 1024**2
"""Records written at a time, and lost at most by a kill."""
_PART = 32
"""Most records that one call makes: so threads find work, and a stop its turn."""
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "with more room"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT), "that this user can write to"
    ),
}


class CacheError(GraftError):
    """The cache cannot hold what the run needs."""


@dataclass(frozen=True)
class Recipe:
    """How missing records are made: positions (M,) in the list of keys -> records (M, *shape)."""

    shape: tuple[int, ...]
    dtype: DTypeLike
    make: Callable[[NDArray[np.int64]], NDArray[Any]]

    @property
    def record_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class Cache:
    """Shelves under a folder, together not larger than a bound.

    Args:
        folder: shared by all runs of a user.
        max_bytes: the least recently used shelves go when new records would pass it, but none that
            a run is using. What does not fit then lies in the run's own workspace and goes with
            it; 0 keeps nothing.
        workspace: the run's own folder.
        progress: shows how far a shelf is filled.
    """

    def __init__(self, folder: Path, max_bytes: float, workspace: Path, progress: Progress) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._workspace, self.progress = workspace, progress
        self._leases = Leases(folder, workspace)
        self._is_closed = False

    def close(self) -> None:
        """Let others have the room of what this run used, and let what is being made in the
        background come to its end soon, with a CacheError."""
        self._is_closed = True
        if self._max_bytes and self._folder.is_dir():
            with self._locked(self._folder):
                self._leases.end()

    def fill(
        self, label: str, origin: str, keys: Sequence[bytes], recipe: Callable[[], Recipe]
    ) -> Records:
        """The records of `keys`, made where they are not there yet, by a thread per processor.

        Args:
            label: what they are, for the progress and the name of the shelf.
            origin: everything besides the key that a record depends on.
            keys: of 32 bytes each; the same key means the same record.
            recipe: called when a record is missing.

        Raises:
            CacheError: a folder cannot be written, or its disk is full.
        """
        name = _shelf_name(label, origin)
        if (kept := self._find(name, keys)) is not None:
            return kept
        made = recipe()
        if not keys:
            return Records(np.zeros((0, *made.shape), made.dtype), np.zeros(0, np.int64))
        while (kept := self._find(name, keys)) is None:  # again where somebody took it away
            shelf, missing = self._place(name, keys, made.record_bytes)
            try:
                for positions, values in self._made(missing, label, made):
                    self._append(shelf, keys, positions, values)
            finally:
                self._expect(shelf, 0)
        return kept

    def find(self, label: str, origin: str, keys: Sequence[bytes]) -> Records | None:
        """The records of `keys`; None unless all of them are there."""
        return self._find(_shelf_name(label, origin), keys)

    def add(
        self,
        label: str,
        origin: str,
        keys: Sequence[bytes],
        positions: NDArray[np.int64],
        values: NDArray[Any],
    ) -> None:
        """Keep records (M, ...) that somebody else made of the keys at positions (M,).

        Raises:
            CacheError: a folder cannot be written, or its disk is full.
        """
        shelf, _ = self._place(_shelf_name(label, origin), keys, values[0].nbytes)
        self._append(shelf, keys, positions, values)

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        try:
            with locked(folder / ".lock", wait=True):
                yield
        except OSError as error:
            advice = _ADVICE.get(error.errno or 0, "on a local disk")
            raise CacheError(
                f"nothing can be kept under {folder}: {error}; let GRAFT_CACHE and --output be "
                f"folders {advice}"
            ) from error

    def _find(self, name: str, keys: Sequence[bytes]) -> Records | None:
        for root in (self._folder, self._workspace) if self._max_bytes else (self._workspace,):
            if keys and (root / name).is_dir():
                with self._locked(root):
                    kept = Shelf(root / name).find(keys)
                    if kept is not None and root == self._folder:
                        self._leases.take(name, self._leases.own.get(name, 0))
                if kept is not None:
                    return kept
        return None

    def _place(
        self, name: str, keys: Sequence[bytes], record_bytes: int
    ) -> tuple[Shelf, NDArray[np.int64]]:
        """The shelf in which the records of all keys have room together, and the positions of
        those that are not there yet."""
        kept, own = Shelf(self._folder / name), Shelf(self._workspace / name)
        shelf, known, records = own, [], None
        if self._max_bytes and not own.folder.exists():
            with self._locked(self._folder):
                index = kept.index()
                known = [key for key in dict.fromkeys(keys) if key in index]
                records = kept.find(known) if known else None  # readable wherever they go
                wanted, there = (
                    count * (record_bytes + OVERHEAD_BYTES)
                    for count in (len(set(keys)), len(known))
                )
                if self._leases.make_room(name, wanted, there, self._max_bytes):
                    shelf = kept
        if records is not None and not shelf.folder.exists():
            self._copy(records, known, shelf)
        with self._locked(shelf.folder.parent):
            return shelf, _first_of_each(keys, shelf.index())

    def _copy(self, records: Records, keys: Sequence[bytes], shelf: Shelf) -> None:
        size = max(1, _BLOCK_BYTES * len(records) // records.nbytes)
        for start in range(0, len(records), size):
            positions = np.arange(len(records))[start : start + size]
            self._append(shelf, keys, positions, records[positions])

    def _append(
        self,
        shelf: Shelf,
        keys: Sequence[bytes],
        positions: NDArray[np.int64],
        values: NDArray[Any],
    ) -> None:
        with self._locked(shelf.folder.parent):
            index = shelf.index()
            new = [at for at, row in enumerate(positions) if keys[row] not in index]
            if new:
                shelf.append([keys[positions[at]] for at in new], values[new])
        to_come = self._leases.own.get(shelf.folder.name, 0)
        self._expect(shelf, max(0, to_come - values.nbytes - len(values) * OVERHEAD_BYTES))

    def _expect(self, shelf: Shelf, bytes_to_come: int) -> None:
        if shelf.folder.parent == self._folder:
            with self._locked(self._folder):
                self._leases.take(shelf.folder.name, bytes_to_come)

    def _made(
        self, missing: NDArray[np.int64], label: str, recipe: Recipe
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Blocks of positions and their records; one is being made while one is written."""
        size = max(_PART, _BLOCK_BYTES // recipe.record_bytes)
        blocks = [missing[start : start + size] for start in range(0, len(missing), size)]
        pool = ThreadPoolExecutor(usable_cores())

        def begin(block: NDArray[np.int64]) -> list[Future[NDArray[Any]]]:
            starts = range(0, len(block), _PART)
            return [pool.submit(recipe.make, block[start : start + _PART]) for start in starts]

        try:
            with self.progress.steps(len(missing), label) as advance:
                waiting = [begin(block) for block in blocks[:1]]
                for at, block in enumerate(blocks):
                    waiting += [begin(later) for later in blocks[at + 1 : at + 2]]
                    parts = []
                    for future in waiting.pop(0):
                        if self._is_closed:
                            raise CacheError(f"{label}: the run is over")
                        parts.append(future.result())
                        advance(len(parts[-1]))
                    yield block, np.concatenate(parts)
        finally:
            pool.shutdown(cancel_futures=True)


def _shelf_name(label: str, origin: str) -> str:
    return f"{label.replace(' ', '-')}-{hashlib.sha256(origin.encode()).hexdigest()[:24]}"


def _first_of_each(keys: Sequence[bytes], known: dict[bytes, int]) -> NDArray[np.int64]:
    """Positions of the keys that are not known, each key once."""
    first = {key: at for at, key in reversed(list(enumerate(keys))) if key not in known}
    return np.array(sorted(first.values()), np.int64)
