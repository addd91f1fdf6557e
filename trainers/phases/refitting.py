"""Fits the linear head once more, on the training and the validation pictures.

The validation pictures are then no longer held out. Instead, heads of five folds predict each
picture without having been trained on it (cross-validation), and these predictions calibrate the
scores. docs/decisions/training.md has the gains in accuracy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainers.evaluation.predictions import Predictions
from trainers.evaluation.selection import ValidationResult
from trainers.heads import linear
from trainers.heads.examples import Examples
from trainers.heads.head import Head
from trainers.phases.context import TrainingContext
from trainers.phases.head_phase import draw_sample, embed_sample
from trainers.progress import log
from trainers.resources.time_budget import TimeBudgetSpentError

MAX_PICTURES = 2000
"""With more training and validation pictures, a head is not fitted once more: it would take longer.
From about 200 pictures a class on, only the scores get better, not the accuracy."""


def refit(context: TrainingContext, head: Head) -> Head:
    """Fit a head once more, with its value of C and its views.

    Returns:
        The new head. Its `validation` is too good, because it was trained on the validation
        pictures, but the exported model must reproduce it. The result is `head` itself if
        there are no validation pictures or more than MAX_PICTURES pictures, if no class has two
        groups of pictures, or if the time budget is spent.
    """
    dataset, budget = context.dataset, context.time_budget
    validation_rows = dataset.rows("validation")
    rows = np.sort(np.concatenate([dataset.rows("train"), validation_rows]))
    is_wanted = len(validation_rows) and len(rows) <= MAX_PICTURES
    if not is_wanted or budget.is_spent():
        return head
    sample = draw_sample(context, rows, MAX_PICTURES)
    view_numbers = context.train.view_numbers[: head.views]
    try:
        pool = embed_sample(context, sample, view_numbers, budget)
        if not pool.folds:
            return head
        with context.progress.step("refitting the head"):
            probabilities = linear.predict_out_of_fold(pool, head.strength, budget)
            is_validation = np.isin(sample.rows, validation_rows)
            examples = Examples(
                pool.embeddings,
                pool.labels,
                pool.weights,
                pool.embeddings[is_validation, 0],
                pool.labels[is_validation],
                pool.classes,
            )
            refitted = linear.fit_linear(examples, budget, (head.strength,))
    except TimeBudgetSpentError:
        return head
    if budget.is_spent():  # the solver may have stopped early
        return head
    is_known = np.isfinite(probabilities[:, 0])
    held_out = Predictions(sample.rows[is_known], pool.labels[is_known], probabilities[is_known])
    result = ValidationResult.from_probabilities(held_out.probabilities, held_out.labels)
    log.info(
        "the head was trained once more, on %d training and validation pictures", len(sample.rows)
    )
    return replace(
        head,
        model=refitted.model,
        validation=refitted.validation,
        cross_validation=replace(result, folds=len(pool.folds)),
        held_out=held_out,
    )
