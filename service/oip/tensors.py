"""The elements of tensors in the Open Inference Protocol: JSON lists, or bytes after the JSON."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from service.errors import MalformedRequest
from service.http.uploads import base64_text

_LENGTH = struct.Struct("<I")


def flatten(values: list[Any]) -> list[Any]:
    """Flatten the data of a tensor in JSON, which may be nested lists or one list."""
    while values and all(isinstance(value, list) for value in values):
        values = list(chain.from_iterable(values))
    return values


def from_base64(texts: list[Any]) -> Iterator[bytes]:
    """Decode the elements of a BYTES tensor in JSON; each must be a base64 string."""
    for index, text in enumerate(texts):
        try:
            yield base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            reason = base64_text.explain_invalid_base64(text) if isinstance(text, str) else ""
            raise MalformedRequest(
                f"picture {index} of `images` is not base64: "
                f"{reason or 'in JSON, BYTES are sent as base64'}"
            ) from None


def from_integers(values: list[Any]) -> bytes:
    """Convert the elements of a UINT8 tensor in JSON; each must be an integer, 0..255."""
    try:
        if set(map(type, values)) <= {int}:  # `bytes` would accept True as well
            return bytes(values)
    except ValueError:
        pass
    raise MalformedRequest("`images`: UINT8 data must be whole numbers from 0 to 255")


def deserialise_bytes_tensor(raw: memoryview, count: int) -> Iterator[bytes]:
    """Split a binary BYTES tensor: each element follows its length, a little-endian uint32."""
    start = 0
    for index in range(count):
        end = start + _LENGTH.size
        if end <= len(raw):
            start, end = end, end + _LENGTH.unpack_from(raw, start)[0]
        if end > len(raw):
            raise MalformedRequest(
                f"the binary data of `images` ends within picture {index} of {count}; each picture "
                "follows its length in 4 bytes (little endian)"
            )
        yield bytes(raw[start:end])
        start = end
    if start < len(raw):
        raise MalformedRequest(
            f"{len(raw) - start:,} bytes of binary data are left after the {count} pictures in "
            "the shape of `images`"
        )


def serialise_bytes_tensor(texts: Iterable[str]) -> bytes:
    """Write texts as a binary BYTES tensor, in UTF-8."""
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(element)) + element for element in encoded)
