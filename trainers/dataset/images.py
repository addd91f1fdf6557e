"""The pictures of a dataset at one size, decoded when somebody needs them and not before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.cache.record_store import Records

Rows = NDArray[np.int64]


class Images:
    """Pictures (N, size, size, 3) uint8 RGB of a dataset, decoded when they are first asked for.

    Where all features of a picture are kept, nobody asks.

    Args:
        count, size: N, and the side in pixels.
        fill: rows (M,) -> their records, decoded as far as they are not kept.
    """

    def __init__(self, count: int, size: int, fill: Callable[[Rows], Records]) -> None:
        self.shape = (count, size, size, 3)
        self._fill, self._lock = fill, Lock()
        self._thread = ThreadPoolExecutor(1)  # a part at a time, by all processors
        self._parts: dict[bytes, Future[Records]] = {}
        self._part_of: list[Future[Records] | None] = [None] * count
        self._place = np.zeros(count, np.int64)

    @classmethod
    def of(cls, images: NDArray[np.uint8]) -> Images:
        """Pictures (N, size, size, 3) that are decoded already."""
        return cls(len(images), images.shape[1], lambda rows: Records(images, rows))

    def begin(self, rows: Rows) -> Future[Records]:
        """Decode rows (M,) in the background, after those that were begun before."""
        with self._lock:
            if (part := self._parts.get(rows.tobytes())) is None:
                part = self._parts[rows.tobytes()] = self._thread.submit(self._fill, rows)
                self._place[rows] = np.arange(len(rows))
                for row in rows.tolist():
                    self._part_of[row] = part
            return part

    def part(self, rows: Rows) -> Records:
        """The records of rows (M,); waits for them.

        Raises:
            DataError: a file is no longer what it was when it was looked at.
            CacheError: too little room on the disk.
        """
        return self.begin(rows).result()

    def __getitem__(self, positions: Any) -> NDArray[np.uint8]:
        """A copy of the pictures at positions: an index array, a mask or a slice; waits, and raises
        as `part` does."""
        rows = np.arange(len(self._part_of))[positions]
        new = [row for row in rows.tolist() if self._part_of[row] is None]
        if new:
            self.begin(np.unique(np.array(new, np.int64)))
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        parts = [self._part_of[row] for row in rows.tolist()]
        for part in dict.fromkeys(parts):
            if part is not None:
                mine = np.array([one is part for one in parts])
                found[mine] = part.result()[self._place[rows[mine]]]
        return found
