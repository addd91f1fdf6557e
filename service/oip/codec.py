"""Open Inference Protocol v2: bytes and headers in, a request; answers in, bytes and headers out.

Pure functions. A body is JSON, or JSON with the tensors behind it as bytes (the extension
`binary_tensor_data`); the header Inference-Header-Content-Length says where the JSON ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.bundle.manifest import Manifest
from service.errors import MalformedRequest
from service.oip.schemas import InferenceRequest, InputTensor
from service.oip.tensors import flat, from_base64, from_numbers, joined, split

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
EXTENSIONS: Final = ("binary_tensor_data",)
OUTPUTS: Final = ("probabilities", "label")
MAX_JSON_BYTES: Final = 8 * 1024 * 1024
MAX_JSON_VALUES: Final = 600_000
"""Three pictures of 224 px as lists of lists, four as one list. So many empty lists hold everybody
up for 0.2 s; 8 MiB of them took 1.5 s."""

Picture = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class ParsedRequest:
    """What a request asks.

    Attributes:
        pictures: each either the bytes of a file, or (size, size, 3) uint8.
        outputs: names asked for, in order, and whether each goes as bytes behind the JSON.
    """

    id: str | None
    pictures: list[Picture]
    outputs: dict[str, bool]


def parse(body: bytes, header_length: str | None, size: int, max_pictures: int) -> ParsedRequest:
    """Read a request for inference.

    Args:
        body: of the HTTP request, not compressed.
        header_length: the header Inference-Header-Content-Length, if there was one.
        size: side of the model's square input, in pixels.
        max_pictures: most pictures in a request.

    Raises:
        MalformedRequest: it does not follow the protocol, or does not fit the model.
    """
    end = _json_end(body, header_length)
    try:
        request = InferenceRequest.model_validate_json(body[:end])
    except ValidationError as error:
        foreign = body.find(b'"instances"', 0, end) >= 0
        habit = "; `instances` is of TensorFlow Serving, this protocol has `inputs`" * foreign
        raise MalformedRequest(f"the JSON of the request: {_first(error)}{habit}") from None
    outputs = _outputs(request)
    tensor = _only_input(request)
    of_a_picture = _shape_of_a_picture(tensor, size, max_pictures)
    raw = _binary_part(tensor, memoryview(body)[end:])
    pictures = _pictures(tensor, flat(tensor.data or []) if raw is None else raw, of_a_picture)
    return ParsedRequest(request.id, pictures, outputs)


def serialise(
    request: ParsedRequest,
    manifest: Manifest,
    probabilities: NDArray[np.float32],
    top_k: int | None = None,
) -> tuple[bytes, dict[str, str]]:
    """The body and headers that answer a request.

    Args:
        request: as `parse` read it.
        manifest: of the model that answered.
        probabilities: (N, classes) float32, finite.
        top_k: with it both outputs are (N, top_k), the best classes and theirs, best first;
            without it `label` is (N,), the best class, and `probabilities` has all in order.
    """
    best = (-probabilities).argsort(axis=1, kind="stable")[:, : top_k or 1]
    labels = [manifest.classes[index] for index in best.ravel()]
    if top_k:
        probabilities = np.take_along_axis(probabilities, best, axis=1)
    shapes = {
        "probabilities": probabilities.shape,
        "label": best.shape if top_k else best.shape[:1],
    }
    outputs: list[dict[str, Any]] = []
    behind = b""
    for name, is_binary in request.outputs.items():
        is_label = name == "label"
        datatype = "BYTES" if is_label else "FP32"
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shapes[name]}
        if is_binary:
            part = joined(labels) if is_label else probabilities.astype("<f4").tobytes()
            output["parameters"] = {"binary_data_size": len(part)}
            behind += part
        else:
            output["data"] = labels if is_label else probabilities.ravel().tolist()
        outputs.append(output)
    identity = {} if request.id is None else {"id": request.id}
    named = {"model_name": manifest.name, "model_version": manifest.version}
    text = json.dumps({**named, **identity, "outputs": outputs}, allow_nan=False).encode()
    if not any(request.outputs.values()):
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return text + behind, headers


def metadata(manifest: Manifest, max_pictures: int) -> dict[str, Any]:
    """What GET /v2/models/NAME says. Of the two ways to send pictures it declares the model's own,
    for tools that make up inputs from this; the other is told in the parameters.
    """
    size = manifest.input.size
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "images", "datatype": "UINT8", "shape": [-1, size, size, 3]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(manifest.classes)]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
        "parameters": {
            "images": f"better: BYTES [N] or [N, 1], files ({', '.join(manifest.input.kinds)}; "
            "base64 in JSON), decoded as in training; or UINT8 "
            f"[N, {size}, {size}, 3], RGB, stretched by you",
            "classes": json.dumps(manifest.classes, ensure_ascii=False),
            "max_pictures": max_pictures,
            "top_k": "infer?top_k=K: both outputs are [N, K], the best classes and theirs",
        },
    }


def _json_end(body: bytes, header_length: str | None) -> int:
    if header_length is None:
        end = len(body)
    elif header_length.isascii() and header_length.isdigit() and len(header_length) < 16:
        end = int(header_length)
    else:
        raise MalformedRequest(f"{HEADER_LENGTH} is {header_length[:40]!r}, not a number of bytes")
    if end > len(body):
        raise MalformedRequest(f"{HEADER_LENGTH} is {end:,}, but the body has {len(body):,} bytes")
    remedy = f"send tensors as binary data behind it ({HEADER_LENGTH}, binary_data_size)"
    if end > MAX_JSON_BYTES:
        raise MalformedRequest(
            f"the JSON has {end:,} bytes, at most {MAX_JSON_BYTES:,} are accepted; {remedy}"
        )
    if sum(body.count(mark, 0, end) for mark in b",[{") > MAX_JSON_VALUES:
        raise MalformedRequest(f"the JSON has more than {MAX_JSON_VALUES:,} values; {remedy}")
    return end


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _outputs(request: InferenceRequest) -> dict[str, bool]:
    default = request.parameters.binary_data_output
    chosen: dict[str, bool] = {}
    for output in request.outputs:
        name, asked = output.name, output.parameters
        if name not in OUTPUTS or name in chosen:
            what = "asked for twice" if name in chosen else "not known"
            raise MalformedRequest(f"output {name[:80]!r} is {what}; there are {_named(OUTPUTS)}")
        if asked.classification is not None or asked.shared_memory_region is not None:
            raise MalformedRequest(
                f"output {name!r}: neither classification nor shared memory is offered; `label` "
                "is the best class, `probabilities` has all of them"
            )
        chosen[name] = default if asked.binary_data is None else asked.binary_data
    return chosen or dict.fromkeys(OUTPUTS, default)


def _only_input(request: InferenceRequest) -> InputTensor:
    names = [tensor.name for tensor in request.inputs]
    if names != ["images"]:
        sent = _named([name[:80] for name in names]) or "none"
        raise MalformedRequest(f"the model has one input, `images`; the request has {sent}")
    return request.inputs[0]


def _shape_of_a_picture(tensor: InputTensor, size: int, max_pictures: int) -> tuple[int, ...]:
    """Check datatype and shape: () for encoded pictures, (size, size, 3) for decoded ones."""
    of_a_picture = (size, size, 3) if tensor.datatype == "UINT8" else ()
    fitting = [of_a_picture] if of_a_picture else [(), (1,)]
    is_known = tensor.datatype in ("BYTES", "UINT8")
    if not (is_known and tensor.shape and tuple(tensor.shape[1:]) in fitting):
        raise MalformedRequest(
            f"`images` is {tensor.datatype[:20]} {tensor.shape}; the model takes BYTES [N] or "
            f"[N, 1] (encoded pictures), or UINT8 [N, {size}, {size}, 3]"
        )
    if not 1 <= tensor.shape[0] <= max_pictures:
        raise MalformedRequest(
            f"`images` holds {tensor.shape[0]} pictures; 1 to {max_pictures} are accepted"
        )
    return of_a_picture


def _binary_part(tensor: InputTensor, behind: memoryview) -> memoryview | None:
    """The bytes of the tensor behind the JSON; None where its data is in the JSON."""
    size = tensor.parameters.binary_data_size
    if tensor.parameters.shared_memory_region is not None:
        raise MalformedRequest("`images`: shared memory is not offered; send the data")
    if (size is None) == (tensor.data is None):
        raise MalformedRequest("`images` needs either `data` or the parameter binary_data_size")
    if len(behind) != (size or 0):
        raise MalformedRequest(
            f"`images` has {size or 0:,} bytes of binary data, but {len(behind):,} bytes follow "
            f"the JSON; {HEADER_LENGTH} says where it ends"
        )
    return None if size is None else behind


def _pictures(
    tensor: InputTensor, data: list[Any] | memoryview, of_a_picture: tuple[int, ...]
) -> list[Picture]:
    count = tensor.shape[0]
    if of_a_picture:
        _check_length(len(data), count * math.prod(of_a_picture), "levels")
        levels = from_numbers(data) if isinstance(data, list) else data
        return [*np.frombuffer(levels, np.uint8).reshape(count, *of_a_picture)]
    if isinstance(data, memoryview):
        return [*split(data, count)]
    _check_length(len(data), count, "pictures")
    return [*from_base64(data)]


def _check_length(found: int, expected: int, of: str) -> None:
    if found != expected:
        raise MalformedRequest(
            f"`images` holds {found:,} {of}, but its shape says {expected:,}: they must agree"
        )


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
