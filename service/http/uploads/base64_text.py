"""Decode pictures that are sent as text: base64 in its common variants, and data URLs."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_DATA_URL: Final = re.compile(r"\s*data:[^,]{0,200},", re.IGNORECASE)
_URL: Final = re.compile(r"\s*(https?|ftp|file|s3|gs|blob):", re.IGNORECASE)
_TO_STANDARD: Final = str.maketrans("-_", "+/", " \t\r\n\v\f")
"""Translation table that converts base64url (RFC 4648, section 5) to base64 and removes whitespace.
Removing whitespace with `str.split` instead could take gigabytes of memory."""


def decode(text: str) -> bytes:
    """Decode base64 or a data URL. Whitespace, missing padding and base64url are accepted.

    Raises:
        ValueError: the text is neither base64 nor a data URL with base64. The message has no
            subject, such as "is not base64: ..."; the caller puts the subject before it.
    """
    if is_url(text):
        raise ValueError("holds a URL, which this service does not fetch: send the picture itself")
    prefix = _DATA_URL.match(text)
    if prefix and not prefix[0].rstrip(", ").lower().endswith(";base64"):
        raise ValueError("holds a data URL that is not base64: send data:image/...;base64,...")
    letters = text[prefix.end() if prefix else 0 :].translate(_TO_STANDARD).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64: encode the bytes of the picture as base64") from None


def is_url(text: str) -> bool:
    """Return whether the text starts with the scheme of a URL, such as http: or s3:.

    The result is False for a data URL.
    """
    return bool(_URL.match(text))


def explain_invalid_base64(text: str) -> str:
    """Return why a text is not strict base64 and what to change; "" if the reason is unknown."""
    if _DATA_URL.match(text):
        return "it is a data URL: send only the text after its comma"
    if is_url(text):
        return "it is a URL, which this service does not fetch: send the picture itself"
    if len(text.split(maxsplit=1)) > 1 or text != text.strip():
        return "it contains spaces or line breaks: remove them (base64 -w0 writes none)"
    if "-" in text or "_" in text:
        return "it is base64url: replace - with + and _ with /"
    if len(text) % 4:
        return "it was cut short, or its padding (=) is missing: encode the picture again"
    return ""
