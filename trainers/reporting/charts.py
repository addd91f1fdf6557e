"""Drawings of a report as inline SVG: curves, bars, an interval. Colours are the page's classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

_WIDTH, _HEIGHT = 360, 226
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 36, 34  # margins of the plot
_STEPS = (1, 2, 2.5, 5, 10)

Value = float | None


@dataclass(frozen=True)
class Line:
    """A curve; it has a gap where training diverged.

    `name` is also the class of its colour: training or validation.
    """

    name: str
    values: Sequence[Value]


@dataclass(frozen=True)
class Axis:
    """Places (n,) of the points from left to right, and what stands below them."""

    name: str
    places: Sequence[float]
    is_logarithmic: bool = False


def curves(title: str, axis: Axis, lines: Sequence[Line], mark: tuple[int, str] | None) -> Markup:
    """A plot of curves over one axis.

    Args:
        title: what is plotted, e.g. loss.
        mark: index of a point and what is said about it, e.g. (6, "ships").
    """
    finite = [v for line in lines for v in line.values if v is not None and math.isfinite(v)]
    low, high, ticks = scale(min(finite, default=0.0), max(finite, default=1.0))
    across = _across(axis)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = [text(0, 12, title, "start", "title")]
    for at in ticks:
        parts.append(stroke("grid", _LEFT, _WIDTH - _RIGHT, y(at), y(at)))
        parts.append(text(_LEFT - 6, y(at) + 3.5, f"{at:g}", "end"))
    parts += [
        text(across[number], _HEIGHT - 18, f"{axis.places[number]:g}")
        for number in _named(len(across))
    ]
    parts.append(text(_WIDTH - _RIGHT, _HEIGHT - 3, axis.name, "end"))
    if mark:
        x = across[mark[0]]
        parts.append(stroke("mark", x, x, _TOP - 16, _HEIGHT - _BOTTOM))
        gap, anchor = (-5, "end") if x > _WIDTH / 2 else (5, "start")
        parts.append(text(x + gap, _TOP - 8, mark[1], anchor, "marked"))
    parts += [_line(line, across, y) for line in lines]
    told = "; ".join(_told(line) for line in lines)
    label = f"{title} by {axis.name}: {told}" + (f"; {mark[1]}" if mark else "")
    return _svg(label, parts)


def scale(low: float, high: float) -> tuple[float, float, list[float]]:
    """Round ends of an axis around two values, and round ticks between them, at most six."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(one * power for one in _STEPS if one * power >= span / 4 * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:  # an axis has a length: up to 1 for an accuracy, from 0 for no loss
        first, last = (first - 1, last) if high > 0 else (first, last + 1)
    ticks = [round(at * step, 12) for at in range(first, last + 1)]
    return ticks[0], ticks[-1], ticks


def bar(share: float) -> Markup:
    """A bar as wide as its share, 0 to 1, of the cell that it lies in; words stand beside it."""
    width = 100 * min(1.0, max(0.0, share))
    return Markup(
        '<svg class="bar" aria-hidden="true"><rect class="trough" width="100%" height="100%"/>'
        '<rect class="filled" width="{:.1f}%" height="100%"/></svg>'
    ).format(width)


def interval(share: float, low: float, high: float) -> Markup:
    """A share and its interval on a line from 0 to 100%."""
    line = Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="12" y2="12"/>')
    parts = [
        line.format("trough", 1, 99),
        line.format("range", _percent(low), _percent(high)),
        Markup('<circle class="point" cx="{:.2f}%" cy="12" r="7"/>').format(_percent(share)),
    ]
    for at, anchor in ((0, "start"), (25, "middle"), (50, "middle"), (75, "middle"), (100, "end")):
        tick = '<text x="{}%" y="38" text-anchor="{}">{}%</text>'
        parts.append(Markup(tick).format(at, anchor, at))
    label = f"accuracy {share:.1%}, 95% interval from {low:.1%} to {high:.1%}"
    svg = '<svg class="interval" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(label, Markup("").join(parts))


def _percent(share: float) -> float:
    return 1 + 98 * share  # round ends need room


def _across(axis: Axis) -> list[float]:
    places = [math.log10(one) if axis.is_logarithmic else one for one in axis.places]
    low, high = min(places, default=0.0), max(places, default=0.0)
    width = _WIDTH - _LEFT - _RIGHT - 12
    return [
        _LEFT + 6 + width * ((one - low) / (high - low) if high > low else 0.5) for one in places
    ]


def _named(count: int) -> list[int]:
    """Which points have their place written below them: the ends, and as many as there is room."""
    every = max(1, math.ceil(count / 8))
    last = count - 1
    return [at for at in range(count) if at == last or (at % every == 0 and last - at >= every / 2)]


def _line(line: Line, across: Sequence[float], y: Callable[[float], float]) -> Markup:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in zip(across, line.values, strict=True):
        if value is None or not math.isfinite(value):
            runs.append([])
        else:
            runs[-1].append((x, y(value)))
    parts = []
    for run in runs:
        points = " ".join(f"{x:.1f},{up:.1f}" for x, up in run)
        parts.append(Markup('<polyline points="{}"/>').format(points))
        parts += [Markup('<circle r="2.4" cx="{:.1f}" cy="{:.1f}"/>').format(*one) for one in run]
    return Markup('<g class="{}">{}</g>').format(line.name, Markup("").join(parts))


def _told(line: Line) -> str:
    values = [value for value in line.values if value is not None and math.isfinite(value)]
    if not values:
        return f"{line.name} has no figures"
    return (
        f"{line.name} from {values[0]:.3g} to {values[-1]:.3g}, "
        f"lowest {min(values):.3g}, highest {max(values):.3g}"
    )


def stroke(kind: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    line = '<line class="{}" x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
    return Markup(line).format(kind, x1, x2, y1, y2)


def text(x: float, y: float, words: str, anchor: str = "middle", kind: str = "") -> Markup:
    element = '<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    return Markup(element).format(kind, x, y, anchor, words)


def _svg(label: str, parts: Sequence[Markup]) -> Markup:
    svg = '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>'
    return Markup(svg).format(_WIDTH, _HEIGHT, label, Markup("").join(parts))
