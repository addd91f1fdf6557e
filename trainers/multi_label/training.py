"""Trains the head of a multi-label model on the embeddings of the frozen backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from plugins.copying import assign_weights
from trainers.dataset.dataset import Dataset
from trainers.evaluation.predictions import Predictions
from trainers.heads.folds import Fold, split_into_folds
from trainers.heads.head import build_head
from trainers.heads.linear import DEFAULT_INVERSE_REGULARISATION, INVERSE_REGULARISATIONS
from trainers.model.classifier import Classifier, hash_weights
from trainers.multi_label.linear import Regressions, fit_path
from trainers.multi_label.metrics import cross_entropies
from trainers.phases.context import TrainingContext
from trainers.phases.head_phase import MAX_EMBEDDING_BYTES, draw_sample, extract_embeddings
from trainers.phases.refitting import MAX_PICTURES
from trainers.progress import log
from trainers.resources.time_budget import UNLIMITED, TimeBudget, TimeBudgetSpentError


@dataclass(frozen=True)
class TrainedHead:
    """The classifier, and how its head was trained.

    Attributes:
        held_out: the predictions for pictures that the heads in validation were not trained on;
            empty if no picture could be held out.
        expected: the predictions of the head for the validation pictures, which the exported model
            must reproduce.
        history: for each value of C and number of views, the loss of the held-out pictures.
        decision: a sentence for the log and the report: which head is used, and why.
        trained_on: (n,) rows of the pictures that the head was trained on.
        folds: number of folds of cross-validation; 1 = the validation pictures were held out.
        embedder: the ONNX model of the embedder; None if the backbone cannot be computed with it.
        embed: positions (n,) in the training split -> their embeddings (n, D).
    """

    classifier: Classifier
    held_out: Predictions
    expected: Predictions
    history: list[dict[str, float | None]]
    decision: str
    trained_on: NDArray[np.int64]
    folds: int
    embedder: onnx.ModelProto | None
    embed: Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Candidate:
    """A value of C and a number of views, with the probabilities of the held-out pictures."""

    strength: float
    views: int
    loss: float
    probabilities: NDArray[np.float32]


def train(context: TrainingContext) -> TrainedHead:
    """Choose the value of C and the views with the lowest held-out loss, and train the head.

    With at most MAX_PICTURES training and validation pictures, heads are cross-validated, and the
    final head is trained on all of them. With more, it is trained on the training pictures, and the
    validation pictures are held out.
    """
    dataset, network = context.dataset, context.network
    rows = np.sort(np.concatenate([dataset.rows("train"), dataset.rows("validation")]))
    targets, folds = dataset.targets[rows], _split(context, rows)
    embeddings, candidates = _validate_views(context, rows, folds)
    best = min(candidates, key=lambda candidate: candidate.loss, default=None)
    strength = best.strength if best else DEFAULT_INVERSE_REGULARISATION
    views = best.views if best else 1
    fitted = folds[0].train if len(folds) == 1 else np.arange(len(rows))
    with context.progress.step("training the head"):
        (regressions,) = fit_path(embeddings[views][fitted], targets[fitted], (strength,))
    head = _build_head(regressions, strength * len(fitted))
    is_held_out = np.isin(np.arange(len(rows)), [row for fold in folds for row in fold.validation])
    held_out = best.probabilities if best else np.zeros(targets.shape, np.float32)
    is_expected = np.isin(rows, context.validation_rows)
    expected = regressions.predict(embeddings[1][is_expected, 0])
    return TrainedHead(
        Classifier(
            network.backbone, network.body, network.embedder, head, hash_weights(network.body)
        ),
        _predictions(dataset, rows[is_held_out], held_out[is_held_out]),
        _predictions(dataset, rows[is_expected], expected),
        [{"C": each.strength, "views": each.views, "val_loss": each.loss} for each in candidates],
        _explain(best, strength, views, len(fitted), len(folds)),
        rows[fitted],
        len(folds),
        network.embedding_layers.onnx,
        lambda positions: _embed(context, dataset.rows("train")[positions], 1)[:, 0],
    )


def _validate_views(
    context: TrainingContext, rows: NDArray[np.int64], folds: Sequence[Fold]
) -> tuple[dict[int, NDArray[np.float32]], list[_Candidate]]:
    """Validate heads on one view, and on all views if time and memory are enough.

    Returns:
        The embeddings (n, views, D) by number of views, and the candidates; none without folds.
    """
    targets = context.dataset.targets[rows]
    embeddings = {1: _embed(context, rows, 1)}
    with context.progress.step("training the head"):
        candidates = _validate(embeddings[1], targets, folds)
    several = _embed_views(context, rows, embeddings[1].nbytes)
    if several is not None and candidates:
        embeddings[several.shape[1]] = several
        with context.progress.step("training the head"):
            candidates += _validate(several, targets, folds)
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
    """Return the embeddings of all views; None if that takes too long or too much memory."""
    views, budget = context.train.views, context.time_budget
    if views == 1 or views * bytes_of_one > MAX_EMBEDDING_BYTES or budget.is_spent():
        return None
    try:
        return _embed(context, rows, views, budget)
    except TimeBudgetSpentError:
        log.info("the time budget is spent: the head is trained on one view of each picture only")
        return None


def _validate(
    embeddings: NDArray[np.float32], targets: NDArray[np.bool_], folds: Sequence[Fold]
) -> list[_Candidate]:
    """Return the held-out predictions for each value of C; nothing without folds."""
    if not folds:
        return []
    probabilities = np.full((len(INVERSE_REGULARISATIONS), *targets.shape), np.nan, np.float32)
    for fold in folds:
        path = fit_path(embeddings[fold.train], targets[fold.train], INVERSE_REGULARISATIONS)
        for index, regressions in enumerate(path):
            probabilities[index, fold.validation] = regressions.predict(
                embeddings[fold.validation, 0]
            )
    is_known = np.isfinite(probabilities[0, :, 0])
    return [
        _Candidate(
            strength,
            embeddings.shape[1],
            float(cross_entropies(predicted[is_known], targets[is_known]).mean()),
            predicted,
        )
        for strength, predicted in zip(INVERSE_REGULARISATIONS, probabilities, strict=True)
    ]


def _predictions(
    dataset: Dataset, rows: NDArray[np.int64], probabilities: NDArray[np.float32]
) -> Predictions:
    return Predictions(rows, dataset.labels[rows], probabilities)


def _build_head(regressions: Regressions, weight: float) -> keras.Model:
    """Build the Keras model of fitted regressions; `weight` is C times the number of pictures."""
    scale, offset, bias = regressions.scale, regressions.offset, regressions.bias
    head = build_head(scale, offset, len(bias), penalty=0.5 / weight, activation="sigmoid")
    assign_weights(head.get_layer("logits"), [regressions.kernel, bias])
    return head


def _explain(best: _Candidate | None, strength: float, views: int, count: int, folds: int) -> str:
    """Say which head is used, and why."""
    pictures = f"{views} views" if views > 1 else "one view"
    head = f"logistic regression for each label (C = {strength:g}, {pictures} of each picture)"
    if best is None:
        return f"the model is {head}, trained on {count} pictures; no picture could be held out"
    where = "validation" if folds == 1 else f"cross-validation in {folds} folds"
    return (
        f"the model is {head}, trained on {count} pictures: this had the lowest loss in {where} "
        f"({best.loss:.4f})"
    )


def record(trained: TrainedHead) -> dict[str, Any]:
    """Return the training as it is written to metrics.json."""
    return {
        "phases": {"head": trained.history},
        "decision": trained.decision,
        "shipped": {
            "phase": "head",
            "best_fine_tuning_epoch": 0,
            "is_refitted": trained.folds != 1,
        },
    }
