from __future__ import annotations

import keras
import numpy as np

from trainers.clock import Clock
from trainers.head import Examples, better, solve_linear
from trainers.hidden import train_hidden


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
