"""Whether the client of a request is still there."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final

from starlette.requests import Request

from service.errors import ClientGone

LISTEN_AFTER_SECONDS: Final = 0.1
"""Answers that come sooner are not worth listening: it is where many wait that clients give up."""


class cancel_on_disconnect:  # noqa: N801  # used like asyncio.timeout
    """Cancel the block when the client disconnects; use it once the whole body is read.

    Raises:
        ClientGone: nobody is left to read it.
    """

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._listening: asyncio.Task[None] | None = None
        self._is_gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(LISTEN_AFTER_SECONDS, self._begin)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
            self._listening = None  # its task knows this object
        if self._is_gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise ClientGone("the client went away before its answer") from None

    def _begin(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._task.cancel()
