"""Phase 1: train heads on the embeddings of the frozen backbone, and select the best head."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.base import WeightsError
from trainers.dataset import grouping
from trainers.dataset.splits import splitting
from trainers.features import frozen_features
from trainers.features.frozen_features import AugmentedPictures, Features
from trainers.features.frozen_layers import FeatureExtractor, TimeLimitedExtractor
from trainers.heads import class_weights, linear
from trainers.heads.class_weights import ClassWeightEffect
from trainers.heads.examples import MIN_VALIDATION_PICTURES, Examples, Pool
from trainers.heads.folds import Sample, sample_rows, split_into_folds
from trainers.heads.head import Head, select_lowest_loss
from trainers.phases.context import TrainingContext
from trainers.progress import log
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetSpentError

MAX_POOL_PICTURES = 2000
"""Heads are cross-validated on at most this number of pictures, sampled if there are more."""
MAX_EMBEDDING_BYTES = 1024**3
"""If the embeddings of all views of the training pictures would be larger, heads are trained on one
view of each picture only."""


def train_head(context: TrainingContext) -> Head:
    """Train linear heads on one view and on all views of each picture; return the better head.

    A head on one view is always trained, even if the time budget is spent. The other one follows if
    time is left, and if the embeddings of all views are not too large.

    Raises:
        WeightsError: embeddings are infinite or not a number.
        MemoryShortageError: the memory of a device is too small for one picture.
    """
    budget, views = context.time_budget, context.train.views
    examples = load_examples(context, 1)
    first = _train(context, examples)
    if budget.is_spent() or views * examples.train.nbytes > MAX_EMBEDDING_BYTES:
        return first
    try:
        examples = load_examples(context, views, budget)
    except TimeBudgetSpentError:
        log.info("the time budget is spent: the head is trained on one view of each picture only")
        return first
    heads = [first, _train(context, examples)]
    best = select_lowest_loss(heads)
    if not best.selection_result.is_known:
        return best
    (other,) = (head for head in heads if head is not best)
    return replace(
        best, reason=f"it was chosen because its loss is lower than with {other.pictures}"
    )


def _train(context: TrainingContext, examples: Examples) -> Head:
    keras.utils.set_random_seed(context.config.seed)  # the same, whichever steps ran before
    with context.progress.step("training the head"):
        head = linear.fit_linear(examples, context.time_budget)
    log.info("%s", head)
    return head


def load_examples(context: TrainingContext, views: int, budget: TimeBudget = UNLIMITED) -> Examples:
    """Return the embeddings, labels and weights that heads are trained and validated on.

    Args:
        views: number of views of each training picture. Validation pictures have one view.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all embeddings were computed.
        WeightsError: embeddings of training pictures are infinite or not a number.
    """
    train = extract_embeddings(context, context.train, views, budget).read_all()
    require_finite(context, train)
    pool = None
    if is_cross_validated(context):
        view_numbers = context.train.view_numbers[:views]
        pool = build_pool(context, view_numbers, MAX_POOL_PICTURES, budget=budget)
    return Examples(
        train,
        context.labels,
        context.class_weights[context.labels],
        extract_embeddings(context, context.validation, 1, budget).read_all()[:, 0],
        context.validation_labels,
        len(context.dataset.classes),
        pool,
    )


def require_finite(context: TrainingContext, embeddings: NDArray[np.float32]) -> None:
    """Raise WeightsError if an embedding is infinite or not a number."""
    if not np.isfinite(embeddings.sum(dtype=np.float64)):
        raise WeightsError(
            f"the embeddings of {context.network.backbone.name} with the weights "
            f"{context.network.weights} are infinite or not a number: choose other --weights, or "
            "another --image-size"
        )


def is_cross_validated(context: TrainingContext) -> bool:
    """Whether heads are cross-validated, because there are too few validation pictures."""
    return len(context.dataset.rows("validation")) < MIN_VALIDATION_PICTURES


def build_pool(
    context: TrainingContext,
    view_numbers: tuple[int, ...],
    max_pictures: int,
    max_classes: int | None = None,
    budget: TimeBudget = UNLIMITED,
) -> Pool:
    """Sample the training and validation pictures, and split the sample into folds.

    Args:
        view_numbers: the views of each picture, as numbers for `augmentation.make_view`.
        max_pictures: largest number of pictures in the sample.
        max_classes: largest number of classes in the sample; None if there is no limit.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all embeddings were computed.
    """
    dataset = context.dataset
    rows = np.concatenate([dataset.rows("train"), dataset.rows("validation")])
    count = len(dataset.classes)
    classes = np.linspace(0, count - 1, min(count, max_classes or count)).astype(np.int64)
    rows = rows[np.isin(dataset.labels[rows], classes)]
    return embed_sample(context, draw_sample(context, rows, max_pictures), view_numbers, budget)


def draw_sample(context: TrainingContext, rows: NDArray[np.int64], max_pictures: int) -> Sample:
    """Sample at most `max_pictures` pictures from the given rows of the dataset."""
    dataset = context.dataset
    split_keys = grouping.split_keys(dataset)
    groups = grouping.merge_groups(dataset)[rows]
    draws = splitting.hash_fractions([split_keys[row] for row in rows], context.config.seed)
    sample = sample_rows(dataset.labels[rows], groups, draws, max_pictures)
    return Sample(rows[sample], groups[sample], draws[sample])


def embed_sample(
    context: TrainingContext,
    sample: Sample,
    view_numbers: tuple[int, ...],
    budget: TimeBudget = UNLIMITED,
) -> Pool:
    """Return the embeddings of a sample, split into folds.

    Args:
        view_numbers: the views of each picture, as numbers for `augmentation.make_view`.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all embeddings were computed.
    """
    rows = sample.rows
    dataset_labels = context.dataset.labels[rows]
    present_classes, labels = np.unique(dataset_labels, return_inverse=True)
    pictures = replace(context.pictures_of_rows(rows), view_numbers=view_numbers)
    return Pool(
        extract_embeddings(context, pictures, len(view_numbers), budget).read_all(),
        labels,
        context.class_weights[dataset_labels],
        split_into_folds(labels, sample.groups, sample.draws),
        len(present_classes),
    )


def measure_class_weights(context: TrainingContext) -> ClassWeightEffect | None:
    """Return the recall of each class with and without class weights.

    The result is None if the classes are balanced, or if the time budget is spent.
    """
    budget = context.time_budget
    if not class_weights.is_imbalanced(context.class_weights) or budget.is_spent():
        return None
    with context.progress.step("measuring the class weights"):
        effect = class_weights.compare_recalls(load_examples(context, 1), budget)
    # When the budget is spent, training stops early, and the recalls cannot be compared.
    return None if budget.is_spent() else effect


def embed_training_pictures(
    context: TrainingContext, positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the embeddings (M, D) of some training pictures, by their positions (M,)."""
    features = extract_embeddings(context, context.train, 1)
    return features.read(positions, np.zeros_like(positions))


def extract_embeddings(
    context: TrainingContext,
    pictures: AugmentedPictures,
    views: int,
    budget: TimeBudget = UNLIMITED,
) -> Features:
    """Return the embeddings of the first `views` views of each picture. Compute missing ones.

    Args:
        views: number of views of each picture, counted from the first one.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all embeddings were computed.
        MemoryShortageError: the memory of a device is too small for one picture.
    """
    network = context.network

    def load_extractor() -> FeatureExtractor:
        # Pictures are decoded in the background while the network is loaded.
        context.dataset.prefetch("train", "validation", "test")
        return TimeLimitedExtractor(network.embedding_layers, budget)

    return frozen_features.extract(
        "embeddings", load_extractor, network.identity, pictures, views, context.cache
    )
