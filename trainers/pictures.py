"""Every picture decoded once, by the service's decoder, at the model's input size, onto the disk.

Epochs read them from a file in the run's workspace, whatever its size.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from service.errors import RequestError
from service.imaging import decode as decode_picture
from trainers.data import Dataset
from trainers.looking import read_file
from trainers.progress import Progress
from trainers.scanning import DataError
from trainers.workspace import disk_array


def decode(dataset: Dataset, size: int, workspace: Path, progress: Progress) -> Dataset:
    """Decode all pictures into `workspace`, in threads, each into its row.

    Returns:
        The dataset with `images` (N, size, size, 3) uint8.

    Raises:
        DataError: a file is no longer what it was when it was looked at.
        WorkspaceError: too little room on the disk.
    """
    shape = (len(dataset.paths), size, size, 3)
    images = disk_array(workspace / "pictures.u8", np.uint8, shape)

    def decode_row(row: int) -> None:
        images[row] = decode_picture(_unchanged(dataset, row), size)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        done = threads.map(decode_row, range(len(dataset.paths)))
        for _ in progress.track(done, len(dataset.paths), "decoding"):
            pass
    return replace(dataset, images=images)


def _unchanged(dataset: Dataset, row: int) -> bytes:
    path = dataset.folder / dataset.paths[row]
    try:
        data = read_file(path)
    except (RequestError, OSError) as error:
        raise _changed(path) from error
    if hashlib.sha256(data).hexdigest() != dataset.digests[row]:
        raise _changed(path)
    return data


def _changed(path: Path) -> DataError:
    return DataError(
        f"{path} changed while the folder was read: run again when nobody writes to it any more"
    )
