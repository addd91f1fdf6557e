"""The head with a hidden layer, for classes that a linear head cannot separate."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np

from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import (
    HIDDEN_UNITS,
    Head,
    Row,
    build_head,
    fit_standardisation,
    validate,
)
from trainers.progress import log
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetStopping

BATCH_SIZE = 64
STEPS_PER_CHECK = 100
"""With a time budget, training checks it after so many batches."""
PATIENCE = 6
"""Training ends after so many epochs without a lower validation loss."""
DEFAULT_EPOCHS = 20
"""Epochs if there is no picture to select their number by."""


class _TrainedLayer(NamedTuple):
    """A trained hidden layer.

    Attributes:
        history: a row for each epoch.
        epoch: the epoch, from 1, whose weights it has.
        was_stopped: whether the time budget ended its training.
    """

    model: keras.Model
    history: list[Row]
    epoch: int
    was_stopped: bool


def train_hidden(
    examples: Examples, epochs: int, learning_rate: float, budget: TimeBudget = UNLIMITED
) -> Head:
    """Train a head with one hidden layer of HIDDEN_UNITS.

    It is trained until its validation loss no longer falls. In cross-validation it is trained for
    as many epochs as the folds took on average. When the time budget is spent, no further fold is
    begun except the first, which is needed to validate the head; the layer itself is trained for at
    least one step.

    Args:
        epochs: the most epochs.
    """
    cross_validation, max_epochs, were_folds_stopped = None, epochs, False
    if examples.pool is not None:
        cross_validation, max_epochs, were_folds_stopped = _cross_validate(
            examples.pool, epochs, learning_rate, budget
        )
    trained = _train_layer(examples, max_epochs, learning_rate, examples.pool is None, budget)
    if were_folds_stopped or trained.was_stopped:
        log.warning(
            "the time budget is spent: the training of the hidden layer stopped after %d of up to "
            "%d epochs; raise --time-budget, or choose --head linear, which needs less time",
            *(len(trained.history), epochs),
        )
    validation = validate(trained.model, examples)
    description = f"hidden layer of {HIDDEN_UNITS}"
    return Head(trained.model, description, validation, trained.history, cross_validation)


def _cross_validate(
    pool: Pool, epochs: int, learning_rate: float, budget: TimeBudget
) -> tuple[ValidationResult, int, bool]:
    """Return the result, the number of epochs to train for, and whether time stopped any fold."""
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
    examples: Examples, epochs: int, learning_rate: float, early_stopping: bool, budget: TimeBudget
) -> _TrainedLayer:
    """Train one layer.

    Args:
        early_stopping: whether the loss of the validation pictures ends the training and selects
            the epoch.
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
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", mode="min", patience=PATIENCE, restore_best_weights=True
    )
    validation_data = (examples.validation, examples.validation_labels)
    time_stopping = TimeBudgetStopping(lambda _: budget.is_spent())
    history = model.fit(
        examples.train.reshape(-1, width),
        np.repeat(examples.labels, views),
        sample_weight=np.repeat(examples.weights, views),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=0,
        validation_data=validation_data if early_stopping else None,
        callbacks=[*([stopping] if early_stopping else []), time_stopping],
    ).history
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    columns = [history.get(name, [None] * len(history["loss"])) for name in names]
    rows: list[Row] = [
        {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in zip(names, row, strict=True)
        }
        for row in zip(*columns, strict=True)
    ]
    epoch = stopping.best_epoch + 1 if early_stopping else epochs
    return _TrainedLayer(model, rows, epoch, time_stopping.has_stopped)
