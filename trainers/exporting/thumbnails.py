"""Writes thumbnails of training pictures into the bundle, if the owner of the pictures wants it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.dataset import Dataset
from trainers.reporting.gallery import make_jpeg

_BATCH = 64


def write(dataset: Dataset, rows: NDArray[np.int64], path: Path) -> None:
    """Write thumbnails into one file, which `service.explanation.training_pictures` reads.

    Its arrays are `rows` (n,) int64, the row of each picture in split.csv; `ends` (n,) int64, the
    end of each JPEG; and `jpegs` (bytes,) uint8, all JPEGs one after the other.

    Args:
        rows: (n,) the rows of the pictures in the dataset.
    """
    jpegs: list[bytes] = []
    for start in range(0, len(rows), _BATCH):
        jpegs += map(make_jpeg, dataset.images[rows[start : start + _BATCH]])
    ends = np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64)
    np.savez(path, rows=rows, ends=ends, jpegs=np.frombuffer(b"".join(jpegs), np.uint8))
