"""Whether a request's body still arrives: it must neither stand still nor come too slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from service.errors import Draining, RequestError, RequestTimeout
from service.server.upload_quota import Upload
from service.settings import Settings

_LOOKS: Final = 10
"""Looks at the body in `upload_timeout_seconds`; most bodies are there before the first."""
Failure = tuple[type[RequestError], str]


class body_timeout:  # noqa: N801  # reads as asyncio.timeout does
    """Give up the body that is read inside once it does not arrive any more.

    In `upload_timeout_seconds` something must come, and on average of that time at least
    `upload_bytes_per_second`; a server that drains waits that long for the whole of it.

    Raises:
        RequestTimeout: it stands still, or comes too slowly.
        Draining: the server stops.
    """

    def __init__(
        self, upload: Upload, settings: Settings, is_draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._upload, self._is_draining = upload, is_draining
        self._limit_seconds = settings.upload_timeout_seconds
        self._least_bytes = settings.upload_bytes_per_second * self._limit_seconds
        self._failure: Failure | None = None  # an exception here would know itself by its frames

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._moved, self._seen_bytes = now, 0
        self._window, self._window_bytes = now, 0
        self._drained: float | None = None
        self._look_again()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        del self._timer  # it knows this object
        if self._failure and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            refused, message = self._failure
            raise refused(message) from None

    def _look_again(self) -> None:
        self._timer = self._loop.call_later(self._limit_seconds / _LOOKS, self._look)

    def _look(self) -> None:
        self._failure = self._why_not(self._loop.time(), self._upload.received_bytes)
        if self._failure is None:
            self._look_again()
        else:
            self._task.cancel()

    def _why_not(self, now: float, received_bytes: int) -> Failure | None:
        """Why the body is waited for no longer."""
        limit = self._limit_seconds
        if received_bytes > self._seen_bytes:
            self._seen_bytes, self._moved = received_bytes, now
        if self._is_draining():
            self._drained = self._drained or now
            if now - self._drained >= limit:
                return Draining, "this server is stopping; send the request again"
        if now - self._moved >= limit:
            return RequestTimeout, f"nothing of the body arrived for {limit:g} s"
        if now - self._window >= limit:
            if received_bytes - self._window_bytes < self._least_bytes:
                least = f"{self._least_bytes:,.0f} bytes"
                return RequestTimeout, f"less than {least} of the body arrived in {limit:g} s"
            self._window, self._window_bytes = now, received_bytes
        return None
