"""Read pictures from a request, within limits: from multipart fields, the raw body or JSON.

Bodies are kept in memory and never written to temporary files. Text in a field for pictures is an
error. BentoML's own file inputs are not used, because they would fetch such text as a URL.
"""

from __future__ import annotations

import functools
import re
from email.message import Message
from typing import Final

from starlette.requests import Request

from service.errors import (
    MalformedRequest,
    MissingField,
    PayloadTooLarge,
    RequestError,
    UnsupportedMediaType,
)
from service.http.uploads.body import read_body, stream_body
from service.http.uploads.hints import find_encoding_hint
from service.http.uploads.multipart import Part, read_form
from service.http.uploads.picture_json import picture_in_json
from service.server.upload_quota import Upload
from service.settings import Settings

_MAX_CONTENT_TYPE_CHARACTERS: Final = 512
"""Requests whose Content-Type header is longer are refused, because parsing a header with thousands
of semicolons would block the event loop."""
_JSON: Final = re.compile(r"(application|text)/(\S+\+)?json")
_AS_JSON: Final = 'JSON {"image": "<base64>"} as application/json'


async def read_picture(request: Request, settings: Settings, upload: Upload) -> bytes:
    """Read the picture of a request: from the multipart field `image`, JSON, or the raw body.

    Raises:
        PayloadTooLarge: the body, the picture or the number of pictures exceeds its limit.
        Overloaded: the body would exceed the upload quota of the process.
        UnsupportedMediaType: the content type is not supported, or the body is compressed.
        MissingField: the request has no content type, or contains no picture.
        MalformedRequest: the body does not match its content type, or the Content-Type header is
            too long.
        ClientDisconnected: the client disconnected.
    """
    media_type = _media_type(request)
    if media_type == "multipart/form-data":
        (picture,) = await _read_multipart(request, settings, upload, "image", max_pictures=1)
        return check_size(picture, settings)
    if media_type.startswith("image/") or media_type == "application/octet-stream":
        limit_bytes = min(settings.max_image_bytes, settings.max_request_bytes)
        return await read_body(request, limit_bytes, upload)
    if _JSON.fullmatch(media_type):
        # Base64 writes 3 bytes as 4 characters, plus line breaks.
        limit_bytes = min(settings.max_image_bytes * 3 // 2 + 65_536, settings.max_request_bytes)
        body = await read_body(request, limit_bytes, upload)
        return check_size(picture_in_json(body), settings)
    raise _wrong_media_type(
        media_type,
        f"send the multipart field `image`, {_AS_JSON}, or the picture as the body with its "
        "content type (with curl: --data-binary @FILE -H 'Content-Type: image/jpeg')",
    )


async def read_pictures(request: Request, settings: Settings, upload: Upload) -> list[bytes]:
    """Read the multipart fields `images` of a request, in order.

    The size of the body is checked, but not the size of each picture: see `check_size`.

    Raises:
        PayloadTooLarge: the body or the number of pictures exceeds its limit.
        Overloaded: the body would exceed the upload quota of the process.
        UnsupportedMediaType: the content type is not supported, or the body is compressed.
        MissingField: the request has no content type, or contains no picture.
        MalformedRequest: the body does not match its content type, or the Content-Type header is
            too long.
        ClientDisconnected: the client disconnected.
    """
    media_type = _media_type(request)
    if media_type != "multipart/form-data":
        raise _wrong_media_type(
            media_type,
            "send each picture in a multipart field `images` (with curl: -F images=@FILE for "
            "each); /predict also accepts one picture as the body or as JSON",
        )
    return await _read_multipart(request, settings, upload, "images", settings.max_pictures)


def check_size(data: bytes, settings: Settings) -> bytes:
    """Return `data` unchanged, or raise PayloadTooLarge if it exceeds `max_image_bytes`."""
    if len(data) > settings.max_image_bytes:
        raise PayloadTooLarge(
            f"the picture has {len(data):,} bytes; at most {settings.max_image_bytes:,} "
            "are accepted: send a smaller picture"
        )
    return data


def _media_type(request: Request) -> str:
    header = request.headers.get("content-type", "")
    if len(header) > _MAX_CONTENT_TYPE_CHARACTERS:
        raise MalformedRequest(
            f"the Content-Type header has more than {_MAX_CONTENT_TYPE_CHARACTERS} characters; "
            "let the client library set this header"
        )
    return _parsed(header)


@functools.lru_cache(maxsize=64)
def _parsed(header: str) -> str:
    message = Message()
    message["content-type"] = header
    return message.get_content_type() if header else ""


def _wrong_media_type(media_type: str, remedy: str) -> RequestError:
    if not media_type:
        return MissingField(f"the request has no content type; {remedy}")
    return UnsupportedMediaType(f"this content type is not accepted; {remedy}")


async def _read_multipart(
    request: Request, settings: Settings, upload: Upload, field: str, max_pictures: int
) -> list[bytes]:
    body = stream_body(request, settings.max_request_bytes, upload)
    parts = await read_form(request.headers["content-type"], body, field, max_pictures)
    pictures = [part for part in parts if part.name == field]
    others = [part for part in parts if part.name != field and _is_file(part)]
    if not pictures:
        remedy = (
            f"another field holds a file: rename it to `{field}`"
            if others
            else f"send the picture in this field (with curl: -F {field}=@FILE)"
        )
        raise MissingField(f"the request has no multipart field `{field}`; {remedy}")
    if others:
        raise PayloadTooLarge(
            f"the form has {len(others)} file{'s' * (len(others) > 1)} in fields other than "
            f"`{field}`; send all pictures in `{field}`, and no other files"
        )
    return [_content(part) for part in pictures]


def _is_file(part: Part) -> bool:
    """Return whether a part is a non-empty file that is not declared as text.

    Browsers send an empty file if the user has chosen no file.
    """
    is_file = part.has_filename or bool(part.media_type)
    return is_file and not part.is_textual and any(part.pieces)


def _content(part: Part) -> bytes:
    """Return the bytes of the picture in a part of a form.

    Raises:
        MissingField: the part is text, not a file. A part is a file if it has a file name, or a
            content type that is not textual, or if its bytes are not UTF-8.
        MalformedRequest: the Content-Transfer-Encoding of the part is unknown, or does not match
            the content.
    """
    content = part.content()
    is_file = part.has_filename or (part.media_type and not part.is_textual)
    if is_file or not _is_utf8(content):
        return content
    found = find_encoding_hint(content)
    raise MissingField(
        f"multipart field `{part.name}` holds text, not a file; with curl, put @ before the file "
        f"name: -F {part.name}=@leaf.jpg{found and f'; {found}'}"
    )


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
