from __future__ import annotations

import keras
import numpy as np

from tests.trainers.test_linear import cross_validated, examples
from trainers.clock import Clock
from trainers.examples import Examples
from trainers.head import better
from trainers.hidden import train_hidden
from trainers.linear import solve_linear


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
    linear, hidden = solve_linear(given), train_hidden(given, 60, 3e-3)
    assert linear.accuracy < 0.65
    assert hidden.accuracy > linear.accuracy + 0.2
    assert better(linear, hidden) is hidden
    assert set(hidden.history[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_with_the_time_up_it_ends_in_its_first_epoch() -> None:
    hidden = train_hidden(exclusive_or(), 100_000, 3e-3, Clock(budget=1e-9))
    assert len(hidden.history) == 1


def test_in_cross_validation_the_folds_say_how_long_to_train() -> None:
    keras.utils.set_random_seed(0)
    head = train_hidden(cross_validated(examples(noise=5.0, n=30)), 30, 3e-3)
    assert head.cross_validated is not None
    assert len(head.cross_validated.losses) == 30
    assert 1 <= len(head.history) < 30  # on their own loss it would never stop
    assert {row["val_loss"] for row in head.history} == {None}
    assert head.accuracy > head.judgement.accuracy + 0.2
