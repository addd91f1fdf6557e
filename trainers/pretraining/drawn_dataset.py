"""The drawn pictures on disk. They are drawn once, on all cores; an interrupted run continues."""

from __future__ import annotations

import math
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.bundle.files import fsync
from trainers.pretraining.scenes import SceneTemplate, draw_picture
from trainers.progress import Progress
from trainers.workspace import disk_array

PICTURE_SIZE = 72
"""Side of a drawn picture in pixels, before training crops it."""
_CLASSES_PER_FLUSH = 32
"""Pictures are flushed to disk after each batch of this number of classes. A stopped run continues
after the last flush."""


@dataclass(frozen=True)
class DrawnDataset:
    """The drawn pictures, class after class.

    Attributes:
        images: (classes * per_class, PICTURE_SIZE, PICTURE_SIZE, 3) uint8 RGB.
        classes: the number of classes.
        per_class: the number of pictures in each class.
    """

    images: NDArray[np.uint8]
    classes: int
    per_class: int

    def split(self, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows for training, and the last `held_out` rows of each class."""
        rows = np.arange(len(self.images))
        is_held_out = rows % self.per_class >= self.per_class - held_out
        return rows[~is_held_out], rows[is_held_out]

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows // self.per_class


def draw_dataset(
    classes: int, per_class: int, seed: int, folder: Path, progress: Progress
) -> DrawnDataset:
    """Draw the pictures that are not yet in `folder`, and open all of them as a memory map.

    Raises:
        WorkspaceError: there is too little space on the disk.
    """
    path, progress_file = folder / "pictures.u8", folder / "classes-drawn.txt"
    shape = (classes * per_class, PICTURE_SIZE, PICTURE_SIZE, 3)
    text = progress_file.read_text(encoding="utf-8") if progress_file.is_file() else ""
    done = min(int(text), classes) if text.isdecimal() else 0
    if done and path.is_file() and path.stat().st_size == math.prod(shape):
        images: NDArray[np.uint8] = np.memmap(path, np.uint8, "r+", shape=shape)
    else:
        done, images = 0, disk_array(path, np.uint8, shape)
    draw = partial(draw_class, per_class=per_class, seed=seed)
    remaining = range(done, classes)
    if remaining:
        with ProcessPoolExecutor(initializer=_exit_with_parent) as pool:
            drawn = progress.track(pool.map(draw, remaining), len(remaining), "drawing classes")
            for number, pictures in zip(remaining, drawn, strict=True):
                images[number * per_class : (number + 1) * per_class] = pictures
                if (number + 1) % _CLASSES_PER_FLUSH == 0 or number + 1 == classes:
                    images.flush()  # type: ignore[attr-defined]  # a memmap
                    write_atomically(progress_file, str(number + 1))
    return DrawnDataset(images, classes, per_class)


def draw_class(number: int, per_class: int, seed: int) -> NDArray[np.uint8]:
    """Draw the pictures of one class; the same number and seed give the same pictures.

    Returns:
        (per_class, PICTURE_SIZE, PICTURE_SIZE, 3) uint8 RGB.
    """
    template = SceneTemplate.sample(np.random.default_rng((seed, number)))
    rngs = (np.random.default_rng((seed, number, picture)) for picture in range(per_class))
    return np.stack([draw_picture(template, PICTURE_SIZE, rng) for rng in rngs])


def write_atomically(path: Path, text: str) -> None:
    """Write a small file. If the process is killed, the file has its old or its new content."""
    partial_path = path.with_suffix(".partial")
    partial_path.write_text(text, encoding="utf-8")
    fsync(partial_path)
    partial_path.replace(path)


def _exit_with_parent() -> None:
    """End this worker process when its parent process ends, even if the parent is killed.

    The worker ignores Ctrl-C: the terminal sends it to both processes, and the parent handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent  # this runs in a pool's process

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
