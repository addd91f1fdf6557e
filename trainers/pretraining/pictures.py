"""The drawn pictures on disk: all classes, made once by every core, going on where it stopped."""

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

from service.bundle.files import flush
from trainers.pretraining.scenes import Recipe, draw_picture
from trainers.progress import Progress
from trainers.workspace import disk_array

SIZE = 72
"""Side of a drawn picture, in pixels; training looks at parts of it."""
_AT_ONCE = 32  # classes drawn between two notes of how far it is


@dataclass(frozen=True)
class Drawn:
    """images (classes * per_class, SIZE, SIZE, 3) uint8, class after class."""

    images: NDArray[np.uint8]
    classes: int
    per_class: int

    def split(self, held_out: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to learn from and rows held out: the last `held_out` pictures of every class."""
        rows = np.arange(len(self.images))
        is_held_out = rows % self.per_class >= self.per_class - held_out
        return rows[~is_held_out], rows[is_held_out]

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows // self.per_class


def draw_all(classes: int, per_class: int, seed: int, folder: Path, progress: Progress) -> Drawn:
    """Draw what `folder` does not hold yet.

    Raises:
        WorkspaceError: the disk has too little room.
    """
    path, note = folder / "pictures.u8", folder / "classes-drawn.txt"
    shape = (classes * per_class, SIZE, SIZE, 3)
    noted = note.read_text(encoding="utf-8") if note.is_file() else ""
    done = min(int(noted), classes) if noted.isdecimal() else 0
    if done and path.is_file() and path.stat().st_size == math.prod(shape):
        images: NDArray[np.uint8] = np.memmap(path, np.uint8, "r+", shape=shape)
    else:
        done, images = 0, disk_array(path, np.uint8, shape)
    draw = partial(draw_class, per_class=per_class, seed=seed)
    remaining = range(done, classes)
    if remaining:
        with ProcessPoolExecutor(initializer=_end_with_parent) as pool:
            drawn = progress.track(pool.map(draw, remaining), len(remaining), "drawing classes")
            for number, pictures in zip(remaining, drawn, strict=True):
                images[number * per_class : (number + 1) * per_class] = pictures
                if (number + 1) % _AT_ONCE == 0 or number + 1 == classes:
                    images.flush()  # type: ignore[attr-defined]  # a memmap
                    write_whole(note, str(number + 1))
    return Drawn(images, classes, per_class)


def draw_class(number: int, per_class: int, seed: int) -> NDArray[np.uint8]:
    """All pictures of one class: (per_class, SIZE, SIZE, 3) uint8, the same for the same seed."""
    recipe = Recipe.draw(np.random.default_rng((seed, number)))
    rngs = (np.random.default_rng((seed, number, picture)) for picture in range(per_class))
    return np.stack([draw_picture(recipe, SIZE, rng) for rng in rngs])


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that a kill leaves the old one or the new one."""
    partial_path = path.with_suffix(".partial")
    partial_path.write_text(text, encoding="utf-8")
    flush(partial_path)
    partial_path.replace(path)


def _end_with_parent() -> None:
    """A killed run must not leave its drawing processes waiting for work for ever.

    Ctrl+C reaches them, too; the parent alone answers it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent  # this runs in a pool's process

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
