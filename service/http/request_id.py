"""Every request has an id: in its answer, in the log, and in what an error is logged with."""

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

HEADER = b"x-request-id"
_PLAIN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""What a caller's own id may look like; anything else could forge lines of a log."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")
access_log = logging.getLogger("graft.access")


def log_requests() -> None:
    """Switch the access log on: to stdout, as containers do."""
    if access_log.propagate:
        access_log.addHandler(logging.StreamHandler(sys.stdout))
        access_log.propagate = False
    access_log.setLevel(logging.INFO)


def silence_parser() -> None:
    """Keep what strangers send out of the log: a refusal is counted, and says itself why.

    Of what they send, python-multipart alone has warnings: of each damaged form.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


class RequestIdMiddleware:
    """ASGI middleware: gives a request its id, and logs one JSON line for it where asked to.

    The caller's X-Request-ID is kept, so that one id follows a request through a proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._prefix = os.urandom(6).hex().encode()  # of this process
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
        made = b"%s-%x" % (self._prefix, next(self._numbers))
        identity = sent if _PLAIN.fullmatch(sent) else made
        request_id.set(identity.decode())
        status = 500  # where the application ends without an answer
        started = time.monotonic()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())  # ASGI lets them be left out
                message["headers"] = [*headers, (HEADER, identity)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            if access_log.isEnabledFor(logging.INFO):
                _log(scope, status, time.monotonic() - started)


def _log(scope: Scope, status: int, seconds: float) -> None:
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
