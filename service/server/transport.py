"""The sending side of a connection: it joins writes, and closes after the client read the answer.

Header and body of an answer are sent together. A client that does not read its answer gets 10 s
before the connection is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

SEND_TIMEOUT_SECONDS: Final = 10.0
"""Longest time for which the server keeps an unsent answer in memory, if the client does not read
and the system's buffers (a few MB) are full. A connection that is being closed also waits at most
this long for the client to read everything."""


class CoalescingTransport:
    """A transport that collects the data of one event loop iteration and sends it together.

    uvicorn writes the header and the body of an answer separately, which would take two system
    calls and two packets, and wake up the client twice.

    Args:
        transport: the transport of the connection.
        loop: the event loop.
        keep_reading: function that `close` calls. It returns True if the protocol will go on
            reading and call `close_now` later. This matters because a connection is reset if the
            server closes it with unread data. Clients that send everything before they read, such
            as Python's urllib, would then lose the answer.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        keep_reading: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport, self._loop, self._keep_reading = transport, loop, keep_reading
        self._buffer: list[bytes] = []
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this iteration of the event loop."""
        if not self._buffer:
            self._loop.call_soon(self._flush)
        self._buffer.append(data)

    def is_closing(self) -> bool:
        """Whether `close` or `close_now` was called, or the connection was lost."""
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Send what was written, then close the connection.

        If `keep_reading()` is true, this closes only the sending side; a second call closes both.
        """
        self._flush()
        if self._is_closed or not self._keep_reading():
            self.close_now()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._is_closed = True

    def close_now(self) -> None:
        """Close both sides of the connection, even if the client is still sending."""
        self._is_closed = True
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(SEND_TIMEOUT_SECONDS, self._abort_if_unread)

    def _abort_if_unread(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def _flush(self) -> None:
        if self._buffer and not self.is_closing():
            self._transport.write(b"".join(self._buffer))
        self._buffer.clear()
