"""Transfer learning in two phases: the head on a frozen backbone, then its last layers too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import Backbone, leaf_layers
from trainers import features
from trainers.batches import Batches
from trainers.config import ConfigError, TrainingConfig
from trainers.data import Dataset
from trainers.features import Features, Pictures, Source
from trainers.model import Classifier, embedder, linear_head, weights_hash
from trainers.progress import Progress, log

HEAD, FINE_TUNING = "head", "fine-tuning"

Inputs = tuple[Source, Source]
"""What a model learns from, and what it is judged on."""

PATIENCE = 6
"""Epochs without a lower validation loss before a phase ends."""
PLATEAU = 2
"""Epochs without a lower validation loss before the learning rate is halved."""
MIXUP = 0.3
"""Strength of mixup in fine-tuning: without it, fine-tuning on few pictures overfits."""


@dataclass(frozen=True)
class Phase:
    """What a phase reached. Loss is the mean cross-entropy, in nats, of the validation pictures."""

    name: str
    validation_loss: float
    validation_accuracy: float
    history: list[dict[str, float]]  # a row per epoch: loss, accuracy, val_loss, val_accuracy

    def __str__(self) -> str:
        return (
            f"{self.name} (validation loss {self.validation_loss:.4f}, "
            f"accuracy {self.validation_accuracy:.4f})"
        )


@dataclass(frozen=True)
class Trained:
    """A classifier with the weights that ship, what led there, and which phase ships and why."""

    classifier: Classifier
    phases: list[Phase]
    decision: str


@dataclass(frozen=True)
class Run:
    """What both phases share: settings, pictures of both splits, and where files go."""

    config: TrainingConfig
    classes: int
    train: Pictures
    train_labels: NDArray[np.int64]
    validation: Pictures
    validation_labels: NDArray[np.int64]
    workspace: Path
    progress: Progress

    @classmethod
    def of(
        cls, config: TrainingConfig, dataset: Dataset, workspace: Path, progress: Progress
    ) -> Run:
        train, validation = dataset.rows("train"), dataset.rows("validation")
        if not len(validation):
            log.warning("no picture is left for validation: deciding by the training pictures")
            validation = train
        return cls(
            config,
            len(dataset.classes),
            Pictures(dataset.images, train),
            dataset.labels[train],
            Pictures(dataset.images, validation),
            dataset.labels[validation],
            workspace,
            progress,
        )

    def compute(self, layers: keras.Model, inputs: Inputs, name: str) -> tuple[Features, Features]:
        """What frozen layers make of both splits: training in all views, validation as it is."""
        file = self.workspace / f"{name}.f32"
        train = features.compute(layers, inputs[0], features.VIEWS, file, self.progress)
        file = file.with_suffix(".validation.f32")
        return train, features.compute(layers, inputs[1], 1, file, self.progress)


def train(backbone: Backbone, body: keras.Model, run: Run) -> Trained:
    """Train a classifier on a loaded backbone; the phase with the lower validation loss ships."""
    fingerprint, embed = weights_hash(body), embedder(body)
    tail, inputs = split_off_frozen(backbone, body, embed, run)
    backbone.freeze(body)
    head, first = train_head(tail, inputs, run)
    classifier = Classifier(backbone, body, embed, head, fingerprint)
    if not run.config.fine_tune_epochs:
        return Trained(classifier, [first], f"{first} ships: fine-tuning is switched off")
    weights = classifier.weights()
    second = fine_tune(classifier, tail, inputs, run)
    if second.validation_loss < first.validation_loss:
        return Trained(classifier, [first, second], f"{second} ships: its loss is below {first}")
    classifier.set_weights(weights)
    return Trained(classifier, [first, second], f"{first} ships: {second} did not lower its loss")


def split_off_frozen(
    backbone: Backbone, body: keras.Model, embed: keras.Model, run: Run
) -> tuple[keras.Model, Inputs]:
    """Compute once what no phase will change.

    Returns:
        The rest of the embedder, and what feeds it: features, or the pictures themselves where
        nothing is frozen or the features would be too large.
    """
    pictures = (run.train, run.validation)
    if not run.config.fine_tune_epochs:
        return embed, pictures
    backbone.fine_tune(body, run.config.fine_tune_layers)
    parts = features.cut(embed, len(run.train) + len(run.validation))
    if not parts:
        return embed, pictures
    frozen, tail = parts
    return tail, run.compute(frozen, pictures, "frozen")


def train_head(tail: keras.Model, inputs: Inputs, run: Run) -> tuple[keras.Model, Phase]:
    """Phase 1: the backbone stays as it is; a linear head learns on its embeddings."""
    train, validation = run.compute(tail, inputs, "embedding")
    embeddings = train.values.reshape(-1, train.values.shape[-1])
    head = linear_head(embeddings, run.classes, len(train))
    phase = _fit(head, HEAD, (train, validation), run)
    if not math.isfinite(phase.validation_loss):
        rate = run.config.learning_rate
        raise ConfigError(f"--learning-rate (={rate:g}) is too high: the head's loss is no number")
    return head, phase


def fine_tune(classifier: Classifier, tail: keras.Model, inputs: Inputs, run: Run) -> Phase:
    """Phase 2: the last layers of the backbone learn too, slowly; BatchNormalization does not."""
    thawed = classifier.backbone.fine_tune(classifier.body, run.config.fine_tune_layers)
    log.info("fine-tuning %d layers, from %s", len(thawed), thawed[0].name)
    before = moving_statistics(classifier.body)
    model = keras.Model(tail.input, classifier.head(tail.output))
    phase = _fit(model, FINE_TUNING, inputs, run)
    after = moving_statistics(classifier.body)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if changed:
        raise AssertionError(f"fine-tuning moved BatchNormalization statistics: {changed}")
    return phase


def moving_statistics(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Mean and variance of every BatchNormalization, by the path of the weight."""
    norms = [one for one in leaf_layers(model) if isinstance(one, keras.layers.BatchNormalization)]
    return {
        weight.path: weight.numpy().copy()
        for norm in norms
        for weight in (norm.moving_mean, norm.moving_variance)
    }


def class_weights(labels: NDArray[np.int64], classes: int) -> dict[int, float] | None:
    """Weights that give every class the same say; None where they are even already."""
    counts = np.bincount(labels, minlength=classes)
    if counts.min() == counts.max():
        return None
    return {index: len(labels) / (classes * count) for index, count in enumerate(counts.tolist())}


def _fit(model: keras.Model, name: str, inputs: Inputs, run: Run) -> Phase:
    """Train, and leave the model with the weights of its lowest validation loss."""
    config, is_head = run.config, name == HEAD
    epochs = config.epochs if is_head else config.fine_tune_epochs
    rate = config.learning_rate if is_head else config.fine_tune_learning_rate
    batches = Batches(
        inputs[0],
        run.train_labels,
        run.classes,
        config.batch_size,
        config.seed,
        mixup=0 if is_head else MIXUP,
    )
    validation = Batches(inputs[1], run.validation_labels, run.classes, config.batch_size)
    checkpoints = config.output / "checkpoints" / config.name
    checkpoints.mkdir(parents=True, exist_ok=True)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    with run.progress.steps(epochs * len(batches), name) as advance:
        history = model.fit(
            batches,
            validation_data=validation,
            epochs=epochs,
            class_weight=class_weights(run.train_labels, run.classes),
            verbose=0,
            callbacks=[
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=PATIENCE, restore_best_weights=True
                ),
                keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=PLATEAU),
                keras.callbacks.ModelCheckpoint(
                    checkpoints / f"{name}.weights.h5", save_best_only=True, save_weights_only=True
                ),
                keras.callbacks.LambdaCallback(
                    on_train_batch_end=lambda batch, logs: advance(),
                    on_epoch_end=lambda epoch, logs: log.info(_line(name, epoch, epochs, logs)),
                ),
            ],
        )
    loss, accuracy = _judge(model, validation, run.validation_labels)
    rows = [
        dict(zip(history.history, values, strict=True))
        for values in zip(*history.history.values(), strict=True)
    ]
    return Phase(name, loss, accuracy, rows)


def _judge(model: keras.Model, batches: Batches, labels: NDArray[np.int64]) -> tuple[float, float]:
    """Cross-entropy without penalties, and accuracy: what the phases are compared by."""
    probabilities = model.predict(batches, verbose=0)
    true = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return float(-np.log(true).mean()), float((probabilities.argmax(axis=1) == labels).mean())


def _line(name: str, epoch: int, epochs: int, logs: Mapping[str, float]) -> str:
    return (
        f"{name} epoch {epoch + 1}/{epochs}: loss {logs['loss']:.4f}, "
        f"accuracy {logs['accuracy']:.4f}, validation loss {logs['val_loss']:.4f}, "
        f"accuracy {logs['val_accuracy']:.4f}"
    )
