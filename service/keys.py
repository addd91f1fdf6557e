"""API keys: who may ask, where GRAFT_API_KEYS names any."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping

from service.errors import Unauthorized


class Keys:
    """Accepted keys; none accepted means that everybody may ask."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Digests are of one length, so a comparison tells nothing about a key, its length included.
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Mapping[str, str]) -> None:
        """Look for a key in `Authorization: Bearer KEY` or `X-API-Key: KEY`.

        Raises:
            Unauthorized: keys are asked for, and none or another was sent.
        """
        if not self._digests:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(sent)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]  # always all
        if not any(matches):
            raise Unauthorized(
                "this service asks for a key: send `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
