"""A client that goes away while it waits is noticed; one that stays costs nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from service.errors import ClientGone
from service.http.disconnects import LISTEN_AFTER_SECONDS, cancel_on_disconnect


class Client:
    """Sends its body, and goes away after so many seconds; counts how often it was asked."""

    def __init__(self, stays_seconds: float) -> None:
        self._stays_seconds = stays_seconds
        self.asked = 0
        scope = {"type": "http", "method": "POST", "headers": []}
        self.request = Request(scope, self.receive)

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(self._stays_seconds)
        return {"type": "http.disconnect"}


async def wait(client: Client, seconds: float) -> str:
    async with cancel_on_disconnect(client.request):
        await asyncio.sleep(seconds)
    return "answered"


def test_a_client_that_goes_away_ends_the_wait() -> None:
    with pytest.raises(ClientGone, match="before its answer"):
        asyncio.run(asyncio.wait_for(wait(Client(0.05), 60), 10))


def test_quick_answers_do_not_listen() -> None:
    client = Client(0)
    assert asyncio.run(wait(client, LISTEN_AFTER_SECONDS / 10)) == "answered"
    assert client.asked == 0


def test_a_client_that_stays_gets_its_answer_and_nothing_listens_any_more() -> None:
    async def ask() -> tuple[str, int]:
        answer = await wait(Client(60), 3 * LISTEN_AFTER_SECONDS)
        await asyncio.sleep(0)
        return answer, len(asyncio.all_tasks())

    assert asyncio.run(ask()) == ("answered", 1)


def test_being_cancelled_by_others_stays_being_cancelled() -> None:
    """As uvicorn does with what runs when the time for its end is over."""

    async def ask() -> None:
        task = asyncio.create_task(wait(Client(60), 60))
        await asyncio.sleep(2 * LISTEN_AFTER_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())


def test_errors_inside_pass() -> None:
    async def fail() -> None:
        async with cancel_on_disconnect(Client(60).request):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(fail())
