"""Room for the bodies of requests while they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import Overloaded

Take = Callable[[int], None]


class UploadRoom:
    """The bytes of bodies that all requests of this process hold together, up to a limit.

    Pictures are counted by the queue only once they are there; until then many slow uploads could
    fill the memory. For use in the event loop alone, so without a lock.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.taken_bytes = 0

    @contextmanager
    def request(self) -> Iterator[Take]:
        """A function that takes room for so many more bytes, given back when the request ends.

        The function raises Overloaded when there is no room.
        """
        mine = 0

        def take(size_bytes: int) -> None:
            nonlocal mine
            if self.taken_bytes + size_bytes > self._limit_bytes:
                raise Overloaded(
                    f"uploads hold {self.taken_bytes:,} bytes, at most {self._limit_bytes:,} are "
                    "let in; try again in a moment"
                )
            self.taken_bytes += size_bytes
            mine += size_bytes

        try:
            yield take
        finally:
            self.taken_bytes -= mine
