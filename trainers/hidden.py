"""The head with a hidden layer: for pictures that no line separates."""

from __future__ import annotations

import math

import keras
import numpy as np

from trainers.clock import ENDLESS, Clock, Deadline
from trainers.examples import Examples
from trainers.head import HIDDEN_UNITS, Head, Row, build, judge, judge_model, standardisation
from trainers.selection import Judgement

HIDDEN_BATCH = 64
HIDDEN_STEPS = 100
"""Batches after which training looks at the clock where time is limited."""
PATIENCE = 6
"""Epochs without a lower validation loss before the hidden layer's training ends."""
USUAL_EPOCHS = 20
"""Where no picture is left to choose them by."""


def train_hidden(
    examples: Examples, epochs: int, learning_rate: float, clock: Clock = ENDLESS
) -> Head:
    """A hidden layer of 128 units, trained until its validation loss has stopped falling, or the
    time is up; in cross-validation, for as many epochs as the folds took on average."""
    description = f"hidden layer of {HIDDEN_UNITS}"
    if examples.pool is None:
        model, rows, _ = _fit_hidden(examples, epochs, learning_rate, True, clock)
        return Head(model, description, *judge_model(model, examples), rows)
    losses, hits, lasted = [np.zeros(0)], [np.zeros(0, np.bool_)], []
    for fold in examples.pool.folds():
        model, _, best = _fit_hidden(fold, epochs, learning_rate, True, clock)
        answers = judge(np.asarray(model(fold.validation, training=False)), fold.validation_labels)
        losses.append(answers[0])
        hits.append(answers[1])
        lasted.append(best)
    last = round(float(np.mean(lasted))) if lasted else min(epochs, USUAL_EPOCHS)
    model, rows, _ = _fit_hidden(examples, last, learning_rate, False, clock)
    judgement = Judgement.of(np.concatenate(losses), np.concatenate(hits), len(lasted))
    return Head(model, description, *judge_model(model, examples), rows, judgement)


def _fit_hidden(
    examples: Examples, epochs: int, learning_rate: float, is_stopped: bool, clock: Clock
) -> tuple[keras.Model, list[Row], int]:
    """The model, a row for each epoch, and the epoch, from 1, whose weights it has.

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
    history = model.fit(
        examples.train.reshape(-1, width),
        np.repeat(examples.labels, views),
        sample_weight=np.repeat(examples.weights, views),
        batch_size=HIDDEN_BATCH,
        epochs=epochs,
        verbose=0,
        validation_data=(examples.validation, examples.validation_labels) if is_stopped else None,
        callbacks=[*([stopping] if is_stopped else []), Deadline(lambda _: clock.is_over_here())],
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
    return model, rows, stopping.best_epoch + 1 if is_stopped else epochs
