"""The reliability plot as inline SVG: which share of the answers with a score was right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from trainers.reporting.charts import stroke, text

_WIDTH, _HEIGHT = 360, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 20, 30, 44  # margins of the plot
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SMALLEST, _LARGEST = 2.5, 9.0
"""Radius of the dot of a single picture at least, and of the dot with the most pictures."""


def plot(bins: Sequence[Mapping[str, Any]], title: str = "share of right answers") -> Markup:
    """Plot accuracy by score; a calibrated model has its dots on the diagonal.

    Args:
        bins: the bins of `trainers.evaluation.calibration.evaluate_calibration`. The area of a dot
            grows with its number of pictures; its line is the 95% confidence interval.
        title: what the vertical axis shows.
    """
    elements = [text(0, 12, title, "start", "title")]
    for tick in _TICKS:
        elements.append(stroke("grid", _x(0), _x(1), _y(tick), _y(tick)))
        elements.append(text(_LEFT - 6, _y(tick) + 3.5, f"{100 * tick:g}%", "end"))
        elements.append(text(_x(tick), _y(0) + 16, f"{100 * tick:g}%"))
    elements.append(text(_x(1), _HEIGHT - 6, "score", "end"))
    elements.append(stroke("mark", _x(0), _x(1), _y(0), _y(1)))
    most = max((row["n"] for row in bins), default=1)
    for row in bins:
        low, high = row["interval"]
        x, radius = _x(row["score"]), max(_SMALLEST, _LARGEST * math.sqrt(row["n"] / most))
        dot = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>')
        bar = stroke("range", x, x, _y(low), _y(high))
        circle = dot.format(x, _y(row["accuracy"]), radius)
        elements.append(Markup('<g class="bin">{}{}</g>').format(bar, circle))
    description = "; ".join(
        f"score {row['score']:.0%}: {row['accuracy']:.0%} of {row['n']} right" for row in bins
    )
    svg = (
        '<svg class="chart reliability" viewBox="0 0 {} {}" role="img" '
        'aria-label="{} by score: {}">{}</svg>'
    )
    return Markup(svg).format(_WIDTH, _HEIGHT, title, description, Markup("").join(elements))


def _x(share: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)
