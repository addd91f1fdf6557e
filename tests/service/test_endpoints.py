"""The order in which a POST is worked on; what it answers is in test_app.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from service.bundle import Bundle
from service.endpoints import all_of, predict, predict_batch
from service.errors import Overloaded
from service.metrics import Metrics
from service.served import ServedModel
from service.settings import Settings
from service.tuning import Choice, Tuning
from service.upload_room import UploadRoom

TUNING = Tuning(cores=1, curve=(), choice=Choice(sessions=1, session_threads=1, max_batch_size=1))


class Service:
    """What the endpoints ask of the service."""

    def __init__(self, bundle: Bundle, **settings: int) -> None:
        self.settings = Settings(**{"max_queue_size": 1, "max_pictures": 1, **settings})
        self.metrics = Metrics(CollectorRegistry())
        self.uploads = UploadRoom(1000_000)
        self.model = ServedModel(bundle, TUNING, self.settings, self.metrics)


@pytest.fixture
def service(tiny_bundle: Bundle) -> Iterator[Any]:
    service = Service(tiny_bundle)
    yield service
    service.model.close()


def request(body: bytes, asked: list[str]) -> Request:
    async def receive() -> dict[str, Any]:
        asked.append("body")
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"image/jpeg")]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


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
