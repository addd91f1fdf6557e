"""The order in which a POST is worked on; what it answers is in test_app.py."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from service.bundle.manifest import Bundle
from service.engine.autotune import Choice, Tuning
from service.errors import (
    BadParameter,
    Overloaded,
    RequestTimeout,
    UndecodableImage,
    UnsupportedMediaType,
)
from service.http.predictions import all_of, predict, predict_batch
from service.http.uploads.upload_quota import UploadRoom
from service.metrics import Metrics
from service.served_model import ServedModel
from service.settings import Settings

TUNING = Tuning(cores=1, curve=(), choice=Choice(sessions=1, session_threads=1, max_batch_size=1))


class Service:
    """What the endpoints ask of the service."""

    def __init__(self, bundle: Bundle, **settings: float) -> None:
        self.settings = Settings.model_validate(
            {"max_queue_size": 1, "max_pictures": 1, **settings}
        )
        self.metrics = Metrics(CollectorRegistry())
        self.uploads = UploadRoom(1000_000)
        self.model = ServedModel(bundle, TUNING, self.settings, self.metrics)
        self.is_draining = False


@pytest.fixture
def service(tiny_bundle: Bundle) -> Iterator[Any]:
    service = Service(tiny_bundle)
    yield service
    service.model.close()


def request(
    body: bytes, asked: list[str], query: bytes = b"", kind: bytes = b"image/jpeg"
) -> Request:
    async def receive() -> dict[str, Any]:
        asked.append("body")
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
    return Request({**scope, "query_string": query}, receive)


def test_a_picture_may_come_as_json(service: Any, draw: Any) -> None:
    body = json.dumps({"image": base64.b64encode(draw("blue")).decode()}).encode()
    response = asyncio.run(predict(service, request(body, [], kind=b"application/json")))
    assert json.loads(response.body)["label"] == "blue"


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_the_query_says_how_many_classes(service: Any, draw: Any, top_k: int) -> None:
    query = b"a=%zz&top_k=" + str(top_k).encode()
    response = asyncio.run(predict(service, request(draw("blue"), [], query)))
    top = json.loads(response.body)["top"]
    assert len(top) == top_k
    assert top[0]["label"] == "blue"
    form = httpx.Request("POST", "http://graft/", files=[("images", ("1", draw("red")))])
    kind = form.headers["content-type"].encode()
    batch = asyncio.run(predict_batch(service, request(form.read(), [], query, kind)))
    (result,) = json.loads(batch.body)["results"]
    assert result["label"] == "red"
    assert len(result["top"]) == top_k


@pytest.mark.parametrize("value", ["0", "4", "-1", "+1", "1.0", "", "two", "1&top_k=2", "\u0661"])
def test_what_is_no_number_of_classes_is_refused(service: Any, draw: Any, value: str) -> None:
    query = f"top_k={value}".encode()
    with pytest.raises(BadParameter, match="top_k must be one whole number from 1 to 3"):
        asyncio.run(predict(service, request(draw("blue"), [], query)))


def test_what_was_sent_by_other_habits_is_told(service: Any, draw: Any) -> None:
    stripped = draw("blue").translate(None, b"\r\n\0")
    with pytest.raises(UndecodableImage, match=r"with curl use --data-binary @FILE.* \(.*damaged"):
        asyncio.run(predict(service, request(stripped, [])))
    with pytest.raises(UnsupportedMediaType, match=r"^it is a base64 text: send it as JSON"):
        asyncio.run(predict(service, request(base64.b64encode(draw("blue")), [])))


def test_a_body_that_does_not_come_is_the_clients_fault(tiny_bundle: Bundle) -> None:
    service: Any = Service(tiny_bundle, upload_timeout_seconds=0.1)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    headers = [(b"content-type", b"image/jpeg")]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(RequestTimeout, match=r"nothing of the body arrived for 0\.1 s"):
        asyncio.run(predict(service, asked))
    assert service.uploads.taken_bytes == 0
    service.model.close()


def test_who_comes_in_while_the_house_fills_up_is_refused_all_the_same(
    service: Any, draw: Any
) -> None:
    """The door looks before the body comes, and other bodies come meanwhile."""
    asked: list[str] = []
    with service.model.admit(1), pytest.raises(Overloaded):
        asyncio.run(predict(service, request(draw(), asked)))
    assert asked == ["body"]
    assert asyncio.run(predict(service, request(draw(), asked))).status_code == 200


def test_the_model_of_the_moment_when_the_body_is_there_answers(
    service: Any, tiny_bundle: Bundle, draw: Any
) -> None:
    """Another may have been taken while the body came; the old one is closed by then."""
    old = service.model
    picture = draw("blue")

    async def receive() -> dict[str, Any]:
        service.model = Service(tiny_bundle).model
        old.close()
        return {"type": "http.request", "body": picture, "more_body": False}

    headers = [(b"content-type", b"image/jpeg")]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    response = asyncio.run(asyncio.wait_for(predict(service, asked), 20))
    assert b'"label":"blue"' in response.body


def test_a_picture_of_a_batch_that_is_too_large_fails_alone(tiny_bundle: Bundle, draw: Any) -> None:
    service: Any = Service(tiny_bundle, max_image_bytes=5_000, max_pictures=2, max_queue_size=2)
    fields = [("images", ("1", draw("blue"))), ("images", ("2", bytes(5_001)))]
    form = httpx.Request("POST", "http://graft/", files=fields)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": form.read(), "more_body": False}

    headers = [(b"content-type", form.headers["content-type"].encode())]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    blue, large = json.loads(asyncio.run(predict_batch(service, asked)).body)["results"]
    assert blue["label"] == "blue"
    assert large["error"]["code"] == "too_large"
    service.model.close()


def test_all_come_to_an_end_before_one_failure_is_told() -> None:
    """Or a batch that met a bug would give its room away while its pictures are worked on."""
    ended: list[int] = []

    async def work(seconds: float) -> float:
        await asyncio.sleep(seconds)
        ended.append(1)
        if not seconds:
            raise KeyError("a bug")
        return seconds

    assert asyncio.run(all_of(map(work, (0.02, 0.01)))) == [0.02, 0.01]
    with pytest.raises(KeyError):
        asyncio.run(all_of(map(work, (0.02, 0, 0.03))))
    assert len(ended) == 5
