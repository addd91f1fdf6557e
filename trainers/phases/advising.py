"""Finds out what to do next, by heads on the embeddings of the frozen backbone.

The pictures of all splits are used. These heads are separate from the model: neither its training
nor its test is affected.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainers.dataset.dataset import Dataset
from trainers.guidance.advice import Advice
from trainers.guidance.label_errors import find_suspects
from trainers.guidance.learning_curve import LearningCurve, fit_curve, measure_errors, shares
from trainers.heads.examples import Pool
from trainers.heads.folds import Sample
from trainers.heads.linear import predict_out_of_fold
from trainers.phases.context import TrainingContext
from trainers.phases.head_phase import draw_sample, embed_sample
from trainers.progress import log
from trainers.resources.time_budget import TimeBudgetSpentError

MAX_PICTURES, MAX_OUTPUTS = 5000, 500_000
"""At most MAX_PICTURES pictures are used, and fewer if pictures * classes would be above
MAX_OUTPUTS. This limits the time. With more pictures, about the same number of every class is
sampled."""
MIN_PER_CLASS = 10
"""With fewer sampled pictures per class on average, heads are too weak to judge labels."""
NO_TIME = "the time budget was spent"


def advise(context: TrainingContext, strength: float, trained_on: int) -> Advice:
    """Find labels that may be wrong, and measure the learning curve.

    Args:
        strength: the value of C of the head of the run.
        trained_on: number of pictures that the model was trained on.
    """
    dataset, budget = context.dataset, context.time_budget
    classes = len(dataset.classes)
    if budget.is_spent():
        return Advice.unknown(NO_TIME)
    most = min(MAX_PICTURES, MAX_OUTPUTS // classes)
    sample = draw_sample(context, np.arange(len(dataset.paths)), most)
    too_slow = f"{classes:,} classes would take too long"
    is_all = len(sample.rows) == len(dataset.paths)
    if len(sample.rows) < MIN_PER_CLASS * classes:
        few = f"there are fewer than {MIN_PER_CLASS} pictures per class on average"
        return Advice.unknown(few if is_all else too_slow)
    no_curve_reason = "there are too few pictures to measure it" if is_all else too_slow
    try:
        pool = embed_sample(context, sample, (0,), budget)
        advice = _advise(context, sample, pool, strength, trained_on, no_curve_reason)
    except TimeBudgetSpentError:
        return Advice.unknown(NO_TIME)
    # When the budget is spent, training stops early, and its heads are not comparable.
    if budget.is_spent():
        return Advice.unknown(NO_TIME)
    log.info("%s", advice)
    return advice


def _advise(
    context: TrainingContext,
    sample: Sample,
    pool: Pool,
    strength: float,
    trained_on: int,
    no_curve_reason: str,
) -> Advice:
    """Find the suspects, and measure the learning curve, on a sample.

    Args:
        pool: the embeddings of the sample.
        strength: the value of C.
        trained_on: number of pictures that the model was trained on.
        no_curve_reason: why the curve is unknown if the sample is too small to measure it.
    """
    budget, dataset = context.time_budget, context.dataset
    with context.progress.step("looking for wrong labels"):
        probabilities = predict_out_of_fold(pool, strength, budget)
        suspects = find_suspects(probabilities, pool.labels, sample.rows)
    present_classes = np.unique(dataset.labels[sample.rows])
    suspects = replace(suspects, suggested=present_classes[suspects.suggested])
    parts = shares(len(pool.labels), pool.classes)
    if not parts or not pool.folds:
        return Advice(suspects, LearningCurve.unknown(no_curve_reason))
    with context.progress.step("measuring the learning curve"):
        sizes, errors = measure_errors(pool, sample, strength, parts, budget)
    all_errors = np.column_stack([probabilities.argmax(axis=1) != pool.labels, errors])
    all_sizes = np.array([np.mean([len(fold.train) for fold in pool.folds]), *sizes])
    is_held_out = np.isfinite(probabilities[:, 0])
    curve = fit_curve(
        all_sizes,
        all_errors[is_held_out],
        sample.groups[is_held_out],
        _weigh(dataset, sample)[is_held_out],
        now=trained_on,
    )
    return Advice(suspects, curve)


def _weigh(dataset: Dataset, sample: Sample) -> NDArray[np.float64]:
    """Return the weight (n,) of each picture, so that classes have their shares in the dataset."""
    labels, classes = dataset.labels[sample.rows], len(dataset.classes)
    sampled = np.bincount(labels, minlength=classes)
    weights: NDArray[np.float64] = (
        np.bincount(dataset.labels, minlength=classes)[labels] / (sampled[labels])
    )
    return weights
