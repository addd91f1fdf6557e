"""Hints for senders of bytes that are no picture: what they seem to be, and what to change.

Computed only after a picture was refused, so that good pictures cost nothing.
"""

from __future__ import annotations

import re
from typing import Final

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{60,}")
_STRIPPED_LEAST_BYTES: Final = 256
"""Of random files of this size, one in twenty contains neither a zero nor a line break."""
_STRIPPED: Final = (b"\0", b"\r", b"\n")
_HEAD_BYTES: Final = 512
_SEND_AS_JSON: Final = 'send it as JSON, {"image": "..."}, to /predict, or send the decoded bytes'


def with_hint(message: str, data: bytes) -> str:
    """Put the hint about some bytes, if there is one, before a decoder's message about them."""
    found = find_hint(data)
    return f"{found} ({message})" if found else message


def find_hint(data: bytes) -> str:
    """Say what the bytes seem to be and what to change; "" if that is unknown.

    Args:
        data: what was sent in place of a picture.
    """
    if found := find_encoding_hint(data):
        return found
    if 0 < len(data) < _HEAD_BYTES and _is_text(data):
        return "it is text; to send a file, curl needs an @ before its name"
    if len(data) >= _STRIPPED_LEAST_BYTES and not any(byte in data for byte in _STRIPPED):
        return "with curl use --data-binary @FILE: --data and -d remove zeros and line breaks"
    return ""


def find_encoding_hint(data: bytes) -> str:
    """Say what the bytes are encoded or wrapped in and what to change; "" if that is unknown."""
    start = data[:_HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip: send it uncompressed"
    if start[:5].lower() == b"data:":
        return f"it is a data URL: {_SEND_AS_JSON}"
    if start.startswith(b"{"):
        return "it is JSON: send it to /predict with Content-Type: application/json"
    if b"<html" in start.lower():
        return "it is a web page, perhaps a login or an error page: open the file to see"
    if _BASE64.match(start):
        return f"it is base64: {_SEND_AS_JSON}"
    return ""


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False
