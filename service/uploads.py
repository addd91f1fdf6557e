"""Bytes of pictures out of a request: multipart fields or a raw body, within limits.

Everything stays in memory and inside the limits: no temporary file, and a text in a file field is
an error (BentoML's own file inputs would fetch it as an address).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator
from email.message import Message
from pathlib import Path
from typing import Annotated, Any, Self

import bentoml
from bentoml.validators import ContentType
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import (
    ClientGone,
    MalformedRequest,
    MissingField,
    PayloadTooLarge,
    RequestError,
    UnsupportedMediaType,
)
from service.settings import Settings
from service.upload_room import Take

_MAX_OTHER_FIELDS = 16
_MAX_CONTENT_TYPE = 512
_DISCARD_BYTES, _DISCARD_SECONDS = 128 * 1024 * 1024, 5.0

_Picture = Annotated[Path, ContentType("image/*")]


# These describe the forms in Swagger, docstrings included, and hand the request over unread.


class PictureUpload(bentoml.IODescriptor):
    """One picture."""

    image: _Picture

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(image=request)  # type: ignore[no-any-return]


class PicturesUpload(bentoml.IODescriptor):
    """Several pictures, each in a field of its own."""

    images: list[_Picture]

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Self:
        return cls.model_construct(images=request)  # type: ignore[no-any-return]


async def read_picture(request: Request, settings: Settings, take: Take) -> bytes:
    """The one picture of a request: multipart field `image`, or the body itself.

    Raises:
        PayloadTooLarge, UnsupportedMediaType, MissingField, MalformedRequest, ClientGone,
            Overloaded.
    """
    media_type = _media_type(request)
    if media_type == "multipart/form-data":
        pictures = await _read_multipart(request, settings, take, "image", most=1)
        return checked(pictures[0], settings)
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        limit = min(settings.max_image_bytes, settings.max_request_bytes)
        return b"".join([chunk async for chunk in _limited(request, limit, take)])
    raise _unexpected(
        media_type,
        "send multipart field `image`, or the picture as the body with its content type "
        "(with curl: -H 'Content-Type: image/jpeg')",
    )


async def read_pictures(request: Request, settings: Settings, take: Take) -> list[bytes]:
    """What a multipart request's `images` fields hold, in order, too large ones too: see `checked`.

    Raises:
        PayloadTooLarge, UnsupportedMediaType, MissingField, MalformedRequest, ClientGone,
            Overloaded.
    """
    media_type = _media_type(request)
    if media_type != "multipart/form-data":
        raise _unexpected(media_type, "send one or more multipart fields `images`")
    return await _read_multipart(request, settings, take, "images", settings.max_pictures)


async def read_body(request: Request, settings: Settings, take: Take) -> bytes:
    """The whole body, as it came.

    Raises:
        PayloadTooLarge, UnsupportedMediaType (it is compressed), ClientGone, Overloaded.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise UnsupportedMediaType(
            f"content encoding {encoding[:40]!r} is not accepted; send the body uncompressed"
        )
    return b"".join([chunk async for chunk in _limited(request, settings.max_request_bytes, take)])


async def discard_rest(request: Request, *, is_closing: bool = False) -> None:
    """Before a refusal after which the connection closes: read the rest of the body, within limits.

    A server that answers and closes with bytes unread resets the connection, and clients that
    send first and read afterwards, as Python's urllib does, would never see the answer. On a
    connection that stays open the answer goes at once, and the server reads on.

    Args:
        is_closing: the answer will close it, whatever the client asked for.
    """
    if not (is_closing or _closes(request)):
        return
    received = 0
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for chunk in request.stream():
                received += len(chunk)
                if received > _DISCARD_BYTES:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was all read
        return


def _closes(request: Request) -> bool:
    """Whether the client asks for the connection's end after the answer."""
    options = ",".join(request.headers.getlist("connection")).lower().split(",")
    return request.scope["http_version"] == "1.0" or "close" in map(str.strip, options)


def _media_type(request: Request) -> str:
    """Raises MalformedRequest where it is too long: 60,000 semicolons take 0.16 s to parse."""
    header = request.headers.get("content-type", "")
    if len(header) > _MAX_CONTENT_TYPE:
        raise MalformedRequest(f"the content type has more than {_MAX_CONTENT_TYPE} characters")
    return _parsed(header)


@functools.lru_cache(maxsize=64)
def _parsed(header: str) -> str:
    message = Message()
    message["content-type"] = header
    return message.get_content_type() if header else ""


class _FormParser(MultiPartParser):
    """Reads texts as UTF-8, whatever the form says: 400 KB as `punycode` take Python 20 s."""

    @property
    def _charset(self) -> str:
        return "utf-8"

    @_charset.setter
    def _charset(self, named: str) -> None:
        pass


def _unexpected(media_type: str, remedy: str) -> RequestError:
    if not media_type:
        return MissingField(f"the request has no content type; {remedy}")
    return UnsupportedMediaType(f"this content type is not accepted; {remedy}")


def checked(data: bytes, settings: Settings) -> bytes:
    """The bytes of a picture, where they are not too many; else PayloadTooLarge."""
    if len(data) > settings.max_image_bytes:
        raise PayloadTooLarge(
            f"the picture has {len(data):,} bytes; at most {settings.max_image_bytes:,} "
            "are accepted"
        )
    return data


async def _read_multipart(
    request: Request, settings: Settings, take: Take, field: str, most: int
) -> list[bytes]:
    limit = settings.max_request_bytes
    parser = _FormParser(
        request.headers,
        _limited(request, limit, take),
        max_files=most + 1,  # one more, so that the message can be ours
        max_fields=_MAX_OTHER_FIELDS,
        max_part_size=settings.max_request_bytes,
    )
    parser.spool_max_size = limit + 1  # above the limit of the stream: never written to a disk
    try:
        form = await parser.parse()
    except (MultiPartException, UnicodeError, KeyError) as error:
        if "Too many files" in str(error):
            raise _too_many(field, most) from None
        # Other errors quote what was sent.
        known = isinstance(error, MultiPartException)
        reason = str(error) if known else "a part's header is damaged"
        raise MalformedRequest(f"the multipart body cannot be read: {reason}") from error
    try:
        values = form.getlist(field)
        if not values:
            raise MissingField(f"no multipart field `{field}` in the request")
        if len(values) > most:
            raise _too_many(field, most)
        return [await _read_part(value, field) for value in values]
    finally:
        await form.close()


async def _read_part(value: UploadFile | str, field: str) -> bytes:
    if isinstance(value, str):
        raise MissingField(
            f"multipart field `{field}` holds text where a file is expected "
            "(with curl: -F image=@leaf.jpg, with the @)"
        )
    return await value.read()


def _too_many(field: str, most: int) -> PayloadTooLarge:
    plural = "picture is" if most == 1 else "pictures are"
    return PayloadTooLarge(f"at most {most} {plural} accepted in `{field}` of one request")


async def _limited(request: Request, limit: int, take: Take) -> AsyncGenerator[bytes, None]:
    """The body's chunks, until there are more bytes than `limit`; what was announced counts."""
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
            take(len(chunk))
            yield chunk
    except ClientDisconnect:
        raise ClientGone("the client went away in the middle of the request") from None
