from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trainers.heads.folds import Fold
from trainers.multi_label.linear import fit_path, predict_out_of_fold, sigmoid
from trainers.resources.time_budget import TimeBudget, TimeBudgetSpentError

RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(3, 2, (80, 1, 6)).astype(np.float32)
TARGETS = np.column_stack([EMBEDDINGS[:, 0, 0] > 3, EMBEDDINGS[:, 0, 1] > 4, np.zeros(80)]) > 0


def test_each_label_gets_the_logistic_regression_of_scikit_learn() -> None:
    *_, fitted = fit_path(EMBEDDINGS, TARGETS, (0.01, 0.1))
    inputs = EMBEDDINGS[:, 0] * fitted.scale + fitted.offset
    assert inputs.var(axis=0).mean() == pytest.approx(1, rel=1e-4)
    predicted = fitted.predict(EMBEDDINGS[:, 0])
    for label in range(2):
        expected = LogisticRegression(C=0.1, tol=1e-6).fit(inputs, TARGETS[:, label])
        np.testing.assert_allclose(
            predicted[:, label], expected.predict_proba(inputs)[:, 1], atol=0.01
        )


def test_a_label_without_pictures_gets_low_probabilities() -> None:
    (fitted,) = fit_path(EMBEDDINGS, TARGETS, (0.1,))
    assert fitted.predict(EMBEDDINGS[:, 0])[:, 2].max() < 0.05


def test_copies_of_all_views_do_not_change_the_result() -> None:
    (once,) = fit_path(EMBEDDINGS, TARGETS, (0.1,))
    (twice,) = fit_path(np.repeat(EMBEDDINGS, 2, axis=1), TARGETS, (0.1,))
    np.testing.assert_allclose(once.kernel, twice.kernel, atol=0.01)


def test_the_time_budget_is_checked_for_each_fold_and_value_of_c() -> None:
    folds = [Fold(np.arange(40), np.arange(40, 80)), Fold(np.arange(40, 80), np.arange(40))]
    with pytest.raises(TimeBudgetSpentError):
        predict_out_of_fold(EMBEDDINGS, TARGETS, folds, (0.1,), TimeBudget(seconds=0.0))


def test_a_large_logit_has_no_overflow() -> None:
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == pytest.approx([0, 0.5, 1])


def test_each_fold_is_predicted_by_the_others() -> None:
    folds = [Fold(np.arange(40, 80), np.arange(40)), Fold(np.arange(40), np.arange(40, 70))]
    path = predict_out_of_fold(EMBEDDINGS, TARGETS, folds, (0.01, 0.1))
    *_, fitted = fit_path(EMBEDDINGS[40:], TARGETS[40:], (0.01, 0.1))
    np.testing.assert_allclose(path[1, :40], fitted.predict(EMBEDDINGS[:40, 0]))
    assert np.isfinite(path[:, :70]).all()
    assert np.isnan(path[:, 70:]).all()
