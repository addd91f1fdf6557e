"""The bytes of a request's body, in memory and within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from service.errors import ClientDisconnected, PayloadTooLarge, UnsupportedMediaType
from service.server.upload_quota import Upload

_KNOWN_ENCODINGS: Final = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""Encodings that an error message may name: it never quotes other text of a client."""


async def stream_body(
    request: Request, limit_bytes: int, upload: Upload
) -> AsyncGenerator[bytes, None]:
    """Read the body chunk by chunk.

    Args:
        limit_bytes: the largest body; a larger Content-Length is refused before anything is read.
        upload: counts each chunk.

    Raises:
        PayloadTooLarge: the body is larger than the limit.
        UnsupportedMediaType: it is compressed.
        Overloaded: the upload quota is used up.
        ClientGone: the client disconnected.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        is_known = encoding in _KNOWN_ENCODINGS
        name = f"content encoding {encoding!r}" if is_known else "this content encoding"
        raise UnsupportedMediaType(f"{name} is not accepted; send the body uncompressed")
    message = f"the request body is larger than the {limit_bytes:,} bytes accepted"
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit_bytes:
        raise PayloadTooLarge(message)
    received_bytes = 0
    try:
        async for chunk in request.stream():
            received_bytes += len(chunk)
            if received_bytes > limit_bytes:
                raise PayloadTooLarge(message)
            upload.add(len(chunk))
            yield chunk
    except ClientDisconnect:
        raise ClientDisconnected("the client went away in the middle of the request") from None


async def read_body(request: Request, limit_bytes: int, upload: Upload) -> bytes:
    """Read the whole body; raises as `chunks`."""
    return b"".join([chunk async for chunk in stream_body(request, limit_bytes, upload)])
