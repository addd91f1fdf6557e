"""Read the body of a request into memory, within limits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import ClientDisconnect, Request

from service.errors import ClientDisconnected, PayloadTooLarge, UnsupportedMediaType
from service.server.upload_quota import Upload

_KNOWN_ENCODINGS: Final = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
"""Content encodings that the error message may name. It repeats no other value of the header
Content-Encoding."""


async def stream_body(
    request: Request, limit_bytes: int, upload: Upload
) -> AsyncGenerator[bytes, None]:
    """Yield the body of a request chunk by chunk.

    Args:
        request: the request, of whose body nothing has been read yet.
        limit_bytes: size of the largest accepted body. If Content-Length is larger, the request is
            refused before anything is read.
        upload: counts the bytes towards the upload quota.

    Raises:
        PayloadTooLarge: the body is larger than the limit.
        UnsupportedMediaType: the body is compressed.
        Overloaded: the body would exceed the upload quota of the process.
        ClientDisconnected: the client disconnected.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        is_known = encoding in _KNOWN_ENCODINGS
        name = f"content encoding {encoding!r}" if is_known else "this content encoding"
        raise UnsupportedMediaType(f"{name} is not accepted; send the body uncompressed")
    message = (
        f"the request body is too large; at most {limit_bytes:,} bytes are accepted: send smaller "
        "or fewer pictures"
    )
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
        raise ClientDisconnected(
            "the client disconnected before its request was complete"
        ) from None


async def read_body(request: Request, limit_bytes: int, upload: Upload) -> bytes:
    """Read the whole body of a request; raises the same errors as `stream_body`."""
    return b"".join([chunk async for chunk in stream_body(request, limit_bytes, upload)])
