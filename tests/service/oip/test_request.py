"""Requests of the Open Inference Protocol, without a server."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from service.errors import MalformedRequest
from service.oip.request import MAX_JSON_BYTES, MAX_JSON_VALUES, ParsedRequest, parse
from service.oip.tensors import serialise_bytes_tensor

SIZE = 2
VALUES = SIZE * SIZE * 3


def tensor(**changes: Any) -> dict[str, Any]:
    """Make an input of two encoded pictures, in JSON."""
    data = [base64.b64encode(picture).decode() for picture in (b"one", b"two")]
    fields = {"name": "images", "datatype": "BYTES", "shape": [2], "data": data, **changes}
    return {name: value for name, value in fields.items() if value is not None}


def decoded(**changes: Any) -> dict[str, Any]:
    """Make an input of one decoded picture, in JSON."""
    shape = [1, SIZE, SIZE, 3]
    return tensor(**{"datatype": "UINT8", "shape": shape, "data": [*range(VALUES)], **changes})


def request(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": [*inputs], **fields}


def read(
    content: Any, binary_data: bytes = b"", header_length: str | None = "right"
) -> ParsedRequest:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    length = str(len(text)) if binary_data and header_length == "right" else header_length
    return parse(text + binary_data, None if length == "right" else length, SIZE, max_pictures=3)


# Accepted requests


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_encoded_pictures_in_json_are_base64(shape: list[int]) -> None:
    parsed = read(request(tensor(shape=shape)))
    assert parsed.pictures == [b"one", b"two"]
    assert parsed.id is None
    assert parsed.outputs == {"probabilities": False, "label": False}


def test_data_may_be_nested() -> None:
    assert read(request(tensor(shape=[2, 1], data=[["b25l"], ["dHdv"]]))).pictures[0] == b"one"
    nested = np.arange(VALUES).reshape(1, SIZE, SIZE, 3).tolist()
    ((nested_picture,), (flat_picture,)) = (
        read(request(decoded(data=data))).pictures for data in (nested, [*range(VALUES)])
    )
    assert np.array_equal(nested_picture, flat_picture)


def test_decoded_pictures_keep_their_shape_and_order() -> None:
    pictures = np.arange(2 * VALUES, dtype=np.uint8).reshape(2, SIZE, SIZE, 3)
    in_json = read(request(decoded(shape=[*pictures.shape], data=pictures.ravel().tolist())))
    size = {"binary_data_size": pictures.nbytes}
    as_bytes = read(
        request(decoded(shape=[*pictures.shape], data=None, parameters=size)), pictures.tobytes()
    )
    for parsed in (in_json, as_bytes):
        assert np.array_equal(np.stack(parsed.pictures), pictures)  # type: ignore[arg-type]
        assert all(picture.dtype == np.uint8 for picture in parsed.pictures)  # type: ignore[union-attr]


def test_encoded_pictures_may_follow_the_json_as_bytes() -> None:
    raw = b"\3\0\0\0one\5\0\0\0\0\xff{}\n"
    size = {"binary_data_size": len(raw)}
    assert read(request(tensor(data=None, parameters=size)), raw).pictures == [
        b"one",
        b"\0\xff{}\n",
    ]


def test_the_header_is_accepted_without_binary_data() -> None:
    content = json.dumps(request(tensor())).encode()
    assert len(read(content, header_length=str(len(content))).pictures) == 2


def test_null_is_an_absent_field() -> None:
    """MLServer's client writes null for fields that are not set."""
    plain = request({**tensor(), "parameters": None}, id=None, parameters=None, outputs=None)
    assert read(plain).outputs == {"probabilities": False, "label": False}
    requested = [{"name": "label", "parameters": None}]
    assert read(request(tensor(), outputs=requested)).outputs == {"label": False}


def test_unknown_fields_are_ignored() -> None:
    extra_fields = {"parameters": {"priority": 3, "mine": [1]}, "hello": None}
    unknown = tensor(parameters={"content_type": "base64"}, comment="x")
    assert len(read(request(unknown, **extra_fields)).pictures) == 2


@pytest.mark.parametrize(
    ("outputs", "default", "expected"),
    [
        (None, False, {"probabilities": False, "label": False}),
        ([], True, {"probabilities": True, "label": True}),
        ([{"name": "label"}], False, {"label": False}),
        ([{"name": "label"}], True, {"label": True}),
        (
            [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
            True,
            {"label": False, "probabilities": True},
        ),
    ],
)
def test_outputs_are_those_requested(
    outputs: Any, default: bool, expected: dict[str, bool]
) -> None:
    output_field = {} if outputs is None else {"outputs": outputs}
    parameters = {"binary_data_output": default}
    outputs_read = read(request(tensor(), parameters=parameters, **output_field)).outputs
    assert list(outputs_read.items()) == list(expected.items())


# Refused requests

RAW = serialise_bytes_tensor(["one", "two"])
SIZED = {"binary_data_size": len(RAW)}
BAD_INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "another input": (tensor(name="image"), "has one input, `images`; the request has `image`"),
    "long name": (tensor(name="x" * 9999), r"the request has `x{80}`: send"),
    "no name": (tensor(name=None), r"inputs\.0\.name: Field required"),
    "name is a number": (tensor(name=3), r"inputs\.0\.name: Input should be a valid string"),
    "no shape": (tensor(shape=None), r"inputs\.0\.shape: Field required"),
    "empty shape": (tensor(shape=[]), r"BYTES \[\]; the model takes BYTES \[N\] or \[N, 1\]"),
    "scalar shape": (tensor(shape=2), r"inputs\.0\.shape: Input should be a valid array"),
    "two a row": (tensor(shape=[1, 2]), r"is BYTES \[1, 2\]; the model takes"),
    "shape of a fraction": (tensor(shape=[2.0]), r"inputs\.0\.shape\.0: Input should be a valid"),
    "shape of true": (tensor(shape=[True]), r"inputs\.0\.shape\.0: Input should be a valid int"),
    "endless shape": (tensor(shape=[1] * 10_000), r"inputs\.0\.shape: List should have at most 16"),
    "no picture": (tensor(shape=[0], data=[]), "holds 0 pictures; send at least 1 and at most 3"),
    "negative": (tensor(shape=[-1]), "holds -1 pictures"),
    "too many": (tensor(shape=[4]), "holds 4 pictures; send at least 1 and at most 3"),
    "huge": (tensor(shape=[10**30]), r"holds 10{30} pictures"),
    "fewer than the shape": (tensor(shape=[3]), "has 2 pictures, but 3 according to its shape"),
    "more than the shape": (tensor(shape=[1]), "has 2 pictures, but 1 according to its shape"),
    "datatype": (tensor(datatype="FP32"), r"is FP32 \[2\]; the model takes BYTES"),
    "no datatype": (tensor(datatype=None), r"inputs\.0\.datatype: Field required"),
    "no base64": (tensor(data=["b25l", "***"]), r"`images\[1\]` is not base64"),
    "numbers as BYTES": (tensor(data=[1, 2]), r"`images\[0\]` is not base64"),
    "text as data": (tensor(data="b25l"), r"inputs\.0\.data: Input should be a valid array"),
    "no data": (tensor(data=None), "either `data` or the parameter binary_data_size"),
    "both": (tensor(parameters=SIZED), "either `data` or the parameter binary_data_size"),
    "size without bytes": (
        tensor(data=None, parameters=SIZED),
        "is 14, but the number of bytes after the JSON is 0",
    ),
    "negative size": (
        tensor(data=None, parameters={"binary_data_size": -1}),
        r"inputs\.0\.parameters\.binary_data_size: Input should be greater",
    ),
    "size is a text": (
        tensor(data=None, parameters={"binary_data_size": "14"}),
        r"inputs\.0\.parameters\.binary_data_size: Input should be a valid integer",
    ),
    "shared memory": (
        tensor(data=None, parameters={"shared_memory_region": "mine"}),
        "shared memory is not supported",
    ),
    "other size": (decoded(shape=[1, 3, 3, 3]), r"or UINT8 \[N, 2, 2, 3\]"),
    "channels first": (decoded(shape=[1, 3, 2, 2]), r"is UINT8 \[1, 3, 2, 2\]"),
    "not a batch": (decoded(shape=[2, 2, 3]), r"is UINT8 \[2, 2, 3\]"),
    "too few levels": (decoded(data=[0]), "has 1 value, but 12 according to its shape"),
    "level 256": (decoded(data=[256] * 12), "whole numbers from 0 to 255"),
    "level -1": (decoded(data=[-1] * 12), "whole numbers from 0 to 255"),
    "fractions": (decoded(data=[0.5] * 12), "whole numbers from 0 to 255"),
    "NaN": (decoded(data=[float("nan")] * 12), "whole numbers from 0 to 255"),
    "infinity": (decoded(data=[float("inf")] * 12), "whole numbers from 0 to 255"),
    "texts": (decoded(data=["0"] * 12), "whole numbers from 0 to 255"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_an_input_that_does_not_fit_is_refused(name: str) -> None:
    bad_input, message = BAD_INPUTS[name]
    with pytest.raises(MalformedRequest, match=message) as refused:
        read(request(bad_input))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the JSON of the request is invalid: Invalid JSON: EOF"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON: recursion limit exceeded"),
        (b"[]", "Input should be an object"),
        (b"null", "Input should be an object"),
        (b"{}", "inputs: Field required"),
        (request(), "has one input, `images`; the request has none"),
        (request(tensor(), tensor()), "the request has `images`, `images`"),
        (request(tensor(), tensor(name="mask")), "the request has `images`, `mask`"),
        (request(*[tensor()] * 17), "inputs: List should have at most 16"),
        ({"inputs": tensor()}, "inputs: Input should be a valid array"),
        ({"inputs": [7]}, r"inputs\.0: Input should be an object"),
        (request(tensor(), id=7), "id: Input should be a valid string"),
        (request(tensor(), id="x" * 257), "id: String should have at most 256 characters"),
        (request(tensor(), parameters=[]), "parameters: Input should be an object"),
        (
            request(tensor(), parameters={"binary_data_output": "yes"}),
            r"parameters\.binary_data_output: Input should be a valid boolean",
        ),
        (request(tensor(), outputs=["label"]), r"outputs\.0: Input should be an object"),
        (
            request(tensor(), outputs=[{"name": "scores"}]),
            "'scores' is unknown; request `probabilities`, `label` at most once each",
        ),
        (request(tensor(), outputs=[{"name": "label"}] * 2), "'label' is requested twice"),
        (
            request(tensor(), outputs=[{"name": "label", "parameters": {"classification": 3}}]),
            "classification and shared memory are not supported",
        ),
    ],
)
def test_a_malformed_request_is_refused(content: Any, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message) as refused:
        read(content)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("header_length", "message"),
    [
        ("", "is '', not a number"),
        ("-1", "is '-1', not a number"),
        ("0x10", "not a number"),
        ("\u0663", "not a number"),
        ("9" * 5000, "is '9{40}', not a number"),
        ("99999", "is 99,999, more than the length of the body"),
        ("0", "Invalid JSON"),
        ("10", "Invalid JSON"),
        (None, "Invalid JSON"),
    ],
)
def test_a_wrong_header_length_is_refused(header_length: str | None, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        read(request(tensor(data=None, parameters=SIZED)), RAW, header_length)


@pytest.mark.parametrize("size", range(len(RAW)))
def test_binary_data_cut_short_is_refused(size: int) -> None:
    content = request(tensor(data=None, parameters=SIZED))
    length = str(len(json.dumps(content)))
    with pytest.raises(MalformedRequest, match=f"is 14, but .* after the JSON is {size};"):
        read(content, RAW[:size], length)


def test_extra_binary_data_is_refused() -> None:
    with pytest.raises(MalformedRequest, match=r"is 14, but .* after the JSON is 15;"):
        read(request(tensor(data=None, parameters=SIZED)), RAW + b"x")
    with pytest.raises(MalformedRequest, match=r"is absent, but .* after the JSON is 1;"):
        read(request(tensor()), b"x")


def test_elements_must_fill_the_binary_data() -> None:
    content = request(tensor(data=None, shape=[1], parameters=SIZED))
    with pytest.raises(MalformedRequest, match="7 bytes of binary data after its last picture"):
        read(content, RAW)
    too_few = decoded(data=None, parameters={"binary_data_size": 11})
    with pytest.raises(MalformedRequest, match="has 11 values, but 12 according to its shape"):
        read(request(too_few), bytes(11))


def test_large_json_is_refused_with_a_remedy() -> None:
    with pytest.raises(MalformedRequest, match="send the tensor as binary data after the JSON"):
        read(b" " * (MAX_JSON_BYTES + 1))


@pytest.mark.parametrize("value", [b"1,", b"[],", b"[[[[]]]],", b"{},"])
def test_json_values_are_limited_and_long_strings_are_not(value: bytes) -> None:
    values = value * (MAX_JSON_VALUES // (value.count(b"[") + value.count(b"{") + 1) + 1)
    with pytest.raises(MalformedRequest, match="more than 600,000 values; send the tensor as"):
        read(b'{"inputs":[' + values + b"1]}")
    text = base64.b64encode(bytes(1_000_000)).decode()
    assert read(request(tensor(shape=[1], data=[text]))).pictures == [bytes(1_000_000)]


def test_a_request_for_tensorflow_serving_is_recognised() -> None:
    with pytest.raises(MalformedRequest, match=r"inputs: .*not `instances` .Tensor"):
        read(b'{"instances": [{"b64": "YWJj"}]}')
