from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.errors import UndecodableImage
from trainers.cache.array_cache import Cache
from trainers.dataset import digests
from trainers.dataset.inspection import LOOK, SIDE, look, look_at
from trainers.dataset.scanning import DataError, scan
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
Scene = Callable[..., Image.Image]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_a_look_says_format_mode_and_size(scene: Scene, kind: str) -> None:
    one = look(encoded(scene(0), kind))
    assert (one.dtype, one.shape) == (LOOK, ())
    assert (one["format"].item().decode(), one["mode"]) == (kind, b"RGB")
    assert (one["width"], one["height"], one["frames"], one["orientation"]) == (320, 240, 1, 1)
    assert (one["bits"], one["is_transparent"]) == (8, False)


def test_the_thumbnail_is_the_upright_picture_in_gray(scene: Scene) -> None:
    gray = scene(0).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    upright = look(encoded(scene(0)))["thumbnail"]
    np.testing.assert_allclose(upright.astype(float), np.asarray(gray, float), atol=8)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned right by a quarter
    sideways = scene(0).transpose(Image.Transpose.ROTATE_90)
    one = look(encoded(sideways, "JPEG", exif=turned, quality=95))
    assert one["orientation"] == 6
    np.testing.assert_allclose(one["thumbnail"].astype(float), upright.astype(float), atol=8)


def rgb_of_16_bits() -> bytes:
    """A PNG that Pillow reads but does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(range(24))) * 2)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_odd_kinds_are_told_apart(scene: Scene) -> None:
    picture = scene(1)
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    assert look(encoded(deep))["bits"] == 16
    assert look(rgb_of_16_bits())["bits"] == 16
    assert look(encoded(picture.convert("CMYK"), "JPEG"))["mode"] == b"CMYK"
    assert look(encoded(picture.convert("L"), "JPEG"))["mode"] == b"L"
    clear = picture.convert("RGBA")
    clear.putalpha(100)
    assert look(encoded(clear))["is_transparent"]
    moving = encoded(picture, "WebP", save_all=True, append_images=[scene(2), scene(3)])
    assert look(moving)["frames"] == 3


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"progressive": True}), ("JPEG", {})])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.97])
def test_a_picture_that_is_cut_short_anywhere_is_found(
    scene: Scene, kind: str, options: dict[str, bool], kept: float
) -> None:
    data = encoded(scene(4, (1600, 1200)), kind, **options)  # decoded at a reduced size
    with pytest.raises(UndecodableImage):
        look(data[: int(kept * len(data))])


def test_files_are_looked_at_and_problems_named(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    good = encoded(scene(0))
    contents = {"1.png": good, "2.png": good[:500], "3.jpg": b"text", "4.jpg": b"", "5.png": good}
    for name, content in contents.items():
        (tmp_path / "a" / name).write_bytes(content)
    (tmp_path / "a/5.png").write_bytes(good + b"\0" * len(good))
    monkeypatch.setattr(digests, "MAX_FILE_BYTES", len(good) + 10)
    looks, found, problems = look_at(
        scan(tmp_path).candidates, Cache(tmp_path / ".c", 0, tmp_path / ".w", SILENT)
    )
    assert looks[0] == look(good)
    assert found[0] == hashlib.sha256(good).hexdigest()
    assert {row: one.kind for row, one in problems.items()} == {
        1: "truncated",
        2: "unreadable",
        3: "empty_file",
        4: "too_large",
    }
    assert "larger than any picture" in problems[4].reason


def test_a_read_error_is_not_kept(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded(scene(0)))
    cache = Cache(tmp_path / ".c", 1e9, tmp_path / ".w", SILENT)
    read, calls = digests.read_file, []

    def flaky(path: Path) -> bytes:
        calls.append(path)
        if len(calls) == 2:  # the first is for the hash
            raise OSError("the network is away")
        return read(path)

    monkeypatch.setattr(digests, "read_file", flaky)
    with pytest.raises(DataError, match="the network is away"):
        look_at(scan(tmp_path).candidates, cache)
    looks, _, problems = look_at(scan(tmp_path).candidates, cache)
    assert problems == {}
    assert looks[0] == look(encoded(scene(0)))
