"""Give each request an id, which the response and the logs contain, and write the access log."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import sys
import time
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID_HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""Matches the ids that are accepted from clients. Other characters, such as line breaks, could be
used to forge log entries."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")
access_log = logging.getLogger("graft.access")


def log_requests() -> None:
    """Write the access log to stdout, where container platforms collect logs."""
    if access_log.propagate:
        access_log.addHandler(logging.StreamHandler(sys.stdout))
        access_log.propagate = False
    access_log.setLevel(logging.INFO)


def silence_parser() -> None:
    """Keep python-multipart's warnings out of the log; each malformed form would cause one.

    The client gets the reason in the error response, and metrics count the error.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


class RequestIdMiddleware:
    """ASGI middleware that gives each request an id, and writes the access log if it is enabled.

    If the request has an X-Request-ID of 1 to 64 letters, digits, dots, underscores and hyphens,
    that id is kept. So the logs of the client, of proxies and of Graft show the same id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._process = os.urandom(6).hex().encode()
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADER), b"")
        generated = b"%s-%x" % (self._process, next(self._numbers))
        identifier = sent if _ACCEPTED.fullmatch(sent) else generated
        request_id.set(identifier.decode())
        status = 500  # logged if the application ends without a response
        started = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())  # optional in ASGI
                message["headers"] = [*headers, (REQUEST_ID_HEADER, identifier)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if access_log.isEnabledFor(logging.INFO):
                _log_request(scope, status, time.monotonic() - started)


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    client = scope.get("client")
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "request_id": request_id.get(),
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "milliseconds": round(seconds * 1000, 1),
        "client": client[0] if client else None,
    }
    access_log.info(json.dumps(line))
