"""Read the picture from a JSON body, {"image": "<base64>"}."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from service.errors import MalformedRequest, MissingField, RequestError
from service.http.uploads import base64_text
from service.schemas import PictureRequest

_MAX_VALUES: Final = 1_000
"""JSON with more values is refused. Without this limit, parsing a body of empty lists could take
seconds."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_USAGE: Final = 'send {"image": "<base64 of the picture, or a data URL>"}'
_OTHER_APIS: Final = {
    "instances": f"{_USAGE}, one picture per request, or use /v2/models/NAME/infer; `instances` "
    "(TensorFlow Serving and KServe v1) is not supported",
    "inputs": f"{_USAGE}; only /v2/models/NAME/infer accepts `inputs`",
    "images": f"{_USAGE}, one picture per request; send several to /predict_batch as multipart "
    "fields `images`, or to /v2/models/NAME/infer",
}
"""Field of another API -> error message for JSON that has this field instead of `image`."""


def picture_in_json(body: bytes) -> bytes:
    """Decode the base64 or the data URL in the field `image` of a JSON object.

    Raises:
        MissingField: `image` is absent, is not a string, or is a URL that would have to be fetched.
        MalformedRequest: the body is not a JSON object or has too many values, or `image` is not
            base64.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise MalformedRequest(f"the JSON has more than {_MAX_VALUES:,} values; {_USAGE}")
    try:
        text = PictureRequest.model_validate_json(body.removeprefix(_BYTE_ORDER_MARK)).image
    except ValidationError as error:
        raise _no_picture(error) from None
    try:
        return base64_text.decode(text)
    except ValueError as error:
        error_class = MissingField if base64_text.is_url(text) else MalformedRequest
        raise error_class(f"`image` {error}") from None


def _no_picture(error: ValidationError) -> RequestError:
    """Make the error for JSON whose field `image` is missing or not a string."""
    problem = error.errors(include_url=False, include_context=False)[0]
    if not problem["loc"]:
        return MalformedRequest(f"the body is not a JSON object: {_USAGE}")
    if problem["type"] != "missing":
        return MissingField(f"`image` is not a string: {_USAGE}")
    for field, remedy in _OTHER_APIS.items():
        if field in problem["input"]:
            return MissingField(remedy)
    return MissingField(f"the JSON has no field `image`: {_USAGE}")
