"""The head with a hidden layer: for pictures that no line separates."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
import numpy as np

from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import HIDDEN_UNITS, Head, Row, build, judge, judge_model, standardisation
from trainers.progress import log
from trainers.resources.time_budget import ENDLESS, Clock, Deadline

HIDDEN_BATCH = 64
HIDDEN_STEPS = 100
"""Batches after which training looks at the clock where time is limited."""
PATIENCE = 6
"""Epochs without a lower validation loss before the hidden layer's training ends."""
USUAL_EPOCHS = 20
"""Where no picture is left to choose them by."""


class _Fit(NamedTuple):
    """A trained model, a row for each epoch, the epoch, from 1, whose weights it has, and whether
    the time was up before it had learned all."""

    model: keras.Model
    rows: list[Row]
    epoch: int
    was_cut: bool


def train_hidden(
    examples: Examples, epochs: int, learning_rate: float, clock: Clock = ENDLESS
) -> Head:
    """A hidden layer of 128 units, trained until its validation loss has stopped falling, or the
    time is up; in cross-validation, for as many epochs as the folds took on average.

    When the time is up the folds that are left are not begun, but for the first: something has to
    judge. The layer itself is trained for some batches at least.
    """
    judgement, last, cut_folds = None, epochs, False
    if examples.pool is not None:
        judgement, last, cut_folds = _cross_validate(examples.pool, epochs, learning_rate, clock)
    fitted = _fit_hidden(examples, last, learning_rate, examples.pool is None, clock)
    if cut_folds or fitted.was_cut:
        log.warning(
            "the time budget is spent: the hidden layer was cut short after %d of up to %d epochs; "
            "raise --time-budget, or take --head linear, which needs less",
            *(len(fitted.rows), epochs),
        )
    description = f"hidden layer of {HIDDEN_UNITS}"
    answers = judge_model(fitted.model, examples)
    return Head(fitted.model, description, *answers, fitted.rows, judgement)


def _cross_validate(
    pool: Pool, epochs: int, learning_rate: float, clock: Clock
) -> tuple[ValidationResult, int, bool]:
    """How good such layers are, after how many epochs, and whether the time cut any short."""
    losses, hits, was_cut = [np.zeros(0)], [np.zeros(0, np.bool_)], False
    lasted: list[int] = []
    for fold in pool.folds():
        if lasted and clock.is_over():
            was_cut = True
            break
        fitted = _fit_hidden(fold, epochs, learning_rate, True, clock)
        answers = np.asarray(fitted.model(fold.validation, training=False))
        loss, hit = judge(answers, fold.validation_labels)
        losses.append(loss)
        hits.append(hit)
        lasted.append(fitted.epoch)
        was_cut |= fitted.was_cut
    last = round(float(np.mean(lasted))) if lasted else min(epochs, USUAL_EPOCHS)
    return (
        ValidationResult.from_answers(np.concatenate(losses), np.concatenate(hits), len(lasted)),
        last,
        was_cut,
    )


def _fit_hidden(
    examples: Examples, epochs: int, learning_rate: float, is_stopped: bool, clock: Clock
) -> _Fit:
    """Train one layer.

    Args:
        is_stopped: by the loss of the validation pictures, which choose the epoch, too.
    """
    n, views, width = examples.train.shape
    scale, offset = standardisation(examples.train)
    model = build(scale, offset, examples.classes, hidden_units=HIDDEN_UNITS)
    steps = -(-n * views // HIDDEN_BATCH)
    model.compile(
        keras.optimizers.AdamW(learning_rate, weight_decay=1e-3),
        "sparse_categorical_crossentropy",
        weighted_metrics=["accuracy"],
        steps_per_execution=steps if clock.is_endless else min(steps, HIDDEN_STEPS),
    )
    stopping = keras.callbacks.EarlyStopping(
        "val_loss", mode="min", patience=PATIENCE, restore_best_weights=True
    )
    deadline = Deadline(lambda _: clock.is_over())
    history = model.fit(
        examples.train.reshape(-1, width),
        np.repeat(examples.labels, views),
        sample_weight=np.repeat(examples.weights, views),
        batch_size=HIDDEN_BATCH,
        epochs=epochs,
        verbose=0,
        validation_data=(examples.validation, examples.validation_labels) if is_stopped else None,
        callbacks=[*([stopping] if is_stopped else []), deadline],
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
    epoch = stopping.best_epoch + 1 if is_stopped else epochs
    return _Fit(model, rows, epoch, deadline.has_ended)
