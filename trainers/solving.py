"""Phase 1: embeddings of all pictures from the frozen backbone, and the best head on them."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np

from plugins.base import WeightsError
from trainers import balance, features, head
from trainers.balance import Effect
from trainers.clock import ENDLESS, Clock, InTime, TimeIsUpError
from trainers.config import ConfigError
from trainers.features import Features, Layers, Pictures
from trainers.head import Examples, Head
from trainers.hidden import train_hidden
from trainers.progress import log
from trainers.running import Run
from trainers.views import VIEWS

MAX_EMBEDDING_BYTES = 1024**3
"""Largest embeddings that a head is solved on; views are left out above."""


def solve_head(run: Run) -> Head:
    """Phase 1: the backbone stays as it is; heads of several kinds learn on its embeddings.

    On one view of each picture first, which is soon there and the least that there has to be, then
    on all. All workers do the same: whether there is time for more, the chief says.
    """
    kind, solved, clock = run.config.head, [], run.clock
    given = examples(run, 1)
    if kind != "hidden":
        solved.append(_solved(run, lambda: head.solve_linear(given, clock)))
    if not clock.is_over() and VIEWS * given.train.nbytes <= MAX_EMBEDDING_BYTES:
        try:
            given = examples(run, VIEWS, clock)
        except TimeIsUpError:
            log.info("the time budget is spent: the head is solved on one view of each picture")
        else:
            if kind != "hidden":
                solved.append(_solved(run, lambda: head.solve_linear(given, clock)))
    if kind == "hidden" or (kind == "auto" and not clock.is_over()):
        epochs, rate = run.config.epochs, run.config.learning_rate
        hidden = _solved(run, lambda: train_hidden(given, epochs, rate, clock))
        if kind == "hidden":
            return hidden
        return head.better(min(solved, key=lambda one: one.loss), hidden)
    return min(solved, key=lambda one: one.loss)


def _solved(run: Run, solve: Callable[[], Head]) -> Head:
    keras.utils.set_random_seed(run.config.seed)  # whatever had to be computed before
    with run.progress.step("solving the head"):
        solved = solve()
    log.info("%s", solved)
    if not math.isfinite(solved.loss) and run.config.head == "hidden":
        raise ConfigError(
            f"--learning-rate (={run.config.learning_rate:g}) is too high for the hidden layer: "
            "its loss is no number"
        )
    return solved


def examples(run: Run, views: int, clock: Clock = ENDLESS) -> Examples:
    """Embeddings of so many views of the training pictures, and of the validation pictures.

    Raises:
        TimeIsUpError: they are not all there when the time is up.
    """
    train = embeddings(run, run.train, views, clock).all()
    if not np.isfinite(train.sum(dtype=np.float64)):
        raise WeightsError(
            f"{run.network.backbone.name} with {run.network.weights} makes numbers of the pictures "
            "that are not finite: take other weights, or another --image-size"
        )
    return Examples(
        train,
        run.labels,
        run.class_weights[run.labels],
        embeddings(run, run.validation, 1, clock).all()[:, 0],
        run.validation_labels,
        len(run.dataset.classes),
    )


def weigh(run: Run) -> Effect | None:
    """What weights change for each class; None where classes are even, or no time is left."""
    if not balance.is_uneven(run.class_weights) or run.clock.is_over():
        return None
    with run.progress.step("weighing classes"):
        effect = balance.effect(examples(run, 1), run.clock)
    return None if run.clock.is_over_here() else effect  # heads that were cut short tell nothing


def embeddings(run: Run, pictures: Pictures, views: int, clock: Clock = ENDLESS) -> Features:
    network = run.network

    def layers() -> Layers:
        run.dataset.begin("train", "validation", "test")  # while the network is loaded
        return InTime(network.embedding_layers, clock)

    return features.extract("embeddings", layers, network.identity, pictures, views, run.cache)
