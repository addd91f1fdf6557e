from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.trainers.heads.test_linear import cross_validated, examples
from trainers.heads import hidden
from trainers.heads.examples import Examples
from trainers.heads.head import better, build
from trainers.heads.hidden import train_hidden
from trainers.heads.linear import solve_linear
from trainers.progress import log
from trainers.resources.time_budget import Clock


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


def test_a_hidden_layer_learns_what_no_line_separates() -> None:
    given = exclusive_or()
    keras.utils.set_random_seed(0)
    linear, curved = solve_linear(given), train_hidden(given, 60, 3e-3)
    assert linear.accuracy < 0.65
    assert curved.accuracy > linear.accuracy + 0.2
    assert better(linear, curved) is curved
    assert set(curved.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_with_the_time_up_it_ends_in_its_first_epoch() -> None:
    head = train_hidden(exclusive_or(), 100_000, 3e-3, Clock(budget=1e-9))
    assert len(head.history) == 1


def test_with_the_time_up_one_fold_judges_and_one_line_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    monkeypatch.setattr(hidden, "build", lambda *a, **k: built.append(1) or build(*a, **k))
    log.addHandler(caplog.handler)
    head = train_hidden(cross_validated(examples(n=30)), 30, 3e-3, Clock(budget=1e-9))
    log.removeHandler(caplog.handler)
    assert len(built) == 2  # of five folds and the head itself
    assert head.cross_validated is not None
    assert head.cross_validated.folds == 1
    (said,) = {one.getMessage() for one in caplog.records if one.name == log.name}
    assert "the hidden layer was cut short" in said


def test_in_cross_validation_the_folds_say_how_long_to_train() -> None:
    keras.utils.set_random_seed(0)
    head = train_hidden(cross_validated(examples(noise=5.0, n=30)), 30, 3e-3)
    assert head.cross_validated is not None
    assert len(head.cross_validated.losses) == 30
    assert 1 <= len(head.history) < 30  # on their own loss it would never stop
    assert {row["val_loss"] for row in head.history} == {None}
    assert head.accuracy > head.judgement.accuracy + 0.2
