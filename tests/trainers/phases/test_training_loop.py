from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from trainers.phases import transfer_learning
from trainers.phases.context import TrainingContext
from trainers.resources.time_budget import TimeBudget

Start = Callable[..., TrainingContext]


@pytest.mark.slow
def test_the_recorded_loss_is_the_one_used_for_selection(start: Start) -> None:
    """Log, report and decision show the same validation loss, the loss of the best epoch."""
    context = start(fine_tune_epochs=3, strategy="fine-tune")
    trained = transfer_learning.train(context)
    recorded = [row["val_loss"] for row in trained.history["fine-tuning"]]
    assert len(recorded) == 3
    loss_in_decision = float(
        trained.decision.split("(validation loss ")[1].split(" with fine-tuning")[0]
    )
    assert min(abs(loss_in_decision - (loss or 9)) for loss in recorded) < 1e-4


@pytest.mark.slow
def test_a_diverging_fine_tuning_is_recorded_without_nan(start: Start) -> None:
    context = start(strategy="fine-tune", fine_tune_epochs=2, fine_tune_learning_rate=1e30)
    trained = transfer_learning.train(context)
    assert "linear head" in trained.decision.split(";")[0]
    assert "--fine-tune-learning-rate (it was 1e+30)" in trained.decision
    json.dumps(trained.history, allow_nan=False)


@pytest.mark.slow
def test_fine_tuning_stops_when_the_time_budget_is_spent(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only fine-tuning reserves seconds for what follows it; all other steps have time.
    monkeypatch.setattr(TimeBudget, "is_spent", lambda _, *reserve: bool(reserve))
    context = start(strategy="fine-tune", fine_tune_epochs=50, time_budget=1e9)
    trained = transfer_learning.train(context)
    assert len(trained.history["fine-tuning"]) == 1


@pytest.mark.slow
def test_two_runs_have_the_same_weights(start: Start) -> None:
    first, second = (
        transfer_learning.train(start(strategy="fine-tune", fine_tune_epochs=2)) for _ in range(2)
    )
    assert first.history == second.history
    for a, b in zip(first.classifier.get_weights(), second.classifier.get_weights(), strict=True):
        assert (a == b).all()
