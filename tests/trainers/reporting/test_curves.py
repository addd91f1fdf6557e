from __future__ import annotations

from typing import Any

import pytest

from trainers.reporting.curves import learning_curve, training_curves

LINEAR = [{"C": c, "val_loss": loss, "val_accuracy": 0.8} for c, loss in ((0.01, 0.9), (0.1, 0.5))]
EPOCHS = [{"loss": 1.0, "accuracy": 0.7, "val_loss": 2.0, "val_accuracy": 0.6}] * 3
POINTS = [
    {"pictures": 10 * 2**step, "accuracy": 0.7 + 0.05 * step, "low": 0.65, "high": 0.9}
    for step in range(3)
]


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        ("head", ["C = 0.1 is used (lowest loss)", "epoch 2 was best by loss"]),
        ("fine-tuning", ["C = 0.1 has the lowest loss", "epoch 2 is used"]),
    ],
)
def test_the_best_row_is_marked_with_the_reason(shipped: str, expected: list[str]) -> None:
    metrics: dict[str, Any] = {
        "phases": {"head": LINEAR, "fine-tuning": EPOCHS},
        "shipped": {"phase": shipped, "best_fine_tuning_epoch": 2},
    }
    phases = list(training_curves(metrics))
    assert [phase["name"] for phase in phases] == ["head", "fine-tuning"]
    for phase, mark in zip(phases, expected, strict=True):
        assert len(phase["plots"]) == 2
        assert all(f">{mark}</text>" in plot for plot in phase["plots"])


def test_phases_without_rows_have_no_plots() -> None:
    metrics = {"phases": {"head": []}, "shipped": {"phase": "head", "best_fine_tuning_epoch": 0}}
    assert list(training_curves(metrics)) == []


def test_the_learning_curve_ends_with_a_prediction() -> None:
    twice = {"pictures": 70, "accuracy": 0.85, "low": 0.7, "high": 0.9}
    plot = learning_curve({"points": POINTS, "twice": twice})
    assert plot is not None
    assert "predicted from 80 to 85" in plot
    assert "measured from 70 to 80" in plot
    assert plot.count('class="range"') == 4
    assert ">70</text>" in plot


def test_a_learning_curve_without_prediction_has_only_measured_points() -> None:
    fewer = {"pictures": 40, "accuracy": 0.85, "low": 0.7, "high": 0.9}
    for twice in (None, fewer):  # the training split may be smaller than the others
        plot = learning_curve({"points": POINTS, "twice": twice})
        assert plot is not None
        assert "predicted" not in plot
        assert plot.count('class="range"') == 3
    assert learning_curve({"points": [], "twice": None}) is None
