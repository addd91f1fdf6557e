"""Pictures are turned away at the door while there is no room for them.

Who is refused only once its request was routed, read and parsed has cost an eighth of an answer:
at three times what the machine can do, that left 65% of it for answers. So nothing else is looked
at before, not even the key, and there is no span. How long it takes is not counted, or answers
would look the faster, the more are refused.
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

FULL: Final = Overloaded(
    "as many pictures as are let in are being worked on; try again in a moment"
)


class LoadSheddingMiddleware:
    """ASGI middleware: answers 429 to what brings pictures, before anything is spent on it.

    Args:
        app: what answers while there is room.
        state: its `service` is the Classifier, once there is one.
        paths: to which pictures are posted, as routes have them.
    """

    def __init__(self, app: ASGIApp, state: State, paths: Iterable[str]) -> None:
        self._app, self._state = app, state
        self._answers = [(_pattern(path), path, error_response(FULL, path)) for path in paths]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._refused(scope) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        await answer(scope, receive, send)

    def _refused(self, scope: Scope) -> Response | None:
        """What to say to a request that there is no room for."""
        service: ServiceState = self._state.service
        if not service.model.is_full or service.is_draining or scope["method"] != "POST":
            return None
        for pattern, path, answer in self._answers:
            if pattern.match(scope["path"]):
                service.metrics.requests.labels(path, answer.status_code).inc()
                service.metrics.refusals.labels(FULL.code).inc()
                return answer
        return None


def _pattern(path: str) -> re.Pattern[str]:
    """What a request's path matches, in which `{name}` stands for anything without a slash."""
    literals = re.split(r"\{\w+\}", path)
    return re.compile("[^/]+".join(map(re.escape, literals)) + r"\Z")
