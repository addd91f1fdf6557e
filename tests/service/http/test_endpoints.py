"""What is around a handler, with a state of no more than it uses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import MissingField
from service.http.endpoints import Endpoint
from service.keys import Keys
from service.metrics import Metrics


async def answer(state: Any, request: Request) -> Response:
    if "refuse" in request.query_params:
        raise MissingField("nothing there")
    if "fail" in request.query_params:
        raise ZeroDivisionError("of ours")
    return JSONResponse({"body": (await request.body()).decode()})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def post(registry: CollectorRegistry, path: str, **changes: Any) -> httpx.Response:
    app = Starlette(routes=[Endpoint("POST", "/there", answer).route()])
    usual = {"metrics": Metrics(registry), "is_draining": False, "keys": Keys([])}
    app.state.service = SimpleNamespace(**{**usual, **changes})

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.post(path, content=b"picture")

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 200, None),
        ("?refuse", 422, "missing_field"),
        ("?fail", 500, "internal_server_error"),
    ],
)
def test_every_answer_is_counted_once_and_has_the_shape(
    registry: CollectorRegistry, query: str, status: int, code: str | None
) -> None:
    response = post(registry, f"/there{query}")
    assert response.status_code == status
    assert "connection" not in response.headers
    assert "of ours" not in response.text
    assert response.json().get("error", {}).get("code") == code
    labels = {"endpoint": "/there", "status": str(status)}
    assert registry.get_sample_value("graft_requests_total", labels) == 1
    assert registry.get_sample_value("graft_request_seconds_count", {"endpoint": "/there"}) == 1


def test_draining_refuses(registry: CollectorRegistry) -> None:
    response = post(registry, "/there", is_draining=True)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "draining"
    assert response.headers["connection"] == "close"
    assert registry.get_sample_value("graft_refusals_total", {"reason": "draining"}) == 1


def test_without_the_key_nothing_is_done(registry: CollectorRegistry) -> None:
    response = post(registry, "/there", keys=Keys(["secret"]))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
