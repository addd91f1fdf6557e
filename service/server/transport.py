"""The sending side of a connection: one packet per answer, and a close that clients can read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

SEND_TIMEOUT_SECONDS: Final = 10.0
"""Longest time that a client may leave answers unread beyond what the system buffers (some MB), and
until it has read all when the connection closes: no other limit counts that memory."""


class CoalescingTransport:
    """A transport that sends everything written in one turn of the event loop together.

    uvicorn writes the head and the body of an answer apart: two system calls and two packets, and
    the client wakes up for each.

    Args:
        keep_reading: called by `close`; True if the protocol reads on and calls `close_now` later.
            A server that closes with bytes unread resets the connection, and clients that send
            everything before they read, such as Python's urllib, never see the answer.
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
        """Send `data` at the end of this turn of the event loop."""
        if not self._buffer:
            self._loop.call_soon(self._flush)
        self._buffer.append(data)

    def is_closing(self) -> bool:
        """Whether `close` or `close_now` was called."""
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Send what was written, and close; only the sending side if `keep_reading` says so."""
        self._flush()
        if self._is_closed or not self._keep_reading():
            self.close_now()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._is_closed = True

    def close_now(self) -> None:
        """Close both sides, whether or not the client still sends."""
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
