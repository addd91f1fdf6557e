"""Measures how exact explanations are, and what they cost.

    .venv/bin/python -m benchmarks.trust.explain PLUGIN WEIGHTS FOLDER

A head is trained on frozen features of the pictures in the folder. The heat maps of all test
pictures are compared with Grad-CAM, which Keras computes by automatic differentiation. Times are
processor time, so other programs hardly matter; the tasks take turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

ROUNDS = 40
QUIET = Progress(is_quiet=True)


def main(plugin: str, weights: str, folder: str) -> None:
    set_up_logging(is_quiet=True)
    hardware.prepare(seed=0)
    size = resolve(plugin).image_size
    print(
        "| pictures | largest difference from Grad-CAM | median | above 0.001 "
        "| classify, ms | with heat maps, ms | explain and draw, ms |"
    )
    print("|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as work:
        cache = Cache(Path(work) / "cache", 20e9, Path(work), QUIET)
        dataset = splitting.split(load_dataset(scanning.scan(Path(folder)), cache), 0)
        dataset = decoding.decode_lazily(dataset, size, cache)
        print("| " + " | ".join(measure(dataset, plugin, weights, cache, Path(work))) + " |")


def measure(dataset: Dataset, plugin: str, weights: str, cache: Cache, folder: Path) -> list[str]:
    """Train a head, export the model with its heat maps, and return the cells of the row."""
    from service.bundle.manifest import HEAT_MAPS, MODEL
    from service.engine.onnx_session import open_session
    from service.explanation import overlay
    from service.explanation.heat_maps import HeatMapModel, normalize
    from trainers.exporting import export, heat_maps
    from trainers.exporting.formats import Source

    classifier = train(dataset, plugin, weights, cache)
    source = Source(classifier)
    export.export(source, folder, ["onnx"])
    heat_maps.export(classifier, folder)
    model = (folder / MODEL).read_bytes()
    session = open_session(model, threads=1)
    images = dataset.images[dataset.rows("test")]
    explaining = HeatMapModel(model, (folder / HEAT_MAPS).read_bytes())

    classes = source.predict(images).argmax(axis=1)
    maps = np.stack(
        [
            normalize(explaining.run(image).heat_maps[..., index])
            for image, index in zip(images, classes, strict=True)
        ]
    )
    differences = np.abs(maps - heat_maps.grad_cam(classifier, images, classes)).max(axis=(1, 2))

    def explain() -> None:
        evidence = explaining.run(images[0])
        overlay.draw(images[0], normalize(evidence.heat_maps[..., classes[0]]))

    times = milliseconds(
        lambda: session.run(["probabilities", "embedding"], {"images": images[:1]}),
        lambda: explaining.run(images[0]),
        explain,
    )
    return [
        str(len(images)),
        f"{differences.max():.1g}",
        f"{np.median(differences):.1g}",
        str((differences > heat_maps.TOLERANCE).sum()),
        *(f"{value:.2f}" for value in times),
    ]


def train(dataset: Dataset, plugin: str, weights: str, cache: Cache) -> Any:
    """Train a head on frozen features; return the classifier."""
    from trainers.features.network import Network
    from trainers.model.classifier import Classifier
    from trainers.phases import head_phase
    from trainers.phases.context import TrainingContext

    network = Network(resolve(plugin), weights, dataset.images.shape[1], 0)
    config = TrainingConfig(plugin=plugin)
    trained = head_phase.train_head(TrainingContext(config, network, dataset, cache, QUIET))
    return Classifier(network.backbone, network.body, network.embedder, trained.model, "")


def milliseconds(*tasks: Callable[[], object]) -> list[float]:
    """Run the tasks in turns; return the median duration of each."""
    durations: list[list[float]] = [[] for _ in tasks]
    for _ in range(ROUNDS):
        for task, own in zip(tasks, durations, strict=True):
            started = time.process_time()
            task()
            own.append(1000 * (time.process_time() - started))
    return [float(np.median(own)) for own in durations]


if __name__ == "__main__":
    main(*sys.argv[1:])
