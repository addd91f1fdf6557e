"""Writes the bundle of a classifier: calibration, export, checks, metrics, report, manifest.

The golden pictures are a few test pictures in the bundle. The golden answers are the probabilities
that the Keras model computes for them. The service uses a bundle only if it reproduces them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle.manifest import CALIBRATION, DRIFT, GOLDEN_ANSWERS, MODEL, NOVELTY, REPORT
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
from trainers.exporting import export, heat_maps, thumbnails
from trainers.exporting.drift_reference import write_drift_reference
from trainers.exporting.formats import FORMATS, Source
from trainers.exporting.manifest import build_manifest, headline_metrics
from trainers.exporting.temperature import calibrate
from trainers.model_card import card
from trainers.novelty.embedded_pictures import Embed, embed_training_pictures
from trainers.novelty.measuring import write_novelty
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress, log
from trainers.reporting import report

LABELS = "labels.txt"
"""A file with the classes, one per line in the order of the probabilities, for other runtimes."""
GOLDEN_PICTURES = 8
"""A bundle contains at most this many golden pictures."""
PARITY_PICTURES = 32
"""The exported formats are compared with the Keras model on at most this many pictures."""


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
    with progress.step("exporting SavedModel"):
        export.export(source, staging)  # ONNX again, because the logits have changed
    for name in config.formats:
        with progress.step(f"exporting {name}"):
            export.export(source, staging, [name])
    if config.formats:
        (staging / LABELS).write_text("\n".join(dataset.classes) + "\n", encoding="utf-8")
    with progress.step("comparing the exports with Keras"):
        rows = np.concatenate([dataset.rows("test"), dataset.rows("train")])[:PARITY_PICTURES]
        images = dataset.images[rows]
        parity = export.check_parity(source, staging, images, (*FORMATS, *config.formats))
        write_golden(source, dataset, staging)
    if heat_maps.has_regions(classifier):
        with progress.step("exporting heat maps"):
            heat_maps.export(classifier, staging)
            parity["heat_maps"] = heat_maps.check_parity(source, staging, images)
    else:
        log.info(
            "the model has no heat maps, because %s describes a picture only as a whole",
            classifier.backbone.name,
        )

    manifest = build_manifest(classifier, dataset, config, parity)
    # When the predictor is created, it checks the golden answers.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    validation = predict_split(predictor, dataset, "validation", progress)
    calibrated.require_same(validation)
    held_out = calibrated.cross_validated or validation
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
        "phases": trained.history,
        "plan": trained.plan.record(),
        "decision": trained.decision,
        "selection": trained.selection,
        **trained.advice.record(dataset),
        "shipped": {
            "phase": trained.phase,
            "best_fine_tuning_epoch": trained.epoch,
            "is_refitted": trained.is_refitted,
        },
        "left_out": [vars(file) for file in dataset.left_out],
        "findings": finding.summarize(findings),
        "seconds": {step: round(seconds, 2) for step, seconds in progress.seconds.items()},
    }
    headline = headline_metrics(metrics["test"], metrics["calibration"])
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


def write_golden(source: Source, dataset: Dataset, staging: Path) -> None:
    """Write the golden pictures and the golden answers into the bundle.

    One test picture of each class is a golden picture, up to GOLDEN_PICTURES.
    """
    rows = dataset.rows("test")
    _, first_of_class = np.unique(dataset.labels[rows], return_index=True)
    chosen = rows[first_of_class][:GOLDEN_PICTURES]
    answers = source.predict(dataset.images[chosen])
    folder = staging / Path(GOLDEN_ANSWERS).parent
    folder.mkdir()
    golden: dict[str, list[float]] = {}
    for number, (row, probabilities) in enumerate(zip(chosen, answers, strict=True)):
        name = f"{number}.{dataset.inspections['format'][row].decode().lower()}"
        (folder / name).write_bytes(dataset.read_picture(row))
        golden[name] = [float(probability) for probability in probabilities]
    write_json(staging / GOLDEN_ANSWERS, golden)


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
