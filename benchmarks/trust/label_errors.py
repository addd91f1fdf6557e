"""Measures how many wrong labels a run finds, on pictures whose labels are partly changed.

    .venv/bin/python -m benchmarks.trust.label_errors PLUGIN WEIGHTS FOLDER [SEEDS=10] [SHARE=0.05]

With each seed, a share of the labels is changed to another class, at random; pictures that have
duplicates keep theirs. Then a head is trained, and labels are examined, as in a run. Recall is the
share of the changed labels that are suspects. Precision is the share of the suspects whose label
was changed: suspects whose label was wrong from the start count as false alarms.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plugins.registry import resolve
from service.system.folders import cache_folder
from trainers.cache.array_cache import Cache
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.dataset.splits import splitting
from trainers.features import decoding
from trainers.features.network import Network
from trainers.phases import head_phase
from trainers.phases.advising import advise
from trainers.phases.context import TrainingContext
from trainers.progress import Progress


@dataclass(frozen=True)
class Result:
    """The suspects of one seed: how many there are, and how many labels were changed or found."""

    suspects: int
    changed: int
    found: int


def main(plugin: str, weights: str, folder: str, seeds: str = "10", share: str = "0.05") -> None:
    results = list(measure(plugin, weights, Path(folder), int(seeds), float(share)))
    print(f"| {plugin}, {folder}, {float(share):.0%} wrong, {len(results)} seeds | |\n|---|---|")
    for name, value in summarise(results).items():
        print(f"| {name} | {value} |")


def measure(plugin: str, weights: str, folder: Path, seeds: int, share: float) -> Iterator[Result]:
    """Change labels and look for them, with each seed."""
    backbone, silent = resolve(plugin), Progress(is_quiet=True)
    with tempfile.TemporaryDirectory() as work:
        cache = Cache(cache_folder() / "arrays", 10e9, Path(work) / "cache", silent)
        original = load_dataset(scanning.scan(folder), cache)
        for seed in range(seeds):
            dataset, is_changed = change_labels(original, share, np.random.default_rng(seed))
            config = TrainingConfig(plugin=plugin, weights=weights, seed=seed, flip="horizontal")
            dataset = splitting.split(dataset, seed)
            dataset = decoding.decode_lazily(dataset, backbone.image_size, cache)
            network = Network(backbone, weights, backbone.image_size, seed)
            context = TrainingContext(config, network, dataset, cache, silent)
            suspects = advise(context, head_phase.train_head(context).history).suspects.rows
            yield Result(len(suspects), int(is_changed.sum()), int(is_changed[suspects].sum()))
            print(f"seed {seed} is done", file=sys.stderr, flush=True)
        cache.close()


def change_labels(
    dataset: Dataset, share: float, rng: np.random.Generator
) -> tuple[Dataset, NDArray[np.bool_]]:
    """Change a share of the labels to another class, each with the same probability.

    Returns:
        The dataset with these labels, and whether each label (N,) was changed.
    """
    _, group, sizes = np.unique(dataset.duplicate_groups, return_inverse=True, return_counts=True)
    single = np.flatnonzero(sizes[group] == 1)
    chosen = rng.choice(single, round(share * len(dataset.labels)), replace=False)
    labels, classes = dataset.labels.copy(), len(dataset.classes)
    labels[chosen] = (labels[chosen] + rng.integers(1, classes, len(chosen))) % classes
    return replace(dataset, labels=labels), labels != dataset.labels


def summarise(results: Sequence[Result]) -> dict[str, str]:
    """Return the rows of the table."""
    recalls = [result.found / result.changed for result in results]
    precisions = [result.found / max(1, result.suspects) for result in results]
    return {
        "changed labels": f"{np.mean([result.changed for result in results]):.0f}",
        "suspects, mean": f"{np.mean([result.suspects for result in results]):.1f}",
        "recall, mean (lowest)": f"{np.mean(recalls):.2f} ({min(recalls):.2f})",
        "precision, mean (lowest)": f"{np.mean(precisions):.2f} ({min(precisions):.2f})",
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
