"""From a trained classifier to a sealed bundle: export, compare, measure, describe, seal."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from service.bundle import summary
from service.bundle.manifest import GOLDEN_ANSWERS, InputSpec, Manifest, OutputSpec
from service.bundle.reading import Bundle
from service.bundle.sealing import seal
from service.engine.onnx_session import providers_for
from service.engine.predictor import Predictor
from service.imaging import ALWAYS_ACCEPTED, DECODER, KINDS
from trainers.config import TrainingConfig
from trainers.dataset import samples, splitting
from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import finding
from trainers.dataset.findings.finding import Finding
from trainers.evaluation.fidelity import require_faithful
from trainers.evaluation.metrics import answer, evaluate
from trainers.exporting import export
from trainers.model.classifier import Classifier
from trainers.model.conversion import OPSET
from trainers.phases.transfer import Trained
from trainers.progress import Progress
from trainers.reporting import report

GOLDEN_PICTURES = 8
PARITY_PICTURES = 32
_PACKAGES = ("bentoml", "keras", "numpy", "onnx", "onnxruntime", "pillow", "tf2onnx")
_ROOT = Path(__file__).parents[2]


def publish(
    trained: Trained,
    dataset: Dataset,
    found: Sequence[Finding],
    config: TrainingConfig,
    work: Path,
    progress: Progress,
) -> tuple[Bundle, dict[str, Any]]:
    """Export into `work`, let the exported model prove itself, seal it and move it to the output.

    Returns:
        The bundle under its final name, and its metrics.

    Raises:
        ParityError, BundleError: the export does not answer as the classifier does, or as the one
            that was chosen; nothing is published then.
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
    manifest = _manifest(classifier, dataset, config, parity)
    # It answers the golden pictures, too.
    predictor = Predictor(Bundle(staging, manifest), providers=providers_for(config.device))
    judged = answer(predictor, dataset, "validation", progress)
    proof = judged if len(judged.rows) else answer(predictor, dataset, "train", progress)
    fidelity = require_faithful(trained.chosen, proof)
    asked = answer(predictor, dataset, "test", progress)
    test = evaluate(asked, dataset)
    metrics = {
        "test": test,
        "validation": evaluate(judged, dataset),
        "train": _lessons(dataset),
        "balance": trained.balance and dict(zip(dataset.classes, trained.balance, strict=True)),
        "parity": parity,
        "fidelity": fidelity,
        "phases": trained.history,
        "plan": trained.plan.record(),
        "decision": trained.decision,
        "selection": trained.selection,
        "shipped": {"phase": trained.phase, "best_fine_tuning_epoch": trained.epoch},
        "left_out": [vars(one) for one in dataset.left_out],
        "findings": finding.summarize(found),
        "seconds": {step: round(taken, 2) for step, taken in progress.seconds.items()},
    }
    manifest = manifest.model_copy(update={"metrics": _headline(test)})
    _write_json(staging / "metrics.json", metrics)
    _write_json(staging / "config.json", config.model_dump(mode="json"))
    splitting.write_csv(dataset, staging / "split.csv")
    finding.write_json(staging / "findings.json", dataset, found)
    report.write(staging / "report.html", manifest, metrics, dataset, asked)
    return seal(staging, manifest, config.output), metrics


def _headline(test: dict[str, Any]) -> dict[str, float]:
    """The figures by which a model is judged where its pictures are not at hand."""
    low, high = test["accuracy_interval"]
    return {
        "test_accuracy": test["accuracy"],
        "test_pictures": test["n"],
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_majority_share": max(one["n"] for one in test["per_class"].values()) / test["n"],
    }


def _data(dataset: Dataset, config: TrainingConfig) -> dict[str, Any]:
    """What the model was trained on, for its provenance."""
    known = {"fingerprint": dataset.fingerprint, "pictures": len(dataset.paths)}
    if samples.is_sample_dataset(dataset.folder):
        return {**known, "source": summary.DRAWN}
    name = (config.folder() or dataset.folder).resolve().name
    return {**known, "source": summary.FOLDER, "folder": name}


def _lessons(dataset: Dataset) -> dict[str, Any]:
    """How many pictures each class was learned from, and what each of them weighed in the loss."""
    counts = np.bincount(dataset.labels[dataset.rows("train")], minlength=len(dataset.classes))
    figures = zip(dataset.classes, counts, dataset.class_weights(), strict=True)
    return {
        "n": int(counts.sum()),
        "per_class": {
            label: {"n": int(count), "weight": round(float(weight), 4)}
            for label, count, weight in figures
        },
    }


def _write_golden(classifier: Classifier, dataset: Dataset, staging: Path) -> None:
    """Copy a test picture of each class (at most 8), and what Keras answers to them.

    The answers come from Keras, so a service that reproduces them agrees with the training.
    """
    rows = dataset.rows("test")
    _, first_of_class = np.unique(dataset.labels[rows], return_index=True)
    chosen = rows[first_of_class][:GOLDEN_PICTURES]
    answers = export.keras_answers(classifier)(dataset.images[chosen])
    folder = staging / Path(GOLDEN_ANSWERS).parent
    folder.mkdir()
    golden: dict[str, list[float]] = {}
    for number, (row, values) in enumerate(zip(chosen, answers, strict=True)):
        name = f"{number}.{dataset.inspections['format'][row].decode().lower()}"
        (folder / name).write_bytes(dataset.read_picture(row))
        golden[name] = [float(value) for value in values]
    _write_json(staging / GOLDEN_ANSWERS, golden)


def _kinds(dataset: Dataset) -> tuple[str, ...]:
    """Kinds that the model takes: those that every model does, and those it was trained on."""
    held = {name.decode() for name in dataset.inspections["format"].tolist()}
    return tuple(kind.name for kind in KINDS if kind.name in held | set(ALWAYS_ACCEPTED))


def _manifest(
    classifier: Classifier, dataset: Dataset, config: TrainingConfig, parity: dict[str, Any]
) -> Manifest:
    size, width = classifier.body.input_shape[1], classifier.embedder.output_shape[1]
    return Manifest(
        name=config.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plugin=classifier.backbone.name,
        classes=dataset.classes,
        input=InputSpec(
            size=size, kinds=_kinds(dataset), significant_bits=dataset.significant_bits
        ),
        outputs=(
            OutputSpec(name="probabilities", shape=("batch", len(dataset.classes))),
            OutputSpec(name="embedding", shape=("batch", width)),
        ),
        opset=OPSET,
        decoder=DECODER,
        metrics={},
        parity=parity,
        provenance={
            "data": _data(dataset, config),
            "weights": {
                "source": Path(str(config.weights)).name,
                "sha256": classifier.weights_sha256,
            },
            "seed": config.seed,
            "python": platform.python_version(),
            "packages": {
                "tensorflow": tf.__version__,  # its package has several names
                **{name: version(name) for name in _PACKAGES},
            },
            "git_commit": _git_commit(),
        },
    )


def _git_commit() -> str | None:
    """The commit of Graft itself, where it runs from a checkout of its own."""
    command = ["git", "-C", str(_ROOT), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    top, commit = answer.splitlines()
    return commit if Path(top).samefile(_ROOT) else None


def _write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
