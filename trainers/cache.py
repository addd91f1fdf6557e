"""What was computed once: arrays by the content they were computed from, shared between runs.

A picture is decoded once for a size, and goes through a frozen network once, as long as none of
them changes. Runs at the same time take turns in writing; what they read is mapped, not copied.
"""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from service.errors import GraftError
from service.locks import locked
from service.machine import usable_cores
from trainers.progress import Progress
from trainers.shelf import Records, Shelf

_BLOCK_BYTES = 32 * 1024**2
"""Records written at a time, and lost at most by a kill."""
_PART = 32
"""Most records that one call makes: so threads find work, and a stop its turn."""


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
        max_bytes: the least recently used shelves go when new records would pass it. What does
            not fit at all lies in the run's own workspace and goes with it; 0 keeps nothing.
        workspace: the run's own folder.
        progress: shows how far a shelf is filled.
    """

    def __init__(self, folder: Path, max_bytes: float, workspace: Path, progress: Progress) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._workspace, self.progress = workspace, progress
        self._used: set[Path] = set()
        self._is_closed = False

    def close(self) -> None:
        """Let what is being made in the background come to its end soon, with a CacheError."""
        self._is_closed = True

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
            CacheError: the disk is full.
        """
        name = _shelf_name(label, origin)
        if (kept := self._find(name, keys)) is not None:
            return kept
        made = recipe()
        if not keys:
            return Records(np.zeros((0, *made.shape), made.dtype), np.zeros(0, np.int64))
        with self._root(label, keys, made.record_bytes) as root:
            while (kept := self._find(name, keys)) is None:  # again where somebody took it away
                self._add_missing(Shelf(root / name), label, keys, made)
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
            CacheError: the disk is full.
        """
        with self._root(label, keys, values[0].nbytes) as root:
            self._append(Shelf(root / _shelf_name(label, origin)), keys, positions, values)

    @contextmanager
    def _root(self, label: str, keys: Sequence[bytes], record_bytes: int) -> Iterator[Path]:
        """Where the records of all these keys have room together."""
        fits = len(set(keys)) * record_bytes <= self._max_bytes
        root = self._folder if fits else self._workspace
        try:
            root.mkdir(parents=True, exist_ok=True)
            yield root
        except OSError as error:
            raise CacheError(
                f"{label} cannot be kept under {root}: {error}; make room there, or "
                "let GRAFT_CACHE and --output be on a disk with more"
            ) from error

    def _find(self, name: str, keys: Sequence[bytes]) -> Records | None:
        for root in (self._folder, self._workspace) if self._max_bytes else (self._workspace,):
            if keys and (root / name).is_dir():
                with locked(root / ".lock", wait=True):
                    kept = Shelf(root / name).find(keys)
                if kept is not None:
                    self._used.add(root / name)
                    return kept
        return None

    def _add_missing(self, shelf: Shelf, label: str, keys: Sequence[bytes], recipe: Recipe) -> None:
        with locked(shelf.folder.parent / ".lock", wait=True):
            missing = _first_of_each(keys, shelf.index())
        for positions, values in self._made(missing, label, recipe):
            self._append(shelf, keys, positions, values)

    def _append(
        self,
        shelf: Shelf,
        keys: Sequence[bytes],
        positions: NDArray[np.int64],
        values: NDArray[Any],
    ) -> None:
        with locked(shelf.folder.parent / ".lock", wait=True):
            index = shelf.index()
            new = [at for at, row in enumerate(positions) if keys[row] not in index]
            if new:
                self._make_room(shelf, values[new].nbytes)
                shelf.append([keys[positions[at]] for at in new], values[new])

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

    def _make_room(self, own: Shelf, size_bytes: int) -> None:
        """Remove shelves, the least recently used first, until the bound holds: those that this run
        has used only where it must, and at last what is old of our own."""
        if own.folder.parent != self._folder:
            return
        folders = [path for path in self._folder.iterdir() if (path / "keys").exists()]
        sizes = {path: sum(file.stat().st_size for file in path.iterdir()) for path in folders}
        excess = sum(sizes.values()) + size_bytes - self._max_bytes

        def rank(path: Path) -> tuple[bool, bool, float]:
            return (path == own.folder, path in self._used, path.stat().st_mtime)

        for path in sorted(sizes, key=rank):
            if excess > 0:
                shutil.rmtree(path)
                excess -= sizes[path]


def _shelf_name(label: str, origin: str) -> str:
    return f"{label.replace(' ', '-')}-{hashlib.sha256(origin.encode()).hexdigest()[:24]}"


def _first_of_each(keys: Sequence[bytes], known: dict[bytes, int]) -> NDArray[np.int64]:
    """Positions of the keys that are not known, each key once."""
    first = {key: at for at, key in reversed(list(enumerate(keys))) if key not in known}
    return np.array(sorted(first.values()), np.int64)
