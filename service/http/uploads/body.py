"""The bytes of a request's body, within limits; nothing is written to a disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from service.errors import ClientGone, PayloadTooLarge, UnsupportedMediaType
from service.server.upload_quota import Upload

_KNOWN: Final = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""Encodings that an answer may name: others would be a quotation."""


async def chunks(request: Request, limit: int, upload: Upload) -> AsyncGenerator[bytes, None]:
    """The body's chunks, as they come.

    Args:
        limit: most bytes; an announced length counts before a byte is read.
        upload: takes the room for each chunk.

    Raises:
        PayloadTooLarge, UnsupportedMediaType (it is compressed), ClientGone, Overloaded.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        named = f"content encoding {encoding!r}" if encoding in _KNOWN else "this content encoding"
        raise UnsupportedMediaType(f"{named} is not accepted; send the body uncompressed")
    message = f"the request body is larger than the {limit:,} bytes accepted"
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise PayloadTooLarge(message)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limit:
                raise PayloadTooLarge(message)
            upload.add(len(chunk))
            yield chunk
    except ClientDisconnect:
        raise ClientGone("the client went away in the middle of the request") from None


async def read_body(request: Request, limit: int, upload: Upload) -> bytes:
    """The whole body, as it came; raises as `chunks`."""
    return b"".join([chunk async for chunk in chunks(request, limit, upload)])
