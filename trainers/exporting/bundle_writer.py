"""Writes the bundle of a classifier: calibration, export, checks, metrics, report, manifest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import CALIBRATION, DRIFT, MODEL, NOVELTY, REPORT
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.onnx_session import providers_for
from service.engine.predictor import Predictor
from trainers.config import TrainingConfig
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.dataset.splits import splitting
from trainers.evaluation.calibration import evaluate_calibration, true_scores
from trainers.evaluation.metrics import evaluate
from trainers.evaluation.predictions import predict_split, run_model
from trainers.exporting import export, thumbnails
from trainers.exporting.drift_reference import write_drift_reference
from trainers.exporting.formats import Source
from trainers.exporting.manifest import build_manifest, headline_metrics
from trainers.exporting.model_files import export_model, write_json
from trainers.exporting.temperature import calibrate
from trainers.model_card import card
from trainers.novelty.embedded_pictures import Embed, embed_training_pictures
from trainers.novelty.measuring import write_novelty
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress
from trainers.reporting import report


def write_bundle(
    trained: TrainedClassifier,
    dataset: Dataset,
    findings: Sequence[Finding],
    config: TrainingConfig,
    work: Path,
    progress: Progress,
) -> tuple[Bundle, dict[str, Any]]:
    """Calibrate and export a classifier, check and measure the exported model; write its bundle.

    Args:
        trained: the classifier, whose head is calibrated here, and how it was trained.
        findings: the results of the check of the dataset.
        work: a temporary folder on the file system of the output folder. The bundle is built in
            it.

    Returns:
        The bundle in the output folder, and the content of its metrics.json.

    Raises:
        ParityError: the exported model does not give the same results as the trained model. No
            bundle is written.
        BundleError: the exported model does not reproduce the golden answers. No bundle is written.
        ConversionError: the network contains an operation that cannot be converted to ONNX.
        MemoryShortageError: the memory is too small for one picture.
    """
    classifier, source = trained.classifier, Source(trained.classifier, trained.embedder)
    staging = work / "bundle"
    staging.mkdir()
    with progress.step("exporting ONNX"):
        export.export(source, staging, ["onnx"])
    calibrated = calibrate(trained, staging / MODEL, dataset, config.device, progress)
    parity = export_model(source, config.formats, dataset, staging, progress)
    manifest = build_manifest(classifier, dataset, config, parity)
    # When the predictor is created, it checks the golden answers.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    validation = predict_split(predictor, dataset, "validation", progress)
    calibrated.require_same(validation)
    held_out = calibrated.held_out if trained.is_refitted else validation
    validation = validation.with_probabilities_of(held_out)
    test = predict_split(predictor, dataset, "test", progress)
    embed = trained.embed or embedder(predictor, dataset, progress)
    train = embed_training_pictures(dataset, embed)
    novelty = write_novelty(staging / NOVELTY, train, dataset.classes, validation, test, progress)
    with progress.step("fitting the reference of drift"):
        write_drift_reference(staging / DRIFT, train, dataset, validation)
    if config.keep_thumbnails:
        thumbnails.write(dataset, staging)

    effect = trained.class_weight_effect
    metrics: dict[str, Any] = {
        "test": evaluate(test, dataset),
        "validation": evaluate(held_out, dataset),
        "folds": trained.folds,
        "calibration": evaluate_calibration(test, held_out, calibrated.temperature),
        "novelty": novelty,
        "train": _training_counts(dataset),
        "balance": effect and dict(zip(dataset.classes, effect, strict=True)),
        "parity": parity,
        "fidelity": calibrated.fidelity,
        **trained.record(),
        **trained.advice.record(dataset),
        "left_out": [vars(file) for file in dataset.left_out],
        "findings": finding.summarize(findings),
        "seconds": {step: round(seconds, 2) for step, seconds in progress.seconds.items()},
    }
    headline = headline_metrics(metrics)
    manifest = manifest.model_copy(update={"metrics": headline})
    write_json(staging / "metrics.json", metrics)
    write_json(staging / CALIBRATION, {"true_scores": true_scores(held_out)})
    write_json(staging / "config.json", config.model_dump(mode="json"))
    splitting.write_csv(dataset, staging / "split.csv")
    trained.advice.write_csv(staging, dataset)
    finding.write_json(staging / "findings.json", dataset, findings)
    report.write(staging / REPORT, manifest, metrics, dataset, test)
    card.write(staging, manifest, metrics, config)
    return seal(staging, manifest, config.output), metrics


def embedder(predictor: Predictor, dataset: Dataset, progress: Progress) -> Embed:
    """Return a function that computes embeddings of training pictures with the exported model."""

    def embed(positions: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = dataset.rows("train")[positions]
        return run_model(predictor, dataset, rows, "embedding training pictures", progress)[1]

    return embed


def _training_counts(dataset: Dataset) -> dict[str, Any]:
    """Return the number of training pictures in all and of each class, and the class weights."""
    counts = np.bincount(dataset.labels[dataset.rows("train")], minlength=len(dataset.classes))
    columns = zip(dataset.classes, counts, dataset.class_weights(), strict=True)
    return {
        "n": int(counts.sum()),
        "per_class": {
            label: {"n": int(count), "weight": round(float(weight), 4)}
            for label, count, weight in columns
        },
    }
