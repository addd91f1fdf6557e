"""The learning curve: how accuracy grows with the number of pictures.

Linear heads are trained on growing shares of the pictures, and tested on held-out pictures. Their
error is fitted by a + b / sqrt(n), where n is the number of training pictures (a power law, as in
Cortes et al. 1993, "Learning Curves: Asymptotic Values and Rate of Convergence"). The exponent is
fixed, because five points are too few to fit it. docs/decisions/training.md has the measurements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainers.heads.examples import Pool
from trainers.heads.folds import Sample, take_share
from trainers.heads.linear import predict_held_out
from trainers.resources.time_budget import TimeBudget

MIN_PICTURES, MIN_PER_CLASS = 100, 25
"""With fewer pictures, or fewer per class on average, the curve would be too uncertain."""
POINTS, SMALLEST_SHARE, SMALLEST_PER_CLASS = 5, 1 / 16, 5
"""The curve has POINTS points. The smallest one is a share of SMALLEST_SHARE of the training
pictures, or more, so that there are at least SMALLEST_PER_CLASS pictures per class on average."""
DRAWS = 2
"""Number of random draws of each share, for every fold."""
MAX_EXTRAPOLATION = 4.0
"""The curve is not continued to more than this many times its largest number of pictures."""
LARGE_GAIN = 0.01
"""A gain in accuracy that is worth mentioning. Smaller ones are called small."""
_RESAMPLES, _SEED = 500, 0

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A point of the curve: the accuracy of heads that are trained on `pictures` pictures.

    Attributes:
        accuracy: 0 to 1.
        low, high: its 95% confidence interval.
    """

    pictures: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class LearningCurve:
    """The accuracy of linear heads by the number of pictures that they are trained on.

    Attributes:
        summary: a sentence: what twice as many pictures would bring, or why this is unknown.
        points: the points that were measured, the smallest number of pictures first.
        now: the fitted accuracy with the training pictures of the run; None if it is unknown.
        twice: the fitted accuracy with twice as many pictures; None if it is unknown.
    """

    summary: str
    points: tuple[Point, ...] = ()
    now: Point | None = None
    twice: Point | None = None

    @classmethod
    def unknown(cls, reason: str) -> LearningCurve:
        """Return the result if no curve was measured."""
        return cls(f"What more pictures would bring is unknown, because {reason}.")


def shares(pictures: int, classes: int) -> list[float]:
    """Return the shares of the training pictures to train on, in descending order, without 1.

    There are none if there are too few pictures.
    """
    if pictures < max(MIN_PICTURES, MIN_PER_CLASS * classes):
        return []
    smallest = max(SMALLEST_SHARE, SMALLEST_PER_CLASS * classes / pictures)
    return [float(share) for share in np.geomspace(1, smallest, POINTS)[1:]]


def measure_errors(
    pool: Pool, sample: Sample, strength: float, parts: Sequence[float], budget: TimeBudget
) -> tuple[list[float], Errors]:
    """Train heads on shares of the training pictures of each fold.

    Args:
        sample: the pictures of the pool.
        strength: the value of C.
        parts: the shares.

    Returns:
        The mean number of training pictures for each share, and the errors (N, shares): for each
        picture, the share of the heads that got it wrong, or NaN if it is in no fold.

    Raises:
        TimeBudgetSpentError: the time budget was spent before the last head.
    """
    sizes: list[list[int]] = [[] for _ in parts]
    errors = np.full((len(pool.labels), len(parts)), np.nan)
    turns = DRAWS * len(pool.folds)
    for number, (fold, examples) in enumerate(zip(pool.folds, pool.splits(), strict=True)):
        errors[fold.validation] = 0.0
        for column, draw in itertools.product(range(len(parts)), range(DRAWS)):
            budget.check()
            # Turning the draws makes the shares of the folds different, and small ones disjoint.
            draws = (sample.draws[fold.train] + (number * DRAWS + draw) / turns) % 1
            rows = take_share(examples.labels, sample.groups[fold.train], draws, parts[column])
            part = replace(
                examples,
                train=examples.train[rows],
                labels=examples.labels[rows],
                weights=examples.weights[rows],
            )
            predicted = predict_held_out(part, strength, budget).argmax(axis=1)
            errors[fold.validation, column] += (predicted != examples.validation_labels) / DRAWS
            sizes[column].append(len(rows))
    return [float(np.mean(size)) for size in sizes], errors


def fit_curve(
    sizes: Errors,
    errors: Errors,
    groups: NDArray[np.int64],
    weights: NDArray[np.float64],
    now: int,
) -> LearningCurve:
    """Fit the curve, with intervals from bootstrap samples of the groups.

    Args:
        sizes: (shares,) number of training pictures of each share, in descending order.
        errors: (N, shares) the error of each picture that was held out, 0 to 1.
        groups: (N,) the group of each picture.
        weights: (N,) how much each picture counts.
        now: number of training pictures of the run.
    """
    means = resample(errors, groups, weights)
    ordered = [
        _point(round(float(size)), means[:, column])
        for column, size in reversed(list(enumerate(sizes)))
    ]
    curve = LearningCurve("", tuple(ordered))
    if 2 * now > MAX_EXTRAPOLATION * sizes.max():
        summary = (
            f"What twice the {now:,} training pictures would bring is unknown, because the curve "
            f"was measured on a sample, with at most {ordered[-1].pictures:,} of them."
        )
        return replace(curve, summary=summary)
    fitted = fit_power_law(sizes, means, (now, 2 * now))
    now_point, twice = _point(now, fitted[:, 0]), _point(2 * now, fitted[:, 1])
    return replace(curve, summary=summarize(now_point, twice), now=now_point, twice=twice)


def resample(errors: Errors, groups: NDArray[np.int64], weights: NDArray[np.float64]) -> Errors:
    """Return the mean error of each column, first of all pictures, then of bootstrap samples.

    Groups of pictures are drawn as a whole, because the errors of their pictures are alike.

    Returns:
        An array (1 + _RESAMPLES, columns).
    """
    _, group = np.unique(groups, return_inverse=True)
    sums = np.stack([np.bincount(group, weights * column) for column in errors.T], axis=1)
    totals = np.bincount(group, weights)
    rng = np.random.default_rng(_SEED)
    count = len(totals)
    draws = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    times = np.concatenate([np.ones((1, count)), draws])
    means: Errors = (times @ sums) / (times @ totals)[:, np.newaxis]
    return means


def fit_power_law(sizes: Errors, errors: Errors, targets: Sequence[float]) -> Errors:
    """Fit a + b / sqrt(n) with a, b >= 0 by least squares to each row of `errors`.

    Args:
        sizes: (points,) the values of n.
        errors: (rows, points).
        targets: values of n.

    Returns:
        (rows, targets) the fitted errors at these values.
    """
    x, mean = sizes**-0.5, errors.mean(axis=1)
    centred = x - x.mean()
    slope = (errors @ centred) / (centred @ centred)
    slope_from_zero = (errors @ x) / (x @ x)  # of the best fit with a = 0
    is_negative = mean - slope * x.mean() < 0
    slope = np.maximum(np.where(is_negative, slope_from_zero, slope), 0)
    offset = np.where(is_negative, 0, mean - slope * x.mean())
    fitted: Errors = offset[:, np.newaxis] + slope[:, np.newaxis] * np.array(targets) ** -0.5
    return fitted


def summarize(now: Point, twice: Point) -> str:
    """Say in one sentence what twice as many pictures would bring."""
    before, after = f"{100 * now.accuracy:.0f}%", f"{100 * twice.accuracy:.0f}%"
    if twice.accuracy - now.accuracy < LARGE_GAIN:
        return (
            f"Twice as many pictures would hardly help: about {100 * twice.accuracy:.1f}% of the "
            f"answers would be right instead of {100 * now.accuracy:.1f}%."
        )
    return (
        f"With twice as many pictures, about {after} ({100 * twice.low:.0f}% to "
        f"{100 * twice.high:.0f}%) of the answers would be right instead of {before}."
    )


def _point(pictures: int, errors: Errors) -> Point:
    low, high = np.quantile(1 - errors[1:], (0.025, 0.975))
    return Point(pictures, float(1 - errors[0]), float(low), float(high))
