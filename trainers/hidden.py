"""The head with a hidden layer: for pictures that no line separates."""

from __future__ import annotations

import math

import keras
import numpy as np

from trainers.clock import ENDLESS, Clock, Deadline
from trainers.head import HIDDEN_UNITS, Examples, Head, build, judge_model, standardisation

HIDDEN_BATCH = 64
HIDDEN_STEPS = 100
"""Batches after which training looks at the clock, where time is limited."""
PATIENCE = 6
"""Epochs without a lower validation loss before training ends."""


def train_hidden(
    examples: Examples, epochs: int, learning_rate: float, clock: Clock = ENDLESS
) -> Head:
    """A hidden layer of 128 units, trained until its validation loss has stopped falling, or the
    time is up."""
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
    history = model.fit(
        examples.train.reshape(-1, width),
        np.repeat(examples.labels, views),
        sample_weight=np.repeat(examples.weights, views),
        batch_size=HIDDEN_BATCH,
        epochs=epochs,
        verbose=0,
        validation_data=(examples.validation, examples.validation_labels),
        callbacks=[
            keras.callbacks.EarlyStopping(
                "val_loss", mode="min", patience=PATIENCE, restore_best_weights=True
            ),
            Deadline(lambda _: clock.is_over_here()),
        ],
    ).history
    names = ("loss", "accuracy", "val_loss", "val_accuracy")
    rows = [
        {
            name: value if math.isfinite(value) else None
            for name, value in zip(names, row, strict=True)
        }
        for row in zip(*map(history.get, names), strict=True)
    ]
    return Head(model, f"hidden layer of {HIDDEN_UNITS}", *judge_model(model, examples), rows)
