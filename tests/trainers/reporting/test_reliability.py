from __future__ import annotations

import re

from trainers.reporting.reliability import plot

BINS = [
    {"n": 4, "score": 0.5, "accuracy": 0.25, "interval": (0.05, 0.7)},
    {"n": 100, "score": 1.0, "accuracy": 1.0, "interval": (0.96, 1.0)},
]


def test_dots_lie_at_score_and_accuracy_with_an_area_for_the_pictures() -> None:
    svg = plot(BINS)
    dots = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"/>', svg)
    assert len(dots) == 2
    (x, y, small), (right, top, large) = [tuple(map(float, dot)) for dot in dots]
    diagonal = re.search(
        r'<line class="mark" x1="([\d.]+)" x2="([\d.]+)" y1="([\d.]+)" y2="([\d.]+)"/>', svg
    )
    assert diagonal
    x0, x1, y0, y1 = map(float, diagonal.groups())
    assert (right, top) == (x1, y1)
    assert abs(x - (x0 + x1) / 2) < 0.1
    assert abs(y - (0.75 * y0 + 0.25 * y1)) < 0.1
    assert small < large


def test_a_screen_reader_gets_the_figures() -> None:
    assert 'by score: score 50%: 25% of 4 right; score 100%: 100% of 100 right"' in plot(BINS)


def test_a_test_without_pictures_has_an_empty_plot() -> None:
    assert "<circle" not in plot([])
