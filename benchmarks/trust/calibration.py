"""Measures the calibration of scores and the sets of labels, over several seeds.

    .venv/bin/python -m benchmarks.trust.calibration PLUGIN WEIGHTS FOLDER [SEEDS=10] [--OPTION=X]

Each seed makes another split and another model; options are those of a training run.

The calibration error is pooled: the test pictures of all models are divided into ranges by score,
and the differences between mean score and accuracy are averaged over all pictures. So the error of
calibrated models is close to 0, although the error of a single test of 150 pictures is not (the
noise floor).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trust import sets
from benchmarks.trust.models import train_models

SPLITS = 20
"""Random splits for the sets of labels, over all seeds."""
TRUST_STEPS = (
    "calibrating on validation",
    "exporting heat maps",
    "embedding training pictures",
    "fitting the novelty",
    "fitting the reference of drift",
    "looking for wrong labels",
    "measuring the learning curve",
)
"""The steps of a training run that only serve to trust its answers. Two things are not counted: the
features of the test pictures for the last two steps; and that all features come from the cache
after the first seed, which makes the share of these steps larger."""


def main(plugin: str, weights: str, folder: str, seeds: str = "10", *options: str) -> None:
    values = dict(option.removeprefix("--").replace("-", "_").split("=") for option in options)
    records = []
    splits: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as work:
        os.environ["BENTOML_HOME"] = work
        models = train_models(plugin, weights, Path(folder), int(seeds), {**values, "output": work})
        for seed, model in enumerate(models):
            records.append({**model.metrics, **model.metrics["calibration"]})
            number = len(range(seed, SPLITS, int(seeds)))
            for name, rows in sets.measure(*model.test_pictures(), number, seed).items():
                splits[name] += rows
    print(f"| {plugin}, {folder}, {len(records)} seeds | |\n|---|---|")
    for name, value in (*summarise(records).items(), *summarise_sets(splits)):
        print(f"| {name} | {value} |")


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the rows of the table."""
    temperatures = [record["temperature"] for record in records]
    means = {
        name: np.mean([record[name] for record in records])
        for name in ("error", "error_before", "noise_floor")
    }
    accuracy = np.mean([record["test"]["accuracy"] for record in records])
    trust = [share_of_trust(record["seconds"]) for record in records]
    confident = [band for record in records for band in record["bands"] if band["low"] >= 0.9]
    answers = sum(band["n"] for band in confident)
    served = [record["sets"] for record in records if record["sets"]]
    coverage, size = (
        np.mean([figures[name] for figures in served]) if served else np.nan
        for name in ("coverage", "mean_size")
    )
    return {
        "test accuracy, mean": f"{accuracy:.3f}",
        "temperature": f"{min(temperatures):.2f} to {max(temperatures):.2f}",
        "calibration error, pooled over the seeds": f"{pooled_error(records):.4f}",
        "calibration error of a single test, mean": f"{means['error']:.4f}",
        "the same without temperature": f"{means['error_before']:.4f}",
        "the same if perfectly calibrated (noise floor)": f"{means['noise_floor']:.4f}",
        "right answers among those with a score of at least 90%": (
            f"{sum(band['correct'] for band in confident) / answers:.3f} of {answers}"
            if answers
            else "-"
        ),
        f"sets that the service returns: coverage (promised: {sets.CONFIDENCE:g}), labels": (
            f"{coverage:.3f}, {size:.2f}"
        ),
        "time for trust, compared with the rest of the run, median": f"{np.median(trust):.0%}",
    }


def summarise_sets(splits: dict[str, list[tuple[float, float]]]) -> Iterator[tuple[str, str]]:
    """Yield the rows of the table about the sets of each method."""
    for name, rows in splits.items():
        coverage, size = np.mean(rows, axis=0)
        yield (
            f"sets of {name}: coverage (promised: {sets.CONFIDENCE:g}), labels, {len(rows)} splits",
            f"{coverage:.3f}, {size:.2f}",
        )


def share_of_trust(seconds: dict[str, float]) -> float:
    """Return the time of the steps that answers need to be trusted, as a share of all others."""
    trust = sum(value for step, value in seconds.items() if step in TRUST_STEPS)
    return trust / (sum(seconds.values()) - trust)


def pooled_error(records: Sequence[dict[str, Any]]) -> float:
    """Return the expected calibration error of the test pictures of all models together."""
    gaps: dict[float, float] = defaultdict(float)
    for row in (row for record in records for row in record["bins"]):
        gaps[row["low"]] += row["correct"] - row["n"] * row["score"]
    count = sum(row["n"] for record in records for row in record["bins"])
    return sum(map(abs, gaps.values())) / count


if __name__ == "__main__":
    main(*sys.argv[1:])
