"""API keys: who may use the service, if GRAFT_API_KEYS or GRAFT_API_KEYS_FILE names any."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.errors import SettingError, Unauthorized


class ApiKeys:
    """The accepted keys; without any, every request is accepted."""

    def __init__(self, keys: Iterable[str]) -> None:
        # All digests have one length, so that the time of a comparison says nothing about a key.
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Mapping[str, str]) -> None:
        """Look for a key in `Authorization: Bearer KEY` and in `X-API-Key: KEY`.

        One accepted key is enough: a proxy may use the other header for a token of its own.

        Raises:
            Unauthorized: keys are set, and the request has none of them.
        """
        if not self._digests:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = [bearer] if scheme.lower() == "bearer" else []
        sent.append(headers.get("x-api-key", ""))
        digests = [_digest(key.strip()) for key in sent]
        # A list, not a generator: every request takes the same number of comparisons.
        matches = [
            hmac.compare_digest(digest, accepted)
            for digest in digests
            for accepted in self._digests
        ]
        if not any(matches):
            raise Unauthorized(
                "this service asks for a key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )


def split_keys(text: str) -> list[str]:
    """Split a text at its commas into keys; a key may contain spaces.

    Raises:
        ValueError: there is no key, or one that headers cannot carry; the text is not quoted.
    """
    return _validated(text.split(","))


def read_keys(path: Path) -> list[str]:
    """Read the keys in a file, one per line; a key may contain spaces and commas.

    Lines that start with # are comments, so that a key can be commented out.

    Raises:
        SettingError: the file cannot be read, holds no key, or one that headers cannot carry.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return _validated([line for line in lines if not line.startswith("#")])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise SettingError(f"GRAFT_API_KEYS_FILE: {path} cannot be read: {reason}") from None
    except ValueError as error:
        raise SettingError(f"GRAFT_API_KEYS_FILE: {path} {error}") from None


def _validated(texts: Iterable[str]) -> list[str]:
    keys = [key for text in texts if (key := text.strip())]
    if not keys:
        raise ValueError(
            "holds no key, and without keys everybody may use the service; add a key, or leave the "
            "setting unset"
        )
    for key in keys:
        if not key.isascii():  # clients disagree: some send UTF-8, others Latin-1
            raise ValueError(
                "has a key with a character outside ASCII, which headers cannot carry; choose "
                "another key"
            )
        if not key.isprintable():
            raise ValueError(
                "has a key with a control character, which headers cannot carry; choose another key"
            )
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
