from __future__ import annotations

import asyncio

import pytest

from service.server.transport import InOnePiece


class Recorded:
    """What a transport was told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.told.append("no more")

    def get_write_buffer_size(self) -> int:
        return len(self.told)

    def abort(self) -> None:
        self.told.append("aborted")


def test_what_is_written_in_one_turn_goes_in_one_piece_and_before_the_end() -> None:
    recorded = Recorded()

    async def write() -> None:
        transport = InOnePiece(recorded, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"head ")
        transport.write(b"body")
        assert recorded.told == []
        await asyncio.sleep(0)
        transport.write(b"another")
        transport.close()
        await asyncio.sleep(0)

    asyncio.run(write())
    assert recorded.told == [b"head body", b"another", "closed"]


def test_what_is_closed_and_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.transport.READ_SECONDS", 0.05)
    recorded = Recorded()

    async def write() -> None:
        transport = InOnePiece(recorded, asyncio.get_running_loop())  # type: ignore[arg-type]
        transport.write(b"answer")
        transport.close()
        transport.write(b"too late")
        await asyncio.sleep(0.3)

    asyncio.run(write())
    assert recorded.told == [b"answer", "closed", "aborted"]


def test_where_the_client_still_sends_it_is_told_that_nothing_more_comes_and_heard_out() -> None:
    recorded = Recorded()

    async def write() -> None:
        loop = asyncio.get_running_loop()
        transport = InOnePiece(recorded, loop, lambda: True)  # type: ignore[arg-type]
        transport.write(b"answer")
        transport.close()
        assert transport.is_closing()
        transport.write(b"too late")
        await asyncio.sleep(0)
        assert recorded.told == [b"answer", "no more"]
        transport.close()  # as at the server's end
        transport.end()

    asyncio.run(write())
    assert recorded.told[:3] == [b"answer", "no more", "closed"]
