"""Transfer learning in two phases: the head on a frozen backbone, then its last layers too."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from plugins.base import leaf_layers
from service.errors import GraftError
from trainers import features, head, strategy
from trainers.batches import Batches
from trainers.checkpoint import Checkpoint
from trainers.features import Features, Pictures, Source
from trainers.fitting import MIXUP, Fitted, fit
from trainers.head import Examples, Head
from trainers.model import Classifier, weights_hash
from trainers.progress import log
from trainers.running import Run
from trainers.strategy import Plan, Situation
from trainers.views import VIEWS

MAX_EMBEDDING_BYTES = 2 * 1024**3
"""Largest embeddings that a head is solved on; views are left out above."""


class MemoryShortageError(GraftError):
    """The machine has too little memory for what was asked."""


@dataclass(frozen=True)
class Trained:
    """A classifier with the weights that ship, what led there, and what ships and why."""

    classifier: Classifier
    history: dict[str, list[dict[str, float | None]]]
    plan: Plan
    decision: str


def train(run: Run) -> Trained:
    """Solve the head, fine-tune where the rules say so; the lower validation loss ships."""
    checkpoint = run.checkpoint()
    kept = checkpoint.find() if run.config.resume else None
    best = head.of_chief(solve_head(run), run.exchange)
    plan = strategy.of_chief(
        kept or strategy.choose(run.config, best, situation(run)), run.exchange
    )
    for reason in plan.reasons:
        log.info("%s", reason)
    network = run.network
    classifier = Classifier(
        network.backbone, network.body, network.embedder, best.model, weights_hash(network.body)
    )
    history = {"head": best.history}
    if not plan.epochs:
        return Trained(classifier, history, plan, f"{best} ships: {plan.reasons[1]}")
    weights = classifier.weights()
    tuned = fine_tune(classifier, plan, checkpoint, run)
    history["fine-tuning"] = tuned.history
    if tuned.loss < best.loss:
        return Trained(classifier, history, plan, f"{tuned} ships: its loss is below {best}")
    classifier.set_weights(weights)
    reason = (
        "did not lower its loss"
        if math.isfinite(tuned.loss)
        else (
            "came to a loss that is no number: --fine-tune-learning-rate "
            f"(={plan.learning_rate:g}) is too high"
        )
    )
    return Trained(classifier, history, plan, f"{best} ships: {tuned} {reason}")


def solve_head(run: Run) -> Head:
    """Phase 1: the backbone stays as it is; heads of several kinds learn on its embeddings.

    On one view of each picture first, which is soon there, then on all.
    """
    keras.utils.set_random_seed(run.config.seed)
    solved = []
    for views in (1, VIEWS):
        train = embeddings(run, run.train, views)
        if views > 1 and train.records.nbytes > MAX_EMBEDDING_BYTES:
            break
        examples = Examples(
            train.all(),
            run.labels,
            run.class_weights[run.labels],
            embeddings(run, run.validation, 1).all()[:, 0],
            run.validation_labels,
            len(run.dataset.classes),
        )
        if run.config.head != "hidden":
            solved.append(head.solve_linear(examples))
            log.info("%s", solved[-1])
    if run.config.head != "linear":
        hidden = head.train_hidden(examples, run.config.epochs, run.config.learning_rate)
        log.info("%s", hidden)
    if not solved:
        return hidden
    best = min(solved, key=lambda one: one.loss)
    return best if run.config.head == "linear" else head.better(best, hidden)


def embeddings(run: Run, pictures: Pictures, views: int) -> Features:
    network = run.network
    return features.extract(
        "embeddings", lambda: network.embedder, network.identity, pictures, views, run.cache
    )


def situation(run: Run) -> Situation:
    return Situation(
        pictures=len(run.train),
        classes=len(run.dataset.classes),
        validation_pictures=len(run.validation),
        seconds_left=run.deadline - time.monotonic(),
    )


def fine_tune(classifier: Classifier, plan: Plan, checkpoint: Checkpoint, run: Run) -> Fitted:
    """Phase 2: the last layers of the backbone learn too, slowly; BatchNormalization does not."""
    keras.utils.set_random_seed(run.config.seed)
    thawed = classifier.backbone.fine_tune(classifier.body, plan.layers)
    log.info("fine-tuning %d layers, from %s", len(thawed), thawed[0].name)
    tail, train, validation = split_off_frozen(classifier, plan, run)
    model = keras.Model(tail.input, classifier.head(tail.output))
    start, before = model.get_weights(), moving_statistics(classifier.body)
    smaller = max(1, run.config.batch_size // 2)
    # One worker cannot take less by itself: the others would wait for the rest.
    for batch_size in (run.config.batch_size, smaller)[: 1 + (run.exchange.cluster.size == 1)]:
        try:
            seed, even = run.config.seed, np.ones_like(run.class_weights)
            fitted = fit(
                model,
                Batches(train, run.labels, run.class_weights, batch_size, seed, MIXUP),
                Batches(validation, run.validation_labels, even, batch_size),
                plan,
                checkpoint,
                run,
            )
            break
        except tf.errors.ResourceExhaustedError:
            log.warning("too little memory for batches of %d pictures", batch_size)
            model.set_weights(start)
    else:
        raise MemoryShortageError(
            f"--batch-size {batch_size} is too much for the memory here: "
            "choose a smaller one, a smaller --image-size or backbone, or --strategy features"
        )
    after = moving_statistics(classifier.body)
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if changed:
        raise AssertionError(f"fine-tuning moved BatchNormalization statistics: {changed}")
    return fitted


def split_off_frozen(
    classifier: Classifier, plan: Plan, run: Run
) -> tuple[keras.Model, Source, Source]:
    """The layers that learn, and what feeds them: kept feature maps, or the pictures themselves
    where nothing is frozen or the maps would be too large."""
    records = len(run.train) * VIEWS + len(run.validation)
    parts = features.cut(classifier.embedder, records)
    if not parts:
        return classifier.embedder, run.train, run.validation
    frozen, tail = parts
    origin = f"{run.network.identity} below the last {plan.layers} layers"

    def maps(pictures: Pictures, views: int) -> Features:
        return features.extract("maps", lambda: frozen, origin, pictures, views, run.cache)

    return tail, maps(run.train, VIEWS), maps(run.validation, 1)


def moving_statistics(model: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Mean and variance of every BatchNormalization, by the path of the weight."""
    norms = [one for one in leaf_layers(model) if isinstance(one, keras.layers.BatchNormalization)]
    return {
        weight.path: weight.numpy().copy()
        for norm in norms
        for weight in (norm.moving_mean, norm.moving_variance)
    }
