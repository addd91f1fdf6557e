"""Parse an inference request of the Open Inference Protocol v2.

The body is JSON, or JSON followed by tensors as bytes (extension `binary_tensor_data`). The header
Inference-Header-Content-Length gives the length of the JSON in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.errors import MalformedRequest
from service.oip.schemas import InferenceRequest, InputTensor
from service.oip.tensors import deserialise_bytes_tensor, flatten, from_base64, from_integers

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
PROTOCOL_EXTENSIONS: Final = ("binary_tensor_data",)
OUTPUT_NAMES: Final = ("probabilities", "label")
MAX_JSON_BYTES: Final = 8 * 1024 * 1024
MAX_JSON_VALUES: Final = 600_000
"""Largest number of values in the JSON of a request: enough for three pictures of 224 x 224 pixels
as nested lists. Parsing 600,000 empty lists blocks the event loop for 0.2 s."""

Picture = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class ParsedRequest:
    """An inference request.

    Attributes:
        id: id of the request, which the answer repeats.
        pictures: the pictures, each the bytes of a file or an array (size, size, 3) uint8.
        outputs: requested output -> whether it is sent as bytes after the JSON. The outputs have
            the same order as in the request.
    """

    id: str | None
    pictures: list[Picture]
    outputs: dict[str, bool]


def parse(body: bytes, header_length: str | None, size: int, max_pictures: int) -> ParsedRequest:
    """Parse an inference request.

    Args:
        body: the body of the HTTP request, uncompressed.
        header_length: value of the header Inference-Header-Content-Length; None if it is absent.
        size: side of the model's square input, in pixels.
        max_pictures: the largest accepted number of pictures.

    Raises:
        MalformedRequest: the body does not follow the protocol, does not fit the model, exceeds a
            limit, or uses a part of the protocol that is not supported.
    """
    end = _json_end(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(body[:end])
    except ValidationError as error:
        is_tensorflow = body.find(b'"instances"', 0, end) >= 0
        hint = "; `instances` belongs to TensorFlow Serving, use `inputs` here" * is_tensorflow
        raise MalformedRequest(
            f"the JSON of the request is invalid: {_first_problem(error)}{hint}"
        ) from None
    outputs = _outputs(request)
    tensor = _only_input(request)
    picture_shape = _picture_shape(tensor, size, max_pictures)
    raw = _binary_data(tensor, memoryview(body)[end:])
    data = flatten(tensor.data or []) if raw is None else raw
    return ParsedRequest(request.id, _pictures(tensor, data, picture_shape), outputs)


def _json_end(body: bytes, header_length: str | None) -> int:
    """Return the offset where the JSON ends.

    Raises:
        MalformedRequest: the header is not a valid length, or the JSON is too large.
    """
    if header_length is None:
        end = len(body)
    elif header_length.isascii() and header_length.isdigit() and len(header_length) < 16:
        end = int(header_length)
    else:
        raise MalformedRequest(
            f"{HEADER_LENGTH} is {header_length[:40]!r}, not a number of bytes; send the length "
            "of the JSON"
        )
    if end > len(body):
        raise MalformedRequest(
            f"{HEADER_LENGTH} is {end:,}, but the body has {len(body):,} bytes; send the "
            "length of the JSON"
        )
    remedy = (
        "send tensors as binary data after the JSON (header "
        f"{HEADER_LENGTH}, parameter binary_data_size)"
    )
    if end > MAX_JSON_BYTES:
        raise MalformedRequest(
            f"the JSON has {end:,} bytes; at most {MAX_JSON_BYTES:,} are accepted; {remedy}"
        )
    if sum(body.count(mark, 0, end) for mark in b",[{") > MAX_JSON_VALUES:
        raise MalformedRequest(f"the JSON has more than {MAX_JSON_VALUES:,} values; {remedy}")
    return end


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _outputs(request: InferenceRequest) -> dict[str, bool]:
    """Return the requested outputs, and whether each is sent as bytes; all outputs by default.

    Raises:
        MalformedRequest: an output is unknown, requested twice, or requested in a form that is not
            supported.
    """
    default = request.parameters.binary_data_output
    chosen: dict[str, bool] = {}
    for output in request.outputs:
        name, parameters = output.name, output.parameters
        if name not in OUTPUT_NAMES or name in chosen:
            problem = "requested twice" if name in chosen else "unknown"
            raise MalformedRequest(
                f"output {name[:80]!r} is {problem}; the outputs are {_quoted(OUTPUT_NAMES)}"
            )
        if parameters.classification is not None or parameters.shared_memory_region is not None:
            raise MalformedRequest(
                f"output {name!r}: classification and shared memory are not supported; request "
                "`label` for the best class, or `probabilities` for the score of each class"
            )
        chosen[name] = default if parameters.binary_data is None else parameters.binary_data
    return chosen or dict.fromkeys(OUTPUT_NAMES, default)


def _only_input(request: InferenceRequest) -> InputTensor:
    names = [tensor.name for tensor in request.inputs]
    if names != ["images"]:
        sent = _quoted(name[:80] for name in names) or "none"
        raise MalformedRequest(
            f"the model has one input, `images`; the request has {sent}: send only `images`"
        )
    return request.inputs[0]


def _picture_shape(tensor: InputTensor, size: int, max_pictures: int) -> tuple[int, ...]:
    """Return the shape of one picture: () for image files, (size, size, 3) for decoded pictures.

    Raises:
        MalformedRequest: the datatype or the shape of the tensor is not supported.
    """
    picture_shape = (size, size, 3) if tensor.datatype == "UINT8" else ()
    accepted = [picture_shape] if picture_shape else [(), (1,)]
    is_known = tensor.datatype in ("BYTES", "UINT8")
    if not (is_known and tensor.shape and tuple(tensor.shape[1:]) in accepted):
        raise MalformedRequest(
            f"`images` is {tensor.datatype[:20]} {tensor.shape}; the model takes BYTES [N] or "
            f"[N, 1] (image files), or UINT8 [N, {size}, {size}, 3] (decoded pictures)"
        )
    if not 1 <= tensor.shape[0] <= max_pictures:
        raise MalformedRequest(
            f"`images` holds {tensor.shape[0]} pictures; 1 to {max_pictures} are accepted in a "
            "request"
        )
    return picture_shape


def _binary_data(tensor: InputTensor, rest: memoryview) -> memoryview | None:
    """Return the bytes of the tensor, which follow the JSON; None if the JSON contains the data.

    Raises:
        MalformedRequest: the data is missing, is in shared memory, or is given both in the JSON and
            after it; or the bytes after the JSON do not have the length `binary_data_size`.
    """
    size = tensor.parameters.binary_data_size
    if tensor.parameters.shared_memory_region is not None:
        raise MalformedRequest(
            "`images`: shared memory is not supported; send the data in the request"
        )
    if (size is None) == (tensor.data is None):
        raise MalformedRequest(
            "`images` needs either `data` or the parameter binary_data_size, not both"
        )
    if len(rest) != (size or 0):
        raise MalformedRequest(
            f"binary_data_size of `images` is {size or 0:,}, but {len(rest):,} bytes follow the "
            f"JSON; check binary_data_size, and the length of the JSON in {HEADER_LENGTH}"
        )
    return None if size is None else rest


def _pictures(
    tensor: InputTensor, data: list[Any] | memoryview, picture_shape: tuple[int, ...]
) -> list[Picture]:
    count = tensor.shape[0]
    if picture_shape:
        _check_length(len(data), count * math.prod(picture_shape), "values")
        values = from_integers(data) if isinstance(data, list) else data
        return [*np.frombuffer(values, np.uint8).reshape(count, *picture_shape)]
    if isinstance(data, memoryview):
        return [*deserialise_bytes_tensor(data, count)]
    _check_length(len(data), count, "pictures")
    return [*from_base64(data)]


def _check_length(length: int, expected: int, elements: str) -> None:
    if length != expected:
        raise MalformedRequest(
            f"`images` has {length:,} {elements}, but {expected:,} according to its shape; correct "
            "the data or the shape"
        )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
