"""A connection's way out: an answer in one packet, and an end that lets the client read it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

READ_SECONDS: Final = 10.0
"""Longest time that a client takes to read what the system does not hold for it (some MB), and
until all is read where the connection closes: none of our limits counts that memory."""


class InOnePiece:
    """A transport that sends what is written in one turn of the event loop together.

    uvicorn writes an answer's head and its body apart: two calls of the system and two packets,
    and a client wakes up for each: at three times saturation, 4% of what is left for answers.

    Args:
        reads_on: asked when it is to be closed: True where the protocol goes on reading, and calls
            `end` later. A server that closes with bytes unread resets the connection, and clients
            that send first and read afterwards, as Python's urllib does, never see the answer.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        reads_on: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport, self._loop, self._reads_on = transport, loop, reads_on
        self._written: list[bytes] = []
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def is_closing(self) -> bool:
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        self._send()
        if self._is_closed or not self._reads_on():
            self.end()
        elif self._transport.can_write_eof():
            self._transport.write_eof()
        self._is_closed = True

    def end(self) -> None:
        """Close it, whether or not the client still sends."""
        self._is_closed = True
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(READ_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def _send(self) -> None:
        if self._written and not self.is_closing():
            self._transport.write(b"".join(self._written))
        self._written.clear()
