"""Our routes before another application's, with a service made of what a route asks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.app import Classifier
from service.errors import MissingField
from service.front import endpoint, routes
from service.keys import Keys
from service.metrics import Metrics


async def answer(service: Any, request: Request) -> Response:
    if "refuse" in request.query_params:
        raise MissingField("nothing there")
    if "fail" in request.query_params:
        raise ZeroDivisionError("of ours")
    return JSONResponse({"body": (await request.body()).decode()})


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def post(registry: CollectorRegistry, path: str, **service: Any) -> httpx.Response:
    app = Starlette(routes=[endpoint("POST", "/there", answer)])
    usual = {"metrics": Metrics(registry), "is_draining": False, "keys": Keys([])}
    app.state.service = SimpleNamespace(**{**usual, **service})

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


def test_what_bentoml_declares_is_ours_to_answer() -> None:
    posts = {route.path for route in routes() if route.methods == {"POST"}}
    assert {api.route for api in Classifier.apis.values()} <= posts


def test_starlettes_router_is_what_our_routes_are_put_before() -> None:
    """Its attributes are not documented: `default`, `redirect_slashes` and `lifespan_context`."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        events.append("begun")
        yield
        events.append("ended")

    def app_of(path: str, text: str) -> Starlette:
        def show(request: Request) -> Response:
            return PlainTextResponse(text)

        return Starlette(routes=[Route(path, show)], lifespan=lifespan)

    front, behind = app_of("/there/", "front"), app_of("/there", "behind")
    front.router.redirect_slashes = behind.router.redirect_slashes = False
    front.router.default = behind

    async def ask() -> list[str]:
        transport = httpx.ASGITransport(front)
        async with (
            behind.router.lifespan_context(behind),
            httpx.AsyncClient(transport=transport, base_url="http://graft") as client,
        ):
            return [(await client.get(path)).text for path in ("/there/", "/there", "/none/")]

    assert asyncio.run(ask()) == ["front", "behind", "Not Found"]
    assert events == ["begun", "ended"]
