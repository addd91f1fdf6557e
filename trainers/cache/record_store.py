"""Records of one shape on disk, each under the hash of what it was made from.

Three files that only grow: records first, their checksums and keys afterwards, so that a kill at
any moment leaves at most records without keys, which the next writer overwrites.
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

KEY_BYTES, SUM_BYTES = 32, 4
OVERHEAD_BYTES = KEY_BYTES + SUM_BYTES
"""What a record takes on the disk besides itself."""
_CHECKED_AT_ONCE = 64


class DamagedError(GraftError):
    """A record on the disk is not what was written."""


@dataclass(frozen=True)
class Records:
    """Records (N, ...) in the order of the keys that were asked for; read from disk by index.

    A record is compared with its checksum when it is read for the first time: whatever a disk, a
    crash or another program did to it, no model learns from it in silence. CRC-32 takes 0.5 s a
    gigabyte.
    """

    array: NDArray[Any]
    rows: NDArray[np.int64]
    sums: Sums | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.array.shape[1:])

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.array.dtype.itemsize

    def part(self, positions: NDArray[np.int64]) -> Records:
        """Those at positions, still on disk."""
        return Records(self.array, self.rows[positions], self.sums)

    def __getitem__(self, positions: Any) -> NDArray[Any]:
        """A copy of the records at positions: an index array, a mask or a slice.

        Raises:
            DamagedError: one of them is not what was written.
        """
        rows = self.rows[positions]
        values = np.asarray(self.array[rows])
        if self.sums:
            self.sums.check(rows, values)
        return values

    def check(self) -> None:
        """Compare all records with their checksums, some at a time; raise as reading does."""
        for start in range(0, len(self), _CHECKED_AT_ONCE):
            self[start : start + _CHECKED_AT_ONCE]


@dataclass(frozen=True)
class Sums:
    """The checksum (N,) of each row of a shelf, and whether it is known to be right."""

    folder: Path
    expected: NDArray[np.uint32]
    is_right: NDArray[np.bool_]

    def check(self, rows: NDArray[np.int64], values: NDArray[Any]) -> None:
        for row, value in zip(rows.tolist(), _as_bytes(values), strict=True):
            if not self.is_right[row]:
                if zlib.crc32(value) != self.expected[row]:
                    raise DamagedError(
                        f"the cache in {self.folder} is damaged: a record is not what was written. "
                        "Remove that folder and run again: what was in it is made anew"
                    )
                self.is_right[row] = True


@dataclass(frozen=True)
class Shelf:
    """Records in a folder that may appear, grow and vanish at any time.

    Whoever calls a method holds the lock of the folder's parent; `Records` need none, because a
    file that is removed stays readable where it is mapped.
    """

    folder: Path

    def find(self, keys: Sequence[bytes]) -> Records | None:
        """Map the records of `keys`; None unless all of them are there."""
        index = self.index()
        if not all(key in index for key in keys):
            return None
        os.utime(self.folder)  # it was used now
        shape, dtype = self._form()
        array = np.memmap(self.folder / "records", dtype, "r", shape=(len(index), *shape))
        expected = np.fromfile(self.folder / "sums", np.uint32, len(index))
        sums = Sums(self.folder, expected, np.zeros(len(index), np.bool_))
        return Records(array, np.array([index[key] for key in keys], np.int64), sums)

    def index(self) -> dict[bytes, int]:
        """The row of every complete record."""
        try:
            keys = (self.folder / "keys").read_bytes()
            sums = (self.folder / "sums").stat().st_size
            complete = (self.folder / "records").stat().st_size // _record_bytes(*self._form())
        except (FileNotFoundError, ValueError, TypeError, LookupError, ZeroDivisionError):
            return {}  # gone, or with a form that is damaged
        count = min(len(keys) // KEY_BYTES, sums // SUM_BYTES, complete)
        return {keys[at * KEY_BYTES : (at + 1) * KEY_BYTES]: at for at in range(count)}

    def append(self, keys: Sequence[bytes], values: NDArray[Any]) -> None:
        """Add records (M, ...) under new keys: a key is there when its record is, power or not."""
        count = len(self.index())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not count:
            form = json.dumps([values.shape[1:], values.dtype.descr])
            _write(self.folder / "form.json", 0, memoryview(form.encode()))
        data = _as_bytes(values)
        sums = np.array([zlib.crc32(record) for record in data], np.uint32)
        _write(self.folder / "records", count * data.shape[1], data.data.cast("B"))
        _write(self.folder / "sums", count * SUM_BYTES, sums.data.cast("B"))
        _write(self.folder / "keys", count * KEY_BYTES, memoryview(b"".join(keys)))
        os.utime(self.folder)  # it is being used

    def _form(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of a record."""
        shape, description = json.loads((self.folder / "form.json").read_bytes())
        fields = [
            tuple(tuple(one) if isinstance(one, list) else one for one in field)
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
    """Put data at `start` and cut off what was behind it, down to the disk."""
    with path.open("ab", buffering=0) as file:
        file.truncate(start)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
