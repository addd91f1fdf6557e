"""Measures how long `trainers.check` takes on a folder of 10,000 generated pictures.

    .venv/bin/python benchmarks/checking.py [PICTURES] [THUMBNAILS]

All pictures are different and have 500 x 375 pixels. Half of them are JPEG, a quarter PNG and a
quarter WebP. Then the script measures how long the search for duplicates takes among 30,000
thumbnails. This time grows with the square of the number of thumbnails.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from trainers.dataset import duplicates
from trainers.dataset.inspection import INSPECTION, THUMBNAIL_SIZE

SIZE = (500, 375)
CLASSES = 10
SUFFIXES = (".jpg", ".jpg", ".png", ".webp")
PER_TASK = 100


def main(pictures: str = "10000", thumbnails: str = "30000") -> None:
    count, thumbnail_count = int(pictures), int(thumbnails)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        with ProcessPoolExecutor() as processes:
            list(processes.map(draw, [folder] * count, range(count), chunksize=PER_TASK))
        print(f"drew {count:,} pictures in {time.monotonic() - started:.1f} s", flush=True)
        started = time.monotonic()
        command = [sys.executable, "-m", "trainers.check", "--data", folder]
        completed = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds, output = time.monotonic() - started, completed.stdout.strip()
        print(f"checked the folder in {seconds:.1f} s; the check printed: {output}", flush=True)
    started = time.monotonic()
    groups = duplicates.group_duplicates(
        [str(row) for row in range(thumbnail_count)],
        draw_thumbnails(thumbnail_count),
        np.zeros(thumbnail_count, np.int64),
    )
    seconds, group_count = time.monotonic() - started, len(np.unique(groups))
    print(
        f"searched {thumbnail_count:,} thumbnails for duplicates in {seconds:.1f} s; "
        f"found {group_count:,} groups"
    )


def draw(folder: str, number: int) -> None:
    path = Path(folder, f"class{number % CLASSES}", f"{number}{SUFFIXES[number % len(SUFFIXES)]}")
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(number)
    patches = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
    scene = np.asarray(patches.resize(SIZE, Image.Resampling.BICUBIC), np.int16)
    grain = rng.integers(-6, 7, (SIZE[1], SIZE[0], 1), np.int16)
    picture = Image.fromarray((scene + grain).clip(0, 255).astype(np.uint8))
    picture.save(path, quality=85, compress_level=1, method=0)


def draw_thumbnails(count: int) -> np.ndarray:
    """Return records (N,) of dtype INSPECTION with generated thumbnails.

    The thumbnails have a frequency spectrum like that of photographs.
    """
    rng = np.random.default_rng(0)
    inspections = np.zeros(count, INSPECTION)
    for start in range(0, count, 1000):
        part = inspections[start : start + 1000]
        scene = np.zeros((len(part), THUMBNAIL_SIZE, THUMBNAIL_SIZE), np.float32)
        for cells in (2, 4, 8, 16):
            patches = rng.normal(0, 60 / cells**0.5, (len(part), cells, cells)).astype(np.float32)
            scene += patches.repeat(THUMBNAIL_SIZE // cells, 1).repeat(THUMBNAIL_SIZE // cells, 2)
        part["thumbnail"] = (128 + scene).clip(0, 255)
    return inspections


if __name__ == "__main__":
    main(*sys.argv[1:])
