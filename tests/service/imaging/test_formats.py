from __future__ import annotations

import io

import pytest
from PIL import Image

from service.errors import DamagedImage, UndecodableImage, UnsupportedMediaType
from service.imaging import ALWAYS_ACCEPTED, FORMATS, SUFFIXES, decode, identify_format
from service.imaging.readers.pillow_formats import HAS_HEIF


def encode(kind: str) -> bytes:
    if kind == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
        pillow_heif.register_heif_opener()
        kind = "HEIF"
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 10)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [image_format.name for image_format in FORMATS])
def test_every_format_of_the_table_is_identified_and_decoded(kind: str) -> None:
    data = encode(kind)
    assert identify_format(data[:4096]).name == kind
    assert abs(decode(data, 16).astype(int) - (200, 30, 10)).max() <= 4
    with pytest.raises(
        UnsupportedMediaType, match=f"{kind}; this model was trained without {kind} pictures"
    ):
        decode(data, 16, formats=[name for name in ("JPEG", "GIF") if name != kind])


def test_each_suffix_belongs_to_one_format() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert {image_format.name for image_format in FORMATS} > set(ALWAYS_ACCEPTED)


@pytest.mark.parametrize("brand", [b"mif1\0\0\0\0mif1avif", b"avis\0\0\0\0", b"msf1\0\0\0\0avis"])
def test_avif_and_heic_are_distinguished_by_their_brands(brand: bytes) -> None:
    assert identify_format(b"\0\0\0\x20ftyp" + brand).name == "AVIF"
    assert identify_format(b"\0\0\0\x20ftypmif1\0\0\0\0mif1heic").name == "HEIC"


def test_without_the_extra_heic_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.imaging.readers.pillow_formats.HAS_HEIF", False)
    with pytest.raises(
        UnsupportedMediaType, match=r"pip install pillow-heif.*convert the picture to a JPEG"
    ):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 16)
    assert HAS_HEIF  # installed for the tests


def test_a_png_transferred_as_text_is_damaged() -> None:
    with pytest.raises(DamagedImage, match="transfer the file in binary mode"):
        identify_format(encode("PNG").replace(b"\n", b"\r\n"))
    with pytest.raises(UndecodableImage, match="0 bytes"):
        identify_format(b"")
