"""Stop working on a request whose client has disconnected."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from starlette.requests import Request

from service.errors import ClientDisconnected

LISTEN_AFTER_SECONDS: Final = 0.1
"""Seconds before `cancel_on_disconnect` starts a task that listens for a disconnect. Most responses
are ready sooner, and then no task is started. Clients rarely disconnect sooner."""


class cancel_on_disconnect:  # noqa: N801  # used like asyncio.timeout
    """Async context manager that cancels the enclosed block when the client disconnects.

    Use it only after the whole body has been read, because listening discards the rest of the body.

    Raises:
        ClientDisconnected: the client disconnected before the block ended.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._listener: asyncio.Task[None] | None = None
        self._is_disconnected = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LISTEN_AFTER_SECONDS, self._start_listening)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # break the reference cycle: the listener refers to self
        was_cancelled = exc_type is asyncio.CancelledError
        if self._is_disconnected and self._task.uncancel() == 0 and was_cancelled:
            raise ClientDisconnected(
                "the client disconnected before the response was ready"
            ) from None

    def _start_listening(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_disconnected = True
        self._task.cancel()
