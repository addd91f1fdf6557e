"""What a connection may cost before a request is there, and after: uvicorn's parser, with bounds.

httptools has no limits, and uvicorn's own are for h11 alone: 50 MB of short headers took 1.2 GB,
one header of 100 MB 48 s of the event loop, 22 MB of pipelined requests 1.3 GB, and a header that
never ended was waited for without end. h11 bounds all but the wait, and takes 66 us more
for every request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click
import httptools
import uvicorn.config
from click.core import ParameterSource
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.server.transport import READ_SECONDS, InOnePiece

if TYPE_CHECKING:
    from circus.sockets import CircusSocket
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_HEAD_BYTES: Final = 65_536
"""Most bytes without a whole header section, a piece of a body, or an end: h11's limit."""
MAX_PIPELINED: Final = 16
"""Most requests that wait behind the one being answered; browsers and proxies send none."""
HEAD_SECONDS: Final = 10.0
"""Longest wait for the rest of a head; bodies have a limit of their own until they are answered."""
REST_BYTES_PER_SECOND: Final = 240
"""Fewest bytes, on average of HEAD_SECONDS, of a body that is read on once it is answered."""
MAX_REST_BYTES: Final = 128 * 1024 * 1024
"""Most bytes of such a body: those of the largest request, and as much again."""
MAX_REST_SECONDS: Final = 60.0
"""Longest time that such a body is read for, however fast it comes; nginx's is 30 s."""


def bound_requests(keep_alive_seconds: float) -> None:
    """Let every uvicorn of this process that chooses its protocol itself choose `BoundedHttp`.

    BentoML hands no such option on; this table is what uvicorn's option `http` is looked up in.

    Args:
        keep_alive_seconds: how long an idle connection is kept, unless the command line of this
            process has a `--timeout-keep-alive`: `bentoml serve` hands its own on to workers.
    """
    BoundedHttp.keep_alive_seconds = None if _names_keep_alive() else keep_alive_seconds
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{BoundedHttp.__module__}:{BoundedHttp.__name__}"


def _names_keep_alive() -> bool:
    """Whether somebody gave the option; its value may be the default, 5."""
    command = click.get_current_context(silent=True)
    source = command and command.get_parameter_source("timeout_keep_alive")
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


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


class BoundedHttp(HttpToolsProtocol):
    """Reject requests whose head, chunk extension or trailer never ends (400).

    A body that is refused before it came is read on and thrown away, so that its sender sees the
    answer; one that announced itself by `Expect: 100-continue` is not asked for.
    """

    keep_alive_seconds: float | None = None  # None: as uvicorn is set up
    _pending_bytes = 0
    _running: RequestResponseCycle | None = None
    _patience: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _is_body_due = False
    _is_discarding = False
    _is_stopping = False
    _rest_bytes = 0
    _rest_bytes_before = 0
    _rest_until = 0.0
    transport: InOnePiece  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(InOnePiece(transport, self.loop, self._discard_rest))  # type: ignore[arg-type]
        if self.keep_alive_seconds is not None:
            self.timeout_keep_alive = self.keep_alive_seconds  # type: ignore[assignment]
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._is_body_due = False
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
        if self._is_discarding:
            self._count_rest(data)
            return
        self._pending_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._is_discarding:
            return
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
        self._is_body_due = True
        self._rest_bytes = 0
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle
        if len(self.pipeline) > MAX_PIPELINED:
            raise ValueError("too many pipelined requests")  # to the parser: answered by 400

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = self._nobody_else_waits()
        if self._pending_bytes:
            self._count_rest(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._is_body_due = False
        self._pending_bytes = 0
        super().on_message_complete()
        if self._nobody_else_waits():  # and the next request may take its time
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _nobody_else_waits(self) -> int:
        """1 once a request is answered: what comes of it then has ended uvicorn's own wait."""
        return int(self.cycle is not None and self.cycle.response_complete)

    def send_400_response(self, msg: str) -> None:
        self._is_body_due = True  # whatever it is that comes
        super().send_400_response(msg)
        self.pipeline.clear()
        if self._running is not None:  # its answer would meet a closed connection
            self._running.disconnected = True
            self._running.message_event.set()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._running = self.pipeline[-1][0]  # which uvicorn begins now
        super().on_response_complete()

    def shutdown(self) -> None:
        self._is_stopping = True
        super().shutdown()

    def _discard_rest(self) -> bool:
        """When the connection is to be closed: whether to read on first, and begin with that."""
        if not self._is_body_due or self._is_discarding:
            return False
        self._is_discarding = True
        self._stop_waiting()
        self._wait()
        self.flow.resume_reading()
        return True

    def _count_rest(self, data: bytes) -> None:
        self._rest_bytes += len(data)
        if self._rest_bytes > MAX_REST_BYTES:
            self.transport.abort()

    def _wait(self) -> None:
        self._rest_until = self.loop.time() + MAX_REST_SECONDS
        self._wait_on()

    def _wait_on(self) -> None:
        self._rest_bytes_before = self._rest_bytes
        self._patience = self.loop.call_later(HEAD_SECONDS, self._lose_patience)

    def _lose_patience(self) -> None:
        came = self._rest_bytes - self._rest_bytes_before
        is_wanted = self._is_body_due and not self._is_stopping
        is_in_time = self.loop.time() < self._rest_until
        if is_wanted and is_in_time and came >= REST_BYTES_PER_SECOND * HEAD_SECONDS:
            self._wait_on()
        else:
            self.transport.end()

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
