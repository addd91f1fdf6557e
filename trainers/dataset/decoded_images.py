"""The pictures of a dataset at one size, decoded when they are first needed."""

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
    """Pictures (N, size, size, 3) uint8 RGB, decoded when they are first needed.

    If the cache has the features of all pictures, no picture is decoded.

    Args:
        count: N, the number of pictures.
        size: side of a decoded picture in pixels.
        decode: function that returns the decoded pictures of rows (M,). It takes them from the
            cache if possible.
    """

    def __init__(self, count: int, size: int, decode: Callable[[Rows], Records]) -> None:
        self.shape = (count, size, size, 3)
        self._decode, self._lock = decode, Lock()
        self._thread = ThreadPoolExecutor(1)  # decodes one batch after the other, each on all cores
        self._batches: dict[bytes, Future[Records]] = {}
        self._batch_of_row: list[Future[Records] | None] = [None] * count
        self._position_in_batch = np.zeros(count, np.int64)

    @classmethod
    def from_array(cls, images: NDArray[np.uint8]) -> Images:
        """Wrap pictures (N, size, size, 3) that are already decoded."""
        return cls(len(images), images.shape[1], lambda rows: Records(images, rows))

    def prefetch(self, rows: Rows) -> Future[Records]:
        """Decode rows (M,) in the background, after the rows of earlier calls.

        If an earlier call had the same rows in the same order, they are not decoded again.

        Returns:
            A future with the decoded pictures.
        """
        with self._lock:
            if (batch := self._batches.get(rows.tobytes())) is None:
                batch = self._batches[rows.tobytes()] = self._thread.submit(self._decode, rows)
                self._position_in_batch[rows] = np.arange(len(rows))
                for row in rows.tolist():
                    self._batch_of_row[row] = batch
            return batch

    def records(self, rows: Rows) -> Records:
        """Return the decoded pictures of rows (M,); wait until they are decoded.

        Raises:
            DataError: a file has changed since the folder was read.
            CacheError: there is too little space on the disk.
        """
        return self.prefetch(rows).result()

    def __getitem__(self, positions: Any) -> NDArray[np.uint8]:
        """Return a copy of the pictures at `positions`: an index array, a mask or a slice.

        The call waits until these pictures are decoded.

        Raises:
            DataError, CacheError: as in `records`.
            CorruptRecordError: a record in the cache differs from what was written.
        """
        rows = np.arange(len(self._batch_of_row))[positions]
        new = [row for row in rows.tolist() if self._batch_of_row[row] is None]
        if new:
            self.prefetch(np.unique(np.array(new, np.int64)))
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        batches = [self._batch_of_row[row] for row in rows.tolist()]
        for batch in dict.fromkeys(batches):
            if batch is not None:
                is_in_batch = np.array([other is batch for other in batches])
                images[is_in_batch] = batch.result()[self._position_in_batch[rows[is_in_batch]]]
        return images
