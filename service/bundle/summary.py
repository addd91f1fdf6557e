"""What a model is, in words: what it was trained on, how good that made it, and what to doubt."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import BaseModel

from service.bundle.manifest import Manifest

DRAWN: Final = "drawn sample pictures"
FOLDER: Final = "pictures of a folder"
UNKNOWN: Final = "unknown"
"""What the pictures of a model were; older bundles do not say."""
FEW_TEST_PICTURES: Final = 20
_NEAR: Final = 0.1
"""Least gain over the majority class, as a share of what is left to 1."""


class TrainingData(BaseModel):
    """What the model was trained on."""

    source: Literal["drawn sample pictures", "pictures of a folder", "unknown"]
    pictures: int | None


def data(manifest: Manifest) -> dict[str, Any]:
    """The JSON of a `TrainingData`; unknown is what the manifest does not say, or not like this."""
    found = _provenance(manifest)
    source, pictures = found.get("source"), found.get("pictures")
    return {
        "source": source if source in (DRAWN, FOLDER) else UNKNOWN,
        "pictures": pictures if isinstance(pictures, int) else None,
    }


def public(manifest: Manifest) -> dict[str, Any]:
    """GET /model: what it was trained on, and the public part of the manifest."""
    return {"data": data(manifest), **manifest.public()}


def line(manifest: Manifest) -> str:
    """Name, data and accuracy, for logs; the folder's name is not for whoever may ask /model."""
    found, known = _provenance(manifest), data(manifest)
    pictures = "" if known["pictures"] is None else f"{known['pictures']:,} "
    where = f"`{found['folder']}`" if "folder" in found else "unknown origin"
    trained = DRAWN if known["source"] == DRAWN else f"pictures of {where}"
    return (
        f"{manifest.name}:{manifest.version}, trained on {pictures}{trained}, {accuracy(manifest)}"
    )


def accuracy(manifest: Manifest) -> str:
    """The test accuracy in words, with the number of pictures that it was measured on."""
    metrics = manifest.metrics
    if "test_accuracy" not in metrics:
        return "test accuracy unknown"
    count = metrics.get("test_pictures")
    on = "" if count is None else f" on {count:,} test picture{'s' if count != 1 else ''}"
    return f"test accuracy {metrics['test_accuracy']:.4f}{on}"


def doubts(manifest: Manifest) -> Iterator[str]:
    """Why not to take the accuracy, or the model, for more than it is: a sentence for each."""
    metrics, classes = manifest.metrics, len(manifest.classes)
    if data(manifest)["source"] == DRAWN:
        yield f"it was trained on {DRAWN}: its accuracy says nothing about pictures of yours"
    if "test_accuracy" not in metrics:
        return
    found, count = metrics["test_accuracy"], metrics.get("test_pictures", FEW_TEST_PICTURES)
    low, high = metrics.get("test_accuracy_low", found), metrics.get("test_accuracy_high", found)
    if count < FEW_TEST_PICTURES:
        yield (
            f"only {count} test picture{'s' if count != 1 else ''}: its accuracy of {found:.2f} "
            f"may as well be {low:.2f} or {high:.2f}; add pictures"
        )
    chance = metrics.get("test_majority_share", 1 / classes)
    has_many = count >= FEW_TEST_PICTURES  # of fewer, the interval says too little of chance
    if (has_many and low <= chance) or found < chance + _NEAR * (1 - chance):
        yield (
            f"near chance: it is right on {found:.0%} of the test pictures, where always answering "
            f"the most common class is right on {chance:.0%}; do not rely on it"
        )


def introduce(manifest: Manifest, log: logging.Logger, how: str) -> None:
    """Say in the log which model is used, and what to doubt."""
    log.info("%s %s", how, line(manifest))
    for doubt in doubts(manifest):
        log.warning("%s:%s: %s", manifest.name, manifest.version, doubt)


def _provenance(manifest: Manifest) -> dict[str, Any]:
    found = manifest.provenance.get("data")
    return found if isinstance(found, dict) else {}
