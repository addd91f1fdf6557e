"""Measures how far the scores of models can be trusted, over several seeds.

    .venv/bin/python -m benchmarks.trust PLUGIN WEIGHTS FOLDER [SEEDS=10] [--OPTION=VALUE ...]

Each seed makes another split and another model. The calibration error is pooled: the test pictures
of all models are divided into ranges by score, and the differences between mean score and accuracy
are averaged over all pictures. So the error of a calibrated model is close to 0, although the error
of a single test of 150 pictures is not (the noise floor).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trainers import train


def main(plugin: str, weights: str, folder: str, seeds: str = "10", *options: str) -> None:
    values = dict(option.removeprefix("--").replace("-", "_").split("=") for option in options)
    with tempfile.TemporaryDirectory() as work:
        os.environ["BENTOML_HOME"] = work
        records = list(measure(plugin, weights, folder, int(seeds), {**values, "output": work}))
    print(f"| {plugin}, {folder}, {len(records)} seeds | |\n|---|---|")
    for name, value in summarise(records).items():
        print(f"| {name} | {value} |")


def measure(
    plugin: str, weights: str, folder: str, seeds: int, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Train a model with each seed; yield its test accuracy and its calibration."""
    for seed in range(seeds):
        result = train(plugin, folder, weights=weights, seed=seed, name="trust", **options)
        metrics = result.metrics
        yield {"accuracy": metrics["test"]["accuracy"], **metrics["calibration"]}
        print(f"seed {seed} is done", file=sys.stderr, flush=True)


def summarise(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the rows of the table."""
    temperatures = [record["temperature"] for record in records]
    means = {
        name: np.mean([record[name] for record in records])
        for name in ("accuracy", "error", "error_before", "noise_floor")
    }
    sets = [record["sets"] for record in records if record["sets"]]
    confident = [band for record in records for band in record["bands"] if band["low"] >= 0.9]
    answers = sum(band["n"] for band in confident)
    return {
        "test accuracy, mean": f"{means['accuracy']:.3f}",
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
        "coverage of the sets of labels, mean (promised: 0.9)": (
            f"{np.mean([row['coverage'] for row in sets]):.3f}"
        ),
        "labels in a set, mean": f"{np.mean([row['mean_size'] for row in sets]):.2f}",
    }


def pooled_error(records: Sequence[dict[str, Any]]) -> float:
    """Return the expected calibration error of the test pictures of all models together."""
    gaps: dict[float, float] = defaultdict(float)
    for row in (row for record in records for row in record["bins"]):
        gaps[row["low"]] += row["correct"] - row["n"] * row["score"]
    count = sum(row["n"] for record in records for row in record["bins"])
    return sum(map(abs, gaps.values())) / count


if __name__ == "__main__":
    main(*sys.argv[1:])
