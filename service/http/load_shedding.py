"""Refuse pictures while the queue is full, before anything is spent on the request.

A request that is refused only after routing, reading and parsing costs an eighth of an answer, so
this comes before the API key, the span and the duration metric (docs/decisions/serving.md).
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
    """ASGI middleware: answers 429 to requests with pictures while the queue is full.

    Args:
        app: answers all other requests.
        state: its `service` is the `ServiceState`, by the first request.
        paths: to which pictures are posted, with `{parameters}` as in routes.
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
        """Get the response to a request that is refused; None if it is let in."""
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
    """Compile a route's path; `{name}` matches anything without a slash."""
    literals = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(map(re.escape, literals)) + r"\Z")
