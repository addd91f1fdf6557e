"""Exports a trained classifier as ONNX and SavedModel, and compares both with the Keras model.

Both formats are made from the same TensorFlow function, which takes uint8 pictures and returns
embeddings and probabilities. The function runs the model in inference mode.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from service.bundle.manifest import MODEL
from service.engine.onnx_session import open_session
from service.errors import ParityError
from trainers.model.classifier import Classifier
from trainers.model.conversion import to_onnx

PARITY_TOLERANCE = 1e-4
"""The largest allowed difference between a probability from Keras and the same probability from an
exported format. The most probable class may still differ if the probabilities of two classes
differ by less than twice this limit."""
PARITY_BATCHES = (1, 3, 32)
OUTPUTS = ("probabilities", "embedding")

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""A prediction function: pictures (N, S, S, 3) uint8 -> probabilities (N, classes) float32."""


@dataclass(frozen=True)
class Format:
    """An export format: how it is written into a bundle, and how it is loaded for the comparison.

    Attributes:
        path: path of the file or folder, relative to the bundle.
        write: writes the result of `serving_module` to a path.
        open: loads what `write` has written to a path, and returns its prediction function.
    """

    path: str
    write: Callable[[tf.Module, Path], None]
    open: Callable[[Path], Predict]


def export(classifier: Classifier, folder: Path, formats: Collection[str] | None = None) -> None:
    """Write the classifier into `folder`.

    Args:
        formats: keys of FORMATS; None = all.

    Raises:
        ConversionError: the network contains an operation that cannot be converted to ONNX.
        OSError: the disk is full.
    """
    module = serving_module(classifier)
    for export_format in (FORMATS[name] for name in formats or FORMATS):
        try:
            export_format.write(module, folder / export_format.path)
        except tf.errors.ResourceExhaustedError as error:  # TensorFlow's error for a full disk
            raise OSError(errno.ENOSPC, str(error), str(folder)) from error


def check_parity(classifier: Classifier, folder: Path, images: NDArray[np.uint8]) -> dict[str, Any]:
    """Compare all formats with the Keras model, in batches of 1, 3 and 32 pictures.

    Args:
        folder: the folder that `export` has written.
        images: (N, S, S, 3) uint8 pictures, which are repeated if a batch needs more.

    Returns:
        A dictionary for the manifest, with `tolerance`, `batch_sizes` and `max_difference`, which
        maps each format to the largest difference of a probability from that of the Keras model.

    Raises:
        ParityError: a difference is larger than PARITY_TOLERANCE.
    """
    reference = keras_predict(classifier)
    batches = [np.resize(images, (size, *images.shape[1:])) for size in PARITY_BATCHES]
    references = [reference(batch) for batch in batches]
    differences: dict[str, float] = {}
    for name, export_format in FORMATS.items():
        predict = export_format.open(folder / export_format.path)
        differences[name] = max(
            _difference(name, expected, predict(batch))
            for batch, expected in zip(batches, references, strict=True)
        )
    return {
        "tolerance": PARITY_TOLERANCE,
        "batch_sizes": list(PARITY_BATCHES),
        "max_difference": differences,
    }


def keras_predict(classifier: Classifier) -> Predict:
    """Return the prediction function of the Keras model in memory."""
    outputs = classifier.build_model()

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        result = outputs(images.astype(np.float32), training=False)
        return np.asarray(result["probabilities"])

    return predict


def _difference(name: str, expected: NDArray[np.float32], exported: NDArray[np.float32]) -> float:
    """Return the largest difference between the probabilities of Keras and those of a format.

    Raises:
        ParityError: the difference is larger than PARITY_TOLERANCE.
    """
    difference = float(np.abs(expected - exported).max())
    if not difference <= PARITY_TOLERANCE:  # also true for NaN
        raise ParityError(
            f"the {name} export differs from Keras: a probability differs by {difference:.2g} "
            f"(allowed: {PARITY_TOLERANCE:g}; batch size: {len(exported)}). No bundle was written. "
            "Please report this error with the plugin's name and the installed versions"
        )
    return difference


def serving_module(classifier: Classifier) -> tf.Module:
    """Return a TensorFlow module whose attribute `serve` is the function to export.

    The function takes pictures (batch, S, S, 3) uint8, and returns a dictionary with their
    `embedding` (batch, D) and `probabilities` (batch, classes).
    """
    outputs = classifier.build_model()
    size = outputs.input_shape[1]
    module = tf.Module()
    # Only the variables are saved: to save all that a Keras model refers to takes twice as long.
    module.variables_to_save = [variable.value for variable in outputs.variables]

    @tf.function(
        input_signature=[tf.TensorSpec((None, size, size, 3), tf.uint8, "images")], autograph=False
    )
    def serve(images: Any) -> Any:
        return outputs(tf.cast(images, tf.float32), training=False)

    module.serve = serve
    return module


def _write_saved_model(module: tf.Module, path: Path) -> None:
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.serve})


def _open_saved_model(path: Path) -> Predict:
    loaded = tf.saved_model.load(str(path))  # the function below keeps it alive, with its variables
    signature = loaded.signatures["serving_default"]
    return lambda images: signature(images=tf.constant(images))["probabilities"].numpy()


def _write_onnx(module: tf.Module, path: Path) -> None:
    onnx.save(to_onnx(module.serve, OUTPUTS), path)


def _open_onnx(path: Path) -> Predict:
    session = open_session(path)
    return lambda images: session.run(["probabilities"], {"images": images})[0]


FORMATS = {
    "onnx": Format(MODEL, _write_onnx, _open_onnx),
    "saved_model": Format("saved_model", _write_saved_model, _open_saved_model),
}
