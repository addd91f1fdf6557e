"""The sending side of a connection, which sends the header and body of a response together.

The connection is closed after the client has read the response. If the client does not read it
within 10 s, the connection is aborted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

SEND_TIMEOUT_SECONDS: Final = 10.0
"""A client that does not read its response has this much time once the system's buffers (a few MB)
are full. When a connection is closed, the client has the same time to read the rest. Then the
connection is aborted, and the memory of the response is free."""


class CoalescingTransport:
    """A transport that collects the data of one event loop iteration and sends it together.

    uvicorn writes the header and the body of a response separately. Without this class, that would
    take two system calls and two packets, and wake up the client twice.

    Args:
        transport: the transport of the connection.
        loop: the event loop.
        keep_reading: function that `close` calls. It returns True if the protocol will continue to
            read and will call `close_now` later. If the server closes a connection that has unread
            data, the connection is reset. Clients that send everything before they read, such as
            Python's urllib, would then lose the response.
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
        """Send the collected data, then close the connection.

        If `keep_reading()` is true, close only the sending side; a second call closes both sides.
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
