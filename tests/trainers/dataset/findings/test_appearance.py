from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainers.dataset.dataset import Dataset
from trainers.dataset.findings import appearance
from trainers.dataset.findings.finding import Finding
from trainers.dataset.inspection import INSPECTION


def dataset(count: int = 10, **values: object) -> Dataset:
    """Make pictures with equal inspections; the last one gets these values."""
    table = np.zeros(count, INSPECTION)
    table["mode"], table["bits"], table["significant_bits"] = b"RGB", 8, 8
    table["frames"], table["width"], table["height"] = 1, 320, 240
    for name, value in values.items():
        table[name][-1] = value
    return Dataset(
        folder=Path("pictures"),
        classes=("a", "b"),
        paths=tuple(f"a/{number}.png" for number in range(count)),
        labels=np.zeros(count, np.int64),
        splits=("",) * count,
        digests=tuple(f"{number:064x}" for number in range(count)),
        inspections=table,
        duplicate_groups=np.arange(count),
        fingerprint="",
        left_out=(),
    )


def examine(data: Dataset, image_size: int = 224) -> list[Finding]:
    checks = (
        appearance.find_odd_sizes,
        appearance.find_odd_modes,
        appearance.find_blank_pictures,
        appearance.find_narrow_range,
    )
    return [finding for check in checks for finding in check(data, image_size)]


def paths_by_kind(data: Dataset, image_size: int = 224) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.paths for finding in examine(data, image_size)}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"width": 96, "height": 72}, "too_small"),
        ({"width": 2400, "height": 1800}, "odd_size"),
        ({"width": 2000, "height": 250}, "odd_size"),
        ({"mode": b"CMYK"}, "odd_mode"),
        ({"mode": b"P"}, "odd_mode"),
        ({"mode": b"L"}, "odd_mode"),
        ({"bits": 16, "significant_bits": 16}, "odd_mode"),
        ({"is_transparent": True}, "odd_mode"),
        ({"frames": 3}, "odd_mode"),
        ({"is_blank": True}, "blank"),
    ],
)
def test_a_picture_unlike_the_others_is_found(values: dict[str, object], kind: str) -> None:
    assert paths_by_kind(dataset(**values)) == {kind: ("a/9.png",)}


@pytest.mark.parametrize(
    ("kind", "word"), [(b"TIFF", "several pages, but"), (b"GIF", "animated, but only")]
)
def test_a_tiff_has_pages_and_a_gif_has_frames(kind: bytes, word: str) -> None:
    (finding,) = examine(dataset(frames=2, format=kind))
    assert word in finding.message


def test_similar_pictures_are_not_odd() -> None:
    assert paths_by_kind(dataset()) == {}
    assert paths_by_kind(dataset(1, mode=b"CMYK")) == {}
    assert paths_by_kind(dataset(0)) == {}


def test_too_small_depends_on_the_input_of_the_model() -> None:
    assert paths_by_kind(dataset(), image_size=480) == {}
    assert paths_by_kind(dataset(), image_size=481).keys() == {"too_small"}


def test_a_narrow_range_is_a_finding_with_its_bits() -> None:
    (finding,) = examine(dataset(1, bits=16, significant_bits=12))
    assert finding.kind == "narrow_range"
    assert "stay below 4,096 (12 bits)" in finding.message
