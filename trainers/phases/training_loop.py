"""The training loop of fine-tuning: optimizer, loss, callbacks, and the best weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from plugins.copying import assign_weights
from trainers.evaluation.selection import ValidationResult
from trainers.features.batches import Batches, to_tf_dataset
from trainers.heads.head import HistoryRow
from trainers.phases import replicas
from trainers.phases.checkpoint import Checkpoint
from trainers.phases.context import TrainingContext
from trainers.phases.plan import Plan
from trainers.progress import log
from trainers.resources import precision
from trainers.resources.time_budget import TimeBudgetStopping

FINE_TUNING = "fine-tuning"
"""The name of this phase in logs, metrics.json and TensorBoard."""
_LOSS = "cross_entropy"


@dataclass(frozen=True)
class FineTuningResult:
    """The result of fine-tuning.

    Attributes:
        validation: the result on the validation pictures.
        history: one row per epoch, with loss, accuracy, val_loss and val_accuracy. The losses are
            cross-entropies without regularisation; with several labels, accuracy is the share of
            pictures whose labels are all right. A figure is None if it was not finite.
        epoch: the epoch whose weights the model has, counted from 1; 0 if no epoch was validated.
    """

    validation: ValidationResult
    history: list[HistoryRow] = field(default_factory=list)
    epoch: int = 0


def fit(
    model: keras.Model,
    train: Batches,
    validation: Batches,
    plan: Plan,
    checkpoint: Checkpoint,
    context: TrainingContext,
) -> FineTuningResult:
    """Train a model, and give it the weights of the epoch with the lowest validation loss.

    The validation loss includes the L2 regularisation of the weights.
    """
    with context.strategy.scope():
        replica = replicas.replicate(model)
        rate = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.epochs * len(train))
        replica.compile(
            optimizer=precision.with_loss_scaling(
                keras.optimizers.Adam(rate), precision.choose_policy(context.config.precision)
            ),
            loss=f"{'binary' if train.is_multi_label else 'categorical'}_crossentropy",
            # The metric `loss` of Keras includes the regularisation.
            metrics=_metrics(train.is_multi_label),
        )
        first_epoch = checkpoint.resume(replica, plan)
    steps_done = first_epoch * len(train)
    time_stopping = TimeBudgetStopping(context.time_budget.is_spent, len(validation))
    # The first epoch is slower, because it compiles the training step and the validation step.
    with context.progress.steps(
        plan.epochs * len(train), FINE_TUNING, steps_done, len(train)
    ) as advance:
        replica.fit(
            to_tf_dataset(replicas.distribute(train, context.strategy)),
            validation_data=to_tf_dataset(replicas.distribute(validation, context.strategy)),
            initial_epoch=first_epoch,
            epochs=plan.epochs,
            verbose=0,
            shuffle=False,  # Batches shuffles the pictures itself
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: train.start_epoch(epoch),
                    on_train_batch_end=lambda batch, logs: advance(1),
                    on_epoch_end=lambda epoch, logs: _record_epoch(
                        checkpoint.history, plan.epochs, logs, context
                    ),
                ),
                checkpoint.early_stopping,
                keras.callbacks.TerminateOnNaN(),
                time_stopping,
                checkpoint,
            ],
        )
    if time_stopping.has_stopped:
        log.info("the time budget is spent: %s stopped", FINE_TUNING)
    if replica is not model:
        assign_weights(model, replica.get_weights())
    probabilities = model.predict(to_tf_dataset(validation), verbose=0)
    result = ValidationResult.from_probabilities(probabilities, validation.truth)
    return FineTuningResult(result, checkpoint.history, checkpoint.early_stopping.selected_epoch)


def _metrics(is_multi_label: bool) -> list[keras.metrics.Metric]:
    """Return the metrics of an epoch: accuracy, and cross-entropy without regularisation."""
    if is_multi_label:
        accuracy = keras.metrics.MeanMetricWrapper(_are_all_labels_right, name="accuracy")
        return [accuracy, keras.metrics.BinaryCrossentropy(name=_LOSS)]
    return [
        keras.metrics.CategoricalAccuracy(name="accuracy"),
        keras.metrics.CategoricalCrossentropy(name=_LOSS),
    ]


def _are_all_labels_right(targets: Any, probabilities: Any) -> Any:
    """Whether each label of a picture is on the right side of 0.5."""
    return keras.ops.all((targets > 0.5) == (probabilities > 0.5), axis=-1)


def _record_epoch(
    history: list[HistoryRow], epochs: int, logs: Mapping[str, float], context: TrainingContext
) -> None:
    """Add an epoch to the history, to TensorBoard, to the log and to the JSON lines."""
    row = {
        "loss": logs[_LOSS],
        "accuracy": logs["accuracy"],
        "val_loss": logs[f"val_{_LOSS}"],
        "val_accuracy": logs["val_accuracy"],
    }
    history.append({name: value if math.isfinite(value) else None for name, value in row.items()})
    context.board.add(FINE_TUNING, len(history), history[-1])
    context.progress.epoch(FINE_TUNING, len(history), epochs, history[-1])
    log.info(
        f"{FINE_TUNING} epoch {len(history)}/{epochs}: loss {row['loss']:.4f}, "
        f"accuracy {row['accuracy']:.4f}, validation loss {row['val_loss']:.4f}, "
        f"validation accuracy {row['val_accuracy']:.4f}"
    )
