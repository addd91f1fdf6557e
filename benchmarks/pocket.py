"""Measures the accuracy of a head on frozen features of `pocket`.

    .venv/bin/python benchmarks/pocket.py DATA_FOLDER [MOBILENET_V2_0.35_WEIGHTS]

The table shows the mean test accuracy over three splits, with a column for each of three input
sizes. One row is for pocket with random weights, and one for pocket with its own (embedded)
weights. If a weights file is given, a third row is for MobileNetV2 0.35 with these weights.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from plugins.registry import resolve
from trainers import hardware
from trainers.cache.array_cache import Cache
from trainers.cli.log_output import set_up_logging
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.dataset.splits import splitting
from trainers.features import decoding
from trainers.progress import Progress

SIZES, SEEDS = (64, 96, 128), (0, 1, 2)
QUIET = Progress(is_quiet=True)


def main(folder: str, imagenet: str = "") -> None:
    set_up_logging(is_quiet=True)
    hardware.prepare(seed=0)
    networks = {"random": ("pocket", "none"), "embedded": ("pocket", "embedded")}
    if imagenet:
        networks["ImageNet, MobileNetV2 0.35"] = ("mobilenet:v2-0.35", imagenet)
    rows: dict[str, list[str]] = {name: [] for name in networks}
    with tempfile.TemporaryDirectory() as work:
        cache = Cache(Path(work) / "cache", 20e9, Path(work), QUIET)
        data = load_dataset(scanning.scan(Path(folder)), cache)
        for size in SIZES:
            dataset = decoding.decode_lazily(data, size, cache)
            for name, (plugin, weights) in networks.items():
                figures = [accuracy(dataset, plugin, weights, seed, cache) for seed in SEEDS]
                rows[name].append(f"{np.mean(figures):.3f}")
    print(f"| {Path(folder).name} | " + " | ".join(f"{size} px" for size in SIZES) + " |")
    print("|---" * (len(SIZES) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def accuracy(dataset: Dataset, plugin: str, weights: str, seed: int, cache: Cache) -> float:
    """Train a head with default options on frozen features; return its test accuracy."""
    from trainers.features.network import Network
    from trainers.phases import head_phase
    from trainers.phases.context import TrainingContext

    split = splitting.split(dataset, seed)
    network = Network(resolve(plugin), weights, dataset.images.shape[1], seed)
    config = TrainingConfig(plugin=plugin, seed=seed)
    context = TrainingContext(config, network, split, cache, QUIET)
    test = head_phase.extract_embeddings(context, context.pictures("test"), 1).read_all()[:, 0]
    answers = np.asarray(head_phase.train_head(context).model(test, training=False))
    return float((answers.argmax(axis=1) == split.labels[split.rows("test")]).mean())


if __name__ == "__main__":
    main(*sys.argv[1:])
