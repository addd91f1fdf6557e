"""Calibrates a trained classifier through its ONNX model, before the bundle is exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.engine.classification import ModelOutputs
from service.engine.onnx_session import open_session, providers_for
from service.errors import ParityError
from trainers.dataset.dataset import Dataset
from trainers.evaluation import calibration as softmax_calibration
from trainers.evaluation.fidelity import require_faithful
from trainers.evaluation.predictions import Predictions, predict_split
from trainers.evaluation.selection import ValidationResult
from trainers.exporting.formats import OUTPUTS
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress

MAX_DIFFERENCE = 1e-3
"""The largest difference of a probability that rounding may cause when the weights are divided."""


class Calibration(Protocol):
    """A module with these functions, for softmax or for sigmoids; see `evaluation.calibration`."""

    def fit_temperature(self, probabilities: NDArray[np.float32], truth: Any, /) -> float: ...
    def apply_temperature(
        self, probabilities: NDArray[np.float32], temperature: float, /
    ) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class CalibratedClassifier:
    """What is known of a classifier after its logits are divided by a temperature.

    Attributes:
        temperature: the number that the logits were divided by.
        held_out: the predictions that it was fitted on, with this temperature: those of the
            validation pictures, or those of cross-validation if the model was trained on the
            validation pictures, too.
        expected: (n, classes) the probabilities of the validation pictures with this temperature.
        fidelity: the comparison with the selected model, for metrics.json.
    """

    temperature: float
    held_out: Predictions
    expected: NDArray[np.float32]
    fidelity: dict[str, Any]

    def require_same(self, validation: Predictions) -> None:
        """Check that the model in the bundle predicts the expected probabilities.

        Args:
            validation: its predictions for the validation pictures.

        Raises:
            ParityError: a probability differs by more than MAX_DIFFERENCE.
        """
        difference = float(np.abs(validation.probabilities - self.expected).max(initial=0))
        if not difference <= MAX_DIFFERENCE:  # also true for NaN
            raise ParityError(
                "no bundle was written, because the calibrated model differs from the model that "
                f"was calibrated: a probability differs by {difference:.2g} (allowed: "
                f"{MAX_DIFFERENCE:g}). Please report this error with the plugin's name and the "
                "installed versions"
            )


def calibrate(
    trained: TrainedClassifier,
    path: Path,
    dataset: Dataset,
    device: str,
    progress: Progress,
    calibration: Calibration = softmax_calibration,
) -> CalibratedClassifier:
    """Fit a temperature on held-out pictures, and divide the classifier's logits by it.

    These are the validation pictures, or those of cross-validation if the classifier was trained on
    the validation pictures, too.

    The validation pictures are classified by the classifier's ONNX model, as the service will do.
    Before the temperature is applied, this model must give the same results as the selected model.

    Args:
        trained: the classifier, whose head is changed.
        path: its ONNX model. It keeps its logits, so it must be exported again.
        device: the value of --device.
        calibration: how a temperature is fitted and applied.

    Raises:
        ParityError: the results of the ONNX model differ from those of the selected model.
        MemoryShortageError: the memory is too small for one picture.
    """
    model = OnnxModel(path, device)
    validation = predict_split(model, dataset, "validation", progress, "calibrating")
    selected_on = (
        validation if len(validation.rows) else predict_split(model, dataset, "train", progress)
    )
    exported = ValidationResult.from_probabilities(
        selected_on.probabilities, dataset.truth(selected_on.rows)
    )
    fidelity = require_faithful(trained.selected, exported)
    held_out = trained.held_out or validation
    temperature = calibration.fit_temperature(held_out.probabilities, dataset.truth(held_out.rows))
    trained.classifier.divide_logits(temperature)
    calibrated, expected = (
        calibration.apply_temperature(predictions.probabilities, temperature)
        for predictions in (held_out, validation)
    )
    held_out = replace(held_out, probabilities=calibrated)
    return CalibratedClassifier(temperature, held_out, expected, fidelity)


class OnnxModel:
    """An ONNX model without a bundle."""

    def __init__(self, path: Path, device: str) -> None:
        self._session = open_session(path, providers=providers_for(device))
        self.provider = str(self._session.get_providers()[0])

    def run(self, images: NDArray[np.uint8]) -> ModelOutputs:
        return ModelOutputs(*self._session.run(OUTPUTS, {"images": images}))
