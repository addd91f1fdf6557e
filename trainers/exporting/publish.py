"""From a trained classifier to a sealed bundle: export, compare, measure, describe, seal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.bundle.manifest import GOLDEN_ANSWERS
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.onnx_session import providers_for
from service.engine.predictor import Predictor
from trainers.config import TrainingConfig
from trainers.dataset import splitting
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.evaluation.fidelity import require_faithful
from trainers.evaluation.metrics import evaluate, predict_split
from trainers.exporting import export
from trainers.exporting.manifest import build_manifest, headline_metrics
from trainers.model.classifier import Classifier
from trainers.phases.transfer import Trained
from trainers.progress import Progress
from trainers.reporting import report

GOLDEN_PICTURES = 8
PARITY_PICTURES = 32


def publish(
    trained: Trained,
    dataset: Dataset,
    findings: Sequence[Finding],
    config: TrainingConfig,
    work: Path,
    progress: Progress,
) -> tuple[Bundle, dict[str, Any]]:
    """Export into `work`, check and measure the exported model, seal it, move it to the output.

    Returns:
        The bundle under its final name, and the content of its metrics.json.

    Raises:
        ParityError: the exported model does not answer as the trained one; nothing is published.
        BundleError: the exported model does not give its golden answers; nothing is published.
    """
    classifier = trained.classifier
    staging = work / "bundle"
    staging.mkdir()
    with progress.step("exporting ONNX and SavedModel"):
        export.export(classifier, staging)
    with progress.step("comparing them with Keras"):
        rows = np.concatenate([dataset.rows("test"), dataset.rows("train")])[:PARITY_PICTURES]
        parity = export.check_parity(classifier, staging, dataset.images[rows])
        _write_golden(classifier, dataset, staging)

    manifest = build_manifest(classifier, dataset, config, parity)
    # The predictor checks the golden pictures when it is made.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    validation = predict_split(predictor, dataset, "validation", progress)
    selected_on = (
        validation if len(validation.rows) else predict_split(predictor, dataset, "train", progress)
    )
    fidelity = require_faithful(trained.selected, selected_on)
    test = predict_split(predictor, dataset, "test", progress)

    effect = trained.class_weight_effect
    metrics: dict[str, Any] = {
        "test": evaluate(test, dataset),
        "validation": evaluate(validation, dataset),
        "train": _training_counts(dataset),
        "balance": effect and dict(zip(dataset.classes, effect, strict=True)),
        "parity": parity,
        "fidelity": fidelity,
        "phases": trained.history,
        "plan": trained.plan.record(),
        "decision": trained.decision,
        "selection": trained.selection,
        "shipped": {"phase": trained.phase, "best_fine_tuning_epoch": trained.epoch},
        "left_out": [vars(file) for file in dataset.left_out],
        "findings": finding.summarize(findings),
        "seconds": {step: round(seconds, 2) for step, seconds in progress.seconds.items()},
    }
    manifest = manifest.model_copy(update={"metrics": headline_metrics(metrics["test"])})
    _write_json(staging / "metrics.json", metrics)
    _write_json(staging / "config.json", config.model_dump(mode="json"))
    splitting.write_csv(dataset, staging / "split.csv")
    finding.write_json(staging / "findings.json", dataset, findings)
    report.write(staging / "report.html", manifest, metrics, dataset, test)
    return seal(staging, manifest, config.output), metrics


def _training_counts(dataset: Dataset) -> dict[str, Any]:
    """The number of training pictures of each class, and the weight of each of them in the loss."""
    counts = np.bincount(dataset.labels[dataset.rows("train")], minlength=len(dataset.classes))
    columns = zip(dataset.classes, counts, dataset.class_weights(), strict=True)
    return {
        "n": int(counts.sum()),
        "per_class": {
            label: {"n": int(count), "weight": round(float(weight), 4)}
            for label, count, weight in columns
        },
    }


def _write_golden(classifier: Classifier, dataset: Dataset, staging: Path) -> None:
    """Copy a test picture of each class (at most 8), with the answers that Keras gives to them.

    A service that reproduces these answers agrees with the training.
    """
    rows = dataset.rows("test")
    _, first_of_class = np.unique(dataset.labels[rows], return_index=True)
    chosen = rows[first_of_class][:GOLDEN_PICTURES]
    answers = export.keras_predict(classifier)(dataset.images[chosen])
    folder = staging / Path(GOLDEN_ANSWERS).parent
    folder.mkdir()
    golden: dict[str, list[float]] = {}
    for number, (row, probabilities) in enumerate(zip(chosen, answers, strict=True)):
        name = f"{number}.{dataset.inspections['format'][row].decode().lower()}"
        (folder / name).write_bytes(dataset.read_picture(row))
        golden[name] = [float(probability) for probability in probabilities]
    _write_json(staging / GOLDEN_ANSWERS, golden)


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
