from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api_keys import ApiKeys
from service.http.error_format import ErrorFormatMiddleware
from service.http.request_id import (
    RequestIdMiddleware,
    access_log,
    log_requests,
    request_id,
    silence_parser,
)
from service.http.routing import Endpoint
from service.metrics import Metrics

GENERATED = r"[0-9a-f]{12}-[0-9a-f]+"


def get(app: Any, path: str = "/", **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(RequestIdMiddleware(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


async def respond_with_id(request: Request) -> Response:
    await asyncio.sleep(0)
    return Response(request_id.get())


@pytest.fixture
def app() -> Starlette:
    return Starlette(routes=[Route("/", respond_with_id)])


@pytest.fixture
def access_lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Switch the access log on; yield a function that returns its entries."""
    output = io.StringIO()
    original_handlers = list(access_log.handlers)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", output)
        log_requests()
        yield lambda: [json.loads(line) for line in output.getvalue().splitlines()]
    access_log.handlers[:] = original_handlers
    access_log.setLevel(logging.NOTSET)
    access_log.propagate = True


# Ids


@pytest.mark.parametrize("client_id", ["a", "5f2c9a.B_7-x", "x" * 64])
def test_a_clients_id_is_kept(app: Starlette, client_id: str) -> None:
    response = get(app, **{"X-Request-ID": client_id})
    assert response.headers["x-request-id"] == response.text == client_id


@pytest.mark.parametrize(
    "client_id", ["", "x" * 65, "two words", 'quo"te', "naïve", "a\tb", "../../etc", "a{b}"]
)
def test_an_id_that_could_forge_a_log_is_replaced(app: Starlette, client_id: str) -> None:
    response = get(app, **{"X-Request-ID": client_id.encode("latin-1")})  # type: ignore[arg-type]
    assert re.fullmatch(GENERATED, response.headers["x-request-id"])
    assert response.text == response.headers["x-request-id"]


def test_generated_ids_differ(app: Starlette) -> None:
    assert len({get(app).headers["x-request-id"] for _ in range(20)}) == 20


def test_concurrent_requests_keep_their_ids(app: Starlette) -> None:
    async def send_all() -> list[httpx.Response]:
        transport = httpx.ASGITransport(RequestIdMiddleware(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await asyncio.gather(
                *(client.get("/", headers={"X-Request-ID": str(n)}) for n in range(20))
            )

    assert [response.text for response in asyncio.run(send_all())] == [str(n) for n in range(20)]


def test_an_application_may_omit_headers(app: Starlette) -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    assert re.fullmatch(GENERATED, get(bare).headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/docs.json", 200),
        ("GET", "/metrics", 200),
        ("GET", "/model", 200),
        ("GET", "/predict", 405),
        ("POST", "/predict", 422),
        ("POST", "/predict_batch", 422),
        ("POST", "/admin/reload", 404),
        ("GET", "/nothing", 404),
        ("POST", "/schema.json", 405),
    ],
)
def test_every_answer_has_an_id(server: Any, method: str, path: str, status: int) -> None:
    for client_id in ("mine-1", ""):
        response = httpx.request(method, server.url + path, headers={"X-Request-ID": client_id})
        assert response.status_code == status
        ids = response.headers.get_list("x-request-id")
        assert len(ids) == 1
        assert ids[0] == client_id or (not client_id and re.fullmatch(GENERATED, ids[0]))


def test_a_bug_is_logged_with_the_id_and_hidden_from_the_client(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(state: Any, request: Request) -> Response:
        raise ZeroDivisionError("secret")

    metrics = Metrics(CollectorRegistry())
    app = Starlette(routes=[Endpoint("GET", "/bug", fail).route()])
    app.state.service = SimpleNamespace(metrics=metrics, api_keys=ApiKeys([]), is_draining=False)
    response = get(ErrorFormatMiddleware(app), "/bug", **{"X-Request-ID": "follow-me"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "follow-me"
    assert response.json()["error"]["code"] == "internal_server_error"
    assert "secret" not in response.text
    (record,) = caplog.records
    assert (
        record.getMessage()
        == "request follow-me to /bug failed because of a bug in Graft; please report this "
        "traceback"
    )
    assert record.exc_info
    assert "secret" in str(record.exc_info[1])
    assert metrics.requests.labels("/bug", 500)._value.get() == 1


# Access log


def test_a_request_is_logged_as_a_line_of_json(app: Starlette, access_lines: Any) -> None:
    get(app, "/?secret=1", **{"X-Request-ID": "one"})
    get(app, "/no%22%0Apath", **{"X-Request-ID": "two"})
    entry, not_found_entry = access_lines()
    assert entry.keys() == {
        *("time", "request_id", "method", "path", "status", "milliseconds", "client")
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    assert entry["request_id"] == "one"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/", 200)
    assert entry["client"] == "127.0.0.1"
    assert 0 <= entry["milliseconds"] < 10_000
    assert (not_found_entry["path"], not_found_entry["status"]) == ('/no"\npath', 404)


def test_an_application_that_fails_is_logged_with_500(access_lines: Any) -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    get(fail)
    assert [line["status"] for line in access_lines()] == [500]


def test_switching_the_log_on_twice_writes_one_line(app: Starlette, access_lines: Any) -> None:
    log_requests()
    get(app)
    assert len(access_lines()) == 1


def test_the_access_log_is_off_by_default(
    app: Starlette, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    get(app)
    assert capsys.readouterr().out == ""
    assert caplog.records == []


@pytest.mark.slow
def test_the_setting_switches_the_log_on(serve: Any, server: Any, draw: Any) -> None:
    with serve(GRAFT_ACCESS_LOG="1") as logging_server:
        for target in (server, logging_server):
            headers = {"X-Request-ID": "seen"}
            httpx.post(f"{target.url}/predict", files={"image": draw()}, headers=headers)
            httpx.get(f"{target.url}/nothing", headers=headers)
    lines = [
        json.loads(line)
        for line in logging_server.log.read_text().splitlines()
        if line.startswith("{")
    ]
    own_lines = [line for line in lines if line["request_id"] == "seen"]
    assert [(line["path"], line["status"]) for line in own_lines] == [
        ("/predict", 200),
        ("/nothing", 404),
    ]
    assert "seen" not in server.log.read_text()


@pytest.fixture
def parsers_log() -> Iterator[logging.Logger]:
    """python-multipart's logger; its level is restored afterwards."""
    logger = logging.getLogger("python_multipart")
    original_level = logger.level
    yield logger
    logger.setLevel(original_level)


def test_damaged_forms_do_not_write_into_the_log(
    parsers_log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    def log_of_a_damaged_form() -> list[str]:
        caplog.clear()
        with pytest.raises(FormParserError):
            MultipartParser(b"edge").write(b"--edge\n")
        return [record.name for record in caplog.records]

    assert log_of_a_damaged_form() == [f"{parsers_log.name}.multipart"]
    silence_parser()
    assert log_of_a_damaged_form() == []
