"""API keys: who may ask, where GRAFT_API_KEYS or GRAFT_API_KEYS_FILE names any."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.errors import SettingError, Unauthorized


class Keys:
    """Accepted keys; none accepted means that everybody may ask."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Digests are of one length, so a comparison tells nothing about a key, its length included.
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Mapping[str, str]) -> None:
        """Look for a key in `Authorization: Bearer KEY` and in `X-API-Key: KEY`.

        One right key of the two is enough: a proxy may have put a token of its own into the other.

        Raises:
            Unauthorized: keys are asked for, and none or another was sent.
        """
        if not self._digests:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = [bearer] if scheme.lower() == "bearer" else []
        sent.append(headers.get("x-api-key", ""))
        digests = [_digest(key.strip()) for key in sent]
        # Always all.
        matches = [hmac.compare_digest(one, known) for one in digests for known in self._digests]
        if not any(matches):
            raise Unauthorized(
                "this service asks for a key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )


def split_keys(text: str) -> list[str]:
    """The keys in a text, which commas separate; a key may have blanks inside.

    Raises:
        ValueError: there is none, or one that headers do not carry; no key is quoted.
    """
    return _accepted(text.split(","))


def read_keys(path: Path) -> list[str]:
    """The keys in a file, one a line; a key may have blanks and commas inside. Lines that begin
    with # are comments: a key that was commented out must not open the door.

    Raises:
        SettingError: it cannot be read, holds no key, or one that headers do not carry.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return _accepted([line for line in lines if not line.startswith("#")])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingError(f"GRAFT_API_KEYS_FILE: {path} cannot be read: {reason}") from None
    except ValueError as error:
        raise SettingError(f"GRAFT_API_KEYS_FILE: {path} {error}") from None


def _accepted(texts: Iterable[str]) -> list[str]:
    keys = [key for text in texts if (key := text.strip())]
    if not keys:
        raise ValueError("holds no key, so everybody could ask; name one, or leave it unset")
    for key in keys:
        if not key.isascii():  # clients send other letters as UTF-8 or Latin-1, as they like
            raise ValueError(
                "has a key with other characters than ASCII, which headers do not carry"
            )
        if not key.isprintable():
            raise ValueError("has a key with a control character, which headers do not carry")
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
