"""Trains multi-label models: heads on the embeddings of the frozen backbone, then fine-tuning.

The phases are those of single-label models; only the heads differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from numpy.typing import NDArray

from plugins.copying import assign_weights
from trainers.evaluation.predictions import Predictions
from trainers.evaluation.selection import ValidationResult
from trainers.heads.folds import Fold, split_into_folds
from trainers.heads.head import Head, build_head
from trainers.heads.linear import DEFAULT_INVERSE_REGULARISATION, INVERSE_REGULARISATIONS
from trainers.multi_label.advising import advise
from trainers.multi_label.linear import Regressions, fit_path, predict_out_of_fold
from trainers.phases.context import TrainingContext
from trainers.phases.head_phase import (
    MAX_EMBEDDING_BYTES,
    draw_sample,
    extract_embeddings,
    require_finite,
)
from trainers.phases.refitting import MAX_PICTURES
from trainers.phases.transfer_learning import TrainedClassifier, run_phases
from trainers.progress import log
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetSpentError


@dataclass(frozen=True)
class _Candidate:
    """A value of C and a number of views, with the probabilities of the held-out pictures."""

    strength: float
    views: int
    result: ValidationResult
    probabilities: NDArray[np.float32]


def train(context: TrainingContext) -> TrainedClassifier:
    """Train a classifier by `run_phases`, and find labels that may be wrong."""
    trained, head = run_phases(context, train_head, refit)
    return replace(trained, advice=advise(context, head.strength))


def train_head(context: TrainingContext) -> Head:
    """Choose the value of C and the views with the lowest held-out loss, and train a head.

    With at most MAX_PICTURES training and validation pictures, heads are cross-validated. With
    more, the validation pictures are held out. The head is trained on the training pictures.
    """
    dataset = context.dataset
    rows = _rows(context)
    folds = _split(context, rows)
    embeddings, candidates = _validate_views(context, rows, folds)
    best = min(candidates, key=lambda candidate: candidate.result.loss, default=None)
    strength = best.strength if best else DEFAULT_INVERSE_REGULARISATION
    views = best.views if best else 1
    is_fitted = np.isin(rows, dataset.rows("train"))
    model, validation = _fit(context, rows, embeddings[views], is_fitted, strength)
    history: list[dict[str, float | None]] = [
        {
            "C": each.strength,
            "val_loss": each.result.loss,
            "val_accuracy": each.result.accuracy,
        }
        for each in candidates
        if each.views == views
    ]
    head = Head(model, validation, strength, views, history)
    if best and len(folds) > 1:
        is_known = np.isfinite(best.probabilities[:, 0])
        known = rows[is_known]
        held_out = Predictions(known, dataset.labels[known], best.probabilities[is_known])
        head = replace(head, cross_validation=best.result, held_out=held_out)
    log.info("%s", head)
    return head


def refit(context: TrainingContext, head: Head) -> Head:
    """Train a cross-validated head once more, on the training and the validation pictures.

    If the time budget is spent, the result is the head itself, without the predictions of
    cross-validation.
    """
    if head.held_out is None or context.time_budget.is_spent():
        return replace(head, held_out=None)
    rows = _rows(context)
    embeddings = _embed(context, rows, head.views)
    model, validation = _fit(context, rows, embeddings, np.full(len(rows), True), head.strength)
    log.info("the head was trained once more, on %d training and validation pictures", len(rows))
    return replace(head, model=model, validation=validation)


def _rows(context: TrainingContext) -> NDArray[np.int64]:
    """Return the dataset rows of the training and validation pictures, in ascending order."""
    dataset = context.dataset
    return np.sort(np.concatenate([dataset.rows("train"), dataset.rows("validation")]))


def _fit(
    context: TrainingContext,
    rows: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    is_fitted: NDArray[np.bool_],
    strength: float,
) -> tuple[keras.Model, ValidationResult]:
    """Fit a head on some rows; return it with its result on the validation pictures.

    Args:
        rows: (n,) dataset rows.
        embeddings: (n, views, D) of these rows.
        is_fitted: (n,) whether the head is trained on each row.
        strength: the value of C.
    """
    targets = context.dataset.targets[rows]
    with context.progress.step("training the head"):
        (regressions,) = fit_path(embeddings[is_fitted], targets[is_fitted], (strength,))
    is_validation = np.isin(rows, context.validation_rows)
    probabilities = regressions.predict(embeddings[is_validation, 0])
    validation = ValidationResult.from_probabilities(probabilities, targets[is_validation])
    return _build_head(regressions, strength * int(is_fitted.sum())), validation


def _validate_views(
    context: TrainingContext, rows: NDArray[np.int64], folds: Sequence[Fold]
) -> tuple[dict[int, NDArray[np.float32]], list[_Candidate]]:
    """Validate heads on one view, and on all views if time and memory are enough.

    Returns:
        The embeddings (n, views, D) by number of views, and the candidates; none without folds.

    Raises:
        WeightsError: embeddings are infinite or not a number.
    """
    targets, budget = context.dataset.targets[rows], context.time_budget
    embeddings = {1: _embed(context, rows, 1)}
    require_finite(context, embeddings[1])
    strengths: Sequence[float] = INVERSE_REGULARISATIONS
    if budget.is_spent():
        strengths = (DEFAULT_INVERSE_REGULARISATION,)
    with context.progress.step("training the head"):
        candidates = _validate(embeddings[1], targets, folds, strengths)
    try:
        several = _embed_views(context, rows, embeddings[1].nbytes)
        if several is not None and candidates:
            with context.progress.step("training the head"):
                candidates += _validate(several, targets, folds, strengths, budget)
            embeddings[several.shape[1]] = several
    except TimeBudgetSpentError:
        log.info("the time budget is spent: the head is trained on one view of each picture only")
    return embeddings, candidates


def _split(context: TrainingContext, rows: NDArray[np.int64]) -> Sequence[Fold]:
    """Return the folds: positions in `rows` of the pictures to train on and to hold out."""
    dataset = context.dataset
    if len(rows) > MAX_PICTURES and len(dataset.rows("validation")):
        is_validation = np.isin(rows, dataset.rows("validation"))
        return [Fold(np.flatnonzero(~is_validation), np.flatnonzero(is_validation))]
    sample = draw_sample(context, rows, len(rows))
    return split_into_folds(dataset.labels[rows], sample.groups, sample.draws)


def _embed(
    context: TrainingContext, rows: NDArray[np.int64], views: int, budget: TimeBudget = UNLIMITED
) -> NDArray[np.float32]:
    pictures = context.pictures_of_rows(rows)
    return extract_embeddings(context, pictures, views, budget).read_all()


def _embed_views(
    context: TrainingContext, rows: NDArray[np.int64], bytes_of_one: int
) -> NDArray[np.float32] | None:
    """Return the embeddings of all views; None if there is one, or if they need too much memory.

    Raises:
        TimeBudgetSpentError: the time budget was spent before all were computed.
    """
    views = context.train.views
    if views == 1 or views * bytes_of_one > MAX_EMBEDDING_BYTES:
        return None
    context.time_budget.check()
    return _embed(context, rows, views, context.time_budget)


def _validate(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.bool_],
    folds: Sequence[Fold],
    strengths: Sequence[float],
    budget: TimeBudget = UNLIMITED,
) -> list[_Candidate]:
    """Return the held-out predictions for each value of C; nothing without folds.

    Raises:
        TimeBudgetSpentError: the time budget was spent before the last fold.
    """
    if not folds:
        return []
    probabilities = predict_out_of_fold(embeddings, targets, folds, strengths, budget)
    is_known = np.isfinite(probabilities[0, :, 0])
    is_cross_validated = len(folds) > 1
    return [
        _Candidate(
            strength,
            embeddings.shape[1],
            ValidationResult.from_probabilities(
                predicted[is_known], targets[is_known], len(folds) * is_cross_validated
            ),
            predicted,
        )
        for strength, predicted in zip(strengths, probabilities, strict=True)
    ]


def _build_head(regressions: Regressions, weight: float) -> keras.Model:
    """Build the Keras model of fitted regressions; `weight` is C times the number of pictures."""
    scale, offset, bias = regressions.scale, regressions.offset, regressions.bias
    # Fine-tuning minimises the mean of the labels' losses, but the regressions their sum.
    penalty = 0.5 / (weight * len(bias))
    head = build_head(scale, offset, len(bias), penalty, activation="sigmoid")
    assign_weights(head.get_layer("logits"), [regressions.kernel, bias])
    return head
