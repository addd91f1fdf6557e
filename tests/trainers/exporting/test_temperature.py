"""The temperature is fitted through the ONNX model, and every exported format contains it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.engine.predictor import Predictor
from service.errors import ParityError
from trainers.evaluation import calibration
from trainers.evaluation.calibration import apply_temperature, fit_temperature
from trainers.evaluation.predictions import Predictions, predict_split
from trainers.exporting import bundle_writer, temperature
from trainers.exporting.export import export
from trainers.exporting.formats import Source
from trainers.phases import refitting, transfer_learning
from trainers.phases.context import TrainingContext
from trainers.phases.transfer_learning import TrainedClassifier
from trainers.progress import Progress

Start = Callable[..., TrainingContext]

pytestmark = pytest.mark.slow


def train_on_training_pictures_only(
    context: TrainingContext, monkeypatch: pytest.MonkeyPatch
) -> TrainedClassifier:
    with monkeypatch.context() as patch:
        patch.setattr(refitting, "MAX_PICTURES", 0)
        return transfer_learning.train(context)


def test_the_exported_model_has_the_temperature(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start(strategy="features")
    trained = train_on_training_pictures_only(context, monkeypatch)
    images = context.dataset.images[np.arange(8)]
    before = Source(trained.classifier).predict(images)
    monkeypatch.setattr(calibration, "fit_temperature", lambda *_: 2.5)
    work = tmp_path / "work"
    for folder in (work, context.config.output):
        folder.mkdir()
    silent = Progress(is_quiet=True)
    bundle, metrics = bundle_writer.write_bundle(
        trained, context.dataset, [], context.config, work, silent
    )
    predictor = Predictor(bundle)  # checks the golden answers, as the service does
    np.testing.assert_allclose(predictor.predict(images), apply_temperature(before, 2.5), atol=1e-5)
    assert bundle.manifest.metrics["temperature"] == metrics["calibration"]["temperature"] == 2.5
    validation = predict_split(predictor, context.dataset, "validation", silent)
    assert metrics["validation"]["log_loss"] == pytest.approx(validation.losses.mean(), abs=1e-4)


def test_the_temperature_is_fitted_on_the_validation_pictures(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start(strategy="features")
    trained = train_on_training_pictures_only(context, monkeypatch)
    rows = context.dataset.rows("validation")
    before = Source(trained.classifier).predict(context.dataset.images[rows])
    silent = Progress(is_quiet=True)
    export(Source(trained.classifier), tmp_path, ["onnx"])
    path = tmp_path / "model.onnx"
    calibrated = temperature.calibrate(trained, path, context.dataset, "cpu", silent)
    np.testing.assert_array_equal(calibrated.held_out.probabilities, calibrated.expected)
    fitted = fit_temperature(before, context.dataset.labels[rows])
    assert calibrated.temperature == pytest.approx(fitted, rel=1e-3)
    after = Source(trained.classifier).predict(context.dataset.images[rows])
    np.testing.assert_allclose(calibrated.expected, after, atol=1e-5)
    labels = context.dataset.labels[rows]
    calibrated.require_same(Predictions(rows, labels, after))
    with pytest.raises(ParityError, match="differs from the model that was calibrated"):
        calibrated.require_same(Predictions(rows, labels, after + np.float32(0.002)))
    assert calibrated.fidelity["loss_difference"]["mean_of_pictures"] < 1e-4


def test_cross_validation_calibrates_a_head_that_was_trained_on_the_validation_pictures(
    start: Start, tmp_path: Path
) -> None:
    context = start(strategy="features")
    trained = transfer_learning.train(context)
    held_out = trained.held_out
    assert held_out is not None
    silent = Progress(is_quiet=True)
    export(Source(trained.classifier), tmp_path, ["onnx"])
    path = tmp_path / "model.onnx"
    calibrated = temperature.calibrate(trained, path, context.dataset, "cpu", silent)
    fitted = fit_temperature(held_out.probabilities, held_out.labels)
    assert calibrated.temperature == fitted
    expected = apply_temperature(held_out.probabilities, fitted)
    np.testing.assert_array_equal(calibrated.held_out.probabilities, expected)


def test_metrics_novelty_and_drift_come_from_cross_validation(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = start(red=60, blue=60, strategy="features")
    trained = transfer_learning.train(context)
    held_out = trained.held_out
    assert held_out is not None
    used: list[Predictions] = []
    for name, position in (("write_novelty", 3), ("write_drift_reference", 3)):
        write = getattr(bundle_writer, name)

        def record(*arguments: object, write: object = write, position: int = position) -> object:
            used.append(arguments[position])
            return write(*arguments)

        monkeypatch.setattr(bundle_writer, name, record)
    for folder in (tmp_path / "work", context.config.output):
        folder.mkdir()
    _, metrics = bundle_writer.write_bundle(
        trained, context.dataset, [], context.config, tmp_path / "work", Progress(is_quiet=True)
    )
    assert metrics["shipped"]["is_refitted"]
    assert metrics["validation"]["n"] == metrics["calibration"]["fitted_on"] == len(held_out.rows)
    rows = context.dataset.rows("validation")
    temperature = metrics["calibration"]["temperature"]
    expected = apply_temperature(held_out.probabilities[np.isin(held_out.rows, rows)], temperature)
    assert len(used) == 2
    for predictions in used:
        assert predictions.rows.tolist() == rows.tolist()
        np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-6)
