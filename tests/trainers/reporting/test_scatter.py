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
    (found,) = svg.findall(f"g[@class='{kind}']/circle")
    return {name: float(value) for name, value in found.attrib.items()}


def test_left_is_faster_up_is_better_and_the_area_is_the_size() -> None:
    small = dot("small", 1.0, 0.7, 1_000_000)
    svg = plot(small, dot("large", 10.0, 0.9, 4_000_000, "chosen"))
    one, other = circle(svg, "far"), circle(svg, "chosen")
    assert one["cx"] < other["cx"]
    assert one["cy"] > other["cy"]
    assert other["r"] == pytest.approx(2 * one["r"])


def test_times_ten_are_the_same_distance_everywhere() -> None:
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
    dots = [dot(name, 2.0 + at / 10, 0.9 + at / 200) for at, name in enumerate(names)]
    svg = plot(*dots, width=width)
    boxes = []
    for text in svg.findall("text"):
        if not text.attrib["class"].startswith("label"):
            continue
        long, x, y = 6.5 * len(str(text.text)), float(text.attrib["x"]), float(text.attrib["y"])
        left = x if text.attrib["text-anchor"] == "start" else x - long
        assert left >= 0
        assert left + long <= width
        boxes.append((left, y - 10, left + long, y + 2))
    assert len(boxes) == len(names)
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            assert (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )


def test_equal_dots_and_certain_ones_can_be_drawn() -> None:
    certain = Dot("a", "a", 1.0, 1.0, 1.0, 1.0, 1, "chosen")
    assert not re.search("nan|inf", scatter([certain, certain], 1.0, 720).lower())


def test_names_cannot_become_markup() -> None:
    svg = scatter([dot('<script>"', 1.0, 0.9)], 0.88, 720)
    assert "<script>" not in svg
    assert "&lt;script&gt;&#34;" in svg
