from __future__ import annotations

import base64

import pytest

from service.http.uploads.base64_text import decode, explain_invalid_base64, is_url

PICTURE = bytes(range(256))
PLAIN = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"data:image/jpeg;base64,{PLAIN}",
        f"DATA:;base64,{PLAIN}",
        f" data:image/png;name=a.png;base64,{PLAIN}\n",
        base64.encodebytes(PICTURE).decode(),
        base64.urlsafe_b64encode(PICTURE).decode(),
        PLAIN.rstrip("="),
    ],
)
def test_all_variants_of_base64_are_decoded(text: str) -> None:
    assert decode(text) == PICTURE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.org/leaf.jpg", "a URL, which this service does not fetch"),
        ("file:///etc/passwd", "a URL, which this service does not fetch"),
        ("data:image/svg+xml,%3Csvg/%3E", "a data URL that is not base64"),
        ("leaf.jpg", "is not base64"),
        ("Y", "is not base64"),
        ("\u00e9\u00e9\u00e9\u00e9", "is not base64"),
    ],
)
def test_other_text_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode(text)


def test_empty_text_is_an_empty_picture() -> None:
    assert decode("") == b""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"data:image/jpeg;base64,{PLAIN}", "it is a data URL: send only the text after its comma"),
        ("http://example.org/", "does not fetch"),
        (base64.encodebytes(PICTURE).decode(), "line breaks: remove them"),
        ("ab-_", "it is base64url"),
        ("abc", "its padding (=) is missing"),
        ("a*c=", ""),
    ],
)
def test_text_that_is_not_strict_base64_is_explained(text: str, reason: str) -> None:
    assert reason in explain_invalid_base64(text)
    assert bool(reason) == bool(explain_invalid_base64(text))


def test_urls_are_recognised() -> None:
    assert is_url(" S3://bucket/leaf.jpg")
    assert not is_url(PLAIN)
