"""The plots of a report as inline SVG: curves, bars, an interval.

The SVG elements have CSS classes; the CSS of the page sets their colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 360, 226
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 36, 34  # margins of the plot
_STEPS = (1, 2, 2.5, 5, 10)
"""The distance between two ticks is one of these numbers times a power of ten."""

Value = float | None


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: training or validation; also the CSS class of the curve.
        values: one for each point of the axis; None or NaN (training diverged) leaves a gap.
        intervals: the lower and the upper limit of each value; empty if they are unknown.
    """

    name: str
    values: Sequence[Value]
    intervals: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """The horizontal axis of a plot: its name, and the value of each point from left to right."""

    name: str
    values: Sequence[float]
    is_logarithmic: bool = False


def curves(title: str, axis: Axis, lines: Sequence[Line], mark: tuple[int, str] | None) -> Markup:
    """Plot curves over the same horizontal axis.

    Args:
        title: name of the vertical axis, e.g. Loss.
        mark: the index of a point to mark with a vertical line, and the label of this line, e.g.
            (6, "epoch 7 is used"); None draws no line.
    """
    limits = [limit for line in lines for interval in line.intervals for limit in interval]
    finite = [value for line in lines for value in _finite(line.values)] + limits
    low, high, ticks = scale(min(finite, default=0.0), max(finite, default=1.0))
    xs = _x_coordinates(axis)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    elements = [text(0, 12, title, "start", "title")]
    for tick in ticks:
        elements.append(stroke("grid", _LEFT, _WIDTH - _RIGHT, y(tick), y(tick)))
        elements.append(text(_LEFT - 6, y(tick) + 3.5, f"{tick:g}", "end"))
    elements += [
        text(xs[index], _HEIGHT - 18, f"{axis.values[index]:g}") for index in _labelled(len(xs))
    ]
    elements.append(text(_WIDTH - _RIGHT, _HEIGHT - 3, axis.name, "end"))
    if mark:
        x = xs[mark[0]]
        elements.append(stroke("mark", x, x, _TOP - 16, _HEIGHT - _BOTTOM))
        gap, anchor = (-5, "end") if x > _WIDTH / 2 else (5, "start")
        elements.append(text(x + gap, _TOP - 8, mark[1], anchor, "marked"))
    elements += [_draw_line(line, xs, y) for line in lines]
    description = "; ".join(_describe(line) for line in lines)
    label = f"{title} by {axis.name}: {description}" + (f"; {mark[1]}" if mark else "")
    return _svg(label, elements)


def scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Return the limits of an axis for values from `low` to `high`, and at most six ticks.

    Limits and ticks are round numbers.
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in _STEPS if factor * power >= span / 4 * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:  # the axis needs a length: up to 1 for an accuracy, from 0 for a loss
        first, last = (first - 1, last) if high > 0 else (first, last + 1)
    ticks = [round(number * step, 12) for number in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def bar(share: float) -> Markup:
    """Draw a bar that fills a share, 0 to 1, of the width of a table cell.

    Screen readers skip the bar, because the cell also shows the share as text.
    """
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect class="trough" width="100%" height="100%"/>'
        '<rect class="filled" width="{:.1f}%" height="100%"/></svg>'
    ).format(width)


def interval(share: float, low: float, high: float) -> Markup:
    """Draw an accuracy and its confidence interval, 0 to 1, on a line from 0% to 100%."""
    line = Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="12" y2="12"/>')
    elements = [
        line.format("trough", 1, 99),
        line.format("range", _percent(low), _percent(high)),
        Markup('<circle class="point" cx="{:.2f}%" cy="12" r="7"/>').format(_percent(share)),
    ]
    for tick, anchor in (
        (0, "start"),
        (25, "middle"),
        (50, "middle"),
        (75, "middle"),
        (100, "end"),
    ):
        element = '<text x="{}%" y="38" text-anchor="{}">{}%</text>'
        elements.append(Markup(element).format(tick, anchor, tick))
    label = f"accuracy {share:.1%}, 95% interval from {low:.1%} to {high:.1%}"
    svg = '<svg class="interval" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(label, Markup("").join(elements))


def _percent(share: float) -> float:
    return 1 + 98 * share  # leaves room for the round ends of the line


def _x_coordinates(axis: Axis) -> list[float]:
    values = [math.log10(value) if axis.is_logarithmic else value for value in axis.values]
    low, high = min(values, default=0.0), max(values, default=0.0)
    width = _WIDTH - _LEFT - _RIGHT - 12
    shares = [(value - low) / (high - low) if high > low else 0.5 for value in values]
    return [_LEFT + 6 + width * share for share in shares]


def _labelled(count: int) -> list[int]:
    """The indexes of the points with a label below the axis: about 8, including both ends."""
    step = max(1, math.ceil(count / 8))
    last = count - 1
    return [
        index
        for index in range(count)
        if index == last or (index % step == 0 and last - index >= step / 2)
    ]


def _draw_line(line: Line, xs: Sequence[float], y: Callable[[float], float]) -> Markup:
    segments: list[list[tuple[float, float]]] = [[]]
    for x, value in zip(xs, line.values, strict=True):
        if value is None or not math.isfinite(value):
            segments.append([])
        else:
            segments[-1].append((x, y(value)))
    circle = Markup('<circle r="2.4" cx="{:.1f}" cy="{:.1f}"/>')
    elements = [
        stroke("range", x, x, y(low), y(high))
        for x, (low, high) in zip(xs, line.intervals, strict=False)
    ]
    for segment in segments:
        points = " ".join(f"{cx:.1f},{cy:.1f}" for cx, cy in segment)
        elements.append(Markup('<polyline points="{}"/>').format(points))
        elements += [circle.format(*point) for point in segment]
    return Markup('<g class="{}">{}</g>').format(line.name, Markup("").join(elements))


def _describe(line: Line) -> str:
    values = _finite(line.values)
    if not values:
        return f"{line.name} has no values"
    return (
        f"{line.name} from {values[0]:.3g} to {values[-1]:.3g}, "
        f"lowest {min(values):.3g}, highest {max(values):.3g}"
    )


def _finite(values: Sequence[Value]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def stroke(css_class: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    """Draw a straight line."""
    line = '<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
    return Markup(line).format(css_class, x1, x2, y1, y2)


def text(x: float, y: float, content: str, anchor: str = "middle", css_class: str = "") -> Markup:
    """Draw text at a point.

    Args:
        anchor: which part of the text lies at the point: start, middle or end.
    """
    element = '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    return Markup(element).format(css_class, x, y, anchor, content)


def _svg(label: str, elements: Sequence[Markup]) -> Markup:
    svg = '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(_WIDTH, _HEIGHT, label, Markup("").join(elements))
