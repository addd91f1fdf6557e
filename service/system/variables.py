"""Environment variables that are probably meant to be settings, but have another name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from service.errors import SettingError

PREFIX: Final = "GRAFT_"
_MIN_SIMILARITY: Final = 0.9
"""An unknown name is a misspelt setting if `difflib` rates the similarity at least this high."""
_SECRET: Final = re.compile(r"KEY|TOKEN|AUTH|SECRET|PASS|PWD|CRED|BEARER|LOGIN|JWT|VERIFY")
"""An unknown GRAFT* variable with such a word in its name is refused: it may be meant as a key."""
_KUBERNETES: Final = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$"
)
"""Variables with these endings are ignored: Kubernetes sets them, e.g. GRAFT_AUTH_SERVICE_HOST."""


def refuse_typing_error(name: str, names: Sequence[str]) -> None:
    """Raise SettingError if the unknown variable `name` is probably meant to be a setting.

    Args:
        names: the variables of all settings.
    """
    upper = name.upper()
    if not upper.startswith(PREFIX.rstrip("_")) or _KUBERNETES.search(upper):
        return
    matches = get_close_matches(upper, names, 1, _MIN_SIMILARITY)
    if not matches and _SECRET.search(upper):
        matches = [f"{PREFIX}API_KEYS"]
    if matches:
        raise SettingError(
            f"{name} is not a setting; did you mean {matches[0]}? Rename the variable, or unset it"
        )
