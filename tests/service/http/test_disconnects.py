"""A disconnect cancels the work on a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from service.errors import ClientDisconnected
from service.http.disconnects import LISTEN_AFTER_SECONDS, cancel_on_disconnect


class Client:
    """Sends its body, and disconnects after some seconds; counts the calls of `receive`."""

    def __init__(self, connected_seconds: float) -> None:
        self._connected_seconds = connected_seconds
        self.calls = 0
        scope = {"type": "http", "method": "POST", "headers": []}
        self.request = Request(scope, self.receive)

    async def receive(self) -> dict[str, Any]:
        self.calls += 1
        if self.calls == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(self._connected_seconds)
        return {"type": "http.disconnect"}


async def answer_after(client: Client, seconds: float) -> str:
    async with cancel_on_disconnect(client.request):
        await asyncio.sleep(seconds)
    return "answered"


def test_a_disconnect_cancels_the_block() -> None:
    with pytest.raises(ClientDisconnected, match="before the response"):
        asyncio.run(answer_after(Client(0.05), 600))


def test_a_quick_answer_does_not_listen() -> None:
    client = Client(0)
    assert asyncio.run(answer_after(client, 0)) == "answered"
    assert client.calls == 0


def test_a_connected_client_is_answered_and_the_listener_ends() -> None:
    async def run() -> tuple[str, int]:
        answer = await answer_after(Client(60), 3 * LISTEN_AFTER_SECONDS)
        await asyncio.sleep(0)
        return answer, len(asyncio.all_tasks())

    assert asyncio.run(run()) == ("answered", 1)


def test_a_cancellation_from_outside_stays_a_cancellation() -> None:
    """uvicorn cancels requests at the end of its graceful shutdown."""

    async def run() -> None:
        task = asyncio.create_task(answer_after(Client(60), 60))
        await asyncio.sleep(2 * LISTEN_AFTER_SECONDS)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_errors_of_the_block_pass() -> None:
    async def fail() -> None:
        async with cancel_on_disconnect(Client(60).request):
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(fail())
