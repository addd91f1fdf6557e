"""Describe a model in words: its training data, its accuracy, and warnings about it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import BaseModel

from service.bundle.manifest import Manifest

DRAWN: Final = "drawn sample pictures"
FOLDER: Final = "pictures of a folder"
UNKNOWN: Final = "unknown"
"""The value of `TrainingData.source` if the manifest records no valid source, as in old bundles."""
FEW_TEST_PICTURES: Final = 20
"""A model that was tested on fewer pictures than this gets a warning about its accuracy."""
_MIN_GAIN: Final = 0.1
"""An accuracy is near chance if it covers less than this fraction of the range from chance to 1."""


class TrainingData(BaseModel):
    """The source and number of the pictures that the model was trained on."""

    source: Literal["drawn sample pictures", "pictures of a folder", "unknown"]
    pictures: int | None


def training_data(manifest: Manifest) -> dict[str, Any]:
    """Build the JSON of a `TrainingData`; a missing or invalid value becomes UNKNOWN or None."""
    record = _data_record(manifest)
    source, pictures = record.get("source"), record.get("pictures")
    return {
        "source": source if source in (DRAWN, FOLDER) else UNKNOWN,
        "pictures": pictures if isinstance(pictures, int) else None,
    }


def public_manifest(manifest: Manifest) -> dict[str, Any]:
    """Build the JSON of a manifest for GET /model: its public part, its data and its warnings."""
    warnings = list(model_warnings(manifest))
    return {"data": training_data(manifest), "warnings": warnings, **manifest.public()}


def describe(manifest: Manifest) -> str:
    """Return the name, the training data and the accuracy of a model, in one line for logs.

    The line names the folder of the training data, which GET /model must not show to clients.
    """
    record, data = _data_record(manifest), training_data(manifest)
    pictures = "" if data["pictures"] is None else f"{data['pictures']:,} "
    folder = f"`{record['folder']}`" if "folder" in record else "unknown origin"
    source = DRAWN if data["source"] == DRAWN else f"pictures of {folder}"
    return (
        f"{manifest.name}:{manifest.version}, made from {pictures}{source}, "
        f"{describe_accuracy(manifest)}"
    )


def describe_accuracy(manifest: Manifest) -> str:
    """Return the test accuracy as text, with the number of test pictures if it is known."""
    metrics = manifest.metrics
    if "test_accuracy" not in metrics:
        return "test accuracy unknown"
    count = metrics.get("test_pictures")
    on = "" if count is None else f" on {count:,} test picture{'s' if count != 1 else ''}"
    if "test_macro_f1" in metrics:
        return (
            f"macro F1 {metrics['test_macro_f1']:.4f}, mean average precision "
            f"{metrics['test_mean_average_precision']:.4f}, all labels right "
            f"{metrics['test_accuracy']:.4f}{on}"
        )
    return f"test accuracy {metrics['test_accuracy']:.4f}{on}"


def model_warnings(manifest: Manifest) -> Iterator[str]:
    """Yield the warnings about the accuracy of a model."""
    metrics, classes = manifest.metrics, len(manifest.classes)
    if training_data(manifest)["source"] == DRAWN:
        yield f"the model was trained on {DRAWN}, so its accuracy says nothing about your pictures"
    if "test_accuracy" not in metrics:
        return
    accuracy, count = metrics["test_accuracy"], metrics.get("test_pictures", FEW_TEST_PICTURES)
    low = metrics.get("test_accuracy_low", accuracy)
    high = metrics.get("test_accuracy_high", accuracy)
    if count < FEW_TEST_PICTURES:
        yield (
            f"only {count} test picture{'s' if count != 1 else ''}: the true accuracy may be "
            f"anywhere from {low:.0%} to {high:.0%} (measured: {accuracy:.0%}); add pictures "
            "and train again"
        )
    held_out = metrics.get("validation_accuracy", accuracy)
    held_out_count = metrics.get("validation_pictures", 0)
    if held_out_count > count and not low <= held_out <= high:
        yield (
            f"{accuracy:.0%} of the {count:,} test pictures are classified correctly, but "
            f"{held_out:.0%} of the {held_out_count:,} pictures of validation or cross-validation: "
            "the latter is the better estimate of the accuracy, because they are more pictures"
        )
    chance = metrics.get("test_majority_share", 1 / classes)
    is_multi_label = manifest.is_multi_label
    has_many = count >= FEW_TEST_PICTURES  # with fewer, the interval is too wide to judge by
    if (has_many and low <= chance) or accuracy < chance + _MIN_GAIN * (1 - chance):
        yield (
            f"near chance: the model classifies {accuracy:.0%} of the test pictures correctly, and "
            f"always predicting the most common {'set of labels' if is_multi_label else 'class'} "
            f"would reach {chance:.0%}; do not rely on this model"
        )


def log_summary(manifest: Manifest, log: logging.Logger, prefix: str) -> None:
    """Log `prefix` and a description of the model, then the warnings about it."""
    log.info("%s %s", prefix, describe(manifest))
    for warning in model_warnings(manifest):
        log.warning("%s:%s: %s", manifest.name, manifest.version, warning)


def _data_record(manifest: Manifest) -> dict[str, Any]:
    record = manifest.provenance.get("data")
    return record if isinstance(record, dict) else {}
