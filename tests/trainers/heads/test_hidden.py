from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.trainers.heads.test_linear import cross_validated, examples
from trainers.heads import hidden
from trainers.heads.examples import Examples
from trainers.heads.head import build_head, prefer_linear
from trainers.heads.hidden import train_hidden
from trainers.heads.linear import fit_linear
from trainers.progress import log
from trainers.resources.time_budget import TimeBudget


def exclusive_or() -> Examples:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (1200, 1, 2)).astype(np.float32)
    labels = (points[:, 0, 0] * points[:, 0, 1] > 0).astype(np.int64)  # exclusive or
    return Examples(
        points[:1000],
        labels[:1000],
        np.ones(1000, np.float32),
        points[1000:, 0],
        labels[1000:],
        2,
    )


@pytest.mark.slow
def test_a_hidden_layer_learns_what_a_linear_head_cannot() -> None:
    data = exclusive_or()
    keras.utils.set_random_seed(0)
    linear, nonlinear = fit_linear(data), train_hidden(data, 60, 3e-3)
    assert linear.validation.accuracy < 0.65
    assert nonlinear.validation.accuracy > linear.validation.accuracy + 0.2
    assert prefer_linear(linear, nonlinear) is nonlinear
    assert set(nonlinear.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


@pytest.mark.slow
def test_training_ends_in_the_first_epoch_when_the_time_budget_is_spent() -> None:
    head = train_hidden(exclusive_or(), 100_000, 3e-3, TimeBudget(seconds=1e-9))
    assert len(head.history) == 1


@pytest.mark.slow
def test_one_fold_is_validated_and_one_warning_logged_when_the_time_budget_is_spent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = []
    monkeypatch.setattr(
        hidden, "build_head", lambda *a, **k: builds.append(1) or build_head(*a, **k)
    )
    log.addHandler(caplog.handler)
    head = train_hidden(cross_validated(examples(n=30)), 30, 3e-3, TimeBudget(seconds=1e-9))
    log.removeHandler(caplog.handler)
    assert len(builds) == 2  # one of five folds, and the head itself
    assert head.cross_validation is not None
    assert head.cross_validation.folds == 1
    (message,) = {line.getMessage() for line in caplog.records if line.name == log.name}
    assert "the training of the hidden layer stopped after 1 of at most 30 epochs" in message


@pytest.mark.long
def test_in_cross_validation_the_folds_decide_the_number_of_epochs() -> None:
    keras.utils.set_random_seed(0)
    head = train_hidden(cross_validated(examples(noise=5.0, n=30)), 30, 3e-3)
    assert head.cross_validation is not None
    assert len(head.cross_validation.losses) == 30
    assert 1 <= len(head.history) < 30  # with the training loss it would never stop
    assert {row["val_loss"] for row in head.history} == {None}
    assert head.validation.accuracy > head.selection_result.accuracy + 0.2
