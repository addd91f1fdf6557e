"""Fits the novelty of an exported model, and measures it on the test pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.engine.classification import KNOWN_SHARE, ModelOutputs
from service.engine.novelty import SIGNALS, Novelty
from trainers.evaluation.metrics import wilson_interval
from trainers.evaluation.predictions import Predictions
from trainers.novelty.embedded_pictures import EmbeddedPictures
from trainers.novelty.fitting import fit_novelty, fit_references
from trainers.novelty.held_out import measure_held_out
from trainers.progress import Progress, log

MIN_VALIDATION_PICTURES = 10
"""With fewer validation pictures, it is unknown what is usual, and the model has no novelty."""


def write_novelty(
    path: Path,
    train: EmbeddedPictures,
    classes: tuple[str, ...],
    validation: Predictions,
    test: Predictions,
    progress: Progress,
) -> dict[str, Any] | None:
    """Fit the novelty, write its file, and measure it.

    Args:
        path: the path of the file in the bundle.
        train: the training pictures with which the service compares new pictures.
        classes: the names of the classes; empty if pictures may have several labels, so that no
            class can be held out.
        validation, test: the predictions of the exported model, with embeddings.

    Returns:
        For metrics.json; None if there are too few validation pictures. Then no file is written.
        threshold: a picture is known if its novelty is at most this.
        signals, references, neighbours: what is compared with how many training pictures.
        fitted_on: number of validation pictures.
        test: number of test pictures, and of those that are called unknown, with their share and
            its 95% interval.
        held_out: the result of `measure_held_out`.
    """
    if len(validation.rows) < MIN_VALIDATION_PICTURES:
        log.info(
            "answers of this model will not say if a picture is known: that needs at least %d "
            "validation pictures, and there are %d",
            *(MIN_VALIDATION_PICTURES, len(validation.rows)),
        )
        return None
    with progress.step("fitting the novelty"):
        references = fit_references(train.embeddings, train.rows)
        novelty = fit_novelty(references, _outputs(validation))
        path.write_bytes(novelty.to_bytes())
        known = EmbeddedPictures(validation.rows, validation.labels, validation.embeddings)
        held_out = measure_held_out(train, known, classes) if classes else None
    return {
        "threshold": KNOWN_SHARE,
        "signals": list(SIGNALS),
        "references": len(train.rows),
        "neighbours": references.neighbours,
        "fitted_on": len(validation.rows),
        "test": _count_unknown(novelty, test),
        "held_out": held_out,
    }


def _count_unknown(novelty: Novelty, test: Predictions) -> dict[str, Any]:
    unknown = int((novelty.measure(_outputs(test)) > KNOWN_SHARE).sum())
    count = len(test.rows)
    return {
        "n": count,
        "unknown": unknown,
        "unknown_share": unknown / count if count else None,
        "unknown_interval": wilson_interval(unknown, count),
    }


def _outputs(predictions: Predictions) -> ModelOutputs:
    return ModelOutputs(predictions.probabilities, predictions.embeddings)
