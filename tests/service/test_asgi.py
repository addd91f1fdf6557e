"""Our routes and middleware without BentoML: ASGI requests to a state with the tiny bundle."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.asgi import ALL_ENDPOINTS, add_middleware, routes
from service.state import ServiceState


def send(state: ServiceState, method: str, path: str, **options: Any) -> httpx.Response:
    app = Starlette(routes=routes())
    app.state.service = state
    transport = httpx.ASGITransport(add_middleware(app, state.settings))

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def test_predict_answers_a_form_a_body_and_json(state: ServiceState, draw: Any) -> None:
    picture = draw("green", "PNG")
    requests: list[dict[str, Any]] = [
        {"files": {"image": picture}},
        {"content": picture, "headers": {"Content-Type": "image/png"}},
        {"json": {"image": base64.b64encode(picture).decode()}},
    ]
    answers = [send(state, "POST", "/predict", **request).json() for request in requests]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["label"] == "green"
    manifest = state.model.manifest
    assert answers[0]["model"] == {"name": manifest.name, "version": manifest.version}


def test_a_batch_answers_good_pictures_and_refuses_bad_ones(state: ServiceState, draw: Any) -> None:
    files = [("images", draw("red")), ("images", b"text"), ("images", draw("blue"))]
    red, text, blue = send(state, "POST", "/predict_batch", files=files).json()["results"]
    assert (red["label"], blue["label"]) == ("red", "blue")
    assert text["error"]["code"] == "unsupported_media_type"


def test_the_inference_protocol_answers_as_predict(state: ServiceState, draw: Any) -> None:
    picture = draw("blue")
    data = [base64.b64encode(picture).decode()]
    tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": data}
    response = send(state, "POST", "/v2/models/tiny/infer", json={"inputs": [tensor]})
    outputs = {output["name"]: output["data"] for output in response.json()["outputs"]}
    assert outputs["label"] == ["blue"]
    answer = send(state, "POST", "/predict", files={"image": picture}).json()
    assert max(outputs["probabilities"]) == pytest.approx(answer["score"], abs=1e-6)


@pytest.mark.parametrize(
    "path", ["/model", "/samples/0", "/ui", "/metrics", "/docs.json", "/v2", "/v2/health/ready"]
)
def test_pages_and_probes_answer(state: ServiceState, path: str) -> None:
    response = send(state, "GET", path)
    assert response.status_code == 200
    assert response.headers["x-request-id"]


def test_the_model_page_names_the_challenger(
    make_state: Any, tiny_bundle: Any, fake_challengers: list[Any]
) -> None:
    assert "shadow" not in send(make_state(), "GET", "/model").json()
    state = make_state(shadow=str(tiny_bundle.path))
    challenger = {"name": "tiny", "version": tiny_bundle.manifest.version}
    assert send(state, "GET", "/model").json()["shadow"] == challenger


def test_an_unknown_path_gets_the_error_format(state: ServiceState) -> None:
    response = send(state, "GET", "/nothing")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_only_probes_and_pages_need_no_key(make_state: Any) -> None:
    state = make_state(api_keys="secret")
    public = ("/ui", "/metrics", "/docs.json", "/v2/health/live", "/v2/health/ready")
    assert {send(state, "GET", path).status_code for path in public} == {200}
    parameters = {"{name}": "tiny", "{version}": "1", "{number}": "0"}
    for endpoint in ALL_ENDPOINTS:
        path = endpoint.path
        for parameter, value in parameters.items():
            path = path.replace(parameter, value)
        assert send(state, endpoint.method, path).status_code == 401, path


def test_a_full_queue_refuses_pictures_and_answers_everything_else(
    make_state: Any, draw: Any
) -> None:
    state = make_state(max_queue_size=1, max_pictures=1)
    with state.model.admit(1):
        refused = send(state, "POST", "/predict", files={"image": draw()})
        assert send(state, "GET", "/model").status_code == 200
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-request-id"]
    assert send(state, "POST", "/predict", files={"image": draw()}).status_code == 200


def test_web_pages_of_named_origins_may_read_refusals(make_state: Any) -> None:
    state = make_state(cors_origins="https://example.org", max_queue_size=1, max_pictures=1)
    with state.model.admit(1):
        refused = send(state, "POST", "/predict", headers={"Origin": "https://example.org"})
    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == "https://example.org"


def test_draining_refuses_new_requests(state: ServiceState, draw: Any) -> None:
    state.is_draining = True
    refused = send(state, "POST", "/predict", files={"image": draw()})
    assert refused.status_code == 503
    assert refused.headers["connection"] == "close"
    assert send(state, "GET", "/v2/health/ready").status_code == 503
    assert send(state, "GET", "/v2/health/live").status_code == 200


def test_starlettes_router_has_the_attributes_that_asgi_sets() -> None:
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

    front, fallback = app_of("/there/", "front"), app_of("/there", "behind")
    front.router.redirect_slashes = fallback.router.redirect_slashes = False
    front.router.default = fallback

    async def send() -> list[str]:
        transport = httpx.ASGITransport(front)
        async with (
            fallback.router.lifespan_context(fallback),
            httpx.AsyncClient(transport=transport, base_url="http://graft") as client,
        ):
            return [(await client.get(path)).text for path in ("/there/", "/there", "/none/")]

    assert asyncio.run(send()) == ["front", "behind", "Not Found"]
    assert events == ["begun", "ended"]
