"""The metrics, errors and keys that an endpoint adds to its handler, with a minimal state."""

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

from service.api_keys import ApiKeys
from service.errors import MissingField
from service.http.routing import Endpoint
from service.metrics import Metrics


async def handle(state: Any, request: Request) -> Response:
    if "refuse" in request.query_params:
        raise MissingField("nothing there")
    if "fail" in request.query_params:
        raise ZeroDivisionError("of ours")
    return JSONResponse({"body": (await request.body()).decode()})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def post(registry: CollectorRegistry, path: str, **changes: Any) -> httpx.Response:
    app = Starlette(routes=[Endpoint("POST", "/there", handle).route()])
    defaults = {"metrics": Metrics(registry), "is_draining": False, "api_keys": ApiKeys([])}
    app.state.service = SimpleNamespace(**{**defaults, **changes})

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.post(path, content=b"picture")

    return asyncio.run(send())


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 200, None),
        ("?refuse", 422, "missing_field"),
        ("?fail", 500, "internal_server_error"),
    ],
)
def test_every_answer_is_counted_once_and_errors_have_the_format(
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


def test_a_draining_server_refuses_and_closes_the_connection(registry: CollectorRegistry) -> None:
    response = post(registry, "/there", is_draining=True)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["error"]["code"] == "draining"
    assert response.headers["connection"] == "close"
    assert registry.get_sample_value("graft_refusals_total", {"reason": "draining"}) == 1


def test_a_request_without_the_key_is_refused(registry: CollectorRegistry) -> None:
    response = post(registry, "/there", api_keys=ApiKeys(["secret"]))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
