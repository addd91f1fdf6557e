"""Stores arrays of one shape on disk, each under the hash of what it was made from.

A store has three files that only grow. Records are written first, their checksums and keys
afterwards, so a kill at any moment leaves at most records without keys, which the next writer
overwrites.
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
"""What a record takes on the disk besides its values."""
_VERIFY_BATCH = 64


class CorruptRecordError(GraftError):
    """A record on the disk differs from what was written."""


@dataclass(frozen=True)
class Records:
    """Records (N, ...) in the order of the requested keys, read from disk by index.

    A record is compared with its CRC-32 when it is first read, so that no model is trained on data
    that a disk, a crash or another program has altered.

    Attributes:
        array: the mapped file, or an array in memory.
        rows: (N,) the row in `array` of each record.
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
        """A copy of the records at positions: an index array, a mask or a slice.

        Raises:
            CorruptRecordError: one of them differs from what was written.
        """
        rows = self.rows[positions]
        values = np.asarray(self.array[rows])
        if self.checksums:
            self.checksums.verify(rows, values)
        return values

    def verify(self) -> None:
        """Compare all records with their checksums, in batches; raise as reading does."""
        for start in range(0, len(self), _VERIFY_BATCH):
            self[start : start + _VERIFY_BATCH]


@dataclass(frozen=True)
class Checksums:
    """The expected CRC-32 (N,) of each row of a store, and which rows are verified (N,)."""

    folder: Path
    expected: NDArray[np.uint32]
    is_verified: NDArray[np.bool_]

    def verify(self, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        for row, value in zip(rows.tolist(), _as_bytes(values), strict=True):
            if not self.is_verified[row]:
                if zlib.crc32(value) != self.expected[row]:
                    raise CorruptRecordError(
                        f"the cache in {self.folder} is damaged: a record differs from what was "
                        "written. Remove that folder and run again: its content is made anew"
                    )
                self.is_verified[row] = True


@dataclass(frozen=True)
class RecordStore:
    """Records of one shape in a folder, which other runs may create, extend or remove.

    The caller of a method holds the lock of the folder's parent. `Records` need no lock: a mapped
    file stays readable after its removal.
    """

    folder: Path

    def find(self, keys: Sequence[bytes]) -> Records | None:
        """Map the records of `keys`; None unless all of them are there."""
        index = self.index()
        if not all(key in index for key in keys):
            return None
        os.utime(self.folder)  # last used now, for eviction
        shape, dtype = self._form()
        array = np.memmap(self.folder / "records", dtype, "r", shape=(len(index), *shape))
        expected = np.fromfile(self.folder / "sums", np.uint32, len(index))
        checksums = Checksums(self.folder, expected, np.zeros(len(index), np.bool_))
        return Records(array, np.array([index[key] for key in keys], np.int64), checksums)

    def index(self) -> dict[bytes, int]:
        """The row of every complete record."""
        try:
            keys = (self.folder / "keys").read_bytes()
            checksums = (self.folder / "sums").stat().st_size
            complete = (self.folder / "records").stat().st_size // _record_bytes(*self._form())
        except (FileNotFoundError, ValueError, TypeError, LookupError, ZeroDivisionError):
            return {}  # removed, or with a damaged form.json
        count = min(len(keys) // KEY_BYTES, checksums // CHECKSUM_BYTES, complete)
        return {keys[at * KEY_BYTES : (at + 1) * KEY_BYTES]: at for at in range(count)}

    def append(self, keys: Sequence[bytes], values: NDArray[Any]) -> None:
        """Add records (M, ...) under new keys; records reach the disk before their keys."""
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
        os.utime(self.folder)  # last used now, for eviction

    def _form(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and data type of a record."""
        shape, description = json.loads((self.folder / "form.json").read_bytes())
        fields = [
            tuple(tuple(item) if isinstance(item, list) else item for item in field)
            for field in description
        ]
        dtype = np.dtype(fields) if fields[0][0] else np.dtype(fields[0][1])
        return tuple(shape), dtype


def _as_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Records (M, ...) -> (M, bytes)."""
    size_bytes = _record_bytes(values.shape[1:], values.dtype)
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), size_bytes)


def _record_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _write(path: Path, start: int, data: memoryview) -> None:
    """Truncate a file at `start`, append data, and flush it to the disk."""
    with path.open("ab", buffering=0) as file:
        file.truncate(start)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
