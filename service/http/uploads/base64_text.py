"""Pictures in texts: base64 as people write it, and data URLs."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_DATA_URL: Final = re.compile(r"\s*data:[^,]{0,200},", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\s*(https?|ftp|file|s3|gs|blob):", re.IGNORECASE)
_STANDARD: Final = str.maketrans("-_", "+/", " \t\r\n\v\f")
"""base64url (RFC 4648, section 5) to base64, without blanks and line ends. Splitting at them would
make an object of each piece: 66 MB of `AA ` took 3 GB."""


def from_text(text: str) -> bytes:
    """The bytes that a base64 text or a data URL holds.

    Lines, missing padding and the alphabet for URLs are understood.

    Raises:
        ValueError: it is none; says what it is instead.
    """
    if is_address(text):
        raise ValueError("holds an address, and nothing is fetched: send the picture itself")
    head = _DATA_URL.match(text)
    if head and not head[0].rstrip(", ").lower().endswith(";base64"):
        raise ValueError("holds a data URL that is not base64 (data:image/...;base64,...)")
    letters = text[head.end() if head else 0 :].translate(_STANDARD).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("holds no base64 text") from None


def is_address(text: str) -> bool:
    return bool(_ADDRESS.match(text))


def habit(text: str) -> str:
    """How a text that is no strict base64 came to be, with what to change; "" where unknown."""
    if _DATA_URL.match(text):
        return "it is a data URL: send only what follows its comma"
    if is_address(text):
        return "it is an address, and nothing is fetched: send the picture itself"
    if len(text.split(maxsplit=1)) > 1 or text != text.strip():
        return "it has blanks or line ends in it (base64 -w0 writes none): take them out"
    if "-" in text or "_" in text:
        return "it is base64 for URLs: write + and / for - and _"
    if len(text) % 4:
        return "it was cut short, or its padding (=) is missing"
    return ""
