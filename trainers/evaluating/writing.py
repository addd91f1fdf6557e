"""Writes the folder of an evaluation: the page, metrics.json and predictions.csv."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from service.bundle import summary
from service.bundle.manifest import Manifest
from trainers.evaluating import page
from trainers.evaluating.classifying import Answers
from trainers.multi_label.metrics import AVERAGES
from trainers.progress import log

PAGE = "report.html"
MAX_CONFUSED_PAIRS = 3
"""The log shows at most this many pairs of confused classes. The page shows more."""


def write(
    staging: Path,
    output: Path,
    manifest: Manifest,
    metrics: Mapping[str, Any],
    answers: Answers,
) -> Path:
    """Write the page and metrics.json into `staging`, and move it to `output`; return the page.

    The name of the new folder follows from the model and the pictures, so an evaluation replaces an
    earlier one of the same. If the process is killed, the folder is complete or missing.

    Args:
        staging: a folder with predictions.csv, on the file system of `output`.
    """
    content = json.dumps(metrics, indent=2, allow_nan=False)
    (staging / "metrics.json").write_text(content + "\n", encoding="utf-8")
    (staging / PAGE).write_text(page.render(manifest, metrics, answers), encoding="utf-8")
    name = f"evaluation-{manifest.name}-{manifest.version}-{answers.pictures.fingerprint[:8]}"
    final = output / name
    if final.exists():
        final.rename(staging.with_name("replaced"))
    staging.rename(final)
    return final / PAGE


def log_figures(manifest: Manifest, metrics: Mapping[str, Any]) -> None:
    """Log the accuracy, the most confused classes, and the pictures without an answer."""
    for line in _describe(manifest, metrics):
        log.info("%s", line)


def _describe(manifest: Manifest, metrics: Mapping[str, Any]) -> Iterator[str]:
    test, refused = metrics["test"], metrics["refused"]
    low, high = test["accuracy_interval"]
    averages = "".join(
        f"{name.replace('_', ' ').replace('f1', 'F1')} {test[name]:.4f}, "
        for name in AVERAGES
        if test.get(name) is not None
    )
    yield (
        f"{averages}accuracy {test['accuracy']:.4f} "
        f"{'(all labels of a picture right) ' * manifest.is_multi_label}on {_count(test['n'])} "
        f"(95% confidence interval {low:.3f} to {high:.3f}); at the end of the training: "
        f"{summary.describe_accuracy(manifest)}"
    )
    for pair in test.get("most_confused", [])[:MAX_CONFUSED_PAIRS]:
        yield f"  {pair['advice']}"
    if refused:
        yield (
            f"{_count(len(refused))} got no answer, and {'does' if len(refused) == 1 else 'do'} "
            f"not count; the first: {refused[0]['path']}: {refused[0]['message']}"
        )
    if novelty := metrics["novelty"]:
        known, unknown = novelty["test"], novelty["unknown_classes"]
        of_known = " of known classes" * (not manifest.is_multi_label)
        yield f"called unknown: {_unknown_of(known)}{of_known}" + (
            f", {_unknown_of(unknown)} of unknown classes" if unknown["n"] else ""
        )


def record(path: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the command prints with --json.

    Of a multi-label model, the accuracy is the share of pictures whose labels are all right, and
    there are also macro_f1, micro_f1 and mean_average_precision.
    """
    test, model = metrics["test"], metrics["model"]
    return {
        "page": str(path),
        "model": f"{model['name']}:{model['version']}",
        "data": metrics["data"]["folder"],
        "accuracy": test["accuracy"],
        "accuracy_interval": test["accuracy_interval"],
        **{name: test[name] for name in AVERAGES if name in test},
        "pictures": test["n"],
        "seen": metrics["seen"],
        "refused": len(metrics["refused"]),
        "unknown": sum(figures["n"] for figures in metrics["unknown_classes"].values()),
    }


def _count(number: int) -> str:
    return f"{number:,} picture{'' if number == 1 else 's'}"


def _unknown_of(figures: Mapping[str, Any]) -> str:
    return f"{figures['unknown']:,} of {_count(figures['n'])}"
