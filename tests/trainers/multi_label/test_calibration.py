from __future__ import annotations

import numpy as np
import pytest

from service.engine.label_sets import lowest_score
from trainers.multi_label.calibration import (
    HIGHEST,
    apply_temperature,
    evaluate_calibration,
    fit_temperature,
    true_scores,
)
from trainers.multi_label.linear import sigmoid

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (600, 3))
TARGETS = RNG.random(LOGITS.shape) < sigmoid(LOGITS)


def probabilities(scale: float) -> np.ndarray:
    return sigmoid(LOGITS * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
def test_the_temperature_undoes_a_scale_of_the_logits(scale: float) -> None:
    temperature = fit_temperature(probabilities(scale), TARGETS)
    assert temperature == pytest.approx(scale, rel=0.15)
    np.testing.assert_allclose(
        apply_temperature(probabilities(scale), scale), probabilities(1), atol=1e-5
    )


def test_the_temperature_has_limits_and_is_1_without_pictures() -> None:
    assert fit_temperature(probabilities(9), TARGETS) == HIGHEST
    assert fit_temperature(probabilities(1)[:0], TARGETS[:0]) == 1


def test_sets_contain_the_wanted_share_of_the_true_labels() -> None:
    scores = true_scores(probabilities(1)[:300], TARGETS[:300])
    assert scores == sorted(scores)
    assert len(scores) == TARGETS[:300].any(axis=1).sum()
    none = np.ones(3, np.float32)  # thresholds that no answer reaches
    arguments = (probabilities(1)[300:], TARGETS[300:])
    figures = evaluate_calibration(*arguments, none, scores, 1.0, 300)
    assert figures["sets"]["coverage"] == pytest.approx(0.9, abs=0.03)
    assert 1 < figures["sets"]["mean_size"] < 3
    assert figures["error"] < 0.05
    assert (figures["temperature"], figures["fitted_on"]) == (1.0, 300)
    assert sum(row["n"] for row in figures["bins"]) == 900
    with_answers = evaluate_calibration(*arguments, none * 0, scores, 1.0, 300)
    assert with_answers["sets"]["mean_size"] == 3


def test_a_picture_with_one_label_counts_as_in_single_label_sets() -> None:
    given = np.array([[0.9, 0.1], [0.2, 0.7], [0.3, 0.4]], np.float32)
    truth = np.array([[1, 0], [1, 0], [0, 1]], np.bool_)
    assert true_scores(given, truth) == pytest.approx([0.2, 0.4, 0.9])


def test_labels_of_one_picture_share_its_weight() -> None:
    given = np.array([[0.1, 0.2, 0.9], [0.8, 0.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    truth = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0]], np.bool_)
    # Misses of 0.5 + 0.5 at 0.1 and 0.2 are one picture; the picture without labels does not count.
    assert true_scores(given, truth) == pytest.approx([0.1, 0.8])
    assert lowest_score(true_scores(given, truth), 0.9) is None
    assert evaluate_calibration(given, truth, np.ones(3, np.float32), [], 1.0, 0)["sets"] is None
