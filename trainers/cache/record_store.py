"""Stores arrays of one shape on disk, each under a key: the hash of what it was computed from.

The file form.json of a store holds the shape and the data type. New records are appended to three
other files: `records`, `sums` (checksums) and `keys`. The keys are written last. So a process that
is killed can only leave records without keys. The next write overwrites them.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.errors import GraftError

KEY_BYTES, CHECKSUM_BYTES = 32, 4
OVERHEAD_BYTES = KEY_BYTES + CHECKSUM_BYTES
"""Size of the key and the checksum of a record on disk, in bytes."""
_VERIFY_BATCH = 64


class CorruptRecordError(GraftError):
    """A record on disk differs from the record that was written."""


@dataclass(frozen=True)
class Records:
    """Records (N, ...) in the order of the requested keys. Indexing reads them from the disk.

    When a record is first read, it is compared with its CRC-32. So no model is trained on data that
    the disk, a crash or another program has altered.

    Attributes:
        array: the memory-mapped file, or an array in memory.
        rows: (N,) int64, the row of each record in `array`.
        checksums: the checksums of the rows of `array`; None for an array in memory.
    """

    array: NDArray[Any]
    rows: NDArray[np.int64]
    checksums: Checksums | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.array.shape[1:])

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.array.dtype.itemsize

    def __getitem__(self, positions: Any) -> NDArray[Any]:
        """Return a copy of the records at `positions`: an index array, a mask or a slice.

        Raises:
            CorruptRecordError: a record differs from what was written.
        """
        rows = self.rows[positions]
        values = np.asarray(self.array[rows])
        if self.checksums:
            self.checksums.verify(rows, values)
        return values

    def verify(self) -> None:
        """Read all records, in batches, and compare each record with its checksum.

        Raises:
            CorruptRecordError: a record differs from what was written.
        """
        for start in range(0, len(self), _VERIFY_BATCH):
            self[start : start + _VERIFY_BATCH]


@dataclass(frozen=True)
class Checksums:
    """The expected CRC-32 of each row of a store (N,), and whether the row was verified (N,)."""

    folder: Path
    expected: NDArray[np.uint32]
    is_verified: NDArray[np.bool_]

    def verify(self, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        for row, value in zip(rows.tolist(), _as_bytes(values), strict=True):
            if not self.is_verified[row]:
                if zlib.crc32(value) != self.expected[row]:
                    raise CorruptRecordError(
                        f"the cache in {self.folder} is damaged: a record differs from what was "
                        "written. Remove that folder, and run the command again to compute "
                        "the missing records"
                    )
                self.is_verified[row] = True


@dataclass(frozen=True)
class RecordStore:
    """A folder with records of one shape. Other runs may create it, add to it or remove it.

    Callers of a method must hold the lock of the parent folder. Reading the `Records` that `find`
    returns needs no lock, because a memory-mapped file stays readable after it is removed.
    """

    folder: Path

    def find(self, keys: Sequence[bytes]) -> Records | None:
        """Memory-map the records of `keys`, or return None if the store lacks any of them."""
        index = self.index()
        if not all(key in index for key in keys):
            return None
        os.utime(self.folder)  # eviction reads this as the time of the last use
        shape, dtype = self._form()
        array = np.memmap(self.folder / "records", dtype, "r", shape=(len(index), *shape))
        expected = np.fromfile(self.folder / "sums", np.uint32, len(index))
        checksums = Checksums(self.folder, expected, np.zeros(len(index), np.bool_))
        return Records(array, np.array([index[key] for key in keys], np.int64), checksums)

    def index(self) -> dict[bytes, int]:
        """Return the row of each complete record, by key."""
        try:
            keys = (self.folder / "keys").read_bytes()
            checksums = (self.folder / "sums").stat().st_size
            complete = (self.folder / "records").stat().st_size // _record_bytes(*self._form())
        except (FileNotFoundError, ValueError, TypeError, LookupError, ZeroDivisionError):
            return {}  # the store was removed, or its form.json is damaged
        count = min(len(keys) // KEY_BYTES, checksums // CHECKSUM_BYTES, complete)
        return {keys[at * KEY_BYTES : (at + 1) * KEY_BYTES]: at for at in range(count)}

    def append(self, keys: Sequence[bytes], values: NDArray[Any]) -> None:
        """Append records (M, ...) under new keys; the records reach the disk before the keys do."""
        count = len(self.index())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not count:
            form = json.dumps([values.shape[1:], values.dtype.descr])
            _write(self.folder / "form.json", 0, memoryview(form.encode()))
        data = _as_bytes(values)
        checksums = np.array([zlib.crc32(record) for record in data], np.uint32)
        _write(self.folder / "records", count * data.shape[1], data.data.cast("B"))
        _write(self.folder / "sums", count * CHECKSUM_BYTES, checksums.data.cast("B"))
        _write(self.folder / "keys", count * KEY_BYTES, memoryview(b"".join(keys)))
        os.utime(self.folder)  # eviction reads this as the time of the last use

    def _form(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Read the shape and the data type of a record."""
        shape, description = json.loads((self.folder / "form.json").read_bytes())
        fields = [
            tuple(tuple(item) if isinstance(item, list) else item for item in field)
            for field in description
        ]
        dtype = np.dtype(fields) if fields[0][0] else np.dtype(fields[0][1])
        return tuple(shape), dtype


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """View records (M, ...) as bytes (M, bytes per record)."""
    size_bytes = _record_bytes(values.shape[1:], values.dtype)
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), size_bytes)


def _record_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _write(path: Path, start: int, data: memoryview) -> None:
    """Truncate a file to `start` bytes, append the data, and flush it to the disk."""
    with path.open("ab", buffering=0) as file:
        file.truncate(start)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
