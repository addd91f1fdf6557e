"""Draws pictures that resemble photographs, and makes request bodies from them."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 8
SIZE = (500, 375)
_BOUNDARY = "graft-bench-7d1f"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"


@dataclass(frozen=True)
class Bodies:
    """The pictures as request bodies of one kind, e.g. multipart forms.

    Attributes:
        content_type: value of the header Content-Type.
        paths: the files; each contains one body.
    """

    content_type: str
    paths: tuple[Path, ...]


def draw_bodies(folder: Path) -> dict[str, Bodies]:
    """Draw JPEGs of 33 to 52 KB, and write them to `folder` as request bodies of every kind.

    Returns:
        The bodies by kind: `raw` (the JPEG itself), `image` and `request` (multipart forms with a
        field of that name), and `v2` (base64 in JSON, for the Open Inference Protocol).
    """
    pictures = [_jpeg(number) for number in range(COUNT)]
    kinds = {
        "raw": ("image/jpeg", pictures),
        "image": (_FORM, [_form(picture, b"image") for picture in pictures]),
        "request": (_FORM, [_form(picture, b"request") for picture in pictures]),
        "v2": ("application/json", [_v2(picture) for picture in pictures]),
    }
    bodies = {}
    for kind, (content_type, contents) in kinds.items():
        paths = tuple(folder / f"{kind}-{number}" for number in range(len(contents)))
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        bodies[kind] = Bodies(content_type, paths)
    return bodies


def _jpeg(number: int) -> bytes:
    """Draw blurred patches of several sizes, and grain, to get as much detail as in photographs."""
    rng = np.random.default_rng(number)
    scene = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
    for cells, strength in ((4, 0.6), (16, 0.3), (64, 0.2)):
        patches = rng.integers(0, 256, (cells * 3 // 4, cells, 3), np.uint8)
        smooth = Image.fromarray(patches).resize(SIZE, Image.Resampling.BICUBIC)
        scene += strength * np.asarray(smooth, np.float32)
    grain = rng.normal(0, 3 + number / 2, (SIZE[1], SIZE[0], 1)).astype(np.float32)
    file = io.BytesIO()
    pixels = (scene + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


def _form(picture: bytes, field: bytes) -> bytes:
    boundary = _BOUNDARY.encode()
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="picture.jpg"\r\n'
    return head % (boundary, field) + b"Content-Type: image/jpeg\r\n\r\n%b\r\n--%b--\r\n" % (
        picture,
        boundary,
    )


def _v2(picture: bytes) -> bytes:
    data = base64.b64encode(picture).decode()
    image = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [data],
    }
    return json.dumps({"inputs": [image]}).encode()
