"""The linear head: logistic regression on scaled embeddings, with the best value of C.

C is the inverse regularisation strength, as in scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.copying import assign_weights
from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import Head, HistoryRow, build_head, fit_scaling, softmax, validate
from trainers.resources.blas_threads import one_blas_thread
from trainers.resources.time_budget import UNLIMITED, TimeBudget

INVERSE_REGULARISATIONS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""The values of `C` that are tried. With several views of each picture, scikit-learn gets the value
divided by the number of views."""
DEFAULT_INVERSE_REGULARISATION = 0.01
"""The value of `C` if no picture can be held out to select a value with."""
TOLERANCE = 1e-3
"""Tolerance of the solver. A smaller one takes longer, but does not make the head more accurate."""
MAX_ITERATIONS, ITERATIONS_PER_CHECK = 200, 20
"""The solver runs for at most MAX_ITERATIONS per value of `C`. If there is a time budget, it is
checked every ITERATIONS_PER_CHECK iterations."""


def fit_linear(
    examples: Examples,
    budget: TimeBudget = UNLIMITED,
    strengths: Sequence[float] = INVERSE_REGULARISATIONS,
) -> Head:
    """Fit logistic regression for each value of C, and build the head with the lowest loss.

    The loss is that of cross-validation if the examples have a pool, otherwise the validation loss.
    When the time budget is spent, the solver stops, and the remaining values of C are left out. But
    the first value is always fitted, for at least a few iterations.

    If no picture can be held out to measure the loss on, C is DEFAULT_INVERSE_REGULARISATION. If
    the time budget was spent before this value was fitted, C is the last value that was fitted.

    Args:
        strengths: the values of C.
    """
    n, views, _ = examples.train.shape
    path = _fit_path(examples, budget, strengths)
    if examples.pool is None:
        results = path.validate(examples)
    else:
        results = cross_validate(examples.pool, budget)
    fits = list(zip(strengths, results, path.weights, strict=False))
    history: list[HistoryRow] = [
        {
            "C": strength,
            "val_loss": result.loss if result.is_known else None,
            "val_accuracy": result.accuracy if result.is_known else None,
        }
        for strength, result, _ in fits
    ]
    if results[0].is_known:
        best = int(np.argmin([result.loss for _, result, _ in fits]))
    else:
        default = strengths.index(DEFAULT_INVERSE_REGULARISATION)
        best = min(len(fits) - 1, default)
    strength, result, weights = fits[best]
    model = build_head(path.scale, path.offset, examples.classes, penalty=0.5 / (strength * n))
    assign_weights(model.get_layer("logits"), weights)
    cross_validation = None if examples.pool is None else result
    return Head(model, validate(model, examples), strength, views, history, cross_validation)


def cross_validate(pool: Pool, budget: TimeBudget = UNLIMITED) -> list[ValidationResult]:
    """Return the cross-validation result of each value of C.

    If the time budget is spent, the results of the last values of C may be missing.
    """
    folds = [_fit_path(split, budget).validate(split) for split in pool.splits()]
    if not folds:
        return [ValidationResult.from_folds([])] * len(INVERSE_REGULARISATIONS)
    return [ValidationResult.from_folds(results) for results in zip(*folds, strict=False)]


def predict_held_out(
    examples: Examples, strength: float, budget: TimeBudget = UNLIMITED
) -> NDArray[np.float32]:
    """Fit logistic regression, and return probabilities (m, classes) of the validation pictures.

    Args:
        strength: the value of C.
    """
    return _fit_path(examples, budget, (strength,)).predict(examples.validation)[0]


def predict_out_of_fold(
    pool: Pool, strength: float, budget: TimeBudget = UNLIMITED
) -> NDArray[np.float32]:
    """Return the probabilities (N, classes) of each picture, from the head of the other folds.

    The row of a picture that is in no fold is NaN.

    Args:
        strength: the value of C.

    Raises:
        TimeBudgetSpentError: the time budget was spent before the last fold.
    """
    probabilities = np.full((len(pool.labels), pool.classes), np.nan, np.float32)
    for fold, examples in zip(pool.folds, pool.splits(), strict=True):
        budget.check()
        probabilities[fold.validation] = predict_held_out(examples, strength, budget)
    return probabilities


@dataclass(frozen=True)
class _Path:
    """The regularisation path: the weights of logistic regression for each value of C.

    Attributes:
        scale, offset: (D,) the scaling of the embeddings.
        weights: kernel (D, classes) and bias (classes,) for each value of C that was fitted.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    weights: list[tuple[NDArray[np.float32], NDArray[np.float32]]]

    def validate(self, examples: Examples) -> list[ValidationResult]:
        """Return the result on the validation pictures, for each value of C that was fitted."""
        return [
            ValidationResult.from_probabilities(probabilities, examples.validation_labels)
            for probabilities in self.predict(examples.validation)
        ]

    def predict(self, embeddings: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Return the probabilities of embeddings, for each value of C that was fitted."""
        values = embeddings * self.scale + self.offset
        return [softmax(values @ kernel + bias) for kernel, bias in self.weights]


def _fit_path(
    examples: Examples,
    budget: TimeBudget,
    strengths: Sequence[float] = INVERSE_REGULARISATIONS,
) -> _Path:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    _, views, width = examples.train.shape
    scale, offset = fit_scaling(examples.train)
    train = examples.train.reshape(-1, width) * scale
    train += offset
    labels, weights = np.repeat(examples.labels, views), np.repeat(examples.weights, views)
    iterations = MAX_ITERATIONS if budget.is_unlimited else ITERATIONS_PER_CHECK
    solver = LogisticRegression(tol=TOLERANCE, max_iter=iterations, warm_start=True)
    path = _Path(scale, offset, [])
    with one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # C is selected by validation
        # scikit-learn warns if the classes have very few pictures, which is not a mistake here.
        warnings.filterwarnings("ignore", "The number of unique classes")
        for strength in strengths:
            if path.weights and budget.is_spent():
                break
            solver.set_params(C=strength / views)
            for _ in range(0, MAX_ITERATIONS, iterations):  # `warm_start` continues the last fit
                solver.fit(train, labels, weights)
                if max(solver.n_iter_) < iterations or budget.is_spent():
                    break
            path.weights.append(_softmax_weights(solver.coef_, solver.intercept_))
    return path


def _softmax_weights(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Convert scikit-learn's weights to a kernel (D, classes) and a bias (classes,).

    For two classes, scikit-learn has only one set of weights, for the difference of the two logits.
    """
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return coefficients.T.astype(np.float32), intercept.astype(np.float32)
