"""A picture as JSON, {"image": "<base64>"}: the bytes of a body in, those of the picture out."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from service.errors import MalformedRequest, MissingField, RequestError
from service.http.uploads.base64_text import from_text, is_address
from service.schemas import PictureRequest

_MAX_JSON_VALUES: Final = 1_000
"""In the JSON around a picture; without a limit 27 MB of empty lists take seconds to read."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_ONE_FIELD: Final = 'send {"image": "<base64 of the picture, or a data URL>"}'
_FOREIGN: Final = {
    "instances": f"{_ONE_FIELD}, one picture a request, or ask /v2/models/NAME/infer; `instances` "
    "is for TensorFlow Serving and KServe's first protocol",
    "inputs": f"{_ONE_FIELD}; `inputs` is for /v2/models/NAME/infer",
    "images": f"{_ONE_FIELD}, one picture a request; several go to /predict_batch as multipart "
    "fields `images`, or to /v2/models/NAME/infer",
}


def picture_in_json(body: bytes) -> bytes:
    """The picture in a JSON object's field `image`: base64, or a data URL.

    Raises:
        MissingField: there is no text `image`, or it is an address.
        MalformedRequest: it is no JSON object, or the text holds no base64.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_JSON_VALUES:
        raise MalformedRequest(f"the JSON has more than {_MAX_JSON_VALUES:,} values; {_ONE_FIELD}")
    try:
        text = PictureRequest.model_validate_json(body.removeprefix(_BYTE_ORDER_MARK)).image
    except ValidationError as error:
        raise _no_picture(error) from None
    try:
        return from_text(text)
    except ValueError as error:
        kind = MissingField if is_address(text) else MalformedRequest
        raise kind(f"`image` {error}") from None


def _no_picture(error: ValidationError) -> RequestError:
    """Why there is no text `image` in what was sent as JSON."""
    problem = error.errors(include_url=False, include_context=False)[0]
    if not problem["loc"]:
        return MalformedRequest(f"the body is no JSON object: {_ONE_FIELD}")
    if problem["type"] != "missing":
        return MissingField(f"`image` is no text: {_ONE_FIELD}")
    for habit, remedy in _FOREIGN.items():
        if habit in problem["input"]:
            return MissingField(remedy)
    return MissingField(f"no field `image` in the JSON: {_ONE_FIELD}")
