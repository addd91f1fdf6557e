"""The memory that request bodies may hold while they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class UploadQuota:
    """Bounds the bytes of all request bodies that this process holds at a time.

    The queue counts pictures only once they have arrived; without this bound many slow uploads
    could fill the memory. Use it in the event loop only: it has no lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """Count one request's body until the request ends."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self.used_bytes -= upload.received_bytes


class Upload:
    """The bytes received of one request's body."""

    def __init__(self, quota: UploadQuota) -> None:
        self._quota = quota
        self.received_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more.

        Raises:
            Overloaded: the quota is used up.
        """
        quota = self._quota
        if quota.used_bytes + size_bytes > quota.limit_bytes:
            raise Overloaded(
                f"uploads hold {quota.used_bytes:,} bytes, at most {quota.limit_bytes:,} are "
                "accepted at a time; try again in a moment"
            )
        quota.used_bytes += size_bytes
        self.received_bytes += size_bytes
