"""The manifest of a new bundle: the inputs and outputs of the model, and its provenance."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow as tf

from service.bundle import summary
from service.bundle.manifest import InputSpec, Manifest, OutputSpec
from service.imaging import ALWAYS_ACCEPTED, DECODER, FORMATS
from trainers.config import TrainingConfig
from trainers.dataset import samples
from trainers.dataset.dataset import Dataset
from trainers.dataset.folders.filenames import escape
from trainers.model.classifier import Classifier
from trainers.model.conversion import OPSET

_PACKAGES = ("bentoml", "keras", "numpy", "onnx", "onnxruntime", "pillow", "tf2onnx")
_LICENCE_NAMES = ("license", "licence")
_ROOT = Path(__file__).parents[2]


def build_manifest(
    classifier: Classifier, dataset: Dataset, config: TrainingConfig, parity: dict[str, Any]
) -> Manifest:
    """Return the manifest without its metrics, list of files and id. These are added later.

    The metrics are not known yet, because the predictor that measures them needs this manifest.

    Args:
        parity: the result of `export.check_parity`.
    """
    size, width = classifier.body.input_shape[1], classifier.embedder.output_shape[1]
    return Manifest(
        name=config.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        plugin=classifier.backbone.name,
        classes=dataset.classes,
        input=InputSpec(
            size=size, kinds=_accepted_kinds(dataset), significant_bits=dataset.significant_bits
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
            "data": _data_provenance(dataset, config),
            "weights": _weights_provenance(classifier, config),
            "seed": config.seed,
            "python": platform.python_version(),
            "packages": {
                "tensorflow": tf.__version__,  # the name of its package differs between platforms
                **{name: version(name) for name in _PACKAGES},
            },
            "git_commit": _git_commit(),
        },
    )


def headline_metrics(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the metrics that the manifest contains.

    Args:
        metrics: the metrics of metrics.json: `test`, `validation` and `calibration`.
    """
    test, validation, calibration = (
        metrics[name] for name in ("test", "validation", "calibration")
    )
    held_out = {"accuracy": validation["accuracy"], "pictures": validation["n"]}
    low, high = test["accuracy_interval"]
    largest_class = max(figures["n"] for figures in test["per_class"].values())
    return {
        "test_accuracy": test["accuracy"],
        "test_pictures": test["n"],
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_majority_share": largest_class / test["n"],
        "test_calibration_error": calibration["error"],
        "temperature": calibration["temperature"],
        **{f"validation_{name}": value for name, value in held_out.items() if value is not None},
    }


def _accepted_kinds(dataset: Dataset) -> tuple[str, ...]:
    """Return the formats that the model accepts: JPEG, PNG, WebP and the formats of the dataset."""
    trained_on = {name.decode() for name in dataset.inspections["format"].tolist()}
    return tuple(kind.name for kind in FORMATS if kind.name in trained_on | set(ALWAYS_ACCEPTED))


def _data_provenance(dataset: Dataset, config: TrainingConfig) -> dict[str, Any]:
    """Describe the dataset: the hash, the number and the source of its pictures."""
    known = {"fingerprint": dataset.fingerprint, "pictures": len(dataset.paths)}
    if dataset.pinned:
        known["pinned_split"] = dict(dataset.pinned)
    if licence := find_licence(dataset):
        known["licence_file"] = licence
    if samples.is_sample_dataset(dataset.folder):
        return {**known, "source": summary.DRAWN}
    name = (config.folder() or dataset.folder).resolve().name  # of the user, perhaps not UTF-8
    return {**known, "source": summary.FOLDER, "folder": escape(name)}


def find_licence(dataset: Dataset) -> str | None:
    """Return the file LICENSE or LICENCE (any suffix) that is nearest to the top of the folder.

    Returns:
        The path, relative to the data folder; None if there is none.
    """
    names = [path.name for path in dataset.folder.iterdir()]  # a table does not name the file
    paths = [PurePosixPath(path) for path in (*names, *(file.path for file in dataset.left_out))]
    licences = [
        path
        for path in paths
        if path.stem.lower() in _LICENCE_NAMES and (dataset.folder / path).is_file()
    ]
    return min(licences, key=lambda path: (len(path.parts), path)).as_posix() if licences else None


def _weights_provenance(classifier: Classifier, config: TrainingConfig) -> dict[str, Any]:
    """Describe the weights that the backbone had before the training."""
    backbone = classifier.backbone
    is_pretrained = config.weights == backbone.pretrained
    return {
        "source": Path(str(config.weights)).name,
        "sha256": classifier.weights_sha256,
        "licence": (is_pretrained and backbone.weights_licence) or None,
    }


def _git_commit() -> str | None:
    """Return the commit of Graft; None if Graft does not run from its own Git repository."""
    command = ["git", "-C", str(_ROOT), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    top, commit = output.splitlines()
    return commit if Path(top).samefile(_ROOT) else None
