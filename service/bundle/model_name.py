"""Valid names of models, and a suggestion for an invalid name."""

from __future__ import annotations

import re
import unicodedata

PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
_MAX_LENGTH = 63
_RULE = (
    f"a name has at most {_MAX_LENGTH} characters, which are lower-case letters, digits, `.`, `_` "
    "or `-`; it begins and ends with a letter or a digit"
)


def explain(name: str) -> str:
    """Return the rule for names, and a similar valid name if one can be made from `name`."""
    ascii_name = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    valid_name = re.sub(r"[^a-z0-9._]+", "-", ascii_name)[:_MAX_LENGTH].strip(".-_")
    return f"{_RULE}; for example --name {valid_name}" if valid_name else _RULE
