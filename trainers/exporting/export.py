"""Exports a trained classifier in several formats, and compares each with the Keras model."""

from __future__ import annotations

import errno
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service.errors import GraftError, ParityError
from trainers.exporting.formats import FORMATS, OPTIONAL_FORMATS, Source

PARITY_TOLERANCE = 1e-4
"""The largest allowed difference between a probability from Keras and the same probability from an
exported format. The most probable class may still differ if the probabilities of two classes
differ by less than twice this limit."""
PARITY_BATCHES = (1, 3, 32)
_ALL_FORMATS = {**FORMATS, **OPTIONAL_FORMATS}


def require_packages(formats: Collection[str]) -> None:
    """Check that the packages of these formats are installed.

    Raises:
        GraftError: a package is missing; the message says how to install it.
    """
    for name in formats:
        package, extra = _ALL_FORMATS[name].package, _ALL_FORMATS[name].extra
        if package and find_spec(package) is None:
            raise GraftError(
                f"--export {name} needs a package that is not installed: "
                f".venv/bin/python -m pip install '.[{extra}]'"
            )


def export(source: Source, folder: Path, formats: Collection[str] = tuple(FORMATS)) -> None:
    """Write a classifier into `folder`.

    Args:
        formats: names of formats. Some of them are made from the ONNX model, so it must be first.

    Raises:
        ConversionError: the network contains an operation that cannot be converted to ONNX.
        OSError: the disk is full.
    """
    for export_format in (_ALL_FORMATS[name] for name in formats):
        try:
            export_format.write(source, folder / export_format.path)
        except tf.errors.ResourceExhaustedError as error:  # TensorFlow's error for a full disk
            raise OSError(errno.ENOSPC, str(error), str(folder)) from error


def check_parity(
    source: Source,
    folder: Path,
    images: NDArray[np.uint8],
    formats: Collection[str] = tuple(FORMATS),
) -> dict[str, Any]:
    """Compare exported formats with the Keras model, in batches of 1, 3 and 32 pictures.

    Args:
        folder: the folder that `export` has written.
        images: (N, S, S, 3) uint8 pictures, which are repeated if a batch needs more.
        formats: names of the formats.

    Returns:
        A dictionary for the manifest, with `tolerance`, `batch_sizes` and `max_difference`, which
        maps each format to the largest difference of a probability from that of the Keras model.

    Raises:
        ParityError: a difference is larger than PARITY_TOLERANCE.
    """
    images = np.resize(images, (max(PARITY_BATCHES), *images.shape[1:]))
    expected = source.predict(images)
    differences: dict[str, float] = {}
    for name in formats:
        predict = _ALL_FORMATS[name].open(folder / _ALL_FORMATS[name].path)
        differences[name] = max(
            _difference(name, expected[:size], predict(images[:size])) for size in PARITY_BATCHES
        )
    return {
        "tolerance": PARITY_TOLERANCE,
        "batch_sizes": list(PARITY_BATCHES),
        "max_difference": differences,
    }


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
