"""What a model may be called, in words, and what to type in place of what it may not."""

from __future__ import annotations

import re
import unicodedata

PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
_LONGEST = 63
_RULE = (
    f"a name has at most {_LONGEST} characters, lower-case letters, digits and . _ -, and begins "
    "and ends with a letter or a digit"
)


def explain(name: str) -> str:
    """The rule, and the name that is most like this one, if it has any letter that may stay."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    usable = re.sub(r"[^a-z0-9._]+", "-", plain)[:_LONGEST].strip(".-_")
    return f"{_RULE}; e.g. --name {usable}" if usable else _RULE
