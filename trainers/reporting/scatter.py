"""The plot of a comparison as inline SVG: accuracy against time, size as area."""

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
_CHARACTER, _LINE = 7.0, 14.0  # about the size of a letter
_ROOM = 1.6
"""Times: the axis goes on so far beyond the fastest and the slowest."""

Kind = Literal["chosen", "near", "far"]
Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Dot:
    """A backbone in the plot.

    Attributes:
        name: what it is called for those who cannot see the plot; label: what stands beside it.
        share: its accuracy, 0 to 1, with an interval from `low` to `high`.
        size_bytes: the area of its dot.
        kind: also the class of its colour.
    """

    name: str
    label: str
    milliseconds: float
    share: float
    low: float
    high: float
    size_bytes: int
    kind: Kind


def scatter(dots: Sequence[Dot], threshold: float, width: int) -> Markup:
    """Accuracy from bottom to top, milliseconds on a logarithmic axis, a band for the near best.

    Args:
        dots: at least one.
        threshold: the lower end of the band, 0 to 1; the best dot is its upper end.
        width: in pixels; the height is always the same, and letters as large as on the page.
    """
    low, high, ticks = scale(min(one.low for one in dots), max(one.high for one in dots))
    times = [one.milliseconds for one in dots]
    first, last = math.log10(min(times) / _ROOM), math.log10(max(times) * _ROOM)
    right, bottom = width - _RIGHT, _HEIGHT - _BOTTOM

    def x(milliseconds: float) -> float:
        return _LEFT + (right - _LEFT) * (math.log10(milliseconds) - first) / (last - first)

    def y(share: float) -> float:
        return _TOP + (bottom - _TOP) * (high - share) / (high - low)

    parts = [_band(threshold, max(one.share for one in dots), y, right)]
    for at in ticks:
        parts.append(stroke("grid", _LEFT, right, y(at), y(at)))
        parts.append(text(_LEFT - 6, y(at) + 4, f"{100 * at:g}%", "end"))
    for time in _times(10**first, 10**last):
        parts.append(stroke("grid", x(time), x(time), _TOP, bottom))
        parts.append(text(x(time), bottom + 17, f"{time:g}"))
    parts.append(text(right, _HEIGHT - 8, "milliseconds per picture, one thread", "end"))
    parts.append(text(0, 14, "validation accuracy", "start", "title"))
    largest = max(one.size_bytes for one in dots)
    circles = [(x(one.milliseconds), y(one.share), _radius(one, largest)) for one in dots]
    for one, (across, up, radius) in sorted(
        zip(dots, circles, strict=True), key=lambda a: -a[1][2]
    ):
        bar = stroke("range", across, across, y(one.high), y(one.low))
        circle = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>').format(across, up, radius)
        parts.append(Markup('<g class="{}">{}{}</g>').format(one.kind, bar, circle))
    parts += _labels(dots, circles, (_LEFT, _TOP - 12, right, bottom))
    told = "; ".join(
        f"{one.name} {one.share:.1%} ({one.low:.1%} to {one.high:.1%}), "
        f"{one.milliseconds:.2g} ms, {one.size_bytes / 1e6:.1f} MB"
        for one in dots
    )
    svg = (
        '<svg class="scatter" viewBox="0 0 {} {}" role="img" '
        'aria-label="accuracy by milliseconds per picture: {}">{}</svg>'
    )
    return Markup(svg).format(width, _HEIGHT, told, Markup("").join(parts))


def _radius(dot: Dot, largest: int) -> float:
    return max(_SMALLEST, _LARGEST * math.sqrt(dot.size_bytes / largest))


def _times(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10 ... milliseconds between two ends."""
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in (1, 2, 5):
            if low <= step * 10.0**power <= high:
                yield step * 10.0**power


def _band(low: float, high: float, y: Callable[[float], float], right: float) -> Markup:
    rect = '<rect class="band" x="{}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    return Markup(rect).format(_LEFT, y(high), right - _LEFT, y(low) - y(high))


def _labels(
    dots: Sequence[Dot], circles: Sequence[tuple[float, float, float]], within: Box
) -> Iterator[Markup]:
    """Each label where it covers no dot and no other label, as near its own dot as can be."""
    taken = [(x - r, y - r, x + r, y + r) for x, y, r in circles]
    for dot, circle in zip(dots, circles, strict=True):
        width = _CHARACTER * len(dot.label)
        boxes = list(_places(circle, width, within))
        free = (box for box in boxes if not any(_overlap(box, other) for other in taken))
        box = next(free, boxes[0])
        taken.append(box)
        anchor = "start" if box[0] >= circle[0] else "end"
        place = box[0] if anchor == "start" else box[2]
        yield text(place, box[3] - 3, dot.label, anchor, f"label {dot.kind}")


def _places(circle: tuple[float, float, float], width: float, within: Box) -> Iterator[Box]:
    """Boxes right and left of a dot, first beside it, then higher and lower; the first is there
    even where none fits."""
    x, y, radius = circle
    found = False
    for up in (0, -1, 1, -2, 2, -3, 3, -4, 4):
        top = y - _LINE / 2 + up * _LINE
        gap = radius + 4 if abs(up) * _LINE < radius + _LINE else 5
        for left in (x + gap, x - gap - width):
            box = (left, top, left + width, top + _LINE)
            if within[0] <= left and box[2] <= within[2] and within[1] <= top <= within[3] - _LINE:
                found = True
                yield box
    if not found:
        left = min(max(x, within[0]), within[2] - width)
        yield (left, y - radius - _LINE, left + width, y - radius)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
