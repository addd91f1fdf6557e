"""Measures the accuracy of a head on frozen features of several backbones.

    .venv/bin/python -m benchmarks.backbones DATA_FOLDER [PLUGIN[=WEIGHTS] ...]

Without names, these are three backbones of Keras and all of KerasHub except DINOv3, with their
pretrained weights, which are downloaded. Each gets pictures of its own input size. The table shows
the mean test accuracy over three splits. If a backbone cannot be loaded, its row says why.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from benchmarks.pocket import SEEDS, accuracy
from plugins.base import BackboneError, WeightsError
from plugins.registry import families, resolve
from trainers import hardware
from trainers.cache.array_cache import Cache
from trainers.cli.log_output import set_up_logging
from trainers.comparing.candidates import Candidate, parse_candidates
from trainers.dataset import scanning
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.features import decoding
from trainers.progress import Progress

KERAS = "mobilenet:v2-1.0,efficientnet:v2-b0,resnet:50"
QUIET = Progress(is_quiet=True)


def main(folder: str, names: Sequence[str]) -> None:
    set_up_logging(is_quiet=True)
    hardware.prepare(seed=0)
    hub = [f"kerashub:{name}" for name in families()["kerashub"].variants if "dinov3" not in name]
    candidates = parse_candidates(",".join(names) or ",".join([KERAS, *hub]))
    print(f"| {Path(folder).name} | accuracy | standard deviation | seconds |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        cache = Cache(Path(work) / "cache", 20e9, Path(work), QUIET)
        data = load_dataset(scanning.scan(Path(folder)), cache)
        for candidate in candidates:
            print(f"| {candidate.label} | {measure(candidate, data, cache)} |", flush=True)


def measure(candidate: Candidate, data: Dataset, cache: Cache) -> str:
    """Return the cells of a row of the table."""
    keras.backend.clear_session()
    dataset = decoding.decode_lazily(data, resolve(candidate.plugin).image_size, cache)
    started = time.monotonic()
    try:
        figures = [
            accuracy(dataset, candidate.plugin, candidate.weights, seed, cache) for seed in SEEDS
        ]
    except (BackboneError, WeightsError) as error:
        return f"not measured: {' '.join(str(error).split())} | | "
    seconds = time.monotonic() - started
    return f"{np.mean(figures):.3f} | {np.std(figures):.3f} | {seconds:.0f}"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
