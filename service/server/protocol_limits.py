"""Limits on the memory and time of a connection while a request arrives, and after its response.

uvicorn's parser httptools has no such limits. Without them, endless headers or pipelined requests
would fill the memory, and the server would wait forever for the end of an incomplete header.
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
"""Limit on a request's header, and on a chunk extension or trailer."""
MAX_PIPELINED_REQUESTS: Final = 16
"""Limit on pipelined requests that wait on a connection; browsers and proxies send none."""
HEADER_TIMEOUT_SECONDS: Final = 10.0
"""Limit on the time for a request's header to arrive. Until the response is sent, the body has a
timeout of its own: `service.http.uploads.body_timeout`."""
MIN_DISCARD_BYTES_PER_SECOND: Final = 240
"""If the response is sent before the body has arrived, the rest of the body must arrive at least
this fast, on average over HEADER_TIMEOUT_SECONDS; otherwise the connection is closed."""
MAX_DISCARDED_BYTES: Final = 128 * 1024 * 1024
"""Limit on the bytes of a body that arrive after the response: twice the default body limit."""
MAX_DISCARD_SECONDS: Final = 60.0
"""Limit on the time for which a body may arrive after the response. The limit of nginx is 30 s."""


def bound_requests(keep_alive_seconds: float) -> None:
    """Make uvicorn use `BoundedHttpProtocol` in this process.

    BentoML has no option for uvicorn's protocol. So the default in uvicorn's table is replaced.

    Args:
        keep_alive_seconds: how long idle connections are kept open. The option
            `--timeout-keep-alive` of `bentoml serve`, which is passed to the workers, has priority.
    """
    BoundedHttpProtocol.keep_alive_seconds = (
        None if _has_keep_alive_option() else keep_alive_seconds
    )
    uvicorn.config.HTTP_PROTOCOLS["auto"] = (
        f"{BoundedHttpProtocol.__module__}:{BoundedHttpProtocol.__name__}"
    )


def _has_keep_alive_option() -> bool:
    """Whether `--timeout-keep-alive` or its environment variable is set, even to the default."""
    command = click.get_current_context(silent=True)
    source = command and command.get_parameter_source("timeout_keep_alive")
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits on the headers and the time of each request.

    If a header, chunk extension or trailer is too large, the response has status 400. If one takes
    too long, the connection is closed. If the response is sent before the body has arrived, the
    body is read and discarded, within limits, because many clients send the whole body before they
    read the response. The server does not ask for such a body if the request has the header
    `Expect: 100-continue`.
    """

    keep_alive_seconds: float | None = None  # None: uvicorn's own setting
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
            self.send_400_response(f"A header or trailer exceeds {MAX_HEADER_BYTES:,} bytes.")
        elif self._timeout is None:
            self._start_timeout()

    def _parse(self, data: bytes) -> None:
        """Feed the parser, and ignore offers to upgrade to another protocol.

        `curl --http2` and Java's HttpClient offer h2c. After an offer, httptools would treat all
        further data, even the body, as data of the other protocol, and uvicorn would treat it as
        the next request. So the header is parsed again without the offer.
        """
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                data = self._header_without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                # uvicorn sets this option, too.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return

    def _header_without_offer(self) -> bytes:
        """Return the header of the request without the field `Upgrade`."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"\r\n"])

    def on_message_begin(self) -> None:
        self._pending_bytes += 1  # an earlier request in the same packet may have reset it
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._pending_bytes = 0
        if self.parser.should_upgrade():  # `_parse` feeds the header again, without the offer
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
        if self._is_answered():  # uvicorn's own keep-alive timer was cancelled by this body
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_answered(self) -> bool:
        """Whether the current response is complete. If so, the rest of the body is discarded."""
        return self.cycle is not None and self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        self._is_body_expected = True  # discard all further data as if it were a body
        super().send_400_response(msg)
        self.pipeline.clear()
        # The connection closes before the current request is answered.
        if self._current_cycle is not None:
            self._current_cycle.disconnected = True
            self._current_cycle.message_event.set()

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._current_cycle = self.pipeline[-1][0]  # uvicorn starts this one now
        super().on_response_complete()

    def shutdown(self) -> None:
        self._is_stopping = True
        super().shutdown()

    def _start_discarding(self) -> bool:
        """Start to discard the rest of a body before the connection closes.

        Returns:
            False if there is nothing to discard: the connection can be closed immediately.
        """
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
