from __future__ import annotations

import pytest

from service.errors import UnsupportedMediaType
from service.imaging import decode
from service.imaging.unsupported import TEXT, WEB_PAGE, explain_unsupported


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"just text, whatever the file is called", "not a picture in a supported format"),
        (b"\0", "not a picture in a supported format"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing"),
        (b"\n<!DOCTYPE html><html>404</html>", "this is text, not a picture"),
        (b'{"error": "not found"}', "this is text, not a picture"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "WAV sound"),
        (b"%PDF-1.7", "PDF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\xfa", "JPEG XL"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\0\0\0\x18ftypmp42", "MP4 film"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.jpg\n", "git annex get"),
        (b"P6\n8 8\n255\n", "Netpbm"),
    ],
)
def test_unsupported_files_are_refused_by_name(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedMediaType, match=name):
        decode(data, 8)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xef\xbb\xbf\r\n<HTML>", WEB_PAGE),
        (b"BMW and others", TEXT),
        (b"ab" + "\u20ac".encode() * 4096, TEXT),  # the last character of the head is cut
        (b"<\0binary", ""),
        (b"\x80\x81\x82\x83\x84\x85\x86", ""),
    ],
)
def test_text_and_web_pages_are_named_and_other_bytes_are_not(head: bytes, kind: str) -> None:
    assert explain_unsupported(head, ["JPEG"]).kind == kind


def test_the_formats_of_the_model_are_suggested() -> None:
    with pytest.raises(UnsupportedMediaType, match=r"one of the formats JPEG, PNG$"):
        decode(b"just text", 8, formats=("JPEG", "PNG"))
