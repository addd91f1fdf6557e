"""The curves of a report: training by epoch or by C, and accuracy by number of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from trainers.reporting import charts
from trainers.reporting.charts import Axis, Line

Row = Mapping[str, float | None]


def training_curves(metrics: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield plots of loss and accuracy for each phase. A line marks the best epoch or C value."""
    for phase, rows in metrics["phases"].items():
        if not rows:
            continue
        if "C" in rows[0]:
            axis = Axis("C (weaker regularisation to the right)", [row["C"] for row in rows], True)
        else:
            axis = Axis("epoch", range(1, len(rows) + 1))
        best = _best_row(phase, rows, metrics)
        mark = None
        if best >= 0:
            name = f"{'C =' if 'C' in rows[0] else 'epoch'} {axis.values[best]:g}"
            mark = (best, f"{name} {_verb(phase, 'C' in rows[0], metrics)}")
        yield {
            "name": phase,
            "is_search": "C" in rows[0],
            "plots": [
                charts.curves("Loss", axis, _lines(rows, "loss"), mark),
                charts.curves("Accuracy (%)", axis, _lines(rows, "accuracy", 100), mark),
            ],
        }


def _verb(phase: str, is_search: bool, metrics: Mapping[str, Any]) -> str:
    """Say why the best row of a phase is marked; C is chosen by the loss, not by the accuracy."""
    if metrics["shipped"]["phase"] != phase:
        return "has the lowest loss" if is_search else "was best by loss"
    return "is used (lowest loss)" if is_search else "is used"


def _best_row(phase: str, rows: Sequence[Row], metrics: Mapping[str, Any]) -> int:
    """The index of the best row (an epoch or a value of C) of a phase; -1 if there is none."""
    if phase != "head":  # fine-tuning selects by the loss with penalties, which rows do not have
        return int(metrics["shipped"]["best_fine_tuning_epoch"]) - 1
    losses = [row["val_loss"] for row in rows]
    known = [row for row, loss in enumerate(losses) if loss is not None and np.isfinite(loss)]
    return min(known, key=lambda row: losses[row] or 0.0, default=-1)


def _lines(rows: Sequence[Row], name: str, factor: float = 1) -> list[Line]:
    """Return the curves of `loss` or `accuracy`, multiplied by `factor` (100 for percent).

    There is a curve for validation, and one for training if it was measured.
    """
    names = {"training": name, "validation": f"val_{name}"}
    return [
        Line(split, [None if (value := row[key]) is None else factor * value for row in rows])
        for split, key in names.items()
        if key in rows[0]
    ]


def learning_curve(recorded: Mapping[str, Any]) -> Markup | None:
    """Plot accuracy by number of training pictures; None if the curve is unknown.

    Args:
        recorded: `learning_curve` of metrics.json.
    """
    measured, twice = recorded["points"], recorded["twice"]
    if not measured:
        return None
    if twice and twice["pictures"] <= measured[-1]["pictures"]:  # the training split is small
        twice = None
    points = [*measured, twice] if twice else measured
    mark = (len(measured), "with twice as many") if twice else None
    values = [100 * point["accuracy"] for point in points]
    intervals = [(100 * point["low"], 100 * point["high"]) for point in points]
    axis = Axis("training pictures", [point["pictures"] for point in points], True)
    last = len(measured) - 1
    lines = [
        Line("predicted", [None] * last + values[last:]),
        Line("measured", [*values[: last + 1], *[None] * len(values[last + 1 :])], intervals),
    ]
    return charts.curves("Right answers (%)", axis, lines if twice else lines[1:], mark)
