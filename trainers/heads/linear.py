"""The linear head: logistic regression on standardised embeddings, its penalty chosen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.copying import assign_weights
from trainers.evaluation.selection import Hits, Losses, ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import Head, Row, build, judge, judge_model, softmax, standardisation
from trainers.resources.time_budget import ENDLESS, Clock

INVERSE_REGULARISATIONS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""`C` of logistic regression, for one view per picture: the best lay within for both real data
sets that the project was measured on, 700 and 1,400 pictures."""
TOLERANCE = 1e-3
"""Of the solver: 1e-4 takes three times as long for the same accuracy (0.876 and 0.895)."""
MOST_ITERATIONS, PORTION = 200, 20
"""Of the solver, and after how many of them it looks at the clock where time is limited."""
USUAL = 0.01
"""`C` where no picture is left to choose it by."""


def solve_linear(examples: Examples, clock: Clock = ENDLESS) -> Head:
    """Logistic regression for each penalty; the one with the lowest loss on the validation
    pictures, or in cross-validation, is built.

    Those that there is no time for are left out; the first one is solved as far as time allows.
    """
    n, views, _ = examples.train.shape
    path = _solve_path(examples, clock)
    if examples.pool is None:
        losses, hits = path.judge(examples)
    else:
        losses, hits = cross_validate(examples.pool, clock)
    count = min(len(path.weights), len(losses))
    losses, hits, strengths = losses[:count], hits[:count], INVERSE_REGULARISATIONS[:count]
    is_known = losses.size > 0
    history: list[Row] = [
        {
            "C": strength,
            "val_loss": float(losses[at].mean()) if is_known else None,
            "val_accuracy": float(hits[at].mean()) if is_known else None,
        }
        for at, strength in enumerate(strengths)
    ]
    at = (
        int(losses.mean(axis=1).argmin())
        if is_known
        else min(count - 1, INVERSE_REGULARISATIONS.index(USUAL))
    )
    strength = strengths[at]
    model = build(path.scale, path.offset, examples.classes, penalty=0.5 / (strength * n))
    assign_weights(model.get_layer("logits"), path.weights[at])
    pictures = f"{views} views" if views > 1 else "one view"
    description = f"linear head, C = {strength:g}, from {pictures} of each picture"
    judgement = None
    if examples.pool is not None:
        judgement = ValidationResult.from_answers(losses[at], hits[at], len(examples.pool.parts))
    return Head(model, description, *judge_model(model, examples), history, judgement)


def cross_validate(pool: Pool, clock: Clock = ENDLESS) -> tuple[Losses, Hits]:
    """Losses and hits (penalties, m) of all pictures that are held out in turn, for as many
    penalties as there is time for."""
    empty = np.zeros((len(INVERSE_REGULARISATIONS), 0))
    judged = [_solve_path(fold, clock).judge(fold) for fold in pool.folds()]
    losses, hits = zip((empty, empty.astype(np.bool_)), *judged, strict=True)
    count = min(map(len, losses))
    return (
        np.concatenate([one[:count] for one in losses], axis=1),
        np.concatenate([one[:count] for one in hits], axis=1),
    )


@dataclass(frozen=True)
class _Path:
    """Logistic regression for each penalty, on embeddings times `scale` plus `offset` (D,):
    kernel (D, classes) and bias (classes,)."""

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    weights: list[tuple[NDArray[np.float32], NDArray[np.float32]]]

    def judge(self, examples: Examples) -> tuple[Losses, Hits]:
        """Losses and hits (penalties, m) of the validation pictures."""
        values = examples.validation * self.scale + self.offset
        labels = examples.validation_labels
        pairs = [judge(softmax(values @ kernel + bias), labels) for kernel, bias in self.weights]
        losses, hits = (np.stack(one) for one in zip(*pairs, strict=True))
        return losses, hits


def _solve_path(examples: Examples, clock: Clock) -> _Path:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    _, views, width = examples.train.shape
    scale, offset = standardisation(examples.train)
    train = examples.train.reshape(-1, width) * scale
    train += offset
    labels, weights = np.repeat(examples.labels, views), np.repeat(examples.weights, views)
    portion = MOST_ITERATIONS if clock.is_endless else PORTION
    solver = LogisticRegression(tol=TOLERANCE, max_iter=portion, warm_start=True)
    path = _Path(scale, offset, [])
    # OpenBLAS' threads wait for each other longer than such small products take: 0.92 s in place
    # of 0.16 s on two cores.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by what it reached
        warnings.filterwarnings("ignore", "The number of unique classes")  # few pictures of each
        for strength in INVERSE_REGULARISATIONS:
            if path.weights and clock.is_over():
                break
            solver.set_params(C=strength / views)
            for _ in range(0, MOST_ITERATIONS, portion):  # each goes on where the last one ended
                solver.fit(train, labels, weights)
                if max(solver.n_iter_) < portion or clock.is_over():
                    break
            path.weights.append(_softmax_weights(solver.coef_, solver.intercept_))
    return path


def _softmax_weights(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """scikit-learn's weights as kernel (D, classes) and bias; for two classes it has one row."""
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return coefficients.T.astype(np.float32), intercept.astype(np.float32)
