"""Malformed and endless requests get a 4xx or a closed connection, and use little memory."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import uvicorn.config
from _bentoml_impl.worker.service import main as worker
from starlette.responses import PlainTextResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.server.protocol_limits import (
    HEADER_TIMEOUT_SECONDS,
    MAX_HEADER_BYTES,
    BoundedHttpProtocol,
    bound_requests,
)

PIECE = 50_000
HOST = b"Host: graft\r\n"
POST = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Type: image/jpeg\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECRET = b"Zuckerrohr"
"""A word in each part of a request that an answer must not quote."""


FINAL_REQUEST = (
    b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: close\r\nX-Request-ID: the-last\r\n\r\n"
)


def talk(server: Any, pieces: Iterable[bytes], seconds: float = 60) -> bytes:
    """Send pieces, and return all answers until the server closes; b"" if it only closes.

    After the first answer, FINAL_REQUEST makes the server close the connection, so that nobody has
    to wait for a timeout. The answer to FINAL_REQUEST is removed.

    Args:
        seconds: timeout of each read; it ends the reading as well.
    """
    port, answer, is_final_sent = int(server.url.rpartition(":")[2]), b"", False
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with suppress(OSError):  # the server closed the connection
            for piece in pieces:
                connection.sendall(piece)
        with suppress(OSError):
            while received := connection.recv(65_536):
                answer += received
                if not is_final_sent:
                    is_final_sent = True
                    with suppress(OSError):
                        connection.sendall(FINAL_REQUEST)
    starts = [match.start() for match in re.finditer(rb"HTTP/1\.1 \d", answer)]
    return answer[: starts[-1]] if starts and b"the-last" in answer[starts[-1] :] else answer


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
def test_endless_requests_are_cut_off(server: Any, name: str) -> None:
    (worker,) = server.workers()
    memory_before = worker.memory_info().rss
    talk(server, endless(*ENDLESS[name]))
    assert worker.memory_info().rss - memory_before < 30_000_000  # 160 MB and more without limits
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_a_long_header_within_the_limit_is_accepted(server: Any) -> None:
    long = {"X-Long": "a" * (MAX_HEADER_BYTES - 2_000)}
    assert httpx.get(f"{server.url}/livez", headers=long).status_code == 200


def test_large_bodies_do_not_count_as_headers(server: Any, draw: Any) -> None:
    picture = draw("blue") + bytes(3_000_000)
    pieces = iter(
        [
            picture[:100],
            *(picture[offset : offset + 999_999] for offset in range(100, 3_000_000, 999_999)),
        ]
    )
    for content in (picture, pieces):
        headers = {"content-type": "image/jpeg"}
        response = httpx.post(f"{server.url}/predict", content=content, headers=headers)
        assert response.json()["label"] == "blue"


@pytest.mark.slow
def test_a_header_that_does_not_arrive_ends_the_connection(server: Any) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(
        ("127.0.0.1", port), timeout=HEADER_TIMEOUT_SECONDS + 60
    ) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHos")
        assert connection.recv(100) == b""  # closed; otherwise recv would raise TimeoutError


async def answer_at_once(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("fine")(scope, receive, send)


LATE_BODIES = {
    "none": b"",
    "a piece": b"a",
    "all": b"a" * 9,
    "the next request": b"a" * 9 + b"GET /",
}


async def connect(app: Any) -> tuple[ServerState, asyncio.Server, Any, asyncio.StreamWriter]:
    """Start a server with our protocol, and connect to it."""
    config = uvicorn.Config(app, timeout_keep_alive=1, log_config=None)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(
        lambda: BoundedHttpProtocol(config, state, {}), "127.0.0.1", 0
    )
    return state, server, *await asyncio.open_connection(*server.sockets[0].getsockname())


async def wait_until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def test_an_unread_answer_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.protocol_limits.SEND_TIMEOUT_SECONDS", 0.3)

    async def answer_much(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("a" * 20_000_000)(scope, receive, send)

    async def exchange() -> None:
        state, server, _, writer = await connect(answer_much)
        writer.transport.pause_reading()
        await wait_until(lambda: state.connections)
        writer.write(b"GET /livez HTTP/1.1\r\n\r\n")
        await wait_until(lambda: not state.connections)
        writer.close()
        server.close()

    asyncio.run(exchange())


@pytest.mark.parametrize("late_body", LATE_BODIES.values(), ids=LATE_BODIES)
def test_a_body_that_does_not_arrive_after_its_answer_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch, late_body: bytes
) -> None:
    monkeypatch.setattr("service.server.protocol_limits.HEADER_TIMEOUT_SECONDS", 0.3)

    async def exchange() -> None:
        _, server, reader, writer = await connect(answer_at_once)
        writer.write(b"GET /livez HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        assert await reader.readuntil(b"fine")
        writer.write(late_body)
        assert await asyncio.wait_for(reader.read(), 30) == b""
        writer.close()
        server.close()

    asyncio.run(exchange())


REFUSED = b"POST /livez HTTP/1.1\r\nHost: graft\r\n"
"""A request that is answered before its body arrives."""
CLOSING = REFUSED + b"Connection: close\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("head", [REFUSED, CLOSING, b"POST /livez HTTP/1.0\r\n"])
def test_a_client_that_sends_slowly_before_it_reads_sees_the_answer(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """It sends for longer than the server would wait for a client that sends nothing."""
    monkeypatch.setattr("service.server.protocol_limits.HEADER_TIMEOUT_SECONDS", 1)

    async def exchange() -> None:
        _, server, reader, writer = await connect(answer_at_once)
        writer.write(head + b"Content-Length: 500000\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.1)
            writer.write(bytes(50_000))
            await writer.drain()
        assert (await reader.readuntil(b"fine")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        server.close()

    asyncio.run(exchange())


@pytest.mark.parametrize("head", [REFUSED, CLOSING])
def test_a_trickling_or_endless_body_is_cut_off_after_its_answer(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr("service.server.protocol_limits.HEADER_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr("service.server.protocol_limits.MAX_DISCARDED_BYTES", 1_000_000)

    async def exchange(piece: bytes, seconds: float) -> None:
        state, server, _, writer = await connect(answer_at_once)
        writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            if not (state.connections or seconds == 0):
                break
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await asyncio.sleep(seconds)
        await wait_until(lambda: not state.connections)
        writer.close()
        server.close()

    asyncio.run(exchange(b"a", 0.05))
    asyncio.run(exchange(bytes(50_000), 0))


@pytest.mark.parametrize("head", [REFUSED, CLOSING])
def test_a_steady_body_is_cut_off_at_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """Its rate and size are within the limits, so only the time limit ends it."""
    monkeypatch.setattr("service.server.protocol_limits.HEADER_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("service.server.protocol_limits.MAX_DISCARD_SECONDS", 0.3)

    async def exchange() -> None:
        state, server, _, writer = await connect(answer_at_once)
        await wait_until(lambda: state.connections)
        writer.write(head + b"Content-Length: 100000000\r\n\r\n")
        for _ in range(100):
            writer.write(bytes(1_000))
            await asyncio.sleep(0.02)
            if not state.connections:
                break
        assert not state.connections
        writer.close()
        server.close()

    asyncio.run(exchange())


def test_expect_100_continue_is_not_continued_after_a_refusal() -> None:
    async def exchange() -> None:
        _, server, reader, writer = await connect(answer_at_once)
        writer.write(CLOSING + b"Expect: 100-continue\r\nContent-Length: 60000000\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 30)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b" 100 " not in answer
        writer.close()
        server.close()

    asyncio.run(exchange())


def test_a_stopping_server_soon_stops_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.protocol_limits.HEADER_TIMEOUT_SECONDS", 0.2)

    async def exchange() -> None:
        state, server, reader, writer = await connect(answer_at_once)
        writer.write(REFUSED + b"Content-Length: 50000000\r\n\r\n")
        assert await reader.readuntil(b"fine")
        (connection,) = state.connections
        connection.shutdown()  # as uvicorn does with each connection
        for _ in range(20):
            writer.write(bytes(50_000))
            await asyncio.sleep(0.05)
        assert not state.connections
        writer.close()
        server.close()

    asyncio.run(exchange())


@pytest.mark.parametrize(("setting", "expected"), [(75.0, 75.0), (None, 20.0)])
def test_idle_connections_are_kept_for_the_time_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, setting: float | None, expected: float
) -> None:
    monkeypatch.setattr(BoundedHttpProtocol, "keep_alive_seconds", setting)

    async def measure_remaining() -> float:
        config = uvicorn.Config(answer_at_once, timeout_keep_alive=20, log_config=None)
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        protocols: list[BoundedHttpProtocol] = []

        def make_protocol() -> BoundedHttpProtocol:
            protocols.append(BoundedHttpProtocol(config, state, {}))
            return protocols[0]

        server = await loop.create_server(make_protocol, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(REFUSED + b"Content-Length: 9\r\n\r\n")
        await reader.readuntil(b"fine")
        writer.write(bytes(9))  # the body, which arrives after its answer
        await asyncio.sleep(0.1)
        task = protocols[0].timeout_keep_alive_task
        assert task is not None
        assert protocols[0]._timeout is None
        remaining_seconds = task.when() - loop.time()
        writer.close()
        server.close()
        return remaining_seconds

    assert expected - 2 < asyncio.run(measure_remaining()) <= expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], 620), (["--timeout-keep-alive", "5"], None), (["--timeout-keep-alive", "9"], None)],
)
def test_the_command_line_overrides_the_setting_for_idle_connections(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: float | None
) -> None:
    """An explicit 5 s counts, although 5 s is also the default of the option."""
    monkeypatch.setattr(BoundedHttpProtocol, "keep_alive_seconds", None)
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", "")
    with worker.make_context(
        "worker", ["graft", "--service-name", "graft", "--fd", "3", *arguments]
    ):
        bound_requests(620)
    assert BoundedHttpProtocol.keep_alive_seconds == expected
    config = uvicorn.Config(answer_at_once, log_config=None)
    config.load()
    assert config.http_protocol_class is BoundedHttpProtocol


@pytest.mark.parametrize(
    "malformed",
    [
        b"3\r\nabc\r\nno number\r\n",
        b"0\r\n\r\nno request\r\n\r\n",
        b"0\r\n\r\n" + REFUSED + b"\r\nno request\r\n\r\n",
    ],
    ids=["in its body", "after it", "after a waiting request"],
)
def test_the_request_before_a_malformed_one_is_abandoned(malformed: bytes) -> None:
    """A proxy could take its answer for the answer to another request."""
    message_types: list[str] = []

    async def answer_late(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            pass
        message_types.append(message["type"])
        await PlainTextResponse("late")(scope, receive, send)

    async def exchange() -> bytes:
        _, server, reader, writer = await connect(answer_late)
        writer.write(REFUSED + b"Transfer-Encoding: chunked\r\n\r\n" + malformed)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        server.close()
        return answer

    answer = asyncio.run(exchange())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert message_types == ["http.disconnect"]


def test_uvicorns_protocol_has_the_names_that_we_use() -> None:
    """`BoundedHttpProtocol` overrides or reads these names, which are not documented."""
    methods = {"send_400_response", "shutdown", "timeout_keep_alive_handler"}
    methods |= {"_unset_keepalive_if_required", "on_message_begin", "on_headers_complete"}
    methods |= {"on_body", "on_message_complete", "connection_made", "connection_lost"}
    assert methods <= set(vars(HttpToolsProtocol))

    async def attributes() -> tuple[set[str], set[str]]:
        state, server, reader, writer = await connect(answer_at_once)
        writer.write(REFUSED + b"Content-Length: 0\r\n\r\n")
        await reader.readuntil(b"fine")
        (protocol,) = state.connections
        writer.close()
        server.close()
        return set(vars(protocol)), set(vars(protocol.cycle))

    protocol_names, cycle_names = asyncio.run(attributes())
    assert {"parser", "url", "headers", "flow", "pipeline", "cycle", "loop"} <= protocol_names
    assert {"timeout_keep_alive", "timeout_keep_alive_task", "transport"} <= protocol_names
    assert {"response_complete", "disconnected", "message_event"} <= cycle_names


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


@pytest.mark.parametrize("chunk_size", [1, 70, 10_000])
def test_an_upgrade_offer_is_ignored(server: Any, draw: Any, chunk_size: int) -> None:
    picture = draw("blue")
    length = b"Content-Length: %d\r\n\r\n"
    requests = POST + OFFER + length % len(picture) + picture
    requests += b"GET /livez HTTP/1.1\r\n" + HOST + OFFER + b"\r\n"
    hidden = b"GET /model HTTP/1.1\r\n\r\n"  # a body that looks like a request is still a body
    requests += POST + OFFER + length % len(hidden) + hidden
    pieces = [
        requests[offset : offset + chunk_size] for offset in range(0, len(requests), chunk_size)
    ]
    answers = talk(server, pieces).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"200", b"415"]
    assert b'"label":"blue"' in answers[0]


def test_an_upgrade_offer_with_an_extra_byte_is_answered(server: Any) -> None:
    closing = OFFER.replace(b"Upgrade, HTTP2-Settings", b"close, Upgrade")
    answer = talk(server, [b"GET /livez HTTP/1.1\r\n" + HOST + closing + b"\r\nx"])
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_may_offer_http_2(server: Any, draw: Any, tmp_path: Path) -> None:
    (tmp_path / "leaf.jpg").write_bytes(draw("blue"))
    command = ["curl", "-sS", "--http2", "-F", f"image=@{tmp_path}/leaf.jpg"]
    completed = subprocess.run(
        [*command, f"{server.url}/predict"], capture_output=True, text=True, check=False
    )
    assert completed.stdout.startswith('{"label":"blue"'), completed.stderr


MALFORMED = {
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "length and chunks": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    "unknown transfer encoding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunk size is not a number": CHUNKED + b"ZZ\r\nabc\r\n",
    "chunk of 2^72 bytes": CHUNKED + b"F" * 18 + b"\r\nabc",
    "chunk longer than its size": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n",
    "NUL in the path": b"GET /\0" + SECRET + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "path traversal": b"GET /../../" + SECRET + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "encoded traversal": b"GET /static_content/..%2f..%2f" + SECRET + b" HTTP/1.1\r\n\r\n",
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
def test_malformed_requests_are_refused_without_quoting_them(server: Any, name: str) -> None:
    answer = talk(server, [MALFORMED[name]], 2)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert answer.count(b"HTTP/1.1") <= 1  # nothing was smuggled in
    assert SECRET not in answer
    assert b"Traceback" not in answer


def form(parts: bytes, boundary: bytes = b"edge") -> bytes:
    head = b"POST /predict HTTP/1.1\r\n" + HOST + b"Content-Type: multipart/form-data; boundary="
    length = str(len(parts)).encode()
    return head + boundary + b"\r\nContent-Length: " + length + b"\r\n\r\n" + parts


def part(disposition: bytes, content: bytes = b"x", extra_headers: bytes = b"") -> bytes:
    head = (
        b"--edge\r\nContent-Disposition: form-data; "
        + disposition
        + b"\r\n"
        + extra_headers
        + b"\r\n"
    )
    return head + content + b"\r\n"


NESTED = part(b'name="a"', extra_headers=b"Content-Type: multipart/mixed; boundary=edge2\r\n")
FORMS = {
    "thousands of parts": form(part(b'name="a"') * 5_000 + b"--edge--\r\n"),
    "thousands of files": form(part(b'name="a"; filename="b"') * 5_000 + b"--edge--\r\n"),
    "large boundary": form(b"--" + b"e" * 9_000 + b"--\r\n", b"e" * 9_000),
    "nested": form(NESTED * 10 + b"--edge--\r\n"),
    "lines that end in LF": form((part(b'name="a"') + b"--edge--\r\n").replace(b"\r", b"")),
    "no name": form(part(SECRET) + b"--edge--\r\n"),
    "endless part header": form(part(b'name="' + b"a" * 3_000_000 + b'"') + b"--edge--\r\n"),
    "many part headers": form(
        part(b'name="a"', extra_headers=b"a: b\r\n" * 100_000) + b"--edge--\r\n"
    ),
    "bytes in a name": form(part(b'name="\xff\xfe' + SECRET + b'"') + b"--edge--\r\n"),
    "unknown charset": form(part(b'name="\xff"'), b"edge; charset=" + SECRET),
    "another disposition": form(
        b"--edge\r\nContent-Disposition: " + SECRET + b"\r\n\r\nx\r\n--edge--"
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_malicious_forms_are_refused(server: Any, name: str) -> None:
    answer = talk(server, [FORMS[name]])
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert SECRET not in answer


def test_compressed_bodies_are_not_unpacked(server: Any) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    headers = {"content-type": "image/jpeg", "content-encoding": "gzip"}
    response = httpx.post(f"{server.url}/predict", content=bomb, headers=headers)
    assert response.status_code == 415


def test_old_clients_and_proxies_are_understood(server: Any) -> None:
    old_answer = talk(server, [b"GET /livez HTTP/1.0\r\n\r\n"])
    proxy_answer = talk(server, [b"GET http://elsewhere/livez HTTP/1.1\r\n" + HOST + b"\r\n"])
    assert old_answer.startswith(b"HTTP/1.1 200")
    assert proxy_answer.startswith(b"HTTP/1.1 200")


def test_the_requests_of_this_file_caused_no_traceback(server: Any) -> None:
    log = server.log.read_text()
    assert "Traceback" not in log
    # clients cannot write to the log
    assert not re.search("Did not find|Invalid HTTP|boundary", log)
    assert not [n for n, value in server.metrics().items() if 'status="500"' in n and value]


def test_an_answer_is_one_packet(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
        for _ in range(5):
            connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body or b"content-length: 0" in head.lower()
