"""The plot of a comparison of backbones as inline SVG: validation accuracy against time.

The area of a dot shows the size of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from trainers.reporting.charts import scale, stroke, text

_HEIGHT = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 34, 46  # margins of the plot
_LARGEST, _SMALLEST = 20.0, 3.0  # radius of a dot
_CHARACTER, _LINE = 7.0, 14.0  # approximate width and height of a letter
_MARGIN = 1.6
"""The time axis goes from the shortest time / _MARGIN to the longest time * _MARGIN."""

DotKind = Literal["chosen", "near", "far"]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Dot:
    """A backbone in the plot.

    Attributes:
        name: the name of the backbone, for screen readers.
        label: the text beside the dot.
        milliseconds: time per picture.
        share: validation accuracy, 0 to 1.
        low, high: the 95% confidence interval of that accuracy.
        size_bytes: size of the model; the area of the dot is proportional to it.
        kind: CSS class of the dot: chosen = the recommended backbone, near = about as accurate as
            the best, far = less accurate.
    """

    name: str
    label: str
    milliseconds: float
    share: float
    low: float
    high: float
    size_bytes: int
    kind: DotKind


def scatter(dots: Sequence[Dot], threshold: float, width: int) -> Markup:
    """Plot accuracy (vertical axis) against time (horizontal axis, logarithmic).

    Args:
        dots: one dot for each backbone, at least one in all.
        threshold: an accuracy, 0 to 1. The band from it to the best accuracy is shaded: a backbone
            in this band is about as accurate as the best.
        width: width of the plot in pixels. The height of the plot and the size of its text are
            fixed.
    """
    low, high, ticks = scale(min(dot.low for dot in dots), max(dot.high for dot in dots))
    times_ms = [dot.milliseconds for dot in dots]
    first, last = math.log10(min(times_ms) / _MARGIN), math.log10(max(times_ms) * _MARGIN)
    right, bottom = width - _RIGHT, _HEIGHT - _BOTTOM

    def x(milliseconds: float) -> float:
        return _LEFT + (right - _LEFT) * (math.log10(milliseconds) - first) / (last - first)

    def y(share: float) -> float:
        return _TOP + (bottom - _TOP) * (high - share) / (high - low)

    elements = [_band(threshold, max(dot.share for dot in dots), y, right)]
    for share in ticks:
        elements.append(stroke("grid", _LEFT, right, y(share), y(share)))
        elements.append(text(_LEFT - 6, y(share) + 4, f"{100 * share:g}%", "end"))
    for time_ms in _time_ticks(10**first, 10**last):
        elements.append(stroke("grid", x(time_ms), x(time_ms), _TOP, bottom))
        elements.append(text(x(time_ms), bottom + 17, f"{time_ms:g}"))
    elements.append(text(right, _HEIGHT - 8, "milliseconds per picture, on one thread", "end"))
    elements.append(text(0, 14, "validation accuracy", "start", "title"))
    largest = max(dot.size_bytes for dot in dots)
    circles = [(x(dot.milliseconds), y(dot.share), _radius(dot, largest)) for dot in dots]
    pairs = zip(dots, circles, strict=True)
    for dot, (cx, cy, radius) in sorted(pairs, key=lambda pair: -pair[1][2]):  # small ones on top
        bar = stroke("range", cx, cx, y(dot.high), y(dot.low))
        circle = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(cx, cy, radius)
        elements.append(Markup('<g class="{}">{}{}</g>').format(dot.kind, bar, circle))
    elements += _labels(dots, circles, (_LEFT, _TOP - 12, right, bottom))
    description = "; ".join(
        f"{dot.name} {dot.share:.1%} ({dot.low:.1%} to {dot.high:.1%}), "
        f"{dot.milliseconds:.2g} ms, {dot.size_bytes / 1e6:.1f} MB"
        for dot in dots
    )
    svg = (
        '<svg class="scatter" viewBox="0 0 {} {}" role="img" '
        'aria-label="accuracy by milliseconds per picture: {}">{}</svg>'
    )
    return Markup(svg).format(width, _HEIGHT, description, Markup("").join(elements))


def _radius(dot: Dot, largest: int) -> float:
    return max(_SMALLEST, _LARGEST * math.sqrt(dot.size_bytes / largest))


def _time_ticks(low: float, high: float) -> Iterator[float]:
    """Yield 1, 2, 5, 10, 20 ... milliseconds, from `low` to `high`."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            if low <= step * 10.0**power <= high:
                yield step * 10.0**power


def _band(low: float, high: float, y: Callable[[float], float], right: float) -> Markup:
    rect = '<rect class="band" x="{}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    return Markup(rect).format(_LEFT, y(high), right - _LEFT, y(low) - y(high))


def _labels(
    dots: Sequence[Dot], circles: Sequence[tuple[float, float, float]], bounds: Box
) -> Iterator[Markup]:
    """Yield a label near each dot. If possible, a label covers neither a dot nor another label."""
    taken = [(x - r, y - r, x + r, y + r) for x, y, r in circles]
    for dot, circle in zip(dots, circles, strict=True):
        width = _CHARACTER * len(dot.label)
        boxes = list(_positions(circle, width, bounds))
        free = (box for box in boxes if not any(_overlap(box, other) for other in taken))
        box = next(free, boxes[0])
        taken.append(box)
        anchor = "start" if box[0] >= circle[0] else "end"
        place = box[0] if anchor == "start" else box[2]
        yield text(place, box[3] - 3, dot.label, anchor, f"label {dot.kind}")


def _positions(circle: tuple[float, float, float], width: float, bounds: Box) -> Iterator[Box]:
    """Yield positions for a label, the best first: beside its dot, then higher and lower.

    If no such position lies within `bounds`, yield a position above the dot.
    """
    x, y, radius = circle
    fits = False
    for lines in (0, -1, 1, -2, 2, -3, 3, -4, 4):
        top = y - _LINE / 2 + lines * _LINE
        gap = radius + 4 if abs(lines) * _LINE < radius + _LINE else 5
        for left in (x + gap, x - gap - width):
            box = (left, top, left + width, top + _LINE)
            if bounds[0] <= left and box[2] <= bounds[2] and bounds[1] <= top <= bounds[3] - _LINE:
                fits = True
                yield box
    if not fits:
        left = min(max(x, bounds[0]), bounds[2] - width)
        yield (left, y - radius - _LINE, left + width, y - radius)


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
