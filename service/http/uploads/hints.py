"""Hints for clients whose data is not a picture: what the data seems to be, and what to change.

Hints are computed only after the data was refused, so that valid pictures take no extra time.
"""

from __future__ import annotations

import re
from typing import Final

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{60,}")
_MIN_STRIPPED_BYTES: Final = 256
"""Data with fewer bytes is not checked for missing zero bytes and line breaks, because short random
data often contains none of them. At this size, the probability is 5%."""
_STRIPPED: Final = (b"\0", b"\r", b"\n")
"""Bytes that `curl --data` removes from a file."""
_SNIFFED_BYTES: Final = 512
"""Encodings such as base64 are detected in this many bytes at the start of the data. Only shorter
data can be reported as text."""
_SEND_AS_JSON: Final = 'send it as JSON, {"image": "..."}, to /predict, or send the decoded bytes'


def with_hint(message: str, data: bytes, *, is_file: bool = False) -> str:
    """Return the decoder's error message, after a hint about `data` if there is one.

    Args:
        message: the error message.
        data: the bytes that were sent instead of a picture.
        is_file: whether they surely are a whole file, as in a form; then only the encoding of the
            file can be wrong.
    """
    found = find_encoding_hint(data) if is_file else find_hint(data)
    return f"{found} ({message})" if found else message


def find_hint(data: bytes) -> str:
    """Return what the bytes seem to be, and what to change; "" if unknown.

    Args:
        data: the bytes that were sent instead of a picture.
    """
    if found := find_encoding_hint(data):
        return found
    if 0 < len(data) < _SNIFFED_BYTES and _is_text(data):
        return "the data is text; to send a file with curl, put @ before the file name"
    if len(data) >= _MIN_STRIPPED_BYTES and not any(byte in data for byte in _STRIPPED):
        return (
            "zero bytes and line breaks seem to be missing from the data; with curl, use "
            "--data-binary @FILE, because --data and -d remove them"
        )
    return ""


def find_encoding_hint(data: bytes) -> str:
    """Return how the bytes are encoded or wrapped, and what to change; "" if unknown."""
    start = data[:_SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"\x1f\x8b"):
        return "the data is compressed with gzip: send it uncompressed"
    if start[:5].lower() == b"data:":
        return f"the data is a data URL: {_SEND_AS_JSON}"
    if start.startswith(b"{"):
        return "the data is JSON: send it to /predict with Content-Type: application/json"
    if b"<html" in start.lower():
        return "the data is a web page, perhaps a login or error page: open the file to check"
    if _BASE64.match(start):
        return f"the data is base64: {_SEND_AS_JSON}"
    return ""


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable()
    except UnicodeDecodeError:
        return False
