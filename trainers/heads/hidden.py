"""The head with a hidden layer, for classes that a linear head cannot separate."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np

from trainers.evaluation.early_stopping import EarlyStopping
from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import (
    HIDDEN_UNITS,
    Head,
    HistoryRow,
    build_head,
    fit_standardisation,
    validate,
)
from trainers.progress import log
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetStopping

BATCH_SIZE = 64
STEPS_PER_CHECK = 100
"""Number of batches between two checks of the time budget, if there is one."""
DEFAULT_EPOCHS = 20
"""Limit on the number of epochs if no picture can be held out to select the number with."""


class _TrainedLayer(NamedTuple):
    """A trained head with a hidden layer.

    Attributes:
        history: one row per epoch.
        epoch: the epoch that early stopping selected, counted from 1. The model has the weights of
            this epoch. Without early stopping, `epoch` is the number of epochs that was requested,
            even if the time budget ended the training earlier.
        was_stopped: whether the time budget stopped the training.
    """

    model: keras.Model
    history: list[HistoryRow]
    epoch: int
    was_stopped: bool


def train_hidden(
    examples: Examples, epochs: int, learning_rate: float, budget: TimeBudget = UNLIMITED
) -> Head:
    """Train a head with one hidden layer of HIDDEN_UNITS units.

    Early stopping on the validation loss selects the number of epochs. With cross-validation, early
    stopping selects a number for each fold, and the head is trained for the mean of these numbers.
    When the time budget is spent, training stops, and the remaining folds are left out. But the
    first fold and the head itself are always trained on at least one batch.

    Args:
        epochs: the largest number of epochs.
    """
    cross_validation, max_epochs, were_folds_stopped = None, epochs, False
    if examples.pool is not None:
        cross_validation, max_epochs, were_folds_stopped = _cross_validate(
            examples.pool, epochs, learning_rate, budget
        )
    trained = _train_layer(examples, max_epochs, learning_rate, examples.pool is None, budget)
    if were_folds_stopped or trained.was_stopped:
        log.warning(
            "the time budget is spent: the training of the hidden layer stopped after %d of at "
            "most %d epochs; choose a longer --time-budget, or --head linear, which is faster",
            *(len(trained.history), epochs),
        )
    validation = validate(trained.model, examples)
    name, details = "hidden-layer head", f"{HIDDEN_UNITS} hidden units"
    return Head(trained.model, name, validation, trained.history, cross_validation, details)


def _cross_validate(
    pool: Pool, epochs: int, learning_rate: float, budget: TimeBudget
) -> tuple[ValidationResult, int, bool]:
    """Train and validate a hidden layer on each fold.

    Returns:
        The result of all folds, the number of epochs to train the head for, and whether the time
        budget was spent before all folds were fully trained.
    """
    results: list[ValidationResult] = []
    fold_epochs: list[int] = []
    was_stopped = False
    for split in pool.splits():
        if results and budget.is_spent():
            was_stopped = True
            break
        trained = _train_layer(split, epochs, learning_rate, True, budget)
        results.append(validate(trained.model, split))
        fold_epochs.append(trained.epoch)
        was_stopped |= trained.was_stopped
    mean = round(float(np.mean(fold_epochs))) if fold_epochs else min(epochs, DEFAULT_EPOCHS)
    return ValidationResult.from_folds(results), mean, was_stopped


def _train_layer(
    examples: Examples,
    epochs: int,
    learning_rate: float,
    uses_early_stopping: bool,
    budget: TimeBudget,
) -> _TrainedLayer:
    """Train one head with a hidden layer.

    Args:
        uses_early_stopping: whether the validation loss ends the training and selects the epoch.
    """
    n, views, width = examples.train.shape
    scale, offset = fit_standardisation(examples.train)
    model = build_head(scale, offset, examples.classes, hidden_units=HIDDEN_UNITS)
    steps = -(-n * views // BATCH_SIZE)
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=1e-3),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        steps_per_execution=steps if budget.is_unlimited else min(steps, STEPS_PER_CHECK),
    )
    early_stopping = EarlyStopping()
    validation_data = (examples.validation, examples.validation_labels)
    time_stopping = TimeBudgetStopping(lambda _: budget.is_spent())
    history = model.fit(
        examples.train.reshape(-1, width),
        np.repeat(examples.labels, views),
        sample_weight=np.repeat(examples.weights, views),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=0,
        validation_data=validation_data if uses_early_stopping else None,
        callbacks=[*([early_stopping] if uses_early_stopping else []), time_stopping],
    ).history
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    columns = [history.get(name, [None] * len(history["loss"])) for name in names]
    rows: list[HistoryRow] = [
        {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in zip(names, row, strict=True)
        }
        for row in zip(*columns, strict=True)
    ]
    epoch = early_stopping.selected_epoch if uses_early_stopping else epochs
    return _TrainedLayer(model, rows, epoch, time_stopping.has_stopped)
