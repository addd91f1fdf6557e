"""multipart/form-data (RFC 7578): a body in chunks -> its parts; all in memory, whole or refused.

The parser is python-multipart's. It takes a body that ends anywhere for a whole one, and knows
neither what comes before the first boundary nor encodings of parts: these are seen to here.
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.errors import MalformedRequest, PayloadTooLarge

_MAX_OTHER_PARTS: Final = 16
_MAX_PREAMBLE_BYTES: Final = 65_536
_EXTENDED_NAME = re.compile(rb";\s*filename\*(0\*?)?\s*=", re.IGNORECASE)
"""A file name of RFC 5987 or 2231; urllib3 below 1.25 sends those beyond ASCII so, and only so."""
_LAST_NAME = re.compile(rb';\s*name\s*=\s*"([^"]*)"\s*$', re.IGNORECASE)
"""Behind a file name that ends in a backslash, which browsers do not escape."""


@dataclass
class Part:
    """One part of a form.

    Attributes:
        name: of the field.
        is_named: whether there is a file name, be it empty.
        media_type: of the part's own Content-Type, in lower case; "" without one.
    """

    name: str = ""
    is_named: bool = False
    media_type: str = ""
    encoding: str = ""
    pieces: list[bytes] = field(default_factory=list)

    @property
    def is_textual(self) -> bool:
        return self.media_type.startswith("text/") or self.media_type == "application/json"

    def content(self) -> bytes:
        """The bytes of the part; MalformedRequest where they do not follow their encoding."""
        content = b"".join(self.pieces)
        match self.encoding:
            case "" | "binary" | "8bit" | "7bit":
                return content
            case "quoted-printable":
                return quopri.decodestring(content)
            case "base64":
                try:
                    return base64.b64decode(content.translate(None, b" \t\r\n"), validate=True)
                except binascii.Error:
                    raise _malformed("a part says that it is base64, and is not") from None
        raise _malformed("a part has a Content-Transfer-Encoding that is not known here")


async def read_form(
    content_type: str, chunks: AsyncIterator[bytes], wanted: str, most: int
) -> list[Part]:
    """All parts of a form, in order.

    Args:
        content_type: of the request, with its boundary.
        wanted: name of the parts that are asked for.
        most: most parts of that name.

    Raises:
        MalformedRequest: it is no such form, does not come to its end, or has too many other parts.
        PayloadTooLarge: it has more parts of that name.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise _malformed("the content type names no boundary (let the client library write it)")
    reader = _Reader(wanted, most)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        beginning: bytes | None = b""
        async for chunk in chunks:
            if beginning is None:
                parser.write(chunk)
            elif begun := _from_first_boundary(beginning := beginning + chunk, boundary):
                parser.write(begun)
                beginning = None
    except FormParserError:
        raise _malformed(reader.why_it_stopped()) from None
    if beginning is not None:
        raise _malformed(
            "the boundary that its content type names is not in it" if beginning else "it is empty"
        )
    if not reader.is_complete:
        raise _malformed("it ends before its closing boundary: it was cut short on its way")
    return reader.parts


def _from_first_boundary(start: bytes, boundary: bytes) -> bytes:
    """What a body holds from its first boundary on; empty where that has not come yet."""
    first = b"--" + boundary
    at = 0 if start.startswith(first) else start.find(b"\n" + first) + 1
    if at or start.startswith(first):
        return start[at:]
    if len(start) > _MAX_PREAMBLE_BYTES:
        raise _malformed("the boundary that the content type names does not begin it")
    return b""


class _Reader:
    """What the parser calls, part by part."""

    def __init__(self, wanted: str, most: int) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._wanted = wanted
        self._left, self._others_left = most, _MAX_OTHER_PARTS
        self._most = most
        self._name, self._value = b"", b""
        self._is_described = False

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end")
        ours = {f"on_{name}": getattr(self, name) for name in (*names, "headers_finished")}
        return {**ours, "on_end": self.end}

    def part_begin(self) -> None:
        self.parts.append(Part())
        self._is_described = False

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        part, value = self.parts[-1], self._value
        match self._name.strip().lower():
            case b"content-disposition":
                self._is_described = _describe(part, value)
            case b"content-type":
                part.media_type = _token(value.partition(b";")[0])
            case b"content-transfer-encoding":
                part.encoding = _token(value)
        self._name, self._value = b"", b""

    def headers_finished(self) -> None:
        if not self._is_described:
            raise _malformed('a part has no Content-Disposition with a name="..."')
        if self.parts[-1].name == self._wanted:
            self._left -= 1
        else:
            self._others_left -= 1
        if self._left < 0:
            plural = "picture is" if self._most == 1 else "pictures are"
            raise PayloadTooLarge(
                f"at most {self._most} {plural} accepted in `{self._wanted}` of one request"
            )
        if self._others_left < 0:
            raise _malformed(f"it has more than {_MAX_OTHER_PARTS} fields beside `{self._wanted}`")

    def end(self) -> None:
        self.is_complete = True

    def why_it_stopped(self) -> str:
        """By how far it came: a part begins behind the first boundary's line."""
        if not self.parts:
            return "its lines do not end in CR LF, as those of a form must"
        return "a part's header is damaged or too long"


def _describe(part: Part, disposition: bytes) -> bool:
    """Take name and file name; whether there is a name. Texts are UTF-8, whatever the form says:
    400 KB as `punycode` take Python 20 s.
    """
    options = parse_options_header(disposition)[1]
    part.is_named = b"filename" in options or bool(_EXTENDED_NAME.search(disposition))
    name = options.get(b"name")
    if name is None and (behind := _LAST_NAME.search(disposition)):
        name = behind[1]
    part.name = (name or b"").decode("utf-8", "replace")
    return name is not None


def _token(value: bytes) -> str:
    return value.decode("latin-1").strip().lower()


def _malformed(reason: str) -> MalformedRequest:
    return MalformedRequest(f"the multipart body cannot be read: {reason}")
