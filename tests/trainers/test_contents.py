from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import PayloadTooLarge, UndecodableImage, UnsupportedMediaType
from trainers.contents import Verdict, holds_picture, is_meant_as_picture, why_not

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2"


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    ("content", "kind", "advice"),
    [
        (LFS, "pointer", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.jpg\n", "pointer", "git annex get"),
        (b"<!DOCTYPE html><title>404</title>", "web_page", "download it again"),
        (b"\xef\xbb\xbf\r\n<HTML>", "web_page", "download it again"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "web_page", "download"),
        (b'{"error": "not found"}', "web_page", "download it again"),
        (b"", "empty_file", "copy it again"),
        (bytes(5000), "truncated", "nothing but zero bytes"),
        (HEIC, "unsupported", "a HEIC picture, which is not read: convert it"),
        (b"\0\0\0\x1cftypcrx ", "unsupported", "convert it"),
        (b"8BPS\0\1", "unsupported", "a PSD picture, which is not read: convert it"),
        (bytes(128) + b"DICM\2\0", "unsupported", "a DICOM picture, which is not read: convert it"),
        (b'<?xml version="1.0"?><svg xmlns=""/>', "unsupported", "SVG drawing"),
        (b"%PDF-1.7", "unreadable", "save its pages"),
        (MP4, "unreadable", "is a video: save frames"),
        (b"PK\x03\x04\x14\0", "unreadable", "is a Zip archive: unpack it"),
        (b"BMW and others", "unreadable", "is text, not a picture"),
        (b"hello", "unreadable", "is text, not a picture"),
        (b"\x80\x81\x82\x83\x84\x85\x86", "unreadable", "no picture of a kind that is known"),
    ],
)
def test_advice_is_such_as_can_help(tmp_path: Path, content: bytes, kind: str, advice: str) -> None:
    refusal = UnsupportedMediaType("not a JPEG, PNG or WebP picture (by its content)")
    found = why_not(write(tmp_path, "1.jpg", content), refusal)
    assert found.kind == kind
    assert advice in found.reason


def test_what_was_never_meant_as_a_picture_is_no_finding(tmp_path: Path) -> None:
    for name, content in (("a.mp4", MP4), ("a.html", b"<html>"), ("a.csv", LFS), ("a.txt", b"")):
        assert why_not(write(tmp_path, name, content)).kind == ""
    assert why_not(write(tmp_path, "IM0001", HEIC)).kind == "unsupported"
    assert why_not(write(tmp_path, "1.svs", b"\xff\xff\xff\xff")).kind == "unsupported"
    text = "ä".encode() * 4096
    assert why_not(write(tmp_path, "a.txt", text[1 - 1 :])).reason == "is text, not a picture"
    assert why_not(write(tmp_path, "b.txt", b"a" + text)).reason == "is text, not a picture"


def test_the_decoders_words_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg", b"\xff\xd8\xff\xe0")
    large = PayloadTooLarge("the picture has 55,000,000 pixels; send a smaller one")
    reason = "the picture has 55,000,000 pixels; shrink it to that"
    assert why_not(path, large) == Verdict("too_large", reason)
    cut = UndecodableImage("cut short")
    cut.__cause__ = ValueError()
    assert why_not(path, cut) == Verdict("truncated", "cut short")
    closed = PermissionError(13, "Permission denied")
    assert why_not(tmp_path / "gone.jpg", closed).kind == "unreadable"


def test_raw_files_are_no_pictures_whatever_they_start_like(tmp_path: Path) -> None:
    raw = write(tmp_path, "1.nef", b"\xff\xd8\xff\xe0")
    assert is_meant_as_picture(raw.name)
    assert not holds_picture(raw)
    assert why_not(raw) == Verdict("unsupported", "is a camera's raw file: export it as JPEG")
