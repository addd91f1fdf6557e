"""API keys: who may use the service if GRAFT_API_KEYS or GRAFT_API_KEYS_FILE is set."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path

from service.errors import SettingError, Unauthorized


class ApiKeys:
    """The accepted keys. If there are none, every request is accepted."""

    def __init__(self, keys: Iterable[str]) -> None:
        # All digests have the same length, so that the time of a comparison reveals nothing.
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Mapping[str, str]) -> None:
        """Check the keys in the headers `Authorization: Bearer KEY` and `X-API-Key: KEY`.

        One accepted key is enough, because a proxy may use the other header for its own token.

        Raises:
            Unauthorized: the service requires a key, and neither header contains an accepted key.
        """
        if not self._digests:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = [bearer] if scheme.lower() == "bearer" else []
        sent.append(headers.get("x-api-key", ""))
        digests = [_digest(key.strip()) for key in sent]
        # Not a generator: all comparisons are made, so their number reveals nothing.
        matches = [
            hmac.compare_digest(digest, accepted)
            for digest in digests
            for accepted in self._digests
        ]
        if not any(matches):
            raise Unauthorized(
                "this service requires an API key: send a valid key in the header "
                "`Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )


def split_keys(text: str) -> list[str]:
    """Split a comma-separated list of keys; a key may contain spaces.

    Raises:
        ValueError: there is no key, or a key has characters that HTTP headers cannot contain. The
            message does not reveal the keys.
    """
    return _validated(text.split(","))


def read_keys(path: Path) -> list[str]:
    """Read the keys in a file, one per line; a key may contain spaces and commas.

    Lines that start with # are comments.

    Raises:
        SettingError: the file cannot be read, there is no key in it, or a key has characters that
            HTTP headers cannot contain.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return _validated([line for line in lines if not line.startswith("#")])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(
            f"GRAFT_API_KEYS_FILE: {path} cannot be read ({reason}); set the variable to the path "
            "of a readable text file in UTF-8"
        ) from None
    except ValueError as error:
        raise SettingError(f"GRAFT_API_KEYS_FILE: {path} {error}") from None


def _validated(texts: Iterable[str]) -> list[str]:
    keys = [key for text in texts if (key := text.strip())]
    if not keys:
        raise ValueError(
            "contains no key; add a key, or unset the setting if everybody may use the service"
        )
    for key in keys:
        if not key.isascii():  # some clients would send it as UTF-8, others as Latin-1
            raise ValueError(
                "contains a key with a character outside ASCII, which HTTP headers cannot contain; "
                "choose another key"
            )
        if not key.isprintable():
            raise ValueError(
                "contains a key with a control character, which HTTP headers cannot contain; "
                "choose another key"
            )
    return keys


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
