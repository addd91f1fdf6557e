"""Draws a bar chart as SVG: each server has a bar, and a line with the range of its rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

_LEFT, _WIDTH, _ROW, _TOP = 210, 430, 30, 40
_OURS, _CEILING, _OTHERS = "#2f7d4f", "#999999", "#6c8ebf"


@dataclass(frozen=True)
class Bar:
    """One row of the chart.

    Attributes:
        name: the label.
        rounds: the value measured in each round; the bar shows the median, the line the range.
        kind: `ours` (Graft), `ceiling` (no server) or `peer` (another server). It determines the
            colour.
    """

    name: str
    rounds: Sequence[float]
    kind: str = "peer"


def draw_bars(title: str, rows: Sequence[Bar]) -> str:
    """Draw a chart with these rows, from top to bottom; return the SVG."""
    height = _TOP + _ROW * len(rows) + 10
    scale = _WIDTH / max(max(row.rounds) for row in rows)
    colours = {"ours": _OURS, "ceiling": _CEILING}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="720" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="15" fill="#222222">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        middle = _TOP + _ROW * number + _ROW / 2
        value = float(np.median(row.rounds))
        low, high = (_LEFT + scale * end for end in (min(row.rounds), max(row.rounds)))
        parts += [
            f'<text x="{_LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end" fill="#222222">'
            f"{escape(row.name)}</text>",
            f'<rect x="{_LEFT}" y="{middle - 9:.1f}" width="{scale * value:.1f}" height="18" '
            f'fill="{colours.get(row.kind, _OTHERS)}"/>',
            f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="#222222" stroke-width="1.5"/>',
            f'<text x="{max(high, _LEFT + scale * value) + 8:.1f}" y="{middle + 4:.1f}" '
            f'fill="#222222">{value:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
