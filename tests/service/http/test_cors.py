"""Requests from web pages of other origins, with the real CORS options."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse

from service.errors import SettingError
from service.http.cors import cors_options
from service.settings import Settings

PAGE = "https://app.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "x-api-key, content-type",
}


def request(settings: Settings, method: str, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        app = CORSMiddleware(PlainTextResponse("refused", 429), **cors_options(settings))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.request(method, "/predict", headers=headers)

    return asyncio.run(send())


@pytest.fixture
def bentoml_cors() -> Iterator[dict[str, object]]:
    """`http.cors` of BentoML's configuration, for tests to change."""
    config = BentoMLContainer.config.get()
    original = dict(config["api_server"]["http"]["cors"])
    try:
        yield config["api_server"]["http"]["cors"]
    finally:
        config["api_server"]["http"]["cors"].clear()
        config["api_server"]["http"]["cors"].update(original)


def test_by_default_no_origin_is_allowed() -> None:
    assert cors_options(Settings()) == {}


def test_pages_of_named_origins_may_send_requests_and_read_errors() -> None:
    settings = Settings(cors_origins=f"{PAGE}, http://localhost:5173")
    preflight = request(settings, "OPTIONS", **PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert preflight.headers["access-control-allow-headers"] == "x-api-key, content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    answer = request(settings, "POST", Origin=PAGE)
    assert answer.status_code == 429
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


def test_pages_of_other_origins_may_not_send_requests() -> None:
    settings = Settings(cors_origins=PAGE)
    foreign_preflight = {**PREFLIGHT, "Origin": "https://evil.example"}
    preflight = request(settings, "OPTIONS", **foreign_preflight)
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    assert (
        "access-control-allow-origin"
        not in request(settings, "POST", Origin=foreign_preflight["Origin"]).headers
    )


def test_a_star_allows_every_origin() -> None:
    answer = request(Settings(cors_origins="*"), "POST", Origin="null")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_bentomls_configuration_is_used(bentoml_cors: dict[str, object]) -> None:
    bentoml_cors |= {
        "enabled": True,
        "access_control_allow_origins": PAGE,
        "access_control_allow_methods": "POST",
    }
    options = cors_options(Settings())
    assert (options["allow_origins"], options["allow_methods"]) == ([PAGE], ["POST"])
    assert options["allow_headers"] == ["*"]
    with pytest.raises(SettingError, match="CORS is configured twice"):
        cors_options(Settings(cors_origins=PAGE))


def test_bentomls_configuration_without_origins_is_refused(bentoml_cors: dict[str, object]) -> None:
    bentoml_cors["enabled"] = True
    with pytest.raises(SettingError, match="names no origins"):
        cors_options(Settings())
