from __future__ import annotations

import numpy as np
import pytest

from trainers.guidance import learning_curve
from trainers.guidance.learning_curve import (
    DRAWS,
    LearningCurve,
    Point,
    fit_curve,
    fit_power_law,
    measure_errors,
    resample,
    shares,
    summarize,
)
from trainers.heads.examples import Pool
from trainers.heads.folds import Sample, split_into_folds
from trainers.resources.time_budget import UNLIMITED

SIZES = np.array([800.0, 400.0, 200.0, 100.0, 50.0])


def errors_like(offset: float, factor: float, count: int = 4000) -> np.ndarray:
    """Errors (count, sizes) of pictures, with means of about offset + factor / sqrt(n)."""
    rng = np.random.default_rng(0)
    return (rng.random((count, 1)) < offset + factor * SIZES**-0.5).astype(float)


def test_the_curve_is_continued_to_twice_the_pictures() -> None:
    curve = fit_curve(SIZES, errors_like(0.05, 1.0), np.arange(4000), np.ones(4000), now=700)
    assert curve.now is not None
    assert curve.twice is not None
    assert (curve.now.pictures, curve.twice.pictures) == (700, 1400)
    assert curve.now.accuracy == pytest.approx(1 - 0.05 - 700**-0.5, abs=0.01)
    assert curve.twice.accuracy == pytest.approx(1 - 0.05 - 1400**-0.5, abs=0.01)
    assert curve.twice.low < curve.twice.accuracy < curve.twice.high
    assert curve.twice.high - curve.twice.low < 0.03
    assert [point.pictures for point in curve.points] == [50, 100, 200, 400, 800]
    assert curve.summary == summarize(curve.now, curve.twice)


def test_far_beyond_the_sample_nothing_is_predicted() -> None:
    curve = fit_curve(SIZES, errors_like(0.05, 1.0), np.arange(4000), np.ones(4000), now=1700)
    assert curve.twice is None
    assert len(curve.points) == 5
    assert "unknown, because the curve was measured on a sample, with at most 800" in curve.summary


def test_pictures_of_one_group_count_as_one() -> None:
    errors = errors_like(0.05, 1.0)
    alone, twins = (
        fit_curve(SIZES, values, groups, np.ones(len(values)), now=700).points[0]
        for values, groups in (
            (errors[:400], np.arange(400)),
            (np.repeat(errors[:100], 4, axis=0), np.arange(400) // 4),
        )
    )
    assert twins.high - twins.low > 1.5 * (alone.high - alone.low)


@pytest.mark.parametrize("law", [(0.1, 2.0), (0.0, 1.0), (0.3, 0.0)])
def test_a_power_law_is_found(law: tuple[float, float]) -> None:
    errors = law[0] + law[1] * SIZES**-0.5
    fitted = fit_power_law(SIZES, errors[np.newaxis], (400.0, 1600.0))
    np.testing.assert_allclose(fitted[0], [law[0] + law[1] / 20, law[0] + law[1] / 40])


def test_the_fit_never_falls_below_0_and_never_rises() -> None:
    steep = 30 / SIZES  # falls faster than 1 / sqrt(n), so the best offset would be negative
    rising = SIZES / 8000
    fitted = fit_power_law(SIZES, np.stack([steep, rising]), (800.0, 1e6))
    assert 0 <= fitted[0, 1] < fitted[0, 0]
    assert fitted[1, 0] == fitted[1, 1] == pytest.approx(rising.mean())


def test_resampling_starts_with_the_means_of_all_pictures() -> None:
    errors = np.array([[0.0, 1.0], [1.0, 1.0], [0.5, 1.0]])
    means = resample(errors, np.arange(3), np.ones(3))
    np.testing.assert_allclose(means[0], [0.5, 1.0])
    np.testing.assert_allclose(means[:, 1], 1)
    assert 0.1 < means[1:, 0].std() < 0.4
    weighted = resample(errors, np.array([0, 0, 1]), np.array([2, 1, 1]))
    np.testing.assert_allclose(weighted[0], [1.5 / 4, 1])


@pytest.mark.parametrize(
    ("pictures", "classes", "smallest"),
    [(1000, 5, 1 / 16), (100, 4, 0.2), (99, 2, None), (100, 5, None), (2000, 40, 0.1)],
)
def test_the_smallest_share_has_pictures_of_every_class(
    pictures: int, classes: int, smallest: float | None
) -> None:
    parts = shares(pictures, classes)
    assert (parts[-1] if parts else None) == (smallest and pytest.approx(smallest))
    assert all(part < 1 for part in parts)
    assert not parts or len(parts) == learning_curve.POINTS - 1


def test_heads_on_more_pictures_make_fewer_errors() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    embeddings = (rng.normal(0, 1, (3, 20))[labels] + rng.normal(0, 2.5, (300, 20)))[:, None]
    sample = Sample(np.arange(300), np.arange(300), rng.random(300))
    folds = split_into_folds(labels, sample.groups, sample.draws)
    weights = np.ones(300, np.float32)
    pool = Pool(embeddings.astype(np.float32), labels, weights, folds, 3)
    sizes, errors = measure_errors(pool, sample, 0.01, (0.5, 0.1), UNLIMITED)
    assert sizes == [pytest.approx(120, abs=3), pytest.approx(24, abs=3)]
    assert set(np.unique(errors)) <= {step / DRAWS for step in range(DRAWS + 1)}
    half, tenth = errors.mean(axis=0)
    assert half < tenth - 0.03


def test_the_sentence_says_what_more_pictures_would_bring() -> None:
    now = Point(700, 0.871, 0.85, 0.89)
    assert summarize(now, Point(1400, 0.9, 0.88, 0.92)) == (
        "With twice as many pictures, about 90% (88% to 92%) of the answers would be right instead "
        "of 87%."
    )
    assert summarize(now, Point(1400, 0.876, 0.86, 0.9)) == (
        "Twice as many pictures would hardly help: about 87.6% of the answers would be right "
        "instead of 87.1%."
    )
    assert LearningCurve.unknown("it rains").summary == (
        "What more pictures would bring is unknown, because it rains."
    )
