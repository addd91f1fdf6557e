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
"""JSON with more values is refused, because parsing it would block the event loop for too long. The
limit is enough for two pictures of 224 x 224 pixels as nested lists."""

Picture = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class ParsedRequest:
    """An inference request, parsed and checked.

    Attributes:
        id: id of the request, which the response repeats; None if the request has none.
        pictures: the pictures, each as the bytes of an image file or as an array (size, size, 3)
            uint8.
        outputs: name of each requested output, in the order of the request -> whether the response
            contains it as binary data after the JSON.
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
            limit, or uses an unsupported part of the protocol.
    """
    end = _json_end(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(body[:end])
    except ValidationError as error:
        is_tensorflow = body.find(b'"instances"', 0, end) >= 0
        hint = "; use `inputs`, not `instances` (TensorFlow Serving)" * is_tensorflow
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

    Args:
        body: the JSON, and the binary data after it.
        header_length: value of the header Inference-Header-Content-Length; None if it is absent.

    Raises:
        MalformedRequest: `header_length` is not a valid length, or the JSON is too large.
    """
    if header_length is None:
        end = len(body)
    elif header_length.isascii() and header_length.isdigit() and len(header_length) < 16:
        end = int(header_length)
    else:
        raise MalformedRequest(
            f"{HEADER_LENGTH} is {header_length[:40]!r}, not a number of bytes; set this header to "
            "the length of the JSON in bytes"
        )
    if end > len(body):
        raise MalformedRequest(
            f"{HEADER_LENGTH} is {end:,}, more than the length of the body ({len(body):,}); set "
            "this header to the length of the JSON in bytes"
        )
    remedy = (
        "send the tensor as binary data after the JSON, with the header "
        f"{HEADER_LENGTH} and the parameter binary_data_size"
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
    """Return `ParsedRequest.outputs`: the requested outputs, or all if the request names none.

    Raises:
        MalformedRequest: an output is unknown, is requested twice, or is requested as a
            classification or in shared memory, which are not supported.
    """
    default = request.parameters.binary_data_output
    chosen: dict[str, bool] = {}
    for output in request.outputs:
        name, parameters = output.name, output.parameters
        if name not in OUTPUT_NAMES or name in chosen:
            problem = "requested twice" if name in chosen else "unknown"
            raise MalformedRequest(
                f"output {name[:80]!r} is {problem}; request {_quoted(OUTPUT_NAMES)} at most once "
                "each"
            )
        if parameters.classification is not None or parameters.shared_memory_region is not None:
            raise MalformedRequest(
                f"output {name!r}: classification and shared memory are not supported; request "
                "`label` for the best class, or `probabilities` for the probability of each class"
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
            f"`images` holds {tensor.shape[0]} pictures; send at least 1 and at most {max_pictures}"
        )
    return picture_shape


def _binary_data(tensor: InputTensor, rest: memoryview) -> memoryview | None:
    """Return the data of the tensor, which is all of `rest`; None if the JSON contains the data.

    Args:
        tensor: the tensor, as described in the JSON.
        rest: the part of the body after the JSON.

    Raises:
        MalformedRequest: the data is missing, is in shared memory, or is both in the JSON and after
            it; or the length of `rest` is not `binary_data_size`.
    """
    size = tensor.parameters.binary_data_size
    if tensor.parameters.shared_memory_region is not None:
        raise MalformedRequest(
            "`images`: shared memory is not supported; send the data in the request"
        )
    if (size is None) == (tensor.data is None):
        raise MalformedRequest(
            "`images` must have either `data` or the parameter binary_data_size, and not both"
        )
    if len(rest) != (size or 0):
        raise MalformedRequest(
            f"binary_data_size of `images` is {'absent' if size is None else f'{size:,}'}, but the "
            f"number of bytes after the JSON is {len(rest):,}; check binary_data_size, and the "
            f"length of the JSON in {HEADER_LENGTH}"
        )
    return None if size is None else rest


def _pictures(
    tensor: InputTensor, data: list[Any] | memoryview, picture_shape: tuple[int, ...]
) -> list[Picture]:
    count = tensor.shape[0]
    if picture_shape:
        _check_length(len(data), count * math.prod(picture_shape), "value")
        values = from_integers(data) if isinstance(data, list) else data
        return [*np.frombuffer(values, np.uint8).reshape(count, *picture_shape)]
    if isinstance(data, memoryview):
        return [*deserialise_bytes_tensor(data, count)]
    _check_length(len(data), count, "picture")
    return [*from_base64(data)]


def _check_length(length: int, expected: int, element: str) -> None:
    if length != expected:
        raise MalformedRequest(
            f"`images` has {length:,} {element}{'s' * (length != 1)}, but {expected:,} according "
            "to its shape; correct the data or the shape"
        )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
