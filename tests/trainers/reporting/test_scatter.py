from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from trainers.reporting.scatter import Dot, DotKind, scatter

SVG = ElementTree.Element


def dot(label: str, ms: float, share: float, size: int = 4_000_000, kind: DotKind = "far") -> Dot:
    return Dot(f"the {label}", label, ms, share, share - 0.05, min(1.0, share + 0.05), size, kind)


def plot(*dots: Dot, threshold: float = 0.88, width: int = 720) -> SVG:
    return ElementTree.fromstring(scatter(dots, threshold, width))


def circle(svg: SVG, kind: str) -> dict[str, float]:
    (element,) = svg.findall(f"g[@class='{kind}']/circle")
    return {name: float(value) for name, value in element.attrib.items()}


def test_left_is_faster_up_is_better_and_the_area_is_the_size() -> None:
    small = dot("small", 1.0, 0.7, 1_000_000)
    svg = plot(small, dot("large", 10.0, 0.9, 4_000_000, "chosen"))
    small_circle, large_circle = circle(svg, "far"), circle(svg, "chosen")
    assert small_circle["cx"] < large_circle["cx"]
    assert small_circle["cy"] > large_circle["cy"]
    assert large_circle["r"] == pytest.approx(2 * small_circle["r"])


def test_the_time_axis_is_logarithmic() -> None:
    svg = plot(dot("a", 1, 0.9, kind="near"), dot("b", 10, 0.9), dot("c", 100, 0.9, kind="chosen"))
    a, b, c = (circle(svg, kind)["cx"] for kind in ("near", "far", "chosen"))
    assert b - a == pytest.approx(c - b, abs=0.2)


def test_bars_are_the_intervals_and_the_band_ends_at_the_best() -> None:
    svg = plot(dot("a", 1.0, 0.9, kind="chosen"))
    (bar,) = svg.findall("g/line[@class='range']")
    centre = circle(svg, "chosen")["cy"]
    up, down = (float(bar.attrib[name]) for name in ("y1", "y2"))
    assert up < centre < down
    assert (up + down) / 2 == pytest.approx(centre, abs=0.2)
    (band,) = svg.findall("rect[@class='band']")
    assert float(band.attrib["y"]) == pytest.approx(centre, abs=0.1)
    assert float(band.attrib["height"]) > 0


NAMES = ("pocket:1", "mobilenet:v3-small", "mobilenet:v2-1.0", "resnet:50", "vgg:16")


@pytest.mark.parametrize(("width", "names"), [(720, NAMES), (340, "12345")])
def test_labels_stay_in_the_plot_and_cover_neither_dots_nor_each_other(
    width: int, names: Sequence[str]
) -> None:
    dots = [dot(name, 2.0 + index / 10, 0.9 + index / 200) for index, name in enumerate(names)]
    svg = plot(*dots, width=width)
    boxes = []
    for text in svg.findall("text"):
        if not text.attrib["class"].startswith("label"):
            continue
        text_width, x, y = (
            6.5 * len(str(text.text)),
            float(text.attrib["x"]),
            float(text.attrib["y"]),
        )
        left = x if text.attrib["text-anchor"] == "start" else x - text_width
        assert left >= 0
        assert left + text_width <= width
        boxes.append((left, y - 10, left + text_width, y + 2))
    assert len(boxes) == len(names)
    for index, box in enumerate(boxes):
        for earlier in boxes[:index]:
            assert (
                box[2] <= earlier[0]
                or earlier[2] <= box[0]
                or box[3] <= earlier[1]
                or earlier[3] <= box[1]
            )


def test_equal_dots_with_empty_intervals_can_be_drawn() -> None:
    certain = Dot("a", "a", 1.0, 1.0, 1.0, 1.0, 1, "chosen")
    assert not re.search("nan|inf", scatter([certain, certain], 1.0, 720).lower())


def test_names_cannot_become_markup() -> None:
    svg = scatter([dot('<script>"', 1.0, 0.9)], 0.88, 720)
    assert "<script>" not in svg
    assert "&lt;script&gt;&#34;" in svg
