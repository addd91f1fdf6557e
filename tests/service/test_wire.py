"""Bytes that are hardly HTTP end in 4xx or a close, and the service stays as small as it was."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import socket
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
import uvicorn
from circus.sockets import CircusSocket
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from service.wire import HEAD_SECONDS, MAX_HEAD_BYTES, BoundedHttp, InOnePiece, refuse_until_ready

PIECE = 50_000
HOST = b"Host: graft\r\n"
POST = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Type: image/jpeg\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECRET = b"Zuckerrohr"
"""Stands in whatever an answer might quote."""


def talk(server: Any, pieces: Iterable[bytes], seconds: float = 5) -> bytes:
    """Send and read until the server closes or says nothing more; b"" when it only closed."""
    port, answer = int(server.url.rpartition(":")[2]), b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except OSError:
            pass  # closed in the middle
        try:
            while received := connection.recv(65_536):
                answer += received
        except OSError:
            pass
    return answer


def endless(start: bytes, piece: bytes, megabytes: int = 40) -> Iterable[bytes]:
    large = piece * (PIECE // len(piece))
    return itertools.chain([start], itertools.repeat(large, megabytes * 1_000_000 // len(large)))


ENDLESS = {
    "one header": (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: ", b"a"),
    "many headers": (b"GET /livez HTTP/1.1\r\n" + HOST, b"a: b\r\n"),
    "header name": (b"GET /livez HTTP/1.1\r\n" + HOST, b"a"),
    "address": (b"GET /", b"a"),
    "query": (b"GET /livez?", b"a=b&"),
    "method": (b"", b"G"),
    "chunk extension": (CHUNKED + b"5;", b"a"),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n"),
    "pipelined requests": (b"", b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    "pipelined and held up": (POST + b"Content-Length: 0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_has_no_end_is_cut_off(server: Any, name: str) -> None:
    (worker,) = server.workers()
    before = worker.memory_info().rss
    talk(server, endless(*ENDLESS[name]))
    assert worker.memory_info().rss - before < 30_000_000  # 160 MB and more without bounds
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_a_long_header_within_the_limit_is_taken(server: Any) -> None:
    long = {"X-Long": "a" * (MAX_HEAD_BYTES - 2_000)}
    assert httpx.get(f"{server.url}/livez", headers=long).status_code == 200


def test_large_bodies_are_no_headers(server: Any, draw: Any) -> None:
    picture = draw("blue") + bytes(3_000_000)
    pieces = iter(
        [picture[:100], *(picture[at : at + 999_999] for at in range(100, 3_000_000, 999_999))]
    )
    for content in (picture, pieces):
        headers = {"content-type": "image/jpeg"}
        response = httpx.post(f"{server.url}/predict", content=content, headers=headers)
        assert response.json()["label"] == "blue"


def test_a_header_that_does_not_arrive_is_not_waited_for(server: Any) -> None:
    answer = talk(server, [b"GET /livez HTTP/1.1\r\nHos"], HEAD_SECONDS + 10)
    assert answer == b""


async def answer_at_once(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("fine")(scope, receive, send)


LATE = {"none": b"", "a piece": b"a", "all": b"a" * 9, "the next one's head": b"a" * 9 + b"GET /"}


@pytest.mark.parametrize("rest", LATE.values(), ids=LATE)
def test_nobody_is_waited_for_without_end_once_answered_before_the_body_came(
    monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    monkeypatch.setattr("service.wire.HEAD_SECONDS", 0.3)

    async def ask() -> None:
        config = uvicorn.Config(answer_at_once, timeout_keep_alive=1, log_config=None)
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(lambda: BoundedHttp(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /livez HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        assert await reader.readuntil(b"fine")
        writer.write(rest)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        server.close()

    asyncio.run(ask())


MALFORMED = {
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "length and chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "no number": CHUNKED + b"ZZ\r\nabc\r\n",
    "chunk of 2^72 bytes": CHUNKED + b"F" * 18 + b"\r\nabc",
    "chunk longer than said": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
    "NUL in the path": b"GET /\0" + SECRET + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "path traversal": b"GET /../../" + SECRET + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "hidden traversal": b"GET /static_content/..%2f..%2f" + SECRET + b" HTTP/1.1\r\n\r\n",
    "script in the path": b"GET /<script>" + SECRET + b"</script> HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes in the path": b"GET /%ff%fe%00" + SECRET + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "redirect elsewhere": b"GET /model/ HTTP/1.1\r\nHost: " + SECRET + b"\r\n\r\n",
    "another scheme": b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT " + SECRET + b":443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "websocket": b"GET /" + SECRET + b" HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    + HOST
    + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(99),
    "garbage": SECRET * 100 + b"\r\n\r\n",
    "unknown content type": POST.replace(b"image/jpeg", b"text/" + SECRET) + b"\r\n",
    "odd content type": POST.replace(b"image/jpeg", b"<" + SECRET + b">") + b"\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_refused_without_a_quotation(server: Any, name: str) -> None:
    answer = talk(server, [MALFORMED[name]], 2)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert answer.count(b"HTTP/1.1") <= 1  # nothing was smuggled in
    assert SECRET not in answer
    assert b"Traceback" not in answer


def form(parts: bytes, boundary: bytes = b"edge") -> bytes:
    head = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form-data; boundary="
    length = str(len(parts)).encode()
    return head + boundary + b"\r\nContent-Length: " + length + b"\r\n\r\n" + parts


def part(disposition: bytes, content: bytes = b"x", more: bytes = b"") -> bytes:
    head = b"--edge\r\nContent-Disposition: form-data; " + disposition + b"\r\n" + more + b"\r\n"
    return head + content + b"\r\n"


NESTED = part(b'name="a"', more=b"Content-Type: multipart/mixed; boundary=edge2\r\n")
FORMS = {
    "thousands of parts": form(part(b'name="a"') * 5_000 + b"--edge--\r\n"),
    "thousands of files": form(part(b'name="a"; filename="b"') * 5_000 + b"--edge--\r\n"),
    "large boundary": form(b"--" + b"e" * 9_000 + b"--\r\n", b"e" * 9_000),
    "nested": form(NESTED * 10 + b"--edge--\r\n"),
    "no name": form(part(SECRET) + b"--edge--\r\n"),
    "endless part header": form(part(b'name="' + b"a" * 3_000_000 + b'"') + b"--edge--\r\n"),
    "many part headers": form(part(b'name="a"', more=b"a: b\r\n" * 100_000) + b"--edge--\r\n"),
    "bytes in a name": form(part(b'name="\xff\xfe' + SECRET + b'"') + b"--edge--\r\n"),
    "unknown charset": form(part(b'name="\xff"'), b"edge; charset=" + SECRET),
    "another disposition": form(
        b"--edge\r\nContent-Disposition: " + SECRET + b"\r\n\r\nx\r\n--edge--"
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_ill_will_are_refused(server: Any, name: str) -> None:
    answer = talk(server, [FORMS[name]], 3)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert SECRET not in answer


def test_compressed_bodies_are_not_unpacked(server: Any) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    headers = {"content-type": "image/jpeg", "content-encoding": "gzip"}
    response = httpx.post(f"{server.url}/predict", content=bomb, headers=headers)
    assert response.status_code == 415


def test_old_clients_and_proxies_are_understood(server: Any) -> None:
    old = talk(server, [b"GET /livez HTTP/1.0\r\n\r\n"])
    absolute = talk(server, [b"GET http://elsewhere/livez HTTP/1.1\r\n" + HOST + b"\r\n"], 1)
    assert old.startswith(b"HTTP/1.1 200")
    assert absolute.startswith(b"HTTP/1.1 200")


def test_nothing_of_this_file_was_a_bug(server: Any) -> None:
    assert "Traceback" not in server.log.read_text()
    assert not [n for n, value in server.metrics().items() if 'status="500"' in n and value]


class Recorded:
    """What a transport was told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")


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


def test_an_answer_is_one_packet(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        for _ in range(5):
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body or b"content-length: 0" in head.lower()


def test_the_parent_binds_and_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CircusSocket, "listen", CircusSocket.listen)  # put back afterwards
    refuse_until_ready()
    with CircusSocket(host="127.0.0.1", port=0) as bound:
        bound.bind_and_listen()
        address = bound.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        socket.socket.listen(bound)  # as uvicorn does with what it is handed
        socket.create_connection(address).close()
