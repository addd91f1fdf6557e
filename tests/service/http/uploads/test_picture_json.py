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
def test_the_field_image_is_decoded(body: bytes) -> None:
    assert picture_in_json(body) == b"abc"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, 'the JSON has no field `image`: send {"image": "<base64'),
        ({"instances": [{"b64": "YWJj"}]}, "`instances` (TensorFlow Serving"),
        ({"inputs": []}, "only /v2/models/NAME/infer accepts `inputs`"),
        ({"images": ["YWJj"]}, "send several to /predict_batch"),
        ({"image": {"b64": "YWJj"}}, "`image` is not a string"),
        ({"image": None}, "`image` is not a string"),
        ({"image": "https://example.org/"}, "holds a URL, which this service does not fetch"),
    ],
)
def test_errors_for_requests_of_other_apis_name_what_to_send(content: object, message: str) -> None:
    with pytest.raises(MissingField) as refused:
        picture_in_json(json.dumps(content).encode())
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"YWJj"', "not a JSON object"),
        (b'{"image": "YWJj"', "not a JSON object"),
        (b"\xff\xfe{", "not a JSON object"),
        (b'{"image": "?"}', "is not base64"),
        (b"[" * 2_000, "more than 1,000 values"),
    ],
)
def test_malformed_json_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        picture_in_json(body)


def test_json_with_too_many_values_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parsing 27 MB of empty lists would block the event loop for seconds."""
    monkeypatch.setattr("service.http.uploads.picture_json.PictureRequest", None)
    with pytest.raises(MalformedRequest, match="more than 1,000 values"):
        picture_in_json(b"[]," * 1_000)
