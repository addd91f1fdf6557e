from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from service.errors import DamagedImage, PayloadTooLarge, UnsupportedMediaType
from service.imaging import Limits, decode, unsupported
from trainers.dataset.folders.sniffing import (
    NON_PICTURE_KINDS,
    Rejection,
    explain_error,
    has_picture_suffix,
    sniff,
)

DICOM = bytes(128) + b"DICM\2\0"
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
        (b"\0\0\0\x1cftypcrx ", "unsupported", "convert it"),
        (b"8BPS\0\1", "unsupported", "Photoshop document; save a copy as JPEG"),
        (DICOM, "unsupported", "DICOM; convert it"),
        (b'<?xml version="1.0"?><svg xmlns=""/>', "unsupported", "SVG drawing; export it"),
        (b"%PDF-1.7", "unsupported", "export its pages"),
        (MP4, "unsupported", "extract single frames"),
        (b"PK\x03\x04\x14\0", "unsupported", "unpack it"),
        (b"BMW and others", "unreadable", "is text, not a picture"),
        (b"hello", "unreadable", "is text, not a picture"),
        (b"\x80\x81\x82\x83\x84\x85\x86", "unreadable", "is not a picture of a known format"),
    ],
)
def test_the_reason_contains_advice(tmp_path: Path, content: bytes, kind: str, advice: str) -> None:
    rejection = sniff(write(tmp_path, "1.jpg", content))
    assert rejection is not None
    assert rejection.kind == kind
    assert advice in rejection.reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.mp4", MP4),
        ("a.html", b"<html>"),
        ("a.csv", LFS),
        ("a.txt", b""),
        ("a.zip", b"PK\3\4"),
        ("a.pdf", b"%PDF"),
        ("a.npy", b"\x93NUMPY"),
    ],
)
def test_files_not_named_like_pictures_are_not_a_finding(
    tmp_path: Path, name: str, content: bytes
) -> None:
    rejection = sniff(write(tmp_path, name, content))
    assert rejection is not None
    assert rejection.kind == ""


def test_unsupported_pictures_are_a_finding_under_any_name(tmp_path: Path) -> None:
    for name, content in (("IM0001", DICOM), ("1.svs", b"\xff\xff\xff\xff\xff")):
        rejection = sniff(write(tmp_path, name, content))
        assert rejection is not None
        assert rejection.kind in ("unsupported", "unreadable")


@pytest.mark.parametrize("prefix", [b"", b"a", b"ab"])
def test_text_cut_within_a_character_is_text(tmp_path: Path, prefix: bytes) -> None:
    rejection = sniff(write(tmp_path, "a.txt", prefix + "€".encode() * 4096))
    assert rejection == Rejection("", "is text, not a picture")


def test_the_reason_repeats_the_message_of_the_decoder(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg", b"\xff\xd8\xff\xe0")
    assert sniff(path) is None
    too_large = PayloadTooLarge("55,000,000 pixels: send a smaller one", "55,000,000 pixels")
    assert explain_error(path, too_large) == Rejection("too_large", "55,000,000 pixels: shrink it")
    assert explain_error(path, DamagedImage("cut short")) == Rejection("truncated", "cut short")
    permission_error = PermissionError(13, "Permission denied")
    assert explain_error(path, permission_error) == Rejection(
        "unreadable", "cannot be read: Permission denied"
    )
    assert explain_error(tmp_path / "gone.jpg", too_large).kind == "unreadable"


def test_the_rejection_follows_the_kind_of_an_error_not_its_message(tmp_path: Path) -> None:
    path = write(tmp_path, "1.jpg", b"\x89 no picture")
    known_kind = UnsupportedMediaType("said in other words", "a film of microbes", "cut it")
    assert explain_error(path, known_kind) == Rejection("unsupported", "said in other words")
    unknown_kind = UnsupportedMediaType("kind not supported: by its words")
    assert explain_error(path, unknown_kind).kind == "unreadable"


def test_non_picture_kinds_are_in_the_table_of_kinds() -> None:
    assert {known.name for known in unsupported._UNSUPPORTED} >= NON_PICTURE_KINDS


@pytest.mark.parametrize(
    ("limits", "limit_text"),
    [
        (Limits(pixels=50), "at most 50 are accepted"),
        (Limits(memory_bytes=1), "0 MB are allowed"),
        (Limits(seconds=0), "0 s are allowed"),
    ],
)
def test_too_large_pictures_get_the_advice_to_shrink_them(
    tmp_path: Path, limits: Limits, limit_text: str
) -> None:
    Image.new("RGB", (10, 10)).save(tmp_path / "1.png")
    with pytest.raises(PayloadTooLarge) as caught:
        decode((tmp_path / "1.png").read_bytes(), 8, limits)
    assert "send a smaller picture" in str(caught.value)
    rejection = explain_error(tmp_path / "1.png", caught.value)
    assert rejection.kind == "too_large"
    assert re.search(rf"{limit_text}[^:]*: shrink it$", rejection.reason)


def test_raw_files_are_unsupported_by_their_suffix(tmp_path: Path) -> None:
    raw = write(tmp_path, "1.nef", b"II*\0")
    assert has_picture_suffix(raw.name)
    assert sniff(raw) == Rejection("unsupported", "is a camera's raw file: export it as JPEG")
