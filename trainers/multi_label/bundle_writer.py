"""Writes the bundle of a multi-label classifier: as for single-label models, but for labels.

The differences are the calibration of sigmoids, the thresholds, the metrics and the report. A
bundle has no reference of drift, no suspects and no learning curve: all are about one class for
each picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import CALIBRATION, NOVELTY, Decision
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.onnx_session import providers_for
from service.engine.predictor import Predictor
from service.errors import ParityError
from trainers import hardware
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.splits import splitting
from trainers.evaluation.fidelity import ROUNDINGS
from trainers.evaluation.predictions import Predictions, predict_split, run_model
from trainers.exporting import thumbnails
from trainers.exporting.formats import Source
from trainers.exporting.manifest import build_manifest
from trainers.exporting.model_files import export_model, write_json
from trainers.multi_label import report, training
from trainers.multi_label.calibration import (
    apply_temperature,
    evaluate_calibration,
    fit_temperature,
    true_scores,
)
from trainers.multi_label.metrics import AVERAGES, evaluate
from trainers.multi_label.thresholds import fit_thresholds
from trainers.multi_label.training import TrainedHead
from trainers.novelty.embedded_pictures import embed_training_pictures
from trainers.novelty.measuring import write_novelty
from trainers.progress import Progress


def write_bundle(
    trained: TrainedHead,
    dataset: Dataset,
    findings: Sequence[Finding],
    config: TrainingConfig,
    work: Path,
    progress: Progress,
) -> tuple[Bundle, dict[str, Any]]:
    """Calibrate and export a classifier, check and measure the exported model; write its bundle.

    The arguments, the result and the errors are those of `exporting.bundle_writer.write_bundle`.
    """
    classifier, held_out = trained.classifier, trained.held_out
    staging = work / "bundle"
    staging.mkdir()
    temperature = fit_temperature(held_out.probabilities, dataset.targets[held_out.rows])
    held_out = replace(
        held_out, probabilities=apply_temperature(held_out.probabilities, temperature)
    )
    held_out_targets = dataset.targets[held_out.rows]
    thresholds = fit_thresholds(held_out.probabilities, held_out_targets)
    classifier.divide_logits(temperature)
    source = Source(classifier, trained.embedder)
    parity = export_model(source, config.formats, dataset, staging, progress)
    named = dict(zip(dataset.classes, thresholds.astype(float).tolist(), strict=True))
    manifest = build_manifest(classifier, dataset, config, parity).model_copy(
        update={"task": "multi-label", "decision": Decision(thresholds=named)}
    )
    # When the predictor is created, it checks the golden answers.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    fidelity = _require_faithful(trained.expected, temperature, predictor, dataset, progress)
    validation = predict_split(predictor, dataset, "validation", progress)
    validation = validation.with_probabilities_of(held_out)
    test = predict_split(predictor, dataset, "test", progress)
    train = embed_training_pictures(dataset, trained.embed)
    scores = true_scores(held_out.probabilities, held_out_targets)
    metrics: dict[str, Any] = {
        "test": evaluate(test, dataset, thresholds),
        "validation": evaluate(held_out, dataset, thresholds),
        "calibration": evaluate_calibration(
            test.probabilities,
            dataset.targets[test.rows],
            thresholds,
            scores,
            temperature,
            len(held_out.rows),
        ),
        "novelty": write_novelty(staging / NOVELTY, train, (), validation, test, progress),
        "train": _training_counts(dataset, trained.trained_on),
        "parity": parity,
        "fidelity": fidelity,
        **training.record(trained),
        "left_out": [vars(file) for file in dataset.left_out],
        "findings": finding.summarize(findings),
    }
    if config.keep_thumbnails:
        thumbnails.write(dataset, staging)
    metrics["seconds"] = {step: round(seconds, 2) for step, seconds in progress.seconds.items()}
    manifest = manifest.model_copy(update={"metrics": _headline_metrics(metrics)})
    write_json(staging / "metrics.json", metrics)
    write_json(staging / CALIBRATION, {"true_scores": scores})
    write_json(staging / "config.json", config.model_dump(mode="json"))
    splitting.write_csv(dataset, staging / "split.csv")
    finding.write_json(staging / "findings.json", dataset, findings)
    report.write(staging, manifest, metrics, dataset, config)
    return seal(staging, manifest, config.output), metrics


def _require_faithful(
    expected: Predictions,
    temperature: float,
    predictor: Predictor,
    dataset: Dataset,
    progress: Progress,
) -> dict[str, Any]:
    """Check that the exported model gives the probabilities of the head that was trained.

    Args:
        expected: the predictions of the head without the temperature.

    Returns:
        For metrics.json: the mean difference of a probability, and the allowed one.

    Raises:
        ParityError: the probabilities differ more than rounding can explain.
    """
    outputs = run_model(predictor, dataset, expected.rows, "comparing with the head", progress)
    wanted = apply_temperature(expected.probabilities, temperature)
    difference = float(np.abs(outputs.probabilities - wanted).mean()) if wanted.size else 0.0
    is_float32 = hardware.device_kind() != "GPU TF32"
    allowed = ROUNDINGS["float32" if is_float32 else "16 bits"].loss_difference
    if not difference <= allowed:  # also true for NaN
        raise ParityError(
            "no bundle was written, because the exported model differs from the head that was "
            f"trained: a probability differs by {difference:.2g} on average (allowed: {allowed:g})."
            " Try --cache-gigabytes 0. Even if that helps, please report this error with the "
            "plugin's name and the installed versions"
        )
    return {"pictures": len(expected.rows), "mean_difference": difference, "allowed": allowed}


def _training_counts(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the number of pictures that the head was trained on, in total and per label."""
    counts = dict(zip(dataset.classes, dataset.count_classes(rows).tolist(), strict=True))
    return {"n": len(rows), "per_class": {label: {"n": count} for label, count in counts.items()}}


def _headline_metrics(metrics: dict[str, Any]) -> dict[str, float | int]:
    """Return the metrics that the manifest contains."""
    test, calibration = metrics["test"], metrics["calibration"]
    low, high = test["accuracy_interval"]
    return {
        "test_accuracy": test["accuracy"],
        "test_pictures": test["n"],
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_majority_share": test["majority_share"],
        **{f"test_{name}": test[name] for name in AVERAGES if test[name] is not None},
        "test_calibration_error": calibration["error"],
        "temperature": calibration["temperature"],
    }
