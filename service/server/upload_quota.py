"""Limit the memory for request bodies that are arriving or being processed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class UploadQuota:
    """Limits the total size of the request bodies that this process holds in memory.

    The queue limits pictures only after they have arrived. Without this quota, many slow uploads
    could fill the memory. Use the quota only in the event loop, because it has no lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    @contextmanager
    def upload(self) -> Iterator[Upload]:
        """Count the body of one request towards the quota until the block ends."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self.used_bytes -= upload.received_bytes


class Upload:
    """Counts the bytes of one request's body as they arrive."""

    def __init__(self, quota: UploadQuota) -> None:
        self._quota = quota
        self.received_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Count `size_bytes` more bytes.

        Raises:
            Overloaded: the bytes would exceed the quota.
        """
        quota = self._quota
        if quota.used_bytes + size_bytes > quota.limit_bytes:
            raise Overloaded(
                f"the server's memory for uploads is full ({quota.used_bytes:,} of "
                f"{quota.limit_bytes:,} bytes are used); try again in a moment"
            )
        quota.used_bytes += size_bytes
        self.received_bytes += size_bytes
