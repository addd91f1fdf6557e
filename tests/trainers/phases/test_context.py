from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trainers.dataset.folders.filenames import SPLITS
from trainers.phases.context import TrainingContext

Start = Callable[..., TrainingContext]


def test_class_weights_balance_the_classes(start: Start) -> None:
    run = start(red=40, blue=12)
    counts = np.bincount(run.labels)
    np.testing.assert_allclose(run.class_weights * counts, len(run.labels) / 2)


def test_pictures_come_with_their_own_keys_and_labels(start: Start) -> None:
    run = start()
    rows = run.dataset.rows("train")
    np.testing.assert_array_equal(run.train.images[:], run.dataset.images[rows])
    assert run.train.keys == tuple(run.dataset.cache_keys[row] for row in rows)
    assert len(run.labels) == len(run.train)
    assert len(run.validation_labels) == len(run.validation)


def test_without_validation_pictures_the_training_pictures_take_their_place(start: Start) -> None:
    run = start()
    splits = tuple("train" if one == "validation" else one for one in run.dataset.splits)
    bare = replace(run, dataset=run.dataset.with_splits(splits))
    assert set(splits) < set(SPLITS)
    assert bare.validation.keys == bare.train.keys


def test_a_time_budget_counts_from_the_start(start: Start) -> None:
    assert start().time_budget.seconds_left() == math.inf
    run = start(time_budget=60)
    assert (run.time_budget.started, run.time_budget.seconds) == (run.started, 60)


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"seed": 3}, {"fine_tune_layers": 2}])
def test_a_checkpoint_is_of_one_kind_of_run(start: Start, options: dict[str, object]) -> None:
    assert start().checkpoint().identity == start(resume=True).checkpoint().identity
    assert start().checkpoint().identity != start(**options).checkpoint().identity
