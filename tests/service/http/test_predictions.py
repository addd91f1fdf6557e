"""The handlers, called with a state and a request; test_app.py tests the running service."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from service.errors import (
    BadParameter,
    Overloaded,
    RequestTimeout,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.http.predictions import gather_all, predict, predict_batch
from service.state import ServiceState


def request(
    body: bytes, received: list[str], query: bytes = b"", kind: bytes = b"image/jpeg"
) -> Request:
    async def receive() -> dict[str, Any]:
        received.append("body")
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
    return Request({**scope, "query_string": query}, receive)


def test_a_picture_may_be_sent_as_json(state: ServiceState, draw: Any) -> None:
    body = json.dumps({"image": base64.b64encode(draw("blue")).decode()}).encode()
    response = asyncio.run(predict(state, request(body, [], kind=b"application/json")))
    assert json.loads(response.body)["label"] == "blue"


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_top_k_sets_the_number_of_classes(state: ServiceState, draw: Any, top_k: int) -> None:
    query = b"a=%zz&top_k=" + str(top_k).encode()
    response = asyncio.run(predict(state, request(draw("blue"), [], query)))
    top = json.loads(response.body)["top"]
    assert len(top) == top_k
    assert top[0]["label"] == "blue"
    form = httpx.Request("POST", "http://graft/", files=[("images", ("1", draw("red")))])
    kind = form.headers["content-type"].encode()
    batch = asyncio.run(predict_batch(state, request(form.read(), [], query, kind)))
    (result,) = json.loads(batch.body)["results"]
    assert result["label"] == "red"
    assert len(result["top"]) == top_k


@pytest.mark.parametrize("value", ["0", "4", "-1", "+1", "1.0", "", "two", "1&top_k=2", "\u0661"])
def test_top_k_must_be_a_number_of_classes(state: ServiceState, draw: Any, value: str) -> None:
    query = f"top_k={value}".encode()
    with pytest.raises(BadParameter, match="top_k must be one whole number from 1 to 3"):
        asyncio.run(predict(state, request(draw("blue"), [], query)))


def test_bytes_that_are_not_a_picture_get_a_hint(state: ServiceState, draw: Any) -> None:
    stripped = draw("blue").translate(None, b"\r\n\0")
    with pytest.raises(UndecodableImage, match=r"with curl, use --data-binary @FILE.* \(.*damaged"):
        asyncio.run(predict(state, request(stripped, [])))
    with pytest.raises(UnsupportedMediaType, match=r"^the data is base64: send it as JSON"):
        asyncio.run(predict(state, request(base64.b64encode(draw("blue")), [])))


def test_a_body_that_does_not_arrive_is_a_timeout(make_state: Any) -> None:
    state = make_state(upload_timeout_seconds=0.1)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    headers = [(b"content-type", b"image/jpeg")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(RequestTimeout, match=r"no part of the request body arrived for 0\.1 s"):
        asyncio.run(predict(state, request))
    assert state.upload_quota.used_bytes == 0


def test_a_queue_that_fills_up_while_the_body_arrives_refuses_the_request(
    make_state: Any, draw: Any
) -> None:
    """Load shedding checks the queue before the body arrives; others may fill it meanwhile."""
    state = make_state(max_queue_size=1, max_pictures=1)
    received: list[str] = []
    with state.model.admit(1), pytest.raises(Overloaded):
        asyncio.run(predict(state, request(draw(), received)))
    assert received == ["body"]
    assert asyncio.run(predict(state, request(draw(), received))).status_code == 200


def test_a_model_reloaded_while_the_body_arrives_answers(
    state: ServiceState, make_state: Any, draw: Any
) -> None:
    """The old model has been closed by then."""
    old_model = state.model
    picture = draw("blue")

    async def receive() -> dict[str, Any]:
        state.model = make_state().model
        old_model.close()
        return {"type": "http.request", "body": picture, "more_body": False}

    headers = [(b"content-type", b"image/jpeg")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    response = asyncio.run(asyncio.wait_for(predict(state, request), 20))
    assert b'"label":"blue"' in response.body


def test_a_picture_of_a_batch_that_is_too_large_fails_alone(make_state: Any, draw: Any) -> None:
    state = make_state(max_image_bytes=5_000, max_pictures=2, max_queue_size=2)
    fields = [("images", ("1", draw("blue"))), ("images", ("2", bytes(5_001)))]
    form = httpx.Request("POST", "http://graft/", files=fields)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": form.read(), "more_body": False}

    headers = [(b"content-type", form.headers["content-type"].encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    blue, large = json.loads(asyncio.run(predict_batch(state, request)).body)["results"]
    assert blue["label"] == "blue"
    assert large["error"]["code"] == "too_large"


def test_a_failure_is_raised_after_all_other_tasks_have_finished() -> None:
    """Otherwise a failed batch would leave the queue while its pictures are still processed."""
    ended: list[int] = []

    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        ended.append(1)
        if not seconds:
            raise KeyError("a bug")
        return seconds

    assert asyncio.run(gather_all(map(work, (0.02, 0.01)))) == [0.02, 0.01]
    with pytest.raises(KeyError):
        asyncio.run(gather_all(map(work, (0.02, 0, 0.03))))
    assert len(ended) == 5
