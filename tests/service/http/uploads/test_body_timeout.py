"""Slow bodies, with a simulated clock."""

from __future__ import annotations

import asyncio

import pytest

from service.errors import Draining, RequestTimeout
from service.http.uploads.body_timeout import body_timeout
from service.server.upload_quota import Upload, UploadQuota
from service.settings import Settings

SETTINGS = Settings(upload_timeout_seconds=10, upload_bytes_per_second=100)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose waits take no real time."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def receive(
    *waits: tuple[float, int], settings: Settings = SETTINGS, drained_at: float = 1e9
) -> float:
    """Receive bytes after waits of (seconds, bytes); return the simulated time at the end."""

    async def read() -> float:
        upload = Upload(UploadQuota(1_000_000_000))
        now = asyncio.get_running_loop().time
        async with body_timeout(upload, settings, lambda: now() >= drained_at):
            for seconds, size_bytes in waits:
                await asyncio.sleep(seconds)
                upload.add(size_bytes)
        assert len(asyncio.all_tasks()) == 1
        return now()

    with asyncio.Runner(loop_factory=Clock) as runner:
        return runner.run(read())


def test_a_steady_body_may_take_long() -> None:
    assert receive(*[(9, 1_000)] * 100) == 900


@pytest.mark.parametrize("first_waits", [[], [(1.0, 50_000)], [(9.0, 1_000)] * 5])
def test_a_stalled_body_times_out(first_waits: list[tuple[float, int]]) -> None:
    with pytest.raises(RequestTimeout, match="no part of the request body arrived for 10 s"):
        receive(*first_waits, (12, 1))


def test_a_slow_body_times_out_even_after_a_fast_start() -> None:
    with pytest.raises(RequestTimeout, match="less than 1,000 bytes in 10 s"):
        receive((0, 10_000_000), *[(1, 1)] * 30)
    assert receive((0, 10_000_000), *[(1, 1)] * 8) == 8


def test_without_a_minimum_rate_a_body_may_be_slow() -> None:
    settings = SETTINGS.model_copy(update={"upload_bytes_per_second": 0})
    assert receive(*[(1, 1)] * 100, settings=settings) == 100


def test_a_draining_server_waits_no_longer_than_the_limit() -> None:
    assert receive(*[(1, 1_000)] * 20, drained_at=12) == 20
    with pytest.raises(Draining):
        receive(*[(1, 1_000)] * 100, drained_at=12)


def test_the_connection_is_closed_after_a_timeout() -> None:
    assert RequestTimeout("").headers == {"Connection": "close"}


def test_errors_of_the_block_pass() -> None:
    async def fail() -> None:
        async with body_timeout(Upload(UploadQuota(1)), SETTINGS):
            raise KeyError("of its own")

    with pytest.raises(KeyError):
        asyncio.run(fail())


def test_a_cancellation_from_outside_stays_a_cancellation() -> None:
    async def cancel() -> None:
        async def wait() -> None:
            async with body_timeout(Upload(UploadQuota(1)), SETTINGS):
                await asyncio.sleep(60)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
