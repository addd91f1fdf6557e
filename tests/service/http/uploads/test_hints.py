from __future__ import annotations

import base64
import gzip
from typing import Any

import pytest

from service.http.uploads.hints import find_encoding_hint, find_hint, with_hint


def test_bytes_that_are_not_a_picture_get_a_hint(draw: Any) -> None:
    picture = draw(size=(300, 200))
    stripped = picture.translate(None, b"\r\n\0")  # as curl --data does
    encoded_pictures = {
        "with gzip": gzip.compress(picture),
        "a data URL": b"data:image/jpeg;base64," + base64.b64encode(picture),
        "the data is base64": base64.encodebytes(picture),
        "JSON": b'\n {"image": ""}',
        "a web page": b"<!doctype html>\n<HTML>",
    }
    for text, data in encoded_pictures.items():
        assert text in find_encoding_hint(data)
        assert find_hint(data) == find_encoding_hint(data)
    assert "--data-binary @FILE" in find_hint(stripped)
    assert "put @ before the file name" in find_hint(b"/home/me/leaf.jpg")


def test_the_hint_comes_before_the_message() -> None:
    message = with_hint("not a picture", b"leaf.jpg")
    assert (
        message
        == "the data is text; to send a file with curl, put @ before the file name (not a picture)"
    )
    assert with_hint("not a picture", bytes(99)) == "not a picture"


def test_a_whole_file_gets_no_advice_for_curl() -> None:
    assert with_hint("not a picture", b"notes", is_file=True) == "not a picture"
    assert with_hint("not a picture", b"<html>", is_file=True).startswith("the data is a web page")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_complete_and_truncated_pictures_get_no_hint(draw: Any, kind: str) -> None:
    picture = draw("red", kind, (300, 200))
    for data in (picture, picture[: len(picture) // 2], picture[:12], b""):
        assert find_hint(data) == ""
