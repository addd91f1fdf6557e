from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainers.dataset.dataset import Dataset
from trainers.dataset.findings.appearance import examine
from trainers.dataset.inspection import LOOK


def dataset(count: int = 10, **looks: object) -> Dataset:
    """Pictures of one look, but for the last, which has these values."""
    table = np.zeros(count, LOOK)
    table["mode"], table["bits"], table["significant_bits"] = b"RGB", 8, 8
    table["frames"], table["width"], table["height"] = 1, 320, 240
    for name, value in looks.items():
        table[name][-1] = value
    return Dataset(
        folder=Path("pictures"),
        classes=("a", "b"),
        paths=tuple(f"a/{number}.png" for number in range(count)),
        labels=np.zeros(count, np.int64),
        splits=("",) * count,
        digests=tuple(f"{number:064x}" for number in range(count)),
        looks=table,
        groups=np.arange(count),
        fingerprint="",
        left_out=(),
    )


def found(data: Dataset, image_size: int = 224) -> dict[str, tuple[str, ...]]:
    return {one.kind: one.paths for one in examine(data, image_size)}


@pytest.mark.parametrize(
    ("looks", "kind"),
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
def test_what_is_odd_among_the_others_is_found(looks: dict[str, object], kind: str) -> None:
    assert found(dataset(**looks)) == {kind: ("a/9.png",)}


@pytest.mark.parametrize(
    ("kind", "word"), [(b"TIFF", "of several pages:"), (b"GIF", "animated: the first frame")]
)
def test_a_tiff_has_pages_and_a_gif_has_frames(kind: bytes, word: str) -> None:
    (finding,) = examine(dataset(frames=2, format=kind), 224)
    assert word in finding.message


def test_pictures_of_one_look_are_not_odd() -> None:
    assert found(dataset()) == {}
    assert found(dataset(1, mode=b"CMYK")) == {}
    assert found(dataset(0)) == {}


def test_small_is_what_is_small_for_the_model() -> None:
    assert found(dataset(), image_size=480) == {}
    assert found(dataset(), image_size=481).keys() == {"too_small"}


def test_a_range_that_is_not_used_is_said_with_its_bits() -> None:
    (finding,) = examine(dataset(1, bits=16, significant_bits=12), 224)
    assert finding.kind == "narrow_range"
    assert "stay below 4,096 (12 bits)" in finding.message
