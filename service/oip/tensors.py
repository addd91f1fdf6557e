"""Convert the tensors of the Open Inference Protocol from and to JSON lists and binary data."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from service.errors import MalformedRequest
from service.http.uploads import base64_text

_LENGTH = struct.Struct("<I")
"""Format of the length that precedes each element in the binary data of a BYTES tensor."""


def flatten(values: list[Any]) -> list[Any]:
    """Return the values of a tensor's JSON data as a flat list; `values` may be nested lists."""
    while values and all(isinstance(value, list) for value in values):
        values = list(chain.from_iterable(values))
    return values


def from_base64(texts: list[Any]) -> Iterator[bytes]:
    """Yield the decoded elements of a BYTES tensor that was sent in JSON.

    Raises:
        MalformedRequest: an element is not a base64 string.
    """
    for index, text in enumerate(texts):
        try:
            yield base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            reason = base64_text.explain_invalid_base64(text) if isinstance(text, str) else ""
            raise MalformedRequest(
                f"`images[{index}]` is not base64: "
                f"{reason or 'in JSON, encode the bytes of each picture as base64'}"
            ) from None


def from_integers(values: list[Any]) -> bytes:
    """Return the bytes of a UINT8 tensor that was sent in JSON.

    Raises:
        MalformedRequest: an element is not an integer from 0 to 255.
    """
    try:
        if set(map(type, values)) <= {int}:  # `bytes` alone would accept True as well
            return bytes(values)
    except ValueError:
        pass
    raise MalformedRequest("`images`: UINT8 data must be whole numbers from 0 to 255")


def deserialise_bytes_tensor(raw: memoryview, count: int) -> Iterator[bytes]:
    """Yield the elements of a BYTES tensor that was sent as binary data.

    Each element is preceded by its length, a little-endian uint32.

    Raises:
        MalformedRequest: the data holds more or fewer than `count` elements.
    """
    start = 0
    for index in range(count):
        end = start + _LENGTH.size
        if end <= len(raw):
            start, end = end, end + _LENGTH.unpack_from(raw, start)[0]
        if end > len(raw):
            raise MalformedRequest(
                f"the binary data ends within `images[{index}]`; before each picture, send its "
                "length as 4 bytes (little-endian)"
            )
        yield bytes(raw[start:end])
        start = end
    if start < len(raw):
        extra = len(raw) - start
        raise MalformedRequest(
            f"`images` has {extra:,} byte{'s' * (extra != 1)} of binary data after its last "
            "picture; correct the data or the shape"
        )


def serialise_bytes_tensor(texts: Iterable[str]) -> bytes:
    """Return the binary data of a BYTES tensor that contains texts, encoded as UTF-8."""
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(element)) + element for element in encoded)
