from __future__ import annotations

import json

import pytest

from service.errors import MalformedRequest, MissingField
from service.http.uploads.picture_json import picture_in_json


@pytest.mark.parametrize(
    "body",
    [
        b'{"image": "YWJj"}',
        b'\xef\xbb\xbf{"image": "YWJj", "note": [1, {"a": null}]}',
        b'{"image": "data:image\\/png;base64,YWJj"}',  # as PHP writes it
    ],
)
def test_the_picture_is_in_its_field(body: bytes) -> None:
    assert picture_in_json(body) == b"abc"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, 'no field `image` in the JSON: send {"image": "<base64'),
        ({"instances": [{"b64": "YWJj"}]}, "`instances` is for TensorFlow Serving"),
        ({"inputs": []}, "`inputs` is for /v2"),
        ({"images": ["YWJj"]}, "several go to /predict_batch"),
        ({"image": {"b64": "YWJj"}}, "`image` is no text"),
        ({"image": None}, "`image` is no text"),
        ({"image": "https://example.org/"}, "holds an address, and nothing is fetched"),
    ],
)
def test_other_habits_are_told_what_to_send(content: object, told: str) -> None:
    with pytest.raises(MissingField) as refused:
        picture_in_json(json.dumps(content).encode())
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'"YWJj"', "no JSON object"),
        (b'{"image": "YWJj"', "no JSON object"),
        (b"\xff\xfe{", "no JSON object"),
        (b'{"image": "?"}', "holds no base64 text"),
        (b"[" * 2_000, "more than 1,000 values"),
    ],
)
def test_what_is_no_such_json_is_malformed(body: bytes, told: str) -> None:
    with pytest.raises(MalformedRequest, match=told):
        picture_in_json(body)


def test_json_of_ill_will_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """27 MB of empty lists take seconds to parse, in which nobody is answered."""
    monkeypatch.setattr("service.http.uploads.picture_json.PictureRequest", None)
    with pytest.raises(MalformedRequest, match="more than 1,000 values"):
        picture_in_json(b"[]," * 1_000)
