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
    context = start(red=40, blue=12)
    counts = np.bincount(context.labels)
    np.testing.assert_allclose(context.class_weights * counts, len(context.labels) / 2)


def test_pictures_have_their_keys_and_labels(start: Start) -> None:
    context = start()
    rows = context.dataset.rows("train")
    np.testing.assert_array_equal(context.train.images[:], context.dataset.images[rows])
    assert context.train.keys == tuple(context.dataset.cache_keys[row] for row in rows)
    assert len(context.labels) == len(context.train)
    assert len(context.validation_labels) == len(context.validation)


def test_without_validation_pictures_the_training_pictures_take_their_place(start: Start) -> None:
    context = start()
    splits = tuple("train" if split == "validation" else split for split in context.dataset.splits)
    without_validation = replace(context, dataset=context.dataset.with_splits(splits))
    assert set(splits) < set(SPLITS)
    assert without_validation.validation.keys == without_validation.train.keys


def test_a_time_budget_counts_from_the_start(start: Start) -> None:
    assert start().time_budget.seconds_left() == math.inf
    context = start(time_budget=60)
    assert (context.time_budget.started, context.time_budget.seconds) == (context.started, 60)


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"seed": 3}, {"fine_tune_layers": 2}])
def test_the_identity_of_a_checkpoint_depends_on_the_options(
    start: Start, options: dict[str, object]
) -> None:
    same = start(resume=True, keep_thumbnails=True)
    assert start().checkpoint().identity == same.checkpoint().identity
    assert start().checkpoint().identity != start(**options).checkpoint().identity
