"""The linear head: logistic regression on standardised embeddings, its penalty selected."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plugins.copying import assign_weights
from trainers.evaluation.selection import ValidationResult
from trainers.heads.examples import Examples, Pool
from trainers.heads.head import Head, Row, build_head, fit_standardisation, softmax, validate
from trainers.resources.time_budget import UNLIMITED, TimeBudget

INVERSE_REGULARISATIONS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""`C` of logistic regression, for one view per picture."""
DEFAULT_INVERSE_REGULARISATION = 0.01
"""`C` if there is no picture to select it by."""
TOLERANCE = 1e-3
"""Of the solver: 1e-4 takes three times as long and is no more accurate."""
MAX_ITERATIONS, ITERATIONS_PER_CHECK = 200, 20
"""Of the solver; with a time budget it stops after every ITERATIONS_PER_CHECK to check that."""


def solve_linear(examples: Examples, budget: TimeBudget = UNLIMITED) -> Head:
    """Solve logistic regression for each penalty; build the one with the lowest validation loss.

    The loss is that of cross-validation if the examples have a pool. When the time budget is spent,
    the remaining penalties are left out; the first is always solved, as far as time allows.
    """
    n, views, _ = examples.train.shape
    path = _solve_path(examples, budget)
    if examples.pool is None:
        results = path.validate(examples)
    else:
        results = cross_validate(examples.pool, budget)
    solved = list(zip(INVERSE_REGULARISATIONS, results, path.weights, strict=False))
    history: list[Row] = [
        {
            "C": strength,
            "val_loss": result.loss if result.is_known else None,
            "val_accuracy": result.accuracy if result.is_known else None,
        }
        for strength, result, _ in solved
    ]
    if results[0].is_known:
        best = int(np.argmin([result.loss for _, result, _ in solved]))
    else:
        default = INVERSE_REGULARISATIONS.index(DEFAULT_INVERSE_REGULARISATION)
        best = min(len(solved) - 1, default)
    strength, result, weights = solved[best]
    model = build_head(path.scale, path.offset, examples.classes, penalty=0.5 / (strength * n))
    assign_weights(model.get_layer("logits"), weights)
    pictures = f"{views} views" if views > 1 else "one view"
    description = f"linear head, C = {strength:g}, from {pictures} of each picture"
    cross_validation = None if examples.pool is None else result
    return Head(model, description, validate(model, examples), history, cross_validation)


def cross_validate(pool: Pool, budget: TimeBudget = UNLIMITED) -> list[ValidationResult]:
    """Return the result of each penalty on all pictures, each held out in turn.

    There are fewer results than penalties if the time budget is spent.
    """
    folds = [_solve_path(split, budget).validate(split) for split in pool.splits()]
    if not folds:
        return [ValidationResult.from_folds([])] * len(INVERSE_REGULARISATIONS)
    return [ValidationResult.from_folds(results) for results in zip(*folds, strict=False)]


@dataclass(frozen=True)
class _Path:
    """The regularisation path: the weights of logistic regression for each penalty.

    Attributes:
        scale, offset: (D,) of the standardisation of the embeddings.
        weights: kernel (D, classes) and bias (classes,) for each penalty.
    """

    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    weights: list[tuple[NDArray[np.float32], NDArray[np.float32]]]

    def validate(self, examples: Examples) -> list[ValidationResult]:
        """Return the result of each penalty on the validation pictures."""
        values = examples.validation * self.scale + self.offset
        return [
            ValidationResult.from_probabilities(
                softmax(values @ kernel + bias), examples.validation_labels
            )
            for kernel, bias in self.weights
        ]


def _solve_path(examples: Examples, budget: TimeBudget) -> _Path:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    _, views, width = examples.train.shape
    scale, offset = fit_standardisation(examples.train)
    train = examples.train.reshape(-1, width) * scale
    train += offset
    labels, weights = np.repeat(examples.labels, views), np.repeat(examples.weights, views)
    iterations = MAX_ITERATIONS if budget.is_unlimited else ITERATIONS_PER_CHECK
    solver = LogisticRegression(tol=TOLERANCE, max_iter=iterations, warm_start=True)
    path = _Path(scale, offset, [])
    # One thread: for such small products OpenBLAS' threads wait for each other longer than they
    # compute.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # validation shows what it reached
        warnings.filterwarnings("ignore", "The number of unique classes")  # few pictures of each
        for strength in INVERSE_REGULARISATIONS:
            if path.weights and budget.is_spent():
                break
            solver.set_params(C=strength / views)
            for _ in range(0, MAX_ITERATIONS, iterations):  # each continues from the last weights
                solver.fit(train, labels, weights)
                if max(solver.n_iter_) < iterations or budget.is_spent():
                    break
            path.weights.append(_softmax_weights(solver.coef_, solver.intercept_))
    return path


def _softmax_weights(
    coefficients: NDArray[np.float64], intercept: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return scikit-learn's weights as kernel (D, classes) and bias (classes,).

    For two classes scikit-learn has only one row.
    """
    if len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    return coefficients.T.astype(np.float32), intercept.astype(np.float32)
