"""Room for the bodies of requests while they come in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Overloaded


class UploadRoom:
    """The bytes of bodies that all requests of this process hold together, up to a limit.

    Pictures are counted by the queue only once they are there; until then many slow uploads could
    fill the memory. For use in the event loop alone, so without a lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.taken_bytes = 0

    @contextmanager
    def request(self) -> Iterator[Upload]:
        """One request's body; its room is given back when the request ends."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self.taken_bytes -= upload.received_bytes


class Upload:
    """What has been received of one request's body."""

    def __init__(self, room: UploadRoom) -> None:
        self._room = room
        self.received_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Take room for so many more bytes; raises Overloaded when there is none."""
        room = self._room
        if room.taken_bytes + size_bytes > room.limit_bytes:
            raise Overloaded(
                f"uploads hold {room.taken_bytes:,} bytes, at most {room.limit_bytes:,} are "
                "let in; try again in a moment"
            )
        room.taken_bytes += size_bytes
        self.received_bytes += size_bytes
