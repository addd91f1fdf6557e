"""Trains a model on each fold as a run does, and measures its ONNX model on the test pictures."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.bundle.manifest import MODEL
from service.errors import GraftError
from trainers import hardware
from trainers.cross_validation.figures import summarise
from trainers.dataset.dataset import Dataset
from trainers.evaluation.metrics import evaluate
from trainers.evaluation.predictions import predict_split
from trainers.exporting import export
from trainers.exporting.formats import Source
from trainers.exporting.temperature import OnnxModel, calibrate
from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.progress import log


def cross_validate(
    context: TrainingContext, folds: Sequence[Dataset], work: Path
) -> dict[str, Any] | None:
    """Train and measure a model for each fold; return the figures for metrics.json.

    Every fold is trained by the same rules as the model of the run, from the weights that this
    model started from. So folds may come to different decisions, for example about fine-tuning.

    Args:
        context: the context of the run.
        folds: the datasets of the folds; without folds, the result is None. So it is if a fold
            fails, because the model of the run is good without the figures.
        work: a temporary folder. Each fold overwrites the ONNX model of the last one.
    """
    if not folds:
        return None
    figures, checkpoints = [], []
    started = time.monotonic()
    for number, fold in enumerate(folds, 1):
        log.info("cross-validation: fold %d of %d", number, len(folds))
        fold_context = _fold_context(context, fold, number, len(folds))
        checkpoints.append(fold_context.config.checkpoint.parent)
        try:
            figures.append(measure_fold(fold_context, work))
        except GraftError as error:
            log.warning(
                "the model has no figures of cross-validation, because fold %d failed: %s",
                *(number, error),
            )
            return None
        log.info("fold %d: test accuracy %.4f", number, figures[-1]["accuracy"])
    for checkpoint in checkpoints:
        shutil.rmtree(checkpoint, ignore_errors=True)
    context.progress.seconds["cross-validation"] = time.monotonic() - started
    return summarise(figures, len(context.dataset.paths))


def measure_fold(context: TrainingContext, work: Path) -> dict[str, Any]:
    """Train a model on the dataset of a fold, and measure its calibrated ONNX model.

    Returns:
        `n` (number of test pictures), `train` and `validation` (numbers of pictures), `accuracy`
        (0 to 1), `log_loss` (nats), and `phase`, the name of the phase whose weights were used.
    """
    dataset, device, progress = context.dataset, context.config.device, context.progress
    trained, _ = transfer_learning.train_phases(context)
    with hardware.without_tensor_float_32():
        source = Source(trained.classifier, trained.embedder)
        export.export(source, work, ["onnx"])
        calibrated = calibrate(trained, work / MODEL, dataset, device, progress)
        export.export(source, work, ["onnx"])  # again, because the logits have changed
    model = OnnxModel(work / MODEL, device)
    calibrated.require_same(predict_split(model, dataset, "validation", progress))
    test = predict_split(model, dataset, "test", progress)
    measured = evaluate(test, dataset)
    return {
        "n": measured["n"],
        "train": len(dataset.rows("train")),
        "validation": len(dataset.rows("validation")),
        "accuracy": measured["accuracy"],
        "log_loss": measured["log_loss"],
        "phase": trained.phase,
    }


def _fold_context(
    context: TrainingContext, fold: Dataset, number: int, count: int
) -> TrainingContext:
    """Return the context of a fold: its own checkpoint, times and network, no TensorBoard logs.

    Fine-tuning changes the weights of a network, so each fold loads the network again.
    """
    config = context.config.model_copy(
        update={"name": f"{context.config.name}/fold-{number}-of-{count}", "tensorboard": None}
    )
    images = context.dataset.images
    return replace(
        context,
        config=config,
        network=replace(context.network),
        progress=context.progress.for_part(f"fold {number}"),
        dataset=replace(fold, images=images),
    )
