"""Independent logistic regressions on scaled embeddings, one for each label.

All share one value of C, the inverse regularisation strength as in scikit-learn. They are fitted
together, because one product of matrices for all labels is faster than many small ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.heads.folds import Fold
from trainers.heads.head import fit_scaling
from trainers.heads.linear import MAX_ITERATIONS, TOLERANCE
from trainers.resources.blas_threads import one_blas_thread
from trainers.resources.time_budget import UNLIMITED, TimeBudget


@dataclass(frozen=True)
class Regressions:
    """Fitted logistic regressions.

    Attributes:
        scale, offset: (D,) the scaling of the embeddings.
        kernel: (D, labels) float32.
        bias: (labels,) float32.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def predict(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (n, labels) of embeddings (n, D)."""
        logits = (embeddings * self.scale + self.offset) @ self.kernel + self.bias
        return sigmoid(logits).astype(np.float32)


def fit_path(
    embeddings: NDArray[np.float32], targets: NDArray[np.bool_], strengths: Sequence[float]
) -> Iterator[Regressions]:
    """Fit logistic regressions for each value of C, each starting from the one before.

    Args:
        embeddings: (n, views, D) of the training pictures.
        targets: (n, labels) whether each picture has each label. A label may have no picture.
        strengths: the values of C; with several views of each picture, they are divided by the
            number of views.
    """
    _, views, width = embeddings.shape
    scale, offset = fit_scaling(embeddings)
    inputs = embeddings.reshape(-1, width) * scale + offset
    wanted = np.repeat(targets, views, axis=0)
    weights = np.zeros((width + 1, targets.shape[1]))  # the last row is the bias
    for strength in strengths:
        with one_blas_thread():
            weights = _minimise(inputs, wanted, weights, strength / views)
        kernel = weights.astype(np.float32)
        yield Regressions(scale, offset, kernel[:-1], kernel[-1])


def predict_out_of_fold(
    embeddings: NDArray[np.float32],
    targets: NDArray[np.bool_],
    folds: Sequence[Fold],
    strengths: Sequence[float],
    budget: TimeBudget = UNLIMITED,
) -> NDArray[np.float32]:
    """Return out-of-fold probabilities (strengths, n, labels) for each value of C.

    The row of a picture that is in no fold is NaN.

    Args:
        embeddings, targets, strengths: as for `fit_path`; the first view is classified.

    Raises:
        TimeBudgetSpentError: the time budget was spent before the last fold.
    """
    probabilities = np.full((len(strengths), *targets.shape), np.nan, np.float32)
    for fold in folds:
        path = fit_path(embeddings[fold.train], targets[fold.train], strengths)
        for index, regressions in enumerate(path):
            budget.check()
            held_out = embeddings[fold.validation, 0]
            probabilities[index, fold.validation] = regressions.predict(held_out)
    return probabilities


def _minimise(
    inputs: NDArray[np.float32],
    targets: NDArray[np.bool_],
    start: NDArray[np.float64],
    strength: float,
) -> NDArray[np.float64]:
    """Minimise the mean binary cross-entropy plus the L2 penalty; return the weights.

    Args:
        inputs: (n, D) scaled embeddings.
        targets: (n, labels).
        start: (D + 1, labels) the first weights.
        strength: the value of C.
    """
    from scipy.optimize import minimize

    count = len(inputs)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = flat.reshape(start.shape)
        logits = (inputs @ weights[:-1].astype(np.float32)).astype(np.float64) + weights[-1]
        penalty = weights[:-1] / (strength * count)
        value = np.logaddexp(0, logits).sum() - logits[targets].sum()
        errors = (sigmoid(logits) - targets) / count
        gradient = np.vstack([inputs.T @ errors.astype(np.float32) + penalty, errors.sum(axis=0)])
        return float(value / count + (penalty * weights[:-1]).sum() / 2), gradient.ravel()

    options = {"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE}
    result = minimize(loss, start.ravel(), method="L-BFGS-B", jac=True, options=options)
    weights: NDArray[np.float64] = result.x.reshape(start.shape)
    return weights


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    from scipy.special import expit

    probabilities: NDArray[np.floating] = expit(logits)
    return probabilities
