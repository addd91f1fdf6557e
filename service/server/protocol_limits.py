"""Limits on what a connection may cost before a request has arrived, and after its answer.

uvicorn's fast parser, httptools, has no limits of its own: endless headers or pipelined requests
would fill the memory, and headers that never end would be awaited forever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click
import httptools
import uvicorn.config
from click.core import ParameterSource
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.server.transport import SEND_TIMEOUT_SECONDS, CoalescingTransport

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_HEADER_BYTES: Final = 65_536
"""Most bytes that complete neither a head, a piece of a body nor a request: h11's limit."""
MAX_PIPELINED_REQUESTS: Final = 16
"""Most requests that wait behind the current one; browsers and proxies send none."""
HEADER_TIMEOUT_SECONDS: Final = 10.0
"""Longest wait for a head. Bodies have a limit of their own until their request is answered."""
MIN_DISCARD_BYTES_PER_SECOND: Final = 240
"""Least speed, averaged over HEADER_TIMEOUT_SECONDS, of a body that still arrives after its answer."""
MAX_DISCARDED_BYTES: Final = 128 * 1024 * 1024
"""Most bytes of such a body: twice those of the largest request."""
MAX_DISCARD_SECONDS: Final = 60.0
"""Longest time for which such a body is read, however fast it arrives; nginx's is 30 s."""


def bound_requests(keep_alive_seconds: float) -> None:
    """Make `BoundedHttpProtocol` the protocol that uvicorn chooses in this process.

    BentoML passes no option to uvicorn, which looks up its option `http` in this table.

    Args:
        keep_alive_seconds: how long idle connections are kept, unless this process has the option
            `--timeout-keep-alive`, which `bentoml serve` passes on to workers.
    """
    BoundedHttpProtocol.keep_alive_seconds = (
        None if _has_keep_alive_option() else keep_alive_seconds
    )
    uvicorn.config.HTTP_PROTOCOLS["auto"] = (
        f"{BoundedHttpProtocol.__module__}:{BoundedHttpProtocol.__name__}"
    )


def _has_keep_alive_option() -> bool:
    """Whether the option was given; its value may equal the default, 5."""
    command = click.get_current_context(silent=True)
    source = command and command.get_parameter_source("timeout_keep_alive")
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Rejects requests whose head, chunk extension or trailer never ends (400).

    A body whose request is answered before it has arrived is read and discarded, within limits, so
    that its sender sees the answer; with `Expect: 100-continue` it is not asked for.
    """

    keep_alive_seconds: float | None = None  # None = uvicorn's setting
    _pending_bytes = 0
    _current_cycle: RequestResponseCycle | None = None
    _timeout: asyncio.TimerHandle | None = None
    _write_timeout: asyncio.TimerHandle | None = None
    _is_body_expected = False
    _is_discarding = False
    _is_stopping = False
    _discarded_bytes = 0
    _discarded_bytes_before = 0
    _discard_deadline = 0.0
    transport: CoalescingTransport  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(CoalescingTransport(transport, self.loop, self._start_discarding))  # type: ignore[arg-type]
        if self.keep_alive_seconds is not None:
            self.timeout_keep_alive = self.keep_alive_seconds  # type: ignore[assignment]
        self._start_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timeout()
        self._is_body_expected = False
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._write_timeout = self.loop.call_later(SEND_TIMEOUT_SECONDS, self.transport.abort)
        super().pause_writing()

    def resume_writing(self) -> None:
        if self._write_timeout is not None:
            self._write_timeout.cancel()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._is_discarding:
            self._count_discarded(data)
            return
        self._pending_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._is_discarding:
            return
        if not self._pending_bytes or self.transport.is_closing():
            self._cancel_timeout()
        elif self._pending_bytes > MAX_HEADER_BYTES:
            self.send_400_response("The request's header is too long.")
        elif self._timeout is None:
            self._start_timeout()

    def _parse(self, data: bytes) -> None:
        """Feed the parser, and ignore offers of another protocol.

        httptools takes everything after such an offer, even the body, for the other protocol, and
        uvicorn takes it for the next request. `curl --http2` and Java's HttpClient offer h2c.
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                # as uvicorn does
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def _head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"\r\n"])

    def on_message_begin(self) -> None:
        self._pending_bytes += 1  # an earlier request in the same packet has reset it
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._pending_bytes = 0
        if self.parser.should_upgrade():  # `_parse` feeds the head again, without the offer
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("not a proxy")
            return
        self._is_body_expected = True
        self._discarded_bytes = 0
        super().on_headers_complete()
        if not self.pipeline:
            self._current_cycle = self.cycle
        if len(self.pipeline) > MAX_PIPELINED_REQUESTS:
            raise ValueError("too many pipelined requests")  # the parser answers 400

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = int(self._is_answered())
        if self._pending_bytes:
            self._count_discarded(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._is_body_expected = False
        self._pending_bytes = 0
        super().on_message_complete()
        if self._is_answered():  # uvicorn's own wait for the next request is over
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_answered(self) -> bool:
        """Whether the current request is answered; data after that ends uvicorn's own wait."""
        return self.cycle is not None and self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        self._is_body_expected = True  # whatever else arrives
        super().send_400_response(msg)
        self.pipeline.clear()
        if self._current_cycle is not None:  # the connection closes before its answer
            self._current_cycle.disconnected = True
            self._current_cycle.message_event.set()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._current_cycle = self.pipeline[-1][0]  # which uvicorn starts now
        super().on_response_complete()

    def shutdown(self) -> None:
        self._is_stopping = True
        super().shutdown()

    def _start_discarding(self) -> bool:
        """Read on before the connection closes, if a body is expected; return whether to."""
        if not self._is_body_expected or self._is_discarding:
            return False
        self._is_discarding = True
        self._cancel_timeout()
        self._start_timeout()
        self.flow.resume_reading()
        return True

    def _count_discarded(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > MAX_DISCARDED_BYTES:
            self.transport.abort()

    def _start_timeout(self) -> None:
        self._discard_deadline = self.loop.time() + MAX_DISCARD_SECONDS
        self._restart_timeout()

    def _restart_timeout(self) -> None:
        self._discarded_bytes_before = self._discarded_bytes
        self._timeout = self.loop.call_later(HEADER_TIMEOUT_SECONDS, self._on_timeout)

    def _on_timeout(self) -> None:
        received = self._discarded_bytes - self._discarded_bytes_before
        is_expected = self._is_body_expected and not self._is_stopping
        is_in_time = self.loop.time() < self._discard_deadline
        if (
            is_expected
            and is_in_time
            and received >= MIN_DISCARD_BYTES_PER_SECOND * HEADER_TIMEOUT_SECONDS
        ):
            self._restart_timeout()
        else:
            self.transport.close_now()

    def _cancel_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
