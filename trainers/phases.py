"""Transfer learning in two phases: the head on a frozen backbone, then its last layers too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import Backbone, leaf_layers
from trainers import features
from trainers.config import ConfigError
from trainers.fitting import FINE_TUNING, HEAD, Inputs, Phase, Run, fit
from trainers.model import Classifier, embedder, linear_head, weights_hash
from trainers.progress import log


@dataclass(frozen=True)
class Trained:
    """A classifier with the weights that ship, what led there, and which phase ships and why."""

    classifier: Classifier
    phases: list[Phase]
    decision: str


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
    phase = fit(head, HEAD, (train, validation), run)
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
    phase = fit(model, FINE_TUNING, inputs, run)
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
