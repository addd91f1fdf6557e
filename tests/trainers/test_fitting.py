from __future__ import annotations

import json
from collections.abc import Callable

import keras
import numpy as np
import pytest

from plugins.registry import resolve
from trainers import phases
from trainers.fitting import Run, class_weights

Start = Callable[..., tuple[keras.Model, Run]]


def test_checkpoints_are_kept_beside_the_bundles(start: Start) -> None:
    body, run = start(epochs=1, fine_tune_epochs=1)
    phases.train(resolve("tiny"), body, run)
    files = {path.name for path in (run.config.output / "checkpoints/classifier").iterdir()}
    assert files == {"head.weights.h5", "fine-tuning.weights.h5"}


def test_uneven_classes_are_weighted_to_have_the_same_say() -> None:
    labels = np.array([0] * 6 + [1] * 2)
    np.testing.assert_allclose(class_weights(labels, 2), [8 / 12, 2.0])
    assert class_weights(np.array([0, 0, 1, 1]), 2).tolist() == [1, 1]


def test_recorded_losses_are_those_that_decide(start: Start) -> None:
    """The log's, the report's and the decision's validation loss are one and the same figure."""
    body, run = start(epochs=3, fine_tune_epochs=2)
    trained = phases.train(resolve("tiny"), body, run)
    for phase in trained.phases:
        lowest = min(row["val_loss"] for row in phase.history if row["val_loss"] is not None)
        assert phase.validation_loss == pytest.approx(lowest, abs=1e-5)


def test_a_diverging_fine_tuning_is_recorded_without_nan(start: Start) -> None:
    body, run = start(epochs=3, fine_tune_epochs=2, fine_tune_learning_rate=1e30)
    trained = phases.train(resolve("tiny"), body, run)
    assert trained.decision.startswith("head")
    json.dumps(trained.phases[1].history, allow_nan=False)
    assert None in [row["val_loss"] for row in trained.phases[1].history]
