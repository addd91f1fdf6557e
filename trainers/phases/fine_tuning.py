"""How the last layers are fitted: on what, for how long, and which epoch's weights stay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import keras

from plugins.copying import assign_weights
from trainers.evaluation.selection import Hits, Losses
from trainers.features.batches import Batches, feed
from trainers.heads.head import judge
from trainers.phases import replicas
from trainers.phases.checkpoint import Checkpoint, Row
from trainers.phases.context import Run
from trainers.phases.plan import Plan
from trainers.progress import log
from trainers.resources import precision
from trainers.resources.time_budget import Deadline

NAME = "fine-tuning"
_LOSS = "cross_entropy"
MIXUP = 0.3
"""Strength of mixup: without it, fine-tuning on few pictures overfits."""


@dataclass(frozen=True)
class Fitted:
    """What fitting reached. Losses are cross-entropies in nats, of each validation picture (m,).

    Attributes:
        hits: which of these pictures are answered right (m,).
        history: a row per epoch: loss (the cross-entropy alone), accuracy, val_loss,
            val_accuracy; None where training diverged.
        epoch: whose weights the model has, from 1; 0 for none.
    """

    losses: Losses
    hits: Hits
    history: list[Row] = field(default_factory=list)
    epoch: int = 0

    @property
    def accuracy(self) -> float:
        return float(self.hits.mean())

    @property
    def loss(self) -> float:
        return float(self.losses.mean())

    def __str__(self) -> str:
        return f"{NAME} (validation loss {self.loss:.4f}, accuracy {self.accuracy:.4f})"


def fit(
    model: keras.Model,
    train: Batches,
    validation: Batches,
    plan: Plan,
    checkpoint: Checkpoint,
    run: Run,
) -> Fitted:
    """Train, and leave the model as it was at its lowest validation loss, penalties included."""
    with run.strategy.scope():
        learner = replicas.copy(model)
        rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.epochs * len(train))
        learner.compile(
            optimizer=precision.scaled(
                keras.optimizers.Adam(rate), precision.policy(run.config.precision)
            ),
            loss="categorical_crossentropy",
            # Keras' own loss adds the penalties of weights, so it says little about pictures.
            metrics=["accuracy", keras.metrics.CategoricalCrossentropy(name=_LOSS)],
        )
        first = checkpoint.resume(learner, plan)
    done = first * len(train)
    deadline = Deadline(run.clock.is_over, len(validation))
    # The first epoch compiles both steps, and ends with the first validation.
    with run.progress.steps(plan.epochs * len(train), NAME, done, len(train)) as advance:
        learner.fit(
            feed(replicas.parts(train, run.strategy)),
            validation_data=feed(replicas.parts(validation, run.strategy)),
            initial_epoch=first,
            epochs=plan.epochs,
            verbose=0,
            shuffle=False,  # of the batches, by Python's generator: the order is ours
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: train.start(epoch),
                    on_train_batch_end=lambda batch, logs: advance(1),
                    on_epoch_end=lambda epoch, logs: _note(
                        checkpoint.history, plan.epochs, logs, run
                    ),
                ),
                checkpoint.stopping,
                keras.callbacks.TerminateOnNaN(),
                deadline,
                checkpoint,
            ],
        )
    if deadline.has_ended:
        log.info("the time budget is spent: %s ended at it", NAME)
    if learner is not model:
        assign_weights(model, learner.get_weights())
    probabilities = model.predict(feed(validation), verbose=0)
    return Fitted(
        *judge(probabilities, validation.labels), checkpoint.history, checkpoint.best_epoch
    )


def _note(history: list[Row], epochs: int, logs: Mapping[str, float], run: Run) -> None:
    """Add an epoch to the history and say it in the log."""
    row = {
        "loss": logs[_LOSS],
        "accuracy": logs["accuracy"],
        "val_loss": logs[f"val_{_LOSS}"],
        "val_accuracy": logs["val_accuracy"],
    }
    history.append({name: value if math.isfinite(value) else None for name, value in row.items()})
    run.board.add(NAME, len(history), history[-1])
    log.info(
        f"{NAME} epoch {len(history)}/{epochs}: loss {row['loss']:.4f}, "
        f"accuracy {row['accuracy']:.4f}, validation loss {row['val_loss']:.4f}, "
        f"accuracy {row['val_accuracy']:.4f}"
    )
