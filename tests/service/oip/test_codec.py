"""Bytes and headers of the Open Inference Protocol, without a server."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import Manifest
from service.errors import MalformedRequest
from service.oip.codec import (
    HEADER_LENGTH,
    MAX_JSON_BYTES,
    MAX_JSON_VALUES,
    ParsedRequest,
    metadata,
    parse,
    serialise,
)
from service.oip.tensors import joined

SIZE = 2
LEVELS = SIZE * SIZE * 3
LABELS = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]], np.float32)


def tensor(**changes: Any) -> dict[str, Any]:
    """An input of two encoded pictures, in JSON."""
    data = [base64.b64encode(one).decode() for one in (b"one", b"two")]
    given = {"name": "images", "datatype": "BYTES", "shape": [2], "data": data, **changes}
    return {name: value for name, value in given.items() if value is not None}


def levels(**changes: Any) -> dict[str, Any]:
    """An input of one picture as the model takes it, in JSON."""
    shape = [1, SIZE, SIZE, 3]
    return tensor(**{"datatype": "UINT8", "shape": shape, "data": [*range(LEVELS)], **changes})


def request(*inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"inputs": [*inputs], **more}


def read(content: Any, behind: bytes = b"", header_length: str | None = "right") -> ParsedRequest:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    length = str(len(text)) if behind and header_length == "right" else header_length
    return parse(text + behind, None if length == "right" else length, SIZE, max_pictures=3)


# What is read


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_encoded_pictures_in_json_are_base64(shape: list[int]) -> None:
    question = read(request(tensor(shape=shape)))
    assert question.pictures == [b"one", b"two"]
    assert question.id is None
    assert question.outputs == {"probabilities": False, "label": False}


def test_data_may_be_nested() -> None:
    assert read(request(tensor(shape=[2, 1], data=[["b25l"], ["dHdv"]]))).pictures[0] == b"one"
    nested = np.arange(LEVELS).reshape(1, SIZE, SIZE, 3).tolist()
    ((one,), (other,)) = (
        read(request(levels(data=data))).pictures for data in (nested, [*range(LEVELS)])
    )
    assert np.array_equal(one, other)


def test_decoded_pictures_keep_their_shape_and_order() -> None:
    given = np.arange(2 * LEVELS, dtype=np.uint8).reshape(2, SIZE, SIZE, 3)
    in_json = read(request(levels(shape=[*given.shape], data=given.ravel().tolist())))
    size = {"binary_data_size": given.nbytes}
    as_bytes = read(
        request(levels(shape=[*given.shape], data=None, parameters=size)), given.tobytes()
    )
    for question in (in_json, as_bytes):
        assert np.array_equal(np.stack(question.pictures), given)  # type: ignore[arg-type]
        assert all(picture.dtype == np.uint8 for picture in question.pictures)  # type: ignore[union-attr]


def test_encoded_pictures_come_as_bytes_behind_the_json() -> None:
    raw = b"\3\0\0\0one\5\0\0\0\0\xff{}\n"
    size = {"binary_data_size": len(raw)}
    assert read(request(tensor(data=None, parameters=size)), raw).pictures == [
        b"one",
        b"\0\xff{}\n",
    ]


def test_header_length_may_be_there_without_bytes_behind() -> None:
    content = json.dumps(request(tensor())).encode()
    assert len(read(content, header_length=str(len(content))).pictures) == 2


def test_null_is_as_good_as_absent() -> None:
    """MLServer's client writes what it was not given as null."""
    plain = request({**tensor(), "parameters": None}, id=None, parameters=None, outputs=None)
    assert read(plain).outputs == {"probabilities": False, "label": False}
    asked = [{"name": "label", "parameters": None}]
    assert read(request(tensor(), outputs=asked)).outputs == {"label": False}


def test_what_is_unknown_to_us_is_ignored() -> None:
    more = {"parameters": {"priority": 3, "mine": [1]}, "hello": None}
    unknown = tensor(parameters={"content_type": "base64"}, comment="x")
    assert len(read(request(unknown, **more)).pictures) == 2


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
def test_outputs_are_those_asked_for(
    outputs: Any, default: bool, expected: dict[str, bool]
) -> None:
    more = {} if outputs is None else {"outputs": outputs}
    parameters = {"binary_data_output": default}
    found = read(request(tensor(), parameters=parameters, **more)).outputs
    assert list(found.items()) == list(expected.items())


# What is refused

RAW = joined(["one", "two"])
SIZED = {"binary_data_size": len(RAW)}
BAD_INPUTS: dict[str, tuple[dict[str, Any], str]] = {
    "another input": (tensor(name="image"), "has one input, `images`; the request has `image`"),
    "long name": (tensor(name="x" * 9999), r"the request has `x{80}`$"),
    "no name": (tensor(name=None), r"inputs\.0\.name: Field required"),
    "name is a number": (tensor(name=3), r"inputs\.0\.name: Input should be a valid string"),
    "no shape": (tensor(shape=None), r"inputs\.0\.shape: Field required"),
    "empty shape": (tensor(shape=[]), r"BYTES \[\]; the model takes BYTES \[N\] or \[N, 1\]"),
    "scalar shape": (tensor(shape=2), r"inputs\.0\.shape: Input should be a valid array"),
    "two a row": (tensor(shape=[1, 2]), r"is BYTES \[1, 2\]; the model takes"),
    "shape of a fraction": (tensor(shape=[2.0]), r"inputs\.0\.shape\.0: Input should be a valid"),
    "shape of true": (tensor(shape=[True]), r"inputs\.0\.shape\.0: Input should be a valid int"),
    "endless shape": (tensor(shape=[1] * 10_000), r"inputs\.0\.shape: List should have at most 16"),
    "no picture": (tensor(shape=[0], data=[]), "holds 0 pictures; 1 to 3 are accepted"),
    "negative": (tensor(shape=[-1]), "holds -1 pictures"),
    "too many": (tensor(shape=[4]), "holds 4 pictures; 1 to 3 are accepted"),
    "huge": (tensor(shape=[10**30]), r"holds 10{30} pictures"),
    "fewer than the shape": (tensor(shape=[3]), "holds 2 pictures, but its shape says 3"),
    "more than the shape": (tensor(shape=[1]), "holds 2 pictures, but its shape says 1"),
    "datatype": (tensor(datatype="FP32"), r"is FP32 \[2\]; the model takes BYTES"),
    "no datatype": (tensor(datatype=None), r"inputs\.0\.datatype: Field required"),
    "no base64": (tensor(data=["b25l", "***"]), "picture 1 of `images` is no base64 text"),
    "numbers as BYTES": (tensor(data=[1, 2]), "picture 0 of `images` is no base64 text"),
    "text as data": (tensor(data="b25l"), r"inputs\.0\.data: Input should be a valid array"),
    "no data": (tensor(data=None), "either `data` or the parameter binary_data_size"),
    "both": (tensor(parameters=SIZED), "either `data` or the parameter binary_data_size"),
    "size without bytes": (
        tensor(data=None, parameters=SIZED),
        "has 14 bytes of binary data, but 0 bytes follow",
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
        "shared memory is not offered",
    ),
    "other size": (levels(shape=[1, 3, 3, 3]), r"or UINT8 \[N, 2, 2, 3\]"),
    "channels first": (levels(shape=[1, 3, 2, 2]), r"is UINT8 \[1, 3, 2, 2\]"),
    "not a batch": (levels(shape=[2, 2, 3]), r"is UINT8 \[2, 2, 3\]"),
    "too few levels": (levels(data=[0]), "holds 1 levels, but its shape says 12"),
    "level 256": (levels(data=[256] * 12), "whole numbers from 0 to 255"),
    "level -1": (levels(data=[-1] * 12), "whole numbers from 0 to 255"),
    "fractions": (levels(data=[0.5] * 12), "whole numbers from 0 to 255"),
    "NaN": (levels(data=[float("nan")] * 12), "whole numbers from 0 to 255"),
    "infinity": (levels(data=[float("inf")] * 12), "whole numbers from 0 to 255"),
    "texts": (levels(data=["0"] * 12), "whole numbers from 0 to 255"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_an_input_that_does_not_fit_is_refused(name: str) -> None:
    given, message = BAD_INPUTS[name]
    with pytest.raises(MalformedRequest, match=message) as refused:
        read(request(given))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the JSON of the request: Invalid JSON: EOF"),
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
        (request(tensor(), outputs=[{"name": "scores"}]), "'scores' is not known; there are `pro"),
        (request(tensor(), outputs=[{"name": "label"}] * 2), "'label' is asked for twice"),
        (
            request(tensor(), outputs=[{"name": "label", "parameters": {"classification": 3}}]),
            "neither classification nor shared memory is offered",
        ),
    ],
)
def test_a_request_that_is_none_is_refused(content: Any, message: str) -> None:
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
        ("99999", "is 99,999, but the body has"),
        ("0", "Invalid JSON"),
        ("10", "Invalid JSON"),
        (None, "Invalid JSON"),
    ],
)
def test_a_header_length_that_lies_is_refused(header_length: str | None, message: str) -> None:
    with pytest.raises(MalformedRequest, match=message):
        read(request(tensor(data=None, parameters=SIZED)), RAW, header_length)


@pytest.mark.parametrize("kept", range(len(RAW)))
def test_binary_data_that_is_cut_is_refused(kept: int) -> None:
    content = request(tensor(data=None, parameters=SIZED))
    length = str(len(json.dumps(content)))
    with pytest.raises(MalformedRequest, match=f"14 bytes of binary data, but {kept} bytes follow"):
        read(content, RAW[:kept], length)


def test_bytes_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(MalformedRequest, match="14 bytes of binary data, but 15 bytes follow"):
        read(request(tensor(data=None, parameters=SIZED)), RAW + b"x")
    with pytest.raises(MalformedRequest, match="0 bytes of binary data, but 1 bytes follow"):
        read(request(tensor()), b"x")


def test_elements_must_fill_the_binary_data() -> None:
    content = request(tensor(data=None, shape=[1], parameters=SIZED))
    with pytest.raises(MalformedRequest, match="7 bytes of binary data are left after the 1"):
        read(content, RAW)
    too_few = levels(data=None, parameters={"binary_data_size": 11})
    with pytest.raises(MalformedRequest, match="holds 11 levels, but its shape says 12"):
        read(request(too_few), bytes(11))


def test_json_is_limited_and_says_what_to_do_instead() -> None:
    with pytest.raises(MalformedRequest, match="send tensors as binary data behind it"):
        read(b" " * (MAX_JSON_BYTES + 1))


@pytest.mark.parametrize("value", [b"1,", b"[],", b"[[[[]]]],", b"{},"])
def test_values_are_limited_and_text_is_not(value: bytes) -> None:
    many = value * (MAX_JSON_VALUES // (value.count(b"[") + value.count(b"{") + 1) + 1)
    with pytest.raises(MalformedRequest, match="more than 600,000 values; send tensors as binary"):
        read(b'{"inputs":[' + many + b"1]}")
    text = base64.b64encode(bytes(1_000_000)).decode()
    assert read(request(tensor(shape=[1], data=[text]))).pictures == [bytes(1_000_000)]


def test_the_protocol_of_others_is_told_apart() -> None:
    with pytest.raises(MalformedRequest, match=r"inputs: .*`instances` is of TensorFlow Serving"):
        read(b'{"instances": [{"b64": "YWJj"}]}')


# What is answered


def answer(outputs: dict[str, bool], manifest: Manifest, identity: str | None = None) -> Any:
    return serialise(ParsedRequest(identity, [], outputs), manifest, LABELS)


def test_answer_in_json(manifest: Manifest) -> None:
    body, headers = answer({"probabilities": False, "label": False}, manifest, "\u00fc-7")
    assert headers == {"Content-Type": "application/json"}
    assert json.loads(body) == {
        "model_name": "tiny",
        "model_version": manifest.version,
        "id": "\u00fc-7",
        "outputs": [
            {
                "name": "probabilities",
                "datatype": "FP32",
                "shape": [2, 3],
                "data": LABELS.ravel().tolist(),
            },
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["green", "red"]},
        ],
    }


def test_answer_behind_the_json(manifest: Manifest) -> None:
    body, headers = answer({"label": True, "probabilities": True}, manifest)
    assert headers["Content-Type"] == "application/octet-stream"
    end = int(headers[HEADER_LENGTH])
    content = json.loads(body[:end])
    assert "id" not in content
    sizes = [output["parameters"]["binary_data_size"] for output in content["outputs"]]
    assert sizes == [4 + 5 + 4 + 3, 24]
    assert not any("data" in output for output in content["outputs"])
    assert body[end:] == b"\5\0\0\0green\3\0\0\0red" + LABELS.tobytes()


def test_answer_of_both_kinds(manifest: Manifest) -> None:
    body, headers = answer({"probabilities": True, "label": False}, manifest)
    end = int(headers[HEADER_LENGTH])
    first, second = json.loads(body[:end])["outputs"]
    assert first["parameters"] == {"binary_data_size": 24}
    assert second["data"] == ["green", "red"]
    assert np.array_equal(np.frombuffer(body[end:], "<f4"), LABELS.ravel())


def test_the_best_few_come_in_order_where_they_are_asked_for(manifest: Manifest) -> None:
    outputs = {"probabilities": False, "label": False}
    body, _ = serialise(ParsedRequest(None, [], outputs), manifest, LABELS, top_k=2)
    probabilities, label = json.loads(body)["outputs"]
    assert probabilities["shape"] == label["shape"] == [2, 2]
    rows = [sorted(row, reverse=True)[:2] for row in LABELS.tolist()]
    assert probabilities["data"] == [value for row in rows for value in row]
    best = [manifest.classes[index] for index in np.argsort(-LABELS, axis=1)[:, :2].ravel()]
    assert label["data"] == best
    assert best[::2] == ["green", "red"]


def test_json_keeps_every_bit(manifest: Manifest) -> None:
    given = np.random.default_rng(0).random((50, 3), np.float32)
    body, _ = serialise(ParsedRequest(None, [], {"probabilities": False}), manifest, given)
    read_back = np.array(json.loads(body)["outputs"][0]["data"], np.float32).reshape(50, 3)
    assert read_back.tobytes() == given.tobytes()


def test_metadata_declares_what_tools_can_make_up_and_tells_the_rest(manifest: Manifest) -> None:
    shown = metadata(manifest, 32)
    assert shown["name"] == "tiny"
    assert shown["versions"] == [manifest.version]
    assert shown["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, 32, 32, 3]}]
    assert {out["name"]: out["shape"] for out in shown["outputs"]} == {
        "probabilities": [-1, 3],
        "label": [-1],
    }
    assert "BYTES [N]" in shown["parameters"]["images"]
    assert json.loads(shown["parameters"]["classes"]) == list(manifest.classes)
    allowed = (str, int, float, bool)
    assert all(isinstance(value, allowed) for value in shown["parameters"].values())
