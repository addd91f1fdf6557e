"""Detect ONNX files that store tensors in other files.

ONNX Runtime loads the other files from any path that the model names, even if the model itself is
passed as bytes. A checksum of the model file does not cover them. The serving image has no `onnx`
package, so this module parses the protobuf messages that lead to a tensor.
The field numbers are those of onnx.proto3 in ONNX 1.x. Later versions of the format cannot change
them, because the compatibility rules of protobuf forbid that.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from service.errors import BundleError

_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse_tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse_tensor",
        23: "sparse_tensor",
    },
    "sparse_tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""For each type of message: the numbers of the fields that can lead to a tensor, and the type of
message that each of these fields contains."""
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of TensorProto
_EXTERNAL = 1  # value of TensorProto.DataLocation


def refers_to_external_data(path: Path) -> bool:
    """Return whether any tensor of the ONNX file at `path` is stored in another file.

    Raises:
        BundleError: the file is empty, or not a well-formed protobuf message.
    """
    if path.stat().st_size == 0:
        raise BundleError(f"{path} is empty; copy the bundle again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _has_external(data, "model", 0, len(data))
        except (IndexError, ValueError, RecursionError) as error:
            raise BundleError(f"{path} is not an ONNX model; copy the bundle again") from error


def _has_external(data: mmap.mmap, message: str, start: int, end: int) -> bool:
    for field, value_start, value_end in _fields(data, start, end):
        is_location = message == "tensor" and field == _DATA_LOCATION
        if is_location and _varint(data, value_start)[0] == _EXTERNAL:
            return True
        if message == "tensor" and field == _EXTERNAL_DATA:
            return True
        child = _CHILDREN[message].get(field)
        if child and _has_external(data, child, value_start, value_end):
            return True
    return False


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start of its value, end of its value) for each field of a message.

    The message, in the wire format of protobuf, is `data[start:end]`.

    Raises:
        ValueError: a field is malformed.
        IndexError: the data ends within a field.
    """
    while start < end:
        key, start = _varint(data, start)
        wire_type = key & 7
        if wire_type == 2:
            length, start = _varint(data, start)
            stop = start + length
        elif wire_type == 0:
            _, stop = _varint(data, start)
        elif wire_type in (1, 5):
            stop = start + (8 if wire_type == 1 else 4)
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if key >> 32:  # a parser with 32-bit keys would read another field number
            raise ValueError("a field number is too large")
        if stop > end:
            raise ValueError("a field runs past the end of its message")
        yield key >> 3, start, stop
        start = stop


def _varint(data: mmap.mmap, start: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than 64 bits")
