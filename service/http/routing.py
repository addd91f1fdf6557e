"""Make Starlette routes from handlers, with an API key check, metrics, tracing and JSON errors.

The tables of the routes are in service/http/routes.py and service/oip/routes.py.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.errors import Draining, RequestError
from service.http.error_format import error_response
from service.http.request_id import request_id
from service.server.tracing import middleware
from service.state import ServiceState

Handler = Callable[[ServiceState, Request], Awaitable[Response]]

_INTERNAL_ERROR: Final = {
    "code": "internal_server_error",
    "message": "an unexpected error occurred; the server's log has the details",
}
_log = logging.getLogger("graft")


@dataclass(frozen=True)
class Endpoint:
    """One row of a table of routes.

    Attributes:
        method: HTTP method, such as GET.
        path: path in Starlette's notation, with `{parameters}`. It is also the value of the label
            `endpoint` in the metrics.
        handler: coroutine function that returns the response, or raises a `RequestError`.
        accepts_pictures: whether requests contain pictures. Requests with pictures are refused
            while the queue is full, before their bodies are read.
    """

    method: str
    path: str
    handler: Handler
    accepts_pictures: bool = False

    def route(self) -> Route:
        """Make the Starlette route, with an API key check, metrics, tracing and JSON errors."""
        path, handler = self.path, self.handler

        async def handle(request: Request) -> Response:
            state: ServiceState = request.app.state.service
            metrics = state.metrics
            try:
                with metrics.request_seconds.labels(path).time():
                    state.api_keys.check(request.headers)
                    if state.is_draining:
                        raise Draining("this server is stopping; send the request again")
                    response = await handler(state, request)
            except RequestError as error:
                metrics.refusals.labels(error.code).inc()
                response = error_response(error)
            except Exception:  # a bug: details go to the log, not to the client
                _log.exception(
                    "request %s to %s failed because of a bug in Graft; please report this "
                    "traceback",
                    *(request_id.get(), path),
                )
                response = JSONResponse({"error": _INTERNAL_ERROR}, 500)
            if state.is_draining:  # the client must not reuse a connection that will be closed
                response.headers["Connection"] = "close"
            metrics.requests.labels(path, response.status_code).inc()
            return response

        return Route(path, handle, methods=[self.method], middleware=middleware())
