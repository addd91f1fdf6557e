"""Records of one shape on disk, each under the hash of what it was made from.

Two files that only grow: records first, their keys afterwards, so that a kill at any moment
leaves at most records without keys, which the next writer overwrites.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEY_BYTES = 32


@dataclass(frozen=True)
class Records:
    """Records (N, ...) in the order of the keys that were asked for; read from disk by index."""

    array: NDArray[Any]
    rows: NDArray[np.int64]

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
        return Records(self.array, self.rows[positions])

    def __getitem__(self, positions: Any) -> NDArray[Any]:
        """A copy of the records at positions: an index array, a mask or a slice."""
        return np.asarray(self.array[self.rows[positions]])


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
        return Records(array, np.array([index[key] for key in keys], np.int64))

    def index(self) -> dict[bytes, int]:
        """The row of every complete record."""
        try:
            keys = (self.folder / "keys").read_bytes()
            complete = (self.folder / "records").stat().st_size // _record_bytes(*self._form())
        except FileNotFoundError:
            return {}
        count = min(len(keys) // KEY_BYTES, complete)
        return {keys[at * KEY_BYTES : (at + 1) * KEY_BYTES]: at for at in range(count)}

    def append(self, keys: Sequence[bytes], values: NDArray[Any]) -> None:
        """Add records (M, ...) under new keys: a key is there when its record is, power or not."""
        count = len(self.index())
        self.folder.mkdir(parents=True, exist_ok=True)
        if not count:
            form = json.dumps([values.shape[1:], values.dtype.descr])
            _write(self.folder / "form.json", 0, memoryview(form.encode()))
        data = np.ascontiguousarray(values).view(np.uint8).data.cast("B")
        size_bytes = _record_bytes(values.shape[1:], values.dtype)
        _write(self.folder / "records", count * size_bytes, data)
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


def _record_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _write(path: Path, start: int, data: memoryview) -> None:
    """Put data at `start` and cut off what was behind it, down to the disk."""
    with path.open("ab", buffering=0) as file:
        file.truncate(start)
        while data:
            data = data[file.write(data) :]
        os.fsync(file.fileno())
