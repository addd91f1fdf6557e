from __future__ import annotations

import base64

import pytest

from service.http.uploads.base64_text import from_text, habit, is_address

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
def test_base64_is_understood_as_people_write_it(text: str) -> None:
    assert from_text(text) == PICTURE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("https://example.org/leaf.jpg", "an address, and nothing is fetched"),
        ("file:///etc/passwd", "an address, and nothing is fetched"),
        ("data:image/svg+xml,%3Csvg/%3E", "a data URL that is not base64"),
        ("leaf.jpg", "no base64 text"),
        ("Y", "no base64 text"),
        ("\u00e9\u00e9\u00e9\u00e9", "no base64 text"),
    ],
)
def test_what_is_no_base64_is_said_to_be(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_text(text)


def test_nothing_is_an_empty_picture() -> None:
    assert from_text("") == b""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"data:image/jpeg;base64,{PLAIN}", "it is a data URL: send only what follows its comma"),
        ("http://example.org/", "nothing is fetched"),
        (base64.encodebytes(PICTURE).decode(), "line ends in it (base64 -w0 writes none)"),
        ("ab-_", "it is base64 for URLs"),
        ("abc", "its padding (=) is missing"),
        ("a*c=", ""),
    ],
)
def test_habits_are_told(text: str, told: str) -> None:
    assert told in habit(text)
    assert bool(told) == bool(habit(text))


def test_addresses_are_known() -> None:
    assert is_address(" S3://bucket/leaf.jpg")
    assert not is_address(PLAIN)
