from __future__ import annotations

import pytest

from benchmarks.trust.calibration import (
    TRUST_STEPS,
    pooled_error,
    share_of_trust,
    summarise,
    summarise_sets,
)


def record(correct: int) -> dict[str, object]:
    row = {"low": 0.9, "n": 10, "score": 0.95, "correct": correct}
    return {
        "test": {"accuracy": correct / 10},
        "seconds": {"scanning": 9.0, TRUST_STEPS[0]: 1.0},
        "temperature": 1.5,
        "error": abs(correct / 10 - 0.95),
        "error_before": 0.2,
        "noise_floor": 0.05,
        "bins": [row],
        "bands": [row],
        "sets": {"coverage": correct / 10, "mean_size": 1.5},
    }


def test_runs_without_confident_answers_are_listed() -> None:
    rows = summarise([{**record(9), "bands": []}])
    assert rows["right answers among those with a score of at least 90%"] == "-"


def test_errors_that_cancel_out_between_seeds_are_noise() -> None:
    assert pooled_error([record(10), record(9)]) == pytest.approx(0)
    assert pooled_error([record(10), record(10)]) == pytest.approx(0.05)


def test_the_table_has_pooled_and_mean_figures() -> None:
    rows = summarise([record(10), record(9)])
    assert rows["test accuracy, mean"] == "0.950"
    assert rows["calibration error, pooled over the seeds"] == "0.0000"
    assert rows["calibration error of a single test, mean"] == "0.0500"
    assert rows["right answers among those with a score of at least 90%"] == "0.950 of 20"
    assert rows["sets that the service returns: coverage (promised: 0.9), labels"] == "0.950, 1.50"


def test_time_for_trust_is_compared_with_the_other_steps() -> None:
    assert share_of_trust({"scanning": 6.0, "head": 2.0, TRUST_STEPS[0]: 2.0}) == 0.25


def test_sets_have_a_row_for_each_method() -> None:
    ((name, value),) = summarise_sets({"LAC": [(0.8, 1.0), (1.0, 2.0)]})
    assert name.startswith("sets of LAC")
    assert value == "0.900, 1.50"
