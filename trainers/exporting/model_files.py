"""Writes all formats of a classifier into a bundle, with heat maps, and compares them with Keras.

The golden pictures are a few test pictures in the bundle. The golden answers are the probabilities
that the Keras model computes for them. The service uses a bundle only if it reproduces them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle.manifest import GOLDEN_ANSWERS
from trainers.dataset.dataset import Dataset
from trainers.exporting import export, heat_maps
from trainers.exporting.formats import FORMATS, Source
from trainers.progress import Progress, log

LABELS = "labels.txt"
"""A file with the classes, one per line in the order of the probabilities, for other runtimes."""
GOLDEN_PICTURES = 8
"""A bundle contains at most this many golden pictures."""
PARITY_PICTURES = 32
"""The exported formats are compared with the Keras model on at most this many pictures."""


def export_model(
    source: Source, formats: Sequence[str], dataset: Dataset, staging: Path, progress: Progress
) -> dict[str, Any]:
    """Write a calibrated classifier and its golden pictures into a bundle, and check all formats.

    Args:
        formats: formats in addition to those of every bundle.
        staging: the folder of the bundle.

    Returns:
        The results of the comparisons, for the manifest.

    Raises:
        ParityError: a format does not give the same results as the Keras model.
        ConversionError: the network contains an operation that cannot be converted.
        OSError: the disk is full.
    """
    with progress.step("exporting ONNX and SavedModel"):
        export.export(source, staging)
    for name in formats:
        with progress.step(f"exporting {name}"):
            export.export(source, staging, [name])
    if formats:
        (staging / LABELS).write_text("\n".join(dataset.classes) + "\n", encoding="utf-8")
    with progress.step("comparing the exports with Keras"):
        rows = np.concatenate([dataset.rows("test"), dataset.rows("train")])[:PARITY_PICTURES]
        images = dataset.images[rows]
        parity = export.check_parity(source, staging, images, (*FORMATS, *formats))
        _write_golden(source, dataset, staging)
    if not heat_maps.has_regions(source.classifier):
        name = source.classifier.backbone.name
        log.info("the model has no heat maps, because %s describes a picture only as a whole", name)
        return parity
    with progress.step("exporting heat maps"):
        heat_maps.export(source.classifier, staging)
        parity["heat_maps"] = heat_maps.check_parity(source, staging, images)
    return parity


def _write_golden(source: Source, dataset: Dataset, staging: Path) -> None:
    """Write the golden pictures and the golden answers into the bundle.

    One test picture of each class is a golden picture, up to GOLDEN_PICTURES.
    """
    rows = dataset.rows("test")
    _, first_of_class = np.unique(dataset.labels[rows], return_index=True)
    chosen = rows[first_of_class][:GOLDEN_PICTURES]
    answers = source.predict(dataset.images[chosen])
    folder = staging / Path(GOLDEN_ANSWERS).parent
    folder.mkdir()
    golden: dict[str, list[float]] = {}
    for number, (row, probabilities) in enumerate(zip(chosen, answers, strict=True)):
        name = f"{number}.{dataset.inspections['format'][row].decode().lower()}"
        (folder / name).write_bytes(dataset.read_picture(row))
        golden[name] = [float(probability) for probability in probabilities]
    write_json(staging / GOLDEN_ANSWERS, golden)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file; infinite numbers and NaN are errors."""
    text = json.dumps(content, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
