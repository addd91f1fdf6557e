from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from trainers.reporting.charts import Axis, Line, bar, curves, interval, scale


def parse_svg(svg: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def points(svg: Markup, name: str) -> list[list[tuple[float, float]]]:
    lines = parse_svg(svg).findall(f"./g[@class='{name}']/polyline")
    return [
        [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]  # type: ignore[misc]
        for line in lines
    ]


def plot(*lines: Line, xs: tuple[float, ...] = (1, 2, 3), **options: object) -> Markup:
    return curves("Loss", Axis("epoch", xs), lines, options.get("mark"))  # type: ignore[arg-type]


def test_time_runs_to_the_right_and_high_values_are_up() -> None:
    ((first, second, third),) = points(plot(Line("validation", [3.0, 1.0, 2.0])), "validation")
    assert first[0] < second[0] < third[0]
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.11)
    assert first[1] < third[1] < second[1]


def test_a_logarithmic_axis_spaces_powers_of_ten_evenly() -> None:
    axis = Axis("C", (0.001, 0.01, 0.1), is_logarithmic=True)
    ((first, second, third),) = points(
        curves("Loss", axis, [Line("validation", [1, 2, 3])], None), "validation"
    )
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.11)


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf")])
def test_a_curve_has_a_gap_where_training_diverged(gap: float | None) -> None:
    svg = plot(Line("training", [1.0, 2.0, gap, 3.0]), xs=(1, 2, 3, 4))
    assert [len(segment) for segment in points(svg, "training")] == [2, 1]
    assert "nan" not in svg.lower()


@pytest.mark.parametrize("values", [[None], [0.5], [0.0], []])
def test_a_curve_with_at_most_one_value_is_drawn(values: list[float | None]) -> None:
    svg = plot(Line("training", values), xs=tuple(range(1, len(values) + 1)))
    assert len(parse_svg(svg).findall(".//circle")) == sum(value is not None for value in values)


def test_the_label_describes_the_curve_and_its_mark() -> None:
    svg = plot(Line("training", [3.0, 1.25, 2.0]), mark=(1, "epoch 2 is used"))
    label = parse_svg(svg).attrib["aria-label"]
    assert label == ("Loss by epoch: training from 3 to 2, lowest 1.25, highest 3; epoch 2 is used")
    texts = [text.text for text in parse_svg(svg).findall("text")]
    assert "epoch 2 is used" in texts
    mark = parse_svg(svg).find("./line[@class='mark']")
    assert mark is not None
    assert float(mark.attrib["x1"]) == points(svg, "training")[0][1][0]


def test_names_cannot_become_markup() -> None:
    svg = plot(Line('"><script>', [1.0, 2.0, 3.0]), mark=(0, "<b>"))
    assert "<script>" not in svg
    assert "<b>" not in svg


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.25, 0.5, 0.75, 1.0]),
        (0.812, 0.951, [0.8, 0.85, 0.9, 0.95, 1.0]),
        (0.0003, 0.0011, [0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.0012]),
        (5.0, 5.0, [4.0, 6.0]),
        (1.0, 1.0, [0.75, 1.0]),
        (0.0, 0.0, [0.0, 0.25]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low: float, high: float, ticks: list[float]) -> None:
    first, last, actual = scale(low, high)
    assert first <= low <= high <= last
    assert actual == pytest.approx(ticks)


@pytest.mark.parametrize(("share", "width"), [(0.5, "50.0%"), (0, "0.0%"), (1.2, "100.0%")])
def test_a_bar_is_as_wide_as_its_share(share: float, width: str) -> None:
    filled = parse_svg(bar(share)).find("./rect[@class='filled']")
    assert filled is not None
    assert filled.attrib["width"] == width


def test_the_interval_lies_around_the_share() -> None:
    svg = parse_svg(interval(0.9, 0.82, 0.95))
    x1, x2 = (float(svg.find("./line[@class='range']").attrib[x][:-1]) for x in ("x1", "x2"))  # type: ignore[union-attr]
    assert x1 < float(svg.find("./circle").attrib["cx"][:-1]) < x2  # type: ignore[union-attr]
    assert re.search(r"90\.0%, 95% interval from 82\.0% to 95\.0%", svg.attrib["aria-label"])


def test_intervals_are_drawn_and_fit_into_the_plot() -> None:
    svg = plot(Line("measured", [0.5, 0.6, None], [(0.1, 0.9), (0.5, 0.7), (0.2, 2.0)]))
    bars = parse_svg(svg).findall("./g[@class='measured']/line")
    assert [bar.attrib["class"] for bar in bars] == ["range"] * 3
    heights = [float(bar.attrib["y1"]) - float(bar.attrib["y2"]) for bar in bars]
    assert heights[0] == pytest.approx(4 * heights[1], abs=0.5)
    top = min(float(line.attrib["y1"]) for line in parse_svg(svg).findall("./line[@class='grid']"))
    assert float(bars[2].attrib["y2"]) >= top
