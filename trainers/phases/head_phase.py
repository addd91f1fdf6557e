"""Phase 1: embeddings of all pictures from the frozen backbone, and the best head on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from plugins.base import WeightsError
from trainers.config import ConfigError
from trainers.dataset import grouping, splitting
from trainers.features import frozen_features
from trainers.features.frozen_features import Features, Pictures
from trainers.features.frozen_layers import FeatureExtractor, TimeLimitedExtractor
from trainers.heads import class_weights, head, linear
from trainers.heads.class_weights import Effect
from trainers.heads.examples import LEAST_VALIDATION, Examples, Pool, parts, sample
from trainers.heads.head import Head
from trainers.heads.hidden import train_hidden
from trainers.phases.context import Run
from trainers.progress import log
from trainers.resources.time_budget import ENDLESS, Clock, TimeIsUpError

MOST_POOLED = 2000
"""Pictures that cross-validation of a head uses at most."""
MAX_EMBEDDING_BYTES = 1024**3
"""Largest embeddings that a head is solved on; views are left out above."""


def solve_head(run: Run) -> Head:
    """Phase 1: the backbone stays as it is; heads of several kinds learn on its embeddings.

    First on one view of each picture: soon there, and the minimum that every run needs; then on
    all. Where heads are cross-validated, no hidden layer is tried unasked: of 5 flowers a class it
    got 1.7 points less than the linear head, and took 60 times as long.
    """
    kind, solved, clock = run.config.head, [], run.clock
    given = examples(run, 1)
    if kind != "hidden":
        solved.append(_solved(run, lambda: linear.solve_linear(given, clock)))
    views = run.train.views
    if not clock.is_over() and views * given.train.nbytes <= MAX_EMBEDDING_BYTES:
        try:
            given = examples(run, views, clock)
        except TimeIsUpError:
            log.info("the time budget is spent: the head is solved on one view of each picture")
        else:
            if kind != "hidden":
                solved.append(_solved(run, lambda: linear.solve_linear(given, clock)))
    if kind == "hidden" or (kind == "auto" and given.pool is None and not clock.is_over()):
        epochs, rate = run.config.epochs, run.config.learning_rate
        hidden = _solved(run, lambda: train_hidden(given, epochs, rate, clock))
        return hidden if kind == "hidden" else head.better(head.lowest(solved), hidden)
    return head.lowest(solved)


def _solved(run: Run, solve: Callable[[], Head]) -> Head:
    keras.utils.set_random_seed(run.config.seed)  # whatever had to be computed before
    with run.progress.step("solving the head"):
        solved = solve()
    log.info("%s", solved)
    if not np.isfinite(solved.losses).all() and run.config.head == "hidden":
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
    judges = None
    if is_cross_validated(run):
        judges = pool(run, run.train.numbers[:views], MOST_POOLED, clock=clock)
    return Examples(
        train,
        run.labels,
        run.class_weights[run.labels],
        embeddings(run, run.validation, 1, clock).all()[:, 0],
        run.validation_labels,
        len(run.dataset.classes),
        judges,
    )


def is_cross_validated(run: Run) -> bool:
    """Whether heads are chosen by cross-validation: the validation pictures are too few."""
    return len(run.dataset.rows("validation")) < LEAST_VALIDATION


def pool(
    run: Run,
    numbers: tuple[int, ...],
    most: int,
    classes: int | None = None,
    clock: Clock = ENDLESS,
) -> Pool:
    """Embeddings of these views of the pictures for training and validation, and their folds.

    Args:
        most: pictures; classes: that these are of, at most; None for all.

    Raises:
        TimeIsUpError: they are not all there when the time is up.
    """
    dataset = run.dataset
    rows = np.concatenate([dataset.rows("train"), dataset.rows("validation")])
    count = len(dataset.classes)
    some = np.linspace(0, count - 1, min(count, classes or count)).astype(np.int64)
    rows = rows[np.isin(dataset.labels[rows], some)]
    origins = grouping.split_keys(dataset)
    groups = grouping.merge_groups(dataset)[rows]
    draws = splitting.hash_fractions([origins[row] for row in rows], run.config.seed)
    chosen = sample(dataset.labels[rows], groups, draws, most)
    rows, groups, draws = rows[chosen], groups[chosen], draws[chosen]
    present, labels = np.unique(dataset.labels[rows], return_inverse=True)
    pictures = replace(run.pictures_of(rows), numbers=numbers)
    return Pool(
        embeddings(run, pictures, len(numbers), clock).all(),
        labels,
        run.class_weights[dataset.labels[rows]],
        parts(labels, groups, draws),
        len(present),
    )


def weigh(run: Run) -> Effect | None:
    """What weights change for each class; None where classes are even, or no time is left."""
    if not class_weights.is_uneven(run.class_weights) or run.clock.is_over():
        return None
    with run.progress.step("weighing classes"):
        effect = class_weights.effect(examples(run, 1), run.clock)
    return None if run.clock.is_over() else effect  # heads that were cut short tell nothing


def embeddings(run: Run, pictures: Pictures, views: int, clock: Clock = ENDLESS) -> Features:
    network = run.network

    def layers() -> FeatureExtractor:
        run.dataset.prefetch("train", "validation", "test")  # while the network is loaded
        return TimeLimitedExtractor(network.embedding_layers, clock)

    return frozen_features.extract(
        "embeddings", layers, network.identity, pictures, views, run.cache
    )
