from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.errors import Draining, MissingField
from service.http.error_format import ErrorFormatMiddleware, error_response


def get(response: Response, method: str = "GET", path: str = "/") -> httpx.Response:
    """Send `response` through the middleware; return what a client receives."""

    async def respond(request: object) -> Response:
        return response

    app = ErrorFormatMiddleware(Starlette(routes=[Route(path, respond)]))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://graft"
        ) as client:
            return await client.request(method, path)

    return asyncio.run(send())


def error_content(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.content)
    content = response.json()
    assert set(content) == {"error"}
    assert set(content["error"]) == {"code", "message"}
    return dict(content["error"])


def test_an_error_response_has_status_format_and_headers() -> None:
    response = error_response(Draining("going down"))
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert json.loads(bytes(response.body)) == {
        "error": {"code": "draining", "message": "going down"}
    }
    assert "retry-after" not in error_response(MissingField("none")).headers


def test_our_errors_pass_unchanged() -> None:
    response = get(error_response(MissingField("no picture")))
    assert response.status_code == 422
    assert error_content(response) == {"code": "missing_field", "message": "no picture"}


@pytest.mark.parametrize("path", ["/v2", "/v2/models/tiny/infer"])
def test_errors_under_v2_are_strings(path: str) -> None:
    own_error = get(error_response(Draining("going down")), path=path)
    assert (own_error.status_code, own_error.json()) == (503, {"error": "going down"})
    assert own_error.headers["retry-after"] == "1"
    other_error = get(PlainTextResponse("gone fishing", 404), path=path)
    assert (other_error.status_code, other_error.json()) == (404, {"error": "gone fishing"})
    assert (
        error_content(get(error_response(Draining("going down")), path="/v20"))["code"]
        == "draining"
    )


@pytest.mark.parametrize("status", [200, 201, 304])
def test_responses_below_400_pass_unchanged(status: int) -> None:
    response = get(PlainTextResponse("fine" if status != 304 else "", status, {"x-own": "1"}))
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["x-own"] == "1"
    assert response.text == ("fine" if status != 304 else "")


def test_streams_pass_chunk_by_chunk() -> None:
    sent: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(iter(["a", "b"]))(scope, receive, send)

    async def collect(message: Any) -> None:
        sent.append(message.get("body", b"head"))

    async def receive_nothing() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}}
    asyncio.run(ErrorFormatMiddleware(app)(scope, receive_nothing, collect))
    assert sent == [b"head", b"a", b"b", b""]


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (PlainTextResponse("gone fishing", 404), "not_found", "gone fishing"),
        (JSONResponse({"error": "bad thing"}, 400), "bad_request", "bad thing"),
        (JSONResponse([{"error": "bad thing"}], 415), "unsupported_media_type", "bad thing"),
        (JSONResponse({"error": "x", "detail": [1]}, 400), "bad_request", "x"),
        (JSONResponse({"detail": "y"}, 400), "bad_request", '{"detail":"y"}'),
        (JSONResponse([], 400), "bad_request", "[]"),
        (Response(status_code=500), "internal_server_error", "Internal Server Error"),
        (Response(b"\xff\xfe", 400), "bad_request", "\ufffd\ufffd"),
        (StreamingResponse(iter(["in ", "pieces"]), 413), "*", "in pieces"),
    ],
)
def test_other_errors_get_the_format(response: Response, code: str, message: str) -> None:
    formatted = error_content(get(response))
    assert formatted["message"] == message
    assert code in (formatted["code"], "*")


def test_status_and_headers_are_kept() -> None:
    response = get(PlainTextResponse("no", 404, {"allow": "GET", "x-own": "1"}))
    assert response.status_code == 404
    assert (response.headers["allow"], response.headers["x-own"]) == ("GET", "1")


def test_a_wrong_method_is_answered_with_the_allowed_methods() -> None:
    response = get(PlainTextResponse("fine"), "POST")
    assert response.status_code == 405
    assert "GET" in response.headers["allow"]
    assert error_content(response)["code"] == "method_not_allowed"


@pytest.mark.parametrize("status", [429, 503])
def test_temporary_errors_get_a_retry_after(status: int) -> None:
    assert get(PlainTextResponse("busy", status)).headers["retry-after"] == "1"
    assert (
        get(PlainTextResponse("busy", status, {"retry-after": "9"})).headers["retry-after"] == "9"
    )


def test_lifespan_and_websockets_pass_unchanged() -> None:
    scope_types: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope_types.append(scope["type"])
        assert send is untouched

    async def untouched(message: object) -> None: ...

    for kind in ("lifespan", "websocket"):
        asyncio.run(ErrorFormatMiddleware(app)({"type": kind}, untouched, untouched))  # type: ignore[arg-type]
    assert scope_types == ["lifespan", "websocket"]


def test_an_unknown_path_is_answered_with_paths_to_use() -> None:
    tensorflow_serving = get(
        PlainTextResponse("Not Found", 404), path="/v1/models/classifier:predict"
    )
    assert error_content(tensorflow_serving)["message"].startswith(
        'Not Found: POST {"image": "<base64>"} to /predict'
    )
    unknown = get(PlainTextResponse("Not Found", 404), path="/nothing")
    assert error_content(unknown)["message"] == (
        "Not Found: there is no such path; / and /docs.json list the paths of this service"
    )
