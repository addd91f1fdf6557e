from __future__ import annotations

import io

import pytest
from PIL import Image

from service.errors import DamagedImage, UndecodableImage, UnsupportedMediaType
from service.imaging import ALWAYS_ACCEPTED, KINDS, SUFFIXES, decode, identify
from service.imaging.by_pillow import HAS_HEIF


def saved(kind: str) -> bytes:
    if kind == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
        pillow_heif.register_heif_opener()
        kind = "HEIF"
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 30, 10)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_kind_of_the_table_is_known_by_its_start_and_read(kind: str) -> None:
    data = saved(kind)
    assert identify(data[:4096]).name == kind
    assert abs(decode(data, 16).astype(int) - (200, 30, 10)).max() <= 4
    with pytest.raises(UnsupportedMediaType, match=f"{kind}; this model was trained without any"):
        decode(data, 16, kinds=[name for name in ("JPEG", "GIF") if name != kind])


def test_endings_are_of_one_kind_each() -> None:
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert {kind.name for kind in KINDS} > set(ALWAYS_ACCEPTED)


@pytest.mark.parametrize("brand", [b"mif1\0\0\0\0mif1avif", b"avis\0\0\0\0", b"msf1\0\0\0\0avis"])
def test_avif_is_told_from_heic_by_its_brands(brand: bytes) -> None:
    assert identify(b"\0\0\0\x20ftyp" + brand).name == "AVIF"
    assert identify(b"\0\0\0\x20ftypmif1\0\0\0\0mif1heic").name == "HEIC"


def test_without_the_extra_heic_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.imaging.by_pillow.HAS_HEIF", False)
    with pytest.raises(
        UnsupportedMediaType, match=r"pip install pillow-heif.*convert it to a JPEG"
    ):
        decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 16)
    assert HAS_HEIF  # the tests' environment has it


def test_text_mode_transfers_are_damage_not_another_kind() -> None:
    with pytest.raises(DamagedImage, match="send it as binary"):
        identify(saved("PNG").replace(b"\n", b"\r\n"))
    with pytest.raises(UndecodableImage, match="0 bytes"):
        identify(b"")
