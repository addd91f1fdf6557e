"""A timeout for the body of a request: it must neither stall nor arrive too slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from service.errors import Draining, RequestError, RequestTimeout
from service.server.upload_quota import Upload
from service.settings import Settings

_CHECKS: Final = 10
"""Checks in `upload_timeout_seconds`; most bodies are complete before the first."""
Failure = tuple[type[RequestError], str]


class body_timeout:  # noqa: N801  # used like asyncio.timeout
    """Cancel the block, which reads the body, once the body stalls or arrives too slowly.

    Within `upload_timeout_seconds` something must arrive, and over that time on average at least
    `upload_bytes_per_second`. A draining server waits that long for the whole body.

    Args:
        upload: counts the bytes received.
        settings: their two limits are used.
        is_draining: asked at every check.

    Raises:
        RequestTimeout: the body stalls, or arrives too slowly.
        Draining: the server is about to stop.
    """

    def __init__(
        self, upload: Upload, settings: Settings, is_draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._upload, self._is_draining = upload, is_draining
        self._limit_seconds = settings.upload_timeout_seconds
        self._least_bytes = settings.upload_bytes_per_second * self._limit_seconds
        self._failure: Failure | None = None  # not an exception: it refers to its frames

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._last_progress, self._seen_bytes = now, 0
        self._window_start, self._window_bytes = now, 0
        self._draining_since: float | None = None
        self._schedule_check()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        if self._failure and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            error_class, message = self._failure
            raise error_class(message) from None

    def _schedule_check(self) -> None:
        self._timer = self._loop.call_later(self._limit_seconds / _CHECKS, self._check)

    def _check(self) -> None:
        self._failure = self._find_failure(self._loop.time(), self._upload.received_bytes)
        if self._failure is None:
            self._schedule_check()
        else:
            self._task.cancel()

    def _find_failure(self, now: float, received_bytes: int) -> Failure | None:
        """Decide whether to give the body up; returns the reason."""
        limit = self._limit_seconds
        if received_bytes > self._seen_bytes:
            self._seen_bytes, self._last_progress = received_bytes, now
        if self._is_draining():
            self._draining_since = self._draining_since or now
            if now - self._draining_since >= limit:
                return Draining, "this server is stopping; send the request again"
        if now - self._last_progress >= limit:
            return RequestTimeout, f"nothing of the body arrived for {limit:g} s"
        if now - self._window_start >= limit:
            if received_bytes - self._window_bytes < self._least_bytes:
                least = f"{self._least_bytes:,.0f} bytes"
                return RequestTimeout, f"less than {least} of the body arrived in {limit:g} s"
            self._window_start, self._window_bytes = now, received_bytes
        return None
