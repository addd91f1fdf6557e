from __future__ import annotations

import io
import time
import zlib
from typing import Any

import numpy as np
import pytest
from drawn import chunk
from numpy.typing import NDArray
from PIL import Image

from service.imaging import decode
from service.imaging.readers.png import read_header


def encode(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def wave() -> NDArray[np.uint8]:
    return (np.indices((24, 24)).sum(0)[..., None] * (5, 3, 1) % 256).astype(np.uint8)


@pytest.mark.parametrize("text", ["raw profile", "XMP"])
def test_the_orientation_is_found_in_text_chunks(text: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    block = exif.tobytes()
    lines = b"\nexif\n %8d\n" % len(block) + block.hex().encode()
    text_chunk = {
        "raw profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines)),
        "XMP": chunk(b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="3"/>'),
    }[text]
    data = encode(Image.fromarray(wave()))
    assert read_header(data[:33] + text_chunk + data[33:], 24).orientation == 3


def test_many_texts_are_searched_once_and_not_to_their_end() -> None:
    """Inflating and searching all 1,200 texts of a megabyte would take about a minute."""
    text = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\n\n" * 500_000, 9))
    data = encode(Image.fromarray(wave()))
    start_time = time.process_time()
    assert (decode(data[:33] + text * 1200 + data[33:], 24) == wave()).all()
    assert time.process_time() - start_time < 2
