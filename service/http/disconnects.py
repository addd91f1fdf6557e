"""Stop working on a request whose client has disconnected."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from starlette.requests import Request

from service.errors import ClientDisconnected

LISTEN_AFTER_SECONDS: Final = 0.1
"""A quick answer is not worth a task that listens; clients give up on slow ones."""


class cancel_on_disconnect:  # noqa: N801  # used like asyncio.timeout
    """Cancel the block when the client disconnects; use it once the whole body is read.

    Raises:
        ClientGone: the client disconnected, and nobody would read the answer.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._listener: asyncio.Task[None] | None = None
        self._is_gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LISTEN_AFTER_SECONDS, self._start_listening)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
            self._listener = None  # break the cycle: its task refers to this object
        if self._is_gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientDisconnected("the client went away before its answer") from None

    def _start_listening(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
