from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.samples import read_samples
from service.bundle.sealing import seal
from service.errors import BundleError

MakeBundle = Callable[..., Bundle]
SCORES = ([0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.1, 0.9, 0.0])


@pytest.fixture
def make_bundle(staging: Path, manifest: Manifest, tmp_path: Path) -> MakeBundle:
    """Seal a bundle with other golden pictures, which are given as their bytes and scores."""

    def make_bundle(*pictures: tuple[bytes, list[float]]) -> Bundle:
        answers = {f"{number}.jpeg": scores for number, (_, scores) in enumerate(pictures)}
        for number, (data, _) in enumerate(pictures):
            (staging / f"golden/{number}.jpeg").write_bytes(data)
        (staging / "golden/answers.json").write_text(json.dumps(answers))
        return seal(staging, manifest, tmp_path)

    return make_bundle


def encode(picture: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8825] = {2: (52.0, 31.0, 0.0)}  # the place where it was taken
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif, comment=b"private", quality=95)
    return buffer.getvalue()


def test_each_sample_has_another_class(tiny_bundle: Bundle, make_bundle: MakeBundle) -> None:
    assert len(read_samples(tiny_bundle)) == 3
    colours = ("red", "blue", "lime")
    pictures = [encode(Image.new("RGB", (20, 10), colour)) for colour in colours]
    red, lime = read_samples(make_bundle(*zip(pictures, SCORES, strict=True)))
    for sample, colour in ((red, (255, 0, 0)), (lime, (0, 255, 0))):
        pixel = Image.open(io.BytesIO(sample)).getpixel((10, 5))
        assert pixel == pytest.approx(colour, abs=4)


@pytest.mark.parametrize(
    ("size", "orientation", "expected"),
    [
        ((2000, 1000), 1, (512, 256)),
        ((2000, 1000), 6, (256, 512)),
        ((300, 200), 3, (300, 200)),
        ((3000, 2), 1, (512, 1)),
    ],
)
def test_a_sample_is_small_and_keeps_its_shape(
    make_bundle: MakeBundle, size: tuple[int, int], orientation: int, expected: tuple[int, int]
) -> None:
    data = encode(Image.new("RGB", size, "red"), orientation)
    (sample,) = read_samples(make_bundle((data, SCORES[0])))
    assert Image.open(io.BytesIO(sample)).size == expected


def test_a_sample_is_upright(make_bundle: MakeBundle) -> None:
    picture = Image.new("RGB", (60, 30), "red")
    picture.paste("blue", (0, 0, 30, 30))  # orientation 6: the left side is shown at the top
    (sample,) = read_samples(make_bundle((encode(picture, 6), SCORES[0])))
    shown = Image.open(io.BytesIO(sample))
    top, bottom = (shown.getpixel((15, y)) for y in (5, 55))
    assert top == pytest.approx((0, 0, 255), abs=8)
    assert bottom == pytest.approx((255, 0, 0), abs=8)


def test_a_sample_has_no_metadata(make_bundle: MakeBundle) -> None:
    data = encode(Image.new("RGB", (30, 30), "red"))
    assert b"Exif" in data
    assert b"private" in data
    (sample,) = read_samples(make_bundle((data, SCORES[0])))
    shown = Image.open(io.BytesIO(sample))
    assert not shown.getexif()
    assert {*shown.info} <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"Exif" not in sample
    assert b"private" not in sample


def test_a_picture_that_cannot_be_decoded_is_left_out(make_bundle: MakeBundle) -> None:
    good = encode(Image.new("RGB", (30, 30), "red"))
    samples = read_samples(make_bundle((good[:99], SCORES[0]), (good, SCORES[2])))
    assert len(samples) == 1


def test_a_replaced_picture_is_refused(bundle_copy: Path) -> None:
    bundle = Bundle.read(bundle_copy)
    (bundle_copy / "golden/red.png").write_bytes((bundle_copy / "golden/blue.png").read_bytes())
    with pytest.raises(BundleError, match=r"golden/red\.png was replaced"):
        read_samples(bundle)
