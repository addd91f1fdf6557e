"""Writes the bundle of a multi-label classifier: as for single-label models, but for labels.

The differences are the calibration of sigmoids, the thresholds, the metrics and the report. A
bundle has no reference of drift, which is about one class for each picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle.manifest import CALIBRATION, MODEL, NOVELTY, Decision
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.onnx_session import providers_for
from service.engine.predictor import Predictor
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.splits import splitting
from trainers.evaluation.predictions import predict_split
from trainers.exporting import export, thumbnails
from trainers.exporting.bundle_writer import embedder
from trainers.exporting.formats import Source
from trainers.exporting.manifest import build_manifest
from trainers.exporting.model_files import export_model, write_json
from trainers.exporting.temperature import calibrate
from trainers.multi_label import calibration, report
from trainers.multi_label.metrics import AVERAGES, evaluate
from trainers.multi_label.thresholds import fit_thresholds
from trainers.novelty.embedded_pictures import embed_training_pictures
from trainers.novelty.measuring import write_novelty
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress


def write_bundle(
    trained: TrainedClassifier,
    dataset: Dataset,
    findings: Sequence[Finding],
    config: TrainingConfig,
    work: Path,
    progress: Progress,
) -> tuple[Bundle, dict[str, Any]]:
    """Calibrate and export a classifier, check and measure the exported model; write its bundle.

    The arguments, the result and the errors are those of `exporting.bundle_writer.write_bundle`.
    """
    classifier, source = trained.classifier, Source(trained.classifier, trained.embedder)
    staging = work / "bundle"
    staging.mkdir()
    with progress.step("exporting ONNX"):
        export.export(source, staging, ["onnx"])
    calibrated = calibrate(trained, staging / MODEL, dataset, config.device, progress, calibration)
    held_out_truth = dataset.targets[calibrated.held_out.rows]
    thresholds = fit_thresholds(calibrated.held_out.probabilities, held_out_truth)
    parity = export_model(source, config.formats, dataset, staging, progress)
    named = dict(zip(dataset.classes, thresholds.astype(float).tolist(), strict=True))
    manifest = build_manifest(classifier, dataset, config, parity).model_copy(
        update={"task": "multi-label", "decision": Decision(thresholds=named)}
    )
    # When the predictor is created, it checks the golden answers.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    validation = predict_split(predictor, dataset, "validation", progress)
    calibrated.require_same(validation)
    held_out = calibrated.held_out if trained.is_refitted else validation
    validation = validation.with_probabilities_of(held_out)
    test = predict_split(predictor, dataset, "test", progress)
    embed = trained.embed or embedder(predictor, dataset, progress)
    train = embed_training_pictures(dataset, embed)
    scores = calibration.true_scores(held_out.probabilities, held_out_truth)
    metrics: dict[str, Any] = {
        "test": evaluate(test, dataset, thresholds),
        "validation": evaluate(held_out, dataset, thresholds),
        "calibration": calibration.evaluate_calibration(
            test.probabilities,
            dataset.targets[test.rows],
            thresholds,
            scores,
            calibrated.temperature,
            len(held_out.rows),
        ),
        "novelty": write_novelty(staging / NOVELTY, train, (), validation, test, progress),
        "train": _training_counts(dataset, trained.is_refitted),
        "parity": parity,
        "fidelity": calibrated.fidelity,
        **trained.record(),
        **trained.advice.record(dataset),
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
    trained.advice.write_csv(staging, dataset)
    finding.write_json(staging / "findings.json", dataset, findings)
    report.write(staging, manifest, metrics, dataset, config)
    return seal(staging, manifest, config.output), metrics


def _training_counts(dataset: Dataset, is_refitted: bool) -> dict[str, Any]:
    """Return the number of pictures that the model was trained on, in total and per label."""
    splits = ("train", "validation") if is_refitted else ("train",)
    rows = np.concatenate([dataset.rows(split) for split in splits])
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
