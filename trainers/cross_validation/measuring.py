"""Trains a model on each fold as a run does, and measures its ONNX model on the test pictures."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.bundle.manifest import MODEL
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
        folds: the datasets of the folds; without folds, the result is None.
        work: a temporary folder. The ONNX models are written to it, and deleted.

    Raises:
        ParityError: the ONNX model of a fold does not give the same results as the trained model.
        ConversionError: the network contains an operation that cannot be converted to ONNX.
        MemoryShortageError: the memory is too small for one picture.
    """
    if not folds:
        return None
    figures = []
    contexts = [
        _fold_context(context, fold, f"{number}-of-{len(folds)}")
        for number, fold in enumerate(folds, 1)
    ]
    for number, fold in enumerate(contexts, 1):
        log.info("cross-validation: fold %d of %d", number, len(folds))
        figures.append(measure_fold(fold, work))
        log.info("fold %d: test accuracy %.4f", number, figures[-1]["accuracy"])
    for fold in contexts:
        shutil.rmtree(fold.config.checkpoint.parent, ignore_errors=True)
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
        calibrate(trained, work / MODEL, dataset, device, progress)
        export.export(source, work, ["onnx"])  # again, because the logits have changed
    test = predict_split(OnnxModel(work / MODEL, device), dataset, "test", progress)
    measured = evaluate(test, dataset)
    return {
        "n": measured["n"],
        "train": len(dataset.rows("train")),
        "validation": len(dataset.rows("validation")),
        "accuracy": measured["accuracy"],
        "log_loss": measured["log_loss"],
        "phase": trained.phase,
    }


def _fold_context(context: TrainingContext, fold: Dataset, name: str) -> TrainingContext:
    """Return the context of a fold: its own checkpoint and network, no TensorBoard logs.

    Fine-tuning changes the weights of a network, so each fold loads the network again.
    """
    config = context.config.model_copy(
        update={"name": f"{context.config.name}/fold-{name}", "tensorboard": None}
    )
    images = context.dataset.images
    return replace(
        context,
        config=config,
        network=replace(context.network),
        dataset=replace(fold, images=images),
    )
