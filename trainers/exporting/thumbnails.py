"""Writes thumbnails of training pictures into the bundle, if the owner of the pictures wants it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from service.bundle.manifest import NOVELTY, THUMBNAILS
from trainers.dataset.dataset import Dataset
from trainers.progress import log
from trainers.reporting.gallery import make_jpeg

_BATCH = 64


def write(dataset: Dataset, folder: Path) -> None:
    """Write a thumbnail of each reference of the novelty, for explanations to show.

    The arrays of the file are `rows` (n,) int64, the row of each picture in split.csv; `ends` (n,)
    int64, the end of each JPEG; and `jpegs` (bytes,) uint8, all JPEGs one after the other.

    Args:
        folder: the folder with the novelty of the model. If the model has none, a line is logged
            instead.
    """
    if not (folder / NOVELTY).is_file():
        log.warning("no thumbnails are kept, because explanations of this model list no pictures")
        return
    with np.load(folder / NOVELTY, allow_pickle=False) as arrays:
        rows = arrays["rows"]
    jpegs: list[bytes] = []
    for start in range(0, len(rows), _BATCH):
        jpegs += map(make_jpeg, dataset.images[rows[start : start + _BATCH]])
    ends = np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64)
    joined = np.frombuffer(b"".join(jpegs), np.uint8)
    np.savez(folder / THUMBNAILS, rows=rows, ends=ends, jpegs=joined)
