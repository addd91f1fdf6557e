"""What bytes that are no picture seem to be, and what their sender has to change.

Asked only when a picture was refused, so that a good one costs nothing.
"""

from __future__ import annotations

import re
from typing import Final

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{60,}")
_LEAST: Final = 256
"""Bytes; one of twenty files of so many random bytes has neither zero nor line end."""
_STRIPPED: Final = (b"\0", b"\r", b"\n")
_HEAD: Final = 512
_AS_JSON: Final = 'send it as JSON, {"image": "..."}, to /predict, or the bytes that it stands for'


def with_hint(refusal: str, data: bytes) -> str:
    """A decoder's refusal of some bytes, behind what to change where that is known."""
    seems = hint(data)
    return f"{seems} ({refusal})" if seems else refusal


def hint(data: bytes) -> str:
    """What to change; "" where nothing is known.

    Args:
        data: what came in the place of a picture.
    """
    if seems := encoding_of(data):
        return seems
    if 0 < len(data) < _HEAD and _is_text(data):
        return "it is a text; to send a file, curl wants an @ before its name"
    if len(data) >= _LEAST and not any(byte in data for byte in _STRIPPED):
        return "with curl use --data-binary @FILE: --data or -d takes zeros and line ends out"
    return ""


def encoding_of(data: bytes) -> str:
    """What the bytes are packed in, with what to change; "" where nothing is known."""
    start = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"\x1f\x8b"):
        return "it is compressed by gzip: send it uncompressed"
    if start[:5].lower() == b"data:":
        return f"it is a data URL: {_AS_JSON}"
    if start.startswith(b"{"):
        return "it is JSON: send it to /predict with Content-Type: application/json"
    if b"<html" in start.lower():
        return "it is a web page, perhaps of a login or of an error: look at the file"
    if _BASE64.match(start):
        return f"it is a base64 text: {_AS_JSON}"
    return ""


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False
