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
from trainers.dataset.folders.errors import DataError
from trainers.dataset.inspection import INSPECTION, THUMBNAIL_SIZE, inspect_files, inspect_picture
from trainers.dataset.scanning import scan
from trainers.progress import Progress

SILENT = Progress(is_quiet=True)
Scene = Callable[..., Image.Image]


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_an_inspection_holds_format_mode_and_size(scene: Scene, kind: str) -> None:
    inspection = inspect_picture(encoded(scene(0), kind))
    assert (inspection.dtype, inspection.shape) == (INSPECTION, ())
    assert (inspection["format"].item().decode(), inspection["mode"]) == (kind, b"RGB")
    assert (
        inspection["width"],
        inspection["height"],
        inspection["frames"],
        inspection["orientation"],
    ) == (320, 240, 1, 1)
    assert (inspection["bits"], inspection["is_transparent"]) == (8, False)


def test_the_thumbnail_is_the_upright_picture_in_gray(scene: Scene) -> None:
    gray = scene(0).convert("L").resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.BOX)
    upright = inspect_picture(encoded(scene(0)))["thumbnail"]
    np.testing.assert_allclose(upright.astype(float), np.asarray(gray, float), atol=8)
    turned = Image.Exif()
    turned[0x0112] = 6  # rotate by 90 degrees clockwise
    sideways = scene(0).transpose(Image.Transpose.ROTATE_90)
    inspection = inspect_picture(encoded(sideways, "JPEG", exif=turned, quality=95))
    assert inspection["orientation"] == 6
    np.testing.assert_allclose(inspection["thumbnail"].astype(float), upright.astype(float), atol=8)


def rgb_png_of_16_bits() -> bytes:
    """A PNG that Pillow reads but does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", 4, 2, 16, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(range(24))) * 2)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_bits_modes_transparency_and_frames_are_recognized(scene: Scene) -> None:
    picture = scene(1)
    deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    assert inspect_picture(encoded(deep))["bits"] == 16
    assert inspect_picture(rgb_png_of_16_bits())["bits"] == 16
    assert inspect_picture(encoded(picture.convert("CMYK"), "JPEG"))["mode"] == b"CMYK"
    assert inspect_picture(encoded(picture.convert("L"), "JPEG"))["mode"] == b"L"
    clear = picture.convert("RGBA")
    clear.putalpha(100)
    assert inspect_picture(encoded(clear))["is_transparent"]
    moving = encoded(picture, "WebP", save_all=True, append_images=[scene(2), scene(3)])
    assert inspect_picture(moving)["frames"] == 3


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"progressive": True}), ("JPEG", {})])
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.97])
def test_a_truncated_picture_is_refused(
    scene: Scene, kind: str, options: dict[str, bool], fraction: float
) -> None:
    data = encoded(scene(4, (1600, 1200)), kind, **options)  # decoded at a reduced size
    with pytest.raises(UndecodableImage):
        inspect_picture(data[: int(fraction * len(data))])


def test_files_are_inspected_and_problems_explained(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    good = encoded(scene(0))
    contents = {"1.png": good, "2.png": good[:500], "3.jpg": b"text", "4.jpg": b"", "5.png": good}
    for name, content in contents.items():
        (tmp_path / "a" / name).write_bytes(content)
    (tmp_path / "a/5.png").write_bytes(good + b"\0" * len(good))
    monkeypatch.setattr(digests, "MAX_FILE_BYTES", len(good) + 10)
    inspections, hashes, problems = inspect_files(
        scan(tmp_path).pictures, Cache(tmp_path / ".c", 0, tmp_path / ".w", SILENT)
    )
    assert inspections[0] == inspect_picture(good)
    assert hashes[0] == hashlib.sha256(good).hexdigest()
    assert {row: problem.kind for row, problem in problems.items()} == {
        1: "truncated",
        2: "unreadable",
        3: "empty_file",
        4: "too_large",
    }
    assert "more than the limit" in problems[4].reason


def test_a_read_error_is_not_cached(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(encoded(scene(0)))
    cache = Cache(tmp_path / ".c", 1e9, tmp_path / ".w", SILENT)
    read, calls = digests.read_file, []

    def flaky(path: Path) -> bytes:
        calls.append(path)
        if len(calls) == 2:  # the first read is for the hash
            raise OSError("the network is away")
        return read(path)

    monkeypatch.setattr(digests, "read_file", flaky)
    with pytest.raises(DataError, match="the network is away"):
        inspect_files(scan(tmp_path).pictures, cache)
    inspections, _, problems = inspect_files(scan(tmp_path).pictures, cache)
    assert problems == {}
    assert inspections[0] == inspect_picture(encoded(scene(0)))
