"""The temperature and the calibration error, on predictions whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trainers.evaluation.calibration import (
    BANDS,
    MAX_TRUE_SCORES,
    apply_temperature,
    calibration_error,
    evaluate_calibration,
    fit_temperature,
    noise_floor,
    true_scores,
)
from trainers.evaluation.predictions import Predictions


def draw(count: int, temperature: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Draw calibrated probabilities and labels, then multiply the logits by `temperature`."""
    rng = np.random.default_rng(count)
    calibrated = rng.dirichlet([0.3] * 4, count).astype(np.float32)
    labels = (rng.random((count, 1)) < calibrated.cumsum(axis=1)).argmax(axis=1)
    return apply_temperature(calibrated, 1 / temperature), labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_a_miscalibrated_model_is_found(temperature: float) -> None:
    probabilities, labels = draw(4000, temperature)
    assert fit_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.06)


def test_a_few_correct_predictions_do_not_make_certain_scores() -> None:
    probabilities = np.tile(np.array([0.8, 0.2], np.float32), (5, 1))
    temperature = fit_temperature(probabilities, np.zeros(5, np.int64))
    assert 0.5 < temperature < 1


def test_without_pictures_nothing_changes() -> None:
    assert fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1


def test_a_temperature_changes_scores_and_no_class() -> None:
    probabilities, _ = draw(100)
    sharper = apply_temperature(probabilities, 0.5)
    assert (sharper.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (sharper.max(axis=1) >= probabilities.max(axis=1)).all()
    np.testing.assert_allclose(apply_temperature(sharper, 2), probabilities, atol=1e-5)


def test_the_error_is_the_mean_gap_between_score_and_accuracy() -> None:
    scores = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    hits = np.array([True, True, True, False, True, False])
    assert calibration_error(scores, hits) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)
    assert calibration_error(np.array([1.0]), np.array([True])) == 0
    assert calibration_error(np.zeros(0), np.zeros(0, bool)) == 0


def test_a_calibrated_model_has_the_error_of_the_noise_floor() -> None:
    errors = []
    for seed in range(20):
        scores = np.random.default_rng(seed).uniform(0.3, 1, 150)
        hits = np.random.default_rng(100 + seed).random(150) < scores
        errors.append(calibration_error(scores, hits))
    assert noise_floor(scores) == pytest.approx(np.mean(errors), rel=0.2)
    assert noise_floor(np.tile(scores, 100)) < 0.1 * noise_floor(scores) * 1.5


def test_the_record_has_the_error_before_and_after() -> None:
    probabilities, labels = draw(4000, 3.0)
    temperature = fit_temperature(probabilities, labels)
    calibrated = apply_temperature(probabilities, temperature)
    test = Predictions(np.arange(4000), labels, calibrated)
    validation = Predictions(np.arange(1500), labels[:1500], calibrated[:1500])
    record = evaluate_calibration(test, validation, temperature)
    before = calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    assert record["error_before"] == pytest.approx(before, abs=1e-4)
    assert record["error"] < 2 * record["noise_floor"] < before
    assert record["fitted_on"] == 1500
    assert record["sets"]["confidence"] == 0.9
    assert record["sets"]["coverage"] == pytest.approx(0.9, abs=0.02)
    assert 1 <= record["sets"]["mean_size"] < 4
    assert 0 < record["sets"]["single"] < 1
    assert sum(row["n"] for row in record["bands"]) == 4000
    assert sum(row["n"] for row in record["bins"]) == 4000
    assert [row["low"] for row in record["bands"]] == list(BANDS)
    for row in record["bins"]:
        low, high = row["interval"]
        assert low <= row["accuracy"] <= high
        assert row["low"] <= row["score"] <= row["high"]


def test_an_empty_test_has_no_figures() -> None:
    empty = Predictions(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.float32))
    record = evaluate_calibration(empty, empty, 1.0)
    assert record["sets"] is None
    assert (record["error"], record["bins"]) == (0, [])
    assert {row["accuracy"] for row in record["bands"]} == {None}


def test_the_true_scores_of_many_pictures_are_thinned_out() -> None:
    probabilities, labels = draw(5000)
    scores = true_scores(Predictions(np.arange(5000), labels, probabilities))
    assert len(scores) == MAX_TRUE_SCORES
    assert scores == sorted(scores)
    every = np.sort(probabilities[np.arange(5000), labels])
    np.testing.assert_allclose(
        np.quantile(scores, [0.1, 0.5]), np.quantile(every, [0.1, 0.5]), 0.02
    )
    few = true_scores(Predictions(np.arange(3), labels[:3], probabilities[:3]))
    np.testing.assert_allclose(few, np.sort(probabilities[np.arange(3), labels[:3]]), rtol=1e-5)
