"""What are the pocket backbone's own weights worth? Frozen features and a linear head, as a table.

.venv/bin/python benchmarks/pocket.py DATA_FOLDER [MOBILENET_V2_0.35_WEIGHTS]

Mean test accuracy over three splits, at three input sizes: random weights, the embedded ones and,
where a file of them is at hand, ImageNet weights of MobileNetV2 0.35.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from plugins.registry import resolve
from trainers import data, hardware, pictures, scanning, splitting
from trainers.config import TrainingConfig
from trainers.data import Dataset
from trainers.progress import Progress, set_up_logging

SIZES, SEEDS = (64, 96, 128), (0, 1, 2)
QUIET = Progress(is_quiet=True)


def main(folder: str, imagenet: str = "") -> None:
    set_up_logging(is_quiet=True)
    hardware.prepare(seed=0)
    networks = {"random": ("pocket", "none"), "embedded": ("pocket", "embedded")}
    if imagenet:
        networks["ImageNet, MobileNetV2 0.35"] = ("mobilenet:v2-0.35", imagenet)
    rows: dict[str, list[str]] = {name: [] for name in networks}
    found = data.read(scanning.scan(Path(folder)), QUIET)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as work:
            dataset = pictures.decode(found, size, Path(work), QUIET)
            for name, (plugin, weights) in networks.items():
                figures = [accuracy(dataset, plugin, weights, seed) for seed in SEEDS]
                rows[name].append(f"{np.mean(figures):.3f}")
    print(f"| {Path(folder).name} | " + " | ".join(f"{size} px" for size in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def accuracy(dataset: Dataset, plugin: str, weights: str, seed: int) -> float:
    """Test accuracy of the head phase alone, with its default settings."""
    import keras

    from trainers import fitting, phases

    keras.utils.set_random_seed(seed)
    split = splitting.split(dataset, seed)
    backbone = resolve(plugin)
    body = backbone.load(weights, dataset.images.shape[1])
    with tempfile.TemporaryDirectory() as work:
        config = TrainingConfig(
            plugin=plugin, seed=seed, fine_tune_epochs=0, output=Path(work) / "out"
        )
        run = fitting.Run.of(config, split, Path(work), QUIET)
        answer = phases.train(backbone, body, run).classifier.outputs()
        rows = split.rows("test")
        batches = np.array_split(split.images[rows].astype(np.float32), 1 + len(rows) // 32)
        found = [answer(batch, training=False)["probabilities"].numpy() for batch in batches]
    right = np.concatenate(found).argmax(axis=1) == split.labels[rows]
    return float(right.mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
