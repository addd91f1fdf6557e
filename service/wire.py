"""What a connection may cost before a request is there, and after: uvicorn's parser, with bounds.

httptools has no limits, and uvicorn's own are for h11 alone: 50 MB of short headers took 1.2 GB,
one header of 100 MB 48 s of the event loop, 22 MB of pipelined requests 1.3 GB, and a header that
never ended was waited for without end. h11 bounds all but the wait, and takes 66 us more
for every request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import httptools
import uvicorn.config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from circus.sockets import CircusSocket
    from uvicorn._types import ASGI3Application

MAX_HEAD_BYTES: Final = 65_536
"""Most bytes without a whole header section, a piece of a body, or an end: h11's limit."""
MAX_PIPELINED: Final = 16
"""Most requests that wait behind the one being answered; browsers and proxies send none."""
HEAD_SECONDS: Final = 10.0
"""Longest wait for the rest of what has been begun; bodies have a limit of their own until they are
answered."""
READ_SECONDS: Final = 10.0
"""Longest time that a client takes to read what the system does not hold for it (some MB), and
until all is read where the connection closes: none of our limits counts that memory."""


def bound_requests() -> None:
    """Let every uvicorn of this process that chooses its protocol itself choose `BoundedHttp`.

    BentoML hands no such option on; this table is what uvicorn's option `http` is looked up in.
    """
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{BoundedHttp.__module__}:{BoundedHttp.__name__}"


def refuse_until_ready() -> None:
    """Let BentoML's parent bind the port and not listen on it: the first ready worker does.

    For the parent, before it makes its socket. It listens at once otherwise, and the seconds in
    which workers load take connections that nobody answers, where a proxy would have asked another
    replica.
    """
    from circus.sockets import CircusSocket

    CircusSocket.listen = _leave_it_to_uvicorn


def _leave_it_to_uvicorn(socket: CircusSocket, backlog: int = 0) -> None:
    """uvicorn listens on whatever socket it is handed, once it has started up."""


class InOnePiece:
    """A transport that sends what is written in one turn of the event loop together.

    uvicorn writes an answer's head and its body apart: two calls of the system and two packets,
    and a client wakes up for each: at three times saturation, 4% of what is left for answers.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(READ_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    def _send(self) -> None:
        if self._written and not self._transport.is_closing():
            self._transport.write(b"".join(self._written))
        self._written.clear()


class BoundedHttp(HttpToolsProtocol):
    """Refuses with 400 what has no end: headers, addresses, extensions of chunks, trailers."""

    _pending_bytes = 0
    _running: RequestResponseCycle | None = None
    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(InOnePiece(transport, self.loop))  # type: ignore[arg-type]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._pending_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if not self._pending_bytes or self.transport.is_closing():
            self._stop_waiting()
        elif self._pending_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request's header is too long.")
        elif self._patience is None:
            self._wait()

    def _parse(self, data: bytes) -> None:
        """Let the parser call what follows; an offer to speak another protocol is passed over.

        httptools takes what follows it, a body, too, for the other protocol, and uvicorn then for
        the next request. `curl --http2` and Java's HttpClient make such an offer (h2c).
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
            except httptools.HttpParserError:
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"\r\n"])

    def on_message_begin(self) -> None:
        self._pending_bytes += 1  # what came before it in one piece has set this to 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._pending_bytes = 0
        if self.parser.should_upgrade():  # it comes once more, without the offer
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("no proxy")
            return
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED:
            raise ValueError("too many pipelined requests")  # to the parser: answered by 400

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = self._nobody_else_waits()
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._pending_bytes = self._nobody_else_waits()
        super().on_message_complete()

    def _nobody_else_waits(self) -> int:
        """1 once a request is answered: what comes of it then has ended uvicorn's own wait."""
        return int(self.cycle is not None and self.cycle.response_complete)

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self.pipeline.clear()
        if self._running is not None:  # its answer would meet a closed connection
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
