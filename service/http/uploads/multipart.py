"""Parse a stream of multipart/form-data (RFC 7578) into its parts, in memory.

The parser is that of python-multipart. This module handles three cases that the parser does not:
it refuses bodies that are cut short, skips a preamble (text before the first boundary), and decodes
parts that have a Content-Transfer-Encoding.
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
_EXTENDED_FILENAME: Final = re.compile(rb";\s*filename\*(0\*?)?\s*=", re.IGNORECASE)
"""Matches the start of a file name in the syntax of RFC 5987 or RFC 2231. urllib3 before 1.25 uses
this syntax for file names that are not ASCII."""
_LAST_NAME: Final = re.compile(rb';\s*name\s*=\s*"([^"]*)"\s*$', re.IGNORECASE)
"""Matches a field name at the end of the header Content-Disposition. The parser does not find this
name if it follows a file name that ends in a backslash. Browsers do not escape the backslash, so
the parser treats the closing quote as part of the file name."""


@dataclass
class Part:
    """One part of a form.

    Attributes:
        name: name of the form field.
        has_filename: whether the part has a file name, even an empty one.
        media_type: the part's own Content-Type in lower case, without parameters; "" if absent.
        encoding: the part's Content-Transfer-Encoding in lower case; "" if absent.
        pieces: the content before decoding, in the pieces in which it arrived.
    """

    name: str = ""
    has_filename: bool = False
    media_type: str = ""
    encoding: str = ""
    pieces: list[bytes] = field(default_factory=list)

    @property
    def is_textual(self) -> bool:
        return self.media_type.startswith("text/") or self.media_type == "application/json"

    def content(self) -> bytes:
        """Return the decoded content.

        Raises:
            MalformedRequest: the encoding is unknown, or is base64 and the content is not.
        """
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
                    raise _malformed(
                        "a part is declared as base64, but its content is not base64; send it "
                        "without the header Content-Transfer-Encoding"
                    ) from None
        raise _malformed(
            "a part has an unknown Content-Transfer-Encoding; send it without this header"
        )


async def read_form(
    content_type: str, chunks: AsyncIterator[bytes], field_name: str, max_pictures: int
) -> list[Part]:
    """Read all parts of a form, in order.

    Args:
        content_type: the request's Content-Type header, which must name the boundary.
        chunks: the chunks of the request's body.
        field_name: name of the fields that hold pictures.
        max_pictures: the largest accepted number of fields named `field_name`.

    Raises:
        MalformedRequest: the body is not a form, is cut short, or has too many fields with names
            other than `field_name`.
        PayloadTooLarge: the form has more than `max_pictures` pictures.
        RequestError: any error that `chunks` raises.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise _malformed(
            "the Content-Type header names no boundary; let the client library set this header"
        )
    reader = _Reader(field_name, max_pictures)
    try:
        parser = MultipartParser(boundary, reader.callbacks())  # type: ignore[arg-type]
        preamble: bytes | None = b""  # None once the first boundary is found
        async for chunk in chunks:
            if preamble is None:
                parser.write(chunk)
            elif start := _from_first_boundary(preamble := preamble + chunk, boundary):
                parser.write(start)
                preamble = None
    except FormParserError:
        raise _malformed(reader.parser_problem()) from None
    if preamble is not None:
        raise _malformed(
            "it does not contain the boundary that the Content-Type header names; let the client "
            "library set this header"
            if preamble
            else "it is empty; send each picture as one of its parts"
        )
    if not reader.is_complete:
        raise _malformed(
            "it ends before its closing boundary, so it was probably cut short; send it again"
        )
    return reader.parts


def _from_first_boundary(body: bytes, boundary: bytes) -> bytes:
    """Return the body from its first boundary on; empty if this boundary has not arrived yet.

    Raises:
        MalformedRequest: more than `_MAX_PREAMBLE_BYTES` arrived without the first boundary.
    """
    delimiter = b"--" + boundary
    if body.startswith(delimiter):
        return body
    if start := body.find(b"\n" + delimiter) + 1:
        return body[start:]
    if len(body) > _MAX_PREAMBLE_BYTES:
        raise _malformed(
            "it does not start with the boundary that the Content-Type header names; let the "
            "client library set this header"
        )
    return b""


class _Reader:
    """Collects the parts of a form; its methods are the parser's callbacks."""

    def __init__(self, field_name: str, max_pictures: int) -> None:
        self.parts: list[Part] = []
        self.is_complete = False
        self._field_name, self._max_pictures = field_name, max_pictures
        self._pictures_left, self._others_left = max_pictures, _MAX_OTHER_PARTS
        self._header, self._value = b"", b""
        self._has_name = False

    def callbacks(self) -> dict[str, object]:
        names = ("part_begin", "part_data", "header_field", "header_value", "header_end")
        ours = {f"on_{name}": getattr(self, name) for name in (*names, "headers_finished")}
        return {**ours, "on_end": self.end}

    def part_begin(self) -> None:
        self.parts.append(Part())
        self._has_name = False

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].pieces.append(data[start:end])

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        part, value = self.parts[-1], self._value
        match self._header.strip().lower():
            case b"content-disposition":
                self._has_name = _read_disposition(part, value)
            case b"content-type":
                part.media_type = _token(value.partition(b";")[0])
            case b"content-transfer-encoding":
                part.encoding = _token(value)
        self._header, self._value = b"", b""

    def headers_finished(self) -> None:
        if not self._has_name:
            raise _malformed(
                'a part has no Content-Disposition header with a name="..."; give each part a name'
            )
        if self.parts[-1].name == self._field_name:
            self._pictures_left -= 1
        else:
            self._others_left -= 1
        if self._pictures_left < 0:
            plural = "picture is" if self._max_pictures == 1 else "pictures are"
            raise PayloadTooLarge(
                f"at most {self._max_pictures} {plural} accepted per request, in field "
                f"`{self._field_name}`; send the others in further requests"
            )
        if self._others_left < 0:
            raise _malformed(
                f"it has more than {_MAX_OTHER_PARTS} fields besides `{self._field_name}`; send "
                "fewer fields"
            )

    def end(self) -> None:
        self.is_complete = True

    def parser_problem(self) -> str:
        """Return why the parser failed, and what to change, for the error message.

        If there is no part yet, the parser failed at the first boundary. Otherwise, it failed in
        the headers of a part.
        """
        if not self.parts:
            return "its lines must end in CR LF"
        return "the headers of a part are damaged or too long; if the file name is long, shorten it"


def _read_disposition(part: Part, disposition: bytes) -> bool:
    """Set `part.name` and `part.has_filename`; return whether the field has a name.

    The name is decoded as UTF-8, even if the form declares another charset. A client could declare
    one that Python decodes very slowly, such as `punycode`.
    """
    options = parse_options_header(disposition)[1]
    part.has_filename = b"filename" in options or bool(_EXTENDED_FILENAME.search(disposition))
    name = options.get(b"name")
    if name is None and (match := _LAST_NAME.search(disposition)):
        name = match[1]
    part.name = (name or b"").decode("utf-8", "replace")
    return name is not None


def _token(value: bytes) -> str:
    return value.decode("latin-1").strip().lower()


def _malformed(reason: str) -> MalformedRequest:
    return MalformedRequest(f"the multipart body cannot be read: {reason}")
