"""Requests with pictures are refused while the queue is full, and their bodies are not read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.datastructures import State
from starlette.types import Message, Receive, Scope, Send

from service.asgi import ALL_ENDPOINTS
from service.http.load_shedding import LoadSheddingMiddleware
from service.metrics import Metrics

PASSED = 204
PATHS = [endpoint.path for endpoint in ALL_ENDPOINTS if endpoint.accepts_pictures]


class Shedder:
    """The middleware around an application that answers 204 and reads nothing."""

    def __init__(self, *, is_full: bool = True, is_draining: bool = False) -> None:
        self.registry = CollectorRegistry()
        service = SimpleNamespace(
            model=SimpleNamespace(is_full=is_full),
            metrics=Metrics(self.registry),
            is_draining=is_draining,
        )
        self._app = LoadSheddingMiddleware(self._answer, State({"service": service}), PATHS)
        self.read_count = 0

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": PASSED, "headers": []})
        await send({"type": "http.response.body"})

    def request(
        self, method: str, path: str, **scope: Any
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        messages: list[Message] = []

        async def receive() -> Message:
            self.read_count += 1
            return {"type": "http.request", "body": b"picture", "more_body": self.read_count < 3}

        async def send(message: Message) -> None:
            messages.append(message)

        request = {"type": "http", "method": method, "path": path, "http_version": "1.1"}
        asyncio.run(self._app({**request, "headers": [], **scope}, receive, send))
        start, body = messages
        return start["status"], dict(start["headers"]), body.get("body", b"")


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/predict", "/predict"),
        ("/predict_batch", "/predict_batch"),
        ("/v2/models/any/infer", "/v2/models/{name}/infer"),
        ("/v2/models/any/versions/1/infer", "/v2/models/{name}/versions/{version}/infer"),
    ],
)
def test_pictures_are_refused_unread_and_counted(path: str, endpoint: str) -> None:
    shedder = Shedder()
    status, headers, body = shedder.request("POST", path)
    assert status == 429
    assert headers[b"retry-after"] == b"1"
    assert int(headers[b"content-length"]) == len(body)
    message = b"the queue of pictures is full; try again in a moment"
    own_format = b'{"error":{"code":"overloaded","message":"%s"}}' % message
    assert body == (b'{"error":"%s"}' % message if path.startswith("/v2") else own_format)
    assert shedder.read_count == 0
    value = shedder.registry.get_sample_value
    assert value("graft_requests_total", {"endpoint": endpoint, "status": "429"}) == 1
    assert value("graft_refusals_total", {"reason": "overloaded"}) == 1
    assert value("graft_request_seconds_count", {"endpoint": endpoint}) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/predict"), ("POST", "/v2/models/any"), ("GET", "/readyz"), ("POST", "/predict/x")],
)
def test_everything_else_passes(method: str, path: str) -> None:
    assert Shedder().request(method, path)[0] == PASSED


def test_pictures_pass_while_the_queue_is_not_full() -> None:
    assert Shedder(is_full=False).request("POST", "/predict")[0] == PASSED


def test_a_draining_server_passes_pictures_on() -> None:
    assert Shedder(is_draining=True).request("POST", "/predict")[0] == PASSED


def test_websockets_pass() -> None:
    shedder = Shedder()
    assert shedder.request("POST", "/predict", type="websocket")[0] == PASSED
