"""Stop reading a request body that stalls or arrives too slowly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Final

from service.errors import Draining, RequestError, RequestTimeout
from service.server.upload_quota import Upload
from service.settings import Settings

_CHECKS_PER_TIMEOUT: Final = 10
"""Number of checks in `upload_timeout_seconds`. Most bodies have arrived before the first check."""
Failure = tuple[type[RequestError], str]


class body_timeout:  # noqa: N801  # used like asyncio.timeout
    """Async context manager that limits the time for reading a request body in the enclosed block.

    The block is cancelled if the body stalls, which means that nothing arrives for
    `upload_timeout_seconds`. It is also cancelled if fewer than `upload_bytes_per_second` arrive on
    average in one of the successive periods of `upload_timeout_seconds`. Once the server is
    draining, the rest of the body must arrive within `upload_timeout_seconds`.

    Args:
        upload: counts the bytes received.
        settings: has the limits `upload_timeout_seconds` and `upload_bytes_per_second`.
        is_draining: returns whether the server is draining; called at every check.

    Raises:
        RequestTimeout: the body stalls, or arrives too slowly.
        Draining: the server is draining, and the rest of the body did not arrive in time.
    """

    def __init__(
        self, upload: Upload, settings: Settings, is_draining: Callable[[], bool] = lambda: False
    ) -> None:
        self._upload, self._is_draining = upload, is_draining
        self._limit_seconds = settings.upload_timeout_seconds
        self._least_bytes = settings.upload_bytes_per_second * self._limit_seconds
        # Not an exception object, which would keep its stack frames in memory.
        self._failure: Failure | None = None

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
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        was_cancelled = exc_type is asyncio.CancelledError
        if self._failure and self._task.uncancel() == 0 and was_cancelled:
            error_class, message = self._failure
            raise error_class(message) from None

    def _schedule_check(self) -> None:
        self._timer = self._loop.call_later(self._limit_seconds / _CHECKS_PER_TIMEOUT, self._check)

    def _check(self) -> None:
        self._failure = self._find_failure(self._loop.time(), self._upload.received_bytes)
        if self._failure is None:
            self._schedule_check()
        else:
            self._task.cancel()

    def _find_failure(self, now: float, received_bytes: int) -> Failure | None:
        """Return why to stop reading the body, as (error class, message); None to continue."""
        limit = self._limit_seconds
        if received_bytes > self._seen_bytes:
            self._seen_bytes, self._last_progress = received_bytes, now
        if self._is_draining():
            self._draining_since = self._draining_since or now
            if now - self._draining_since >= limit:
                return Draining, "this server is stopping; send the request again"
        if now - self._last_progress >= limit:
            message = f"no part of the request body arrived for {limit:g} s; send the request again"
            return RequestTimeout, message
        if now - self._window_start >= limit:
            if received_bytes - self._window_bytes < self._least_bytes:
                least = f"{self._least_bytes:,.0f} bytes"
                return RequestTimeout, (
                    f"the request body arrives too slowly: less than {least} in {limit:g} s; use a "
                    "faster connection, or send a smaller picture"
                )
            self._window_start, self._window_bytes = now, received_bytes
        return None
