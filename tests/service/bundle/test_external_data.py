from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from service.bundle.external_data import refers_to_external_data
from service.errors import BundleError

BOOLEAN = [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])]
OUTPUT = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])]


def tensor(name: str = "w") -> TensorProto:
    return numpy_helper.from_array(np.arange(4, dtype=np.float32), name)


def external_tensor(name: str = "w") -> TensorProto:
    weight = tensor(name)
    external_data_helper.set_external_data(weight, "/etc/passwd")
    weight.ClearField("raw_data")
    return weight


def graph(name: str, weight: TensorProto, form: str) -> onnx.GraphProto:
    """A graph whose output `y` is the weight, stored as an initializer or in a Constant node."""
    if form == "initializer":
        node = helper.make_node("Identity", [weight.name], ["y"])
        return helper.make_graph([node], name, [], OUTPUT, [weight])
    node = helper.make_node("Constant", [], ["y"], value=weight)
    return helper.make_graph([node], name, [], OUTPUT)


def in_branch(inner: onnx.GraphProto) -> onnx.GraphProto:
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inner, else_branch=inner)
    return helper.make_graph([node], "outer", BOOLEAN, OUTPUT)


def in_list(weight: TensorProto) -> onnx.GraphProto:
    """A graph with a node that has a list of tensors as an attribute."""
    node = helper.make_node("Made", [], ["y"], domain="own")
    node.attribute.append(helper.make_attribute("tensors", [tensor("a"), weight]))
    return helper.make_graph([node], "outer", [], OUTPUT)


def in_graphs(inner: onnx.GraphProto) -> onnx.GraphProto:
    node = helper.make_node("Made", [], ["y"], domain="own")
    node.attribute.append(helper.make_attribute("graphs", [inner]))
    return helper.make_graph([node], "outer", [], OUTPUT)


def in_sparse(weight: TensorProto, part: str) -> onnx.GraphProto:
    index = numpy_helper.from_array(np.arange(4), "index")
    values, indices = (weight, index) if part == "values" else (tensor(), weight)
    sparse = onnx.SparseTensorProto(values=values, indices=indices, dims=[4])
    return helper.make_graph([], "outer", [], OUTPUT, sparse_initializer=[sparse])


FORMS = {
    "initializer": lambda w: helper.make_model(graph("g", w, "initializer")),
    "attribute": lambda w: helper.make_model(graph("g", w, "constant")),
    "list of tensors": lambda w: helper.make_model(in_list(w)),
    "initializer of a subgraph": lambda w: helper.make_model(
        in_branch(graph("g", w, "initializer"))
    ),
    "attribute of a subgraph's subgraph": lambda w: helper.make_model(
        in_branch(in_branch(graph("g", w, "constant")))
    ),
    "list of graphs": lambda w: helper.make_model(in_graphs(graph("g", w, "initializer"))),
    "sparse values": lambda w: helper.make_model(in_sparse(w, "values")),
    "sparse indices": lambda w: helper.make_model(in_sparse(w, "indices")),
    "function": lambda w: helper.make_model(
        helper.make_graph([helper.make_node("Made", [], ["y"], domain="own")], "g", [], OUTPUT),
        functions=[
            helper.make_function(
                "own",
                "Made",
                [],
                ["y"],
                [helper.make_node("Constant", [], ["y"], value=w)],
                [helper.make_opsetid("", 17)],
            )
        ],
    ),
    "training": lambda w: onnx.ModelProto(
        training_info=[onnx.TrainingInfoProto(algorithm=graph("g", w, "initializer"))]
    ),
}


def save(model: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_an_external_tensor_is_found_in_every_place(tmp_path: Path, form: str) -> None:
    assert refers_to_external_data(save(FORMS[form](external_tensor()), tmp_path / "m.onnx"))
    assert not refers_to_external_data(save(FORMS[form](tensor()), tmp_path / "m.onnx"))


@pytest.mark.parametrize("form", ["initializer", "attribute", "initializer of a subgraph"])
def test_the_result_agrees_with_the_onnx_package(tmp_path: Path, form: str) -> None:
    """Compares them for models that onnx saves with external data, and as one file."""
    for external in (True, False):
        onnx.save(
            FORMS[form](tensor()),
            tmp_path / "m.onnx",
            save_as_external_data=external,
            size_threshold=0,
            convert_attribute=True,
            location=f"weights-{external}",
        )
        model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
        tensors = external_data_helper._get_all_tensors(model)
        expected = any(map(external_data_helper.uses_external_data, tensors))
        assert refers_to_external_data(tmp_path / "m.onnx") == expected


def test_either_mark_of_external_data_is_sufficient(tmp_path: Path) -> None:
    location, entries = tensor(), tensor()
    location.data_location = TensorProto.EXTERNAL
    entries.external_data.add(key="location", value="x")
    for weight in (location, entries):
        assert refers_to_external_data(save(FORMS["initializer"](weight), tmp_path / "m.onnx"))


def field(number: int, payload: bytes, key_extra: int = 0) -> bytes:
    """A length-delimited protobuf field; `key_extra` sets bits that a 32-bit reader drops."""
    return varint((number << 3 | 2) + key_extra) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    output = b""
    while value > 0x7F:
        output += bytes([value & 0x7F | 0x80])
        value >>= 7
    return output + bytes([value])


def test_padded_numbers_do_not_hide_external_data(tmp_path: Path) -> None:
    external_location = varint(14 << 3) + b"\x81\x00"  # 1, in two bytes
    padded = tmp_path / "padded.onnx"
    padded.write_bytes(field(7, field(5, external_location)))
    assert onnx.load_model_from_string(padded.read_bytes()).graph.initializer[0].data_location == 1
    assert refers_to_external_data(padded)


def test_field_number_beyond_32_bits_is_refused(tmp_path: Path) -> None:
    """Protobuf readers that keep only 32 bits of the number would read another field."""
    path = tmp_path / "m.onnx"
    path.write_bytes(field(7, field(5, field(13, b"", key_extra=1 << 32))))
    with pytest.raises(BundleError, match="not an ONNX model"):
        refers_to_external_data(path)


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").touch()
    with pytest.raises(BundleError, match=r"m\.onnx is empty"):
        refers_to_external_data(tmp_path / "m.onnx")


def test_model_cut_short_is_refused(tmp_path: Path) -> None:
    content = FORMS["initializer"](tensor()).SerializeToString()
    refused = 0
    for length in range(1, len(content)):
        (tmp_path / "m.onnx").write_bytes(content[:length])
        try:
            assert not refers_to_external_data(tmp_path / "m.onnx")
        except BundleError:
            refused += 1
    assert refused > 0.9 * len(content)  # a cut between two fields leaves a well-formed message


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    payload = b""
    for _ in range(2000):
        payload = field(1, field(5, field(6, payload)))  # graph > node > attribute > graph
    (tmp_path / "m.onnx").write_bytes(field(7, payload))
    with pytest.raises(BundleError, match="not an ONNX model"):
        refers_to_external_data(tmp_path / "m.onnx")


def test_garbage_raises_no_other_error(tmp_path: Path) -> None:
    rng = random.Random(3)
    content = FORMS["initializer of a subgraph"](tensor()).SerializeToString()
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        candidate = bytes(damaged) if rng.random() < 0.7 else rng.randbytes(64)
        (tmp_path / "m.onnx").write_bytes(candidate)
        try:
            refers_to_external_data(tmp_path / "m.onnx")
        except BundleError:
            refused += 1
    assert refused > 50
