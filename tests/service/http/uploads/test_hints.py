from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from service.http.uploads.hints import encoding_of, hint, with_hint


def test_what_bytes_seem_to_be_is_told(draw: Any) -> None:
    picture = draw(size=(300, 200))
    stripped = picture.translate(None, b"\r\n\0")  # as curl --data does
    packed = {
        "gzip": gzip.compress(picture),
        "a data URL": b"data:image/jpeg;base64," + base64.b64encode(picture),
        "a base64 text": base64.encodebytes(picture),
        "JSON": b'\n {"image": ""}',
        "a web page": b"<!doctype html>\n<HTML>",
    }
    for told, data in packed.items():
        assert told in encoding_of(data)
        assert hint(data) == encoding_of(data)
    assert "--data-binary @FILE" in hint(stripped)
    assert "curl wants an @ before its name" in hint(b"/home/me/leaf.jpg")


def test_what_to_change_comes_first() -> None:
    told = with_hint("not a picture", b"leaf.jpg")
    assert told == "it is a text; to send a file, curl wants an @ before its name (not a picture)"
    assert with_hint("not a picture", bytes(99)) == "not a picture"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_nothing_is_told_of_pictures_whole_or_cut(draw: Any, kind: str) -> None:
    picture = draw("red", kind, (300, 200))
    for data in (picture, picture[: len(picture) // 2], picture[:12], b""):
        assert hint(data) == ""
