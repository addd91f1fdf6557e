"""Refuse pictures while the queue is full, before the request is routed or read.

An early refusal saves the time for routing, reading and parsing the request. The API key check,
tracing and the duration metric are skipped too (docs/decisions/serving.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.datastructures import State
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import Overloaded
from service.http.error_format import error_response
from service.state import ServiceState

QUEUE_FULL: Final = Overloaded("the queue of pictures is full; try again in a moment")


class LoadSheddingMiddleware:
    """ASGI middleware that refuses requests with pictures while the queue is full (status 429).

    Args:
        app: the application that handles all other requests.
        state: the state of the Starlette application. Its attribute `service` must be set to the
            `ServiceState` before the first request arrives.
        paths: paths to which clients post pictures, with `{parameters}` as in Starlette's routes.
    """

    def __init__(self, app: ASGIApp, state: State, paths: Iterable[str]) -> None:
        self._app, self._state = app, state
        self._refusals = [
            (_pattern(path), path, error_response(QUEUE_FULL, path)) for path in paths
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        app = self._app if refusal is None else refusal
        await app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the response that refuses the request; None if the request is not refused.

        A refusal is counted in the metrics.
        """
        state: ServiceState = self._state.service
        if not state.model.is_full or state.is_draining or scope["method"] != "POST":
            return None
        for pattern, path, refusal in self._refusals:
            if pattern.match(scope["path"]):
                state.metrics.requests.labels(path, refusal.status_code).inc()
                state.metrics.refusals.labels(QUEUE_FULL.code).inc()
                return refusal
        return None


def _pattern(path: str) -> re.Pattern[str]:
    """Convert a route's path to a regular expression; a parameter matches text without slashes."""
    literals = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(map(re.escape, literals)) + r"\Z")
