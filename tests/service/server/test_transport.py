from __future__ import annotations

import asyncio

import pytest

from service.server.transport import CoalescingTransport


class RecordingTransport:
    """Records the calls of a transport."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.calls

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.calls.append("no more")

    def get_write_buffer_size(self) -> int:
        return len(self.calls)

    def abort(self) -> None:
        self.calls.append("aborted")


def test_writes_of_one_loop_iteration_are_sent_together_and_before_closing() -> None:
    recording = RecordingTransport()

    async def write() -> None:
        transport = CoalescingTransport(recording, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"head ")
        transport.write(b"body")
        assert recording.calls == []
        await asyncio.sleep(0)
        transport.write(b"another")
        transport.close()
        await asyncio.sleep(0)

    asyncio.run(write())
    assert recording.calls == [b"head body", b"another", "closed"]


def test_a_closed_connection_with_unread_data_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.transport.SEND_TIMEOUT_SECONDS", 0.05)
    recording = RecordingTransport()

    async def write() -> None:
        transport = CoalescingTransport(recording, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"answer")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0.3)

    asyncio.run(write())
    assert recording.calls == [b"answer", "closed", "aborted"]


def test_while_the_client_sends_only_the_sending_side_is_closed() -> None:
    recording = RecordingTransport()

    async def write() -> None:
        loop = asyncio.get_running_loop()
        transport = CoalescingTransport(recording, loop, lambda: True)  # type: ignore[arg-type]
        transport.write(b"answer")
        transport.close()
        assert transport.is_closing()
        transport.write(b"too late")
        await asyncio.sleep(0)
        assert recording.calls == [b"answer", "no more"]
        transport.close()  # as when the server stops
        transport.close_now()

    asyncio.run(write())
    assert recording.calls[:3] == [b"answer", "no more", "closed"]
