"""What a tensor of the Open Inference Protocol holds: lists of JSON, or bytes; never trusted."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from service.errors import MalformedRequest
from service.http.uploads.base64_text import habit

_LENGTH = struct.Struct("<I")


def flat(values: list[Any]) -> list[Any]:
    """The values of a tensor in JSON, which may come nested or in one list."""
    while values and all(isinstance(value, list) for value in values):
        values = list(chain.from_iterable(values))
    return values


def from_base64(texts: list[Any]) -> Iterator[bytes]:
    """The elements of a BYTES tensor in JSON; each must be a base64 text."""
    for index, text in enumerate(texts):
        try:
            yield base64.b64decode(text, validate=True)
        except (TypeError, ValueError):
            seems = habit(text) if isinstance(text, str) else ""
            raise MalformedRequest(
                f"picture {index} of `images` is no base64 text: "
                f"{seems or 'in JSON, BYTES are sent as base64'}"
            ) from None


def from_numbers(values: list[Any]) -> bytes:
    """The elements of a UINT8 tensor in JSON; each must be a whole number, 0..255."""
    try:
        if set(map(type, values)) <= {int}:  # true would do for a 1, and 2.0 is not
            return bytes(values)
    except ValueError:
        pass
    raise MalformedRequest("`images`: UINT8 data must be whole numbers from 0 to 255")


def split(raw: memoryview, count: int) -> Iterator[bytes]:
    """The elements of a binary BYTES tensor: each its length as uint32, little endian, then it."""
    start = 0
    for index in range(count):
        end = start + _LENGTH.size
        if end <= len(raw):
            start, end = end, end + _LENGTH.unpack_from(raw, start)[0]
        if end > len(raw):
            raise MalformedRequest(
                f"the binary data of `images` ends within picture {index} of {count}, each of "
                "which is 4 bytes with its length (little endian) and itself"
            )
        yield bytes(raw[start:end])
        start = end
    if start < len(raw):
        raise MalformedRequest(
            f"{len(raw) - start:,} bytes of binary data are left after the {count} pictures that "
            "the shape of `images` says"
        )


def joined(texts: Iterable[str]) -> bytes:
    """The binary BYTES tensor of some texts, as UTF-8."""
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(one)) + one for one in encoded)
