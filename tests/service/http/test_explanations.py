"""The handler of POST /explain; test_app.py tests it in the running service."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from service.bundle.manifest import Manifest
from service.bundle.sealing import seal
from service.errors import (
    BadParameter,
    ClientDisconnected,
    DeadlineExceeded,
    NotExplainable,
    Overloaded,
    PayloadTooLarge,
    UndecodableImage,
)
from service.explanation.explainer import Explainer
from service.explanation.explanation_thread import MAX_EXPLANATIONS
from service.http.explanations import explain
from service.metrics import Metrics
from service.schemas import Explained
from service.served_model import ServedModel
from service.settings import Settings
from service.state import ServiceState

PNG = b"image/png"


def request(body: bytes, query: str = "", accept: bytes = b"*/*") -> Request:
    bodies = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.sleep(60)  # the client stays connected
        return bodies.pop()

    headers = [(b"content-type", b"image/jpeg"), (b"accept", accept)]
    scope = {"type": "http", "method": "POST", "headers": headers}
    return Request({**scope, "query_string": query.encode()}, receive)


def ask(state: ServiceState, *arguments: Any) -> Response:
    return asyncio.run(explain(state, request(*arguments)))


def test_the_answer_has_a_heat_map_of_the_predicted_class(state: ServiceState, draw: Any) -> None:
    response = ask(state, draw("blue"))
    content = json.loads(response.body)
    answer = Explained.model_validate(content, strict=True)
    assert (answer.label, answer.model.name) == ("blue", "tiny")
    assert answer.score > 0.9
    assert (len(answer.heat_map), len(answer.heat_map[0])) == (32, 32)
    assert max(map(max, answer.heat_map)) == 1
    assert min(map(min, answer.heat_map)) > 0.9


def test_a_label_chooses_the_class(state: ServiceState, draw: Any) -> None:
    answer = json.loads(ask(state, draw("blue"), "label=red").body)
    assert (answer["label"], answer["score"] < 0.1) == ("red", True)


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", b"image/png", "image/png"),
        ("", b"text/html, image/png;q=0.9", "image/png"),
        ("", b"application/json", "application/json"),
        ("format=png", b"application/json", "image/png"),
        ("format=json", b"image/png", "application/json"),
    ],
)
def test_the_query_or_the_header_chooses_the_format(
    state: ServiceState, draw: Any, query: str, accept: bytes, expected: str
) -> None:
    response = ask(state, draw(), query, accept)
    assert response.headers["content-type"] == expected
    assert bytes(response.body).startswith(b"\x89PNG" if expected == "image/png" else b"{")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("format=jpeg", "format must be json or png"),
        ("format=", "format must be json or png"),
        ("label=Blu", "did you mean `blue`"),
        ("label=red&label=blue", "label is given 2 times"),
    ],
)
def test_bad_parameters_are_refused(
    state: ServiceState, draw: Any, query: str, message: str
) -> None:
    with pytest.raises(BadParameter, match=message):
        ask(state, draw(), query)


def test_the_limits_of_predict_apply(make_state: Callable[..., ServiceState], draw: Any) -> None:
    with pytest.raises(PayloadTooLarge, match="pixels"):
        ask(make_state(max_pixels=100), draw())
    state = make_state()
    with pytest.raises(UndecodableImage, match=r"with curl, use --data-binary @FILE"):
        ask(state, draw("blue").translate(None, b"\r\n\0"))


def test_explanations_do_not_count_as_predictions(state: ServiceState, draw: Any) -> None:
    ask(state, draw("blue"))
    lines = state.metrics.exposition().decode().splitlines()
    assert 'graft_predictions_total{label="blue"} 0.0' in lines
    assert "graft_decode_seconds_count 1.0" in lines


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let explanations wait until the event is set."""
    blocked, original = threading.Event(), Explainer.explain

    def wait(*arguments: Any) -> Any:
        assert blocked.wait(5)
        return original(*arguments)

    monkeypatch.setattr(Explainer, "explain", wait)
    return blocked


def test_only_a_few_explanations_are_admitted(
    state: ServiceState, draw: Any, slow: threading.Event
) -> None:
    async def ask_all() -> list[Any]:
        tasks = [
            asyncio.create_task(explain(state, request(draw()))) for _ in range(MAX_EXPLANATIONS)
        ]
        await asyncio.sleep(0.2)
        with pytest.raises(Overloaded, match="4 explanations are in progress"):
            await explain(state, request(draw()))
        slow.set()
        return await asyncio.gather(*tasks)

    assert [response.status_code for response in asyncio.run(ask_all())] == [200] * 4


def test_the_deadline_holds_for_explanations(
    make_state: Callable[..., ServiceState], draw: Any, slow: threading.Event
) -> None:
    state = make_state(deadline_seconds=0.2)
    with pytest.raises(DeadlineExceeded, match=r"not explained within 0\.2 s"):
        ask(state, draw())
    slow.set()
    assert ask(state, draw()).status_code == 200


def test_a_client_that_disconnects_frees_its_place(
    state: ServiceState, draw: Any, slow: threading.Event
) -> None:
    async def disconnect() -> None:
        received = [{"type": "http.disconnect"}, {"type": "http.request", "body": draw()}]

        async def receive() -> dict[str, Any]:
            return received.pop()

        scope = {"type": "http", "method": "POST", "query_string": b""}
        headers = [(b"content-type", b"image/jpeg")]
        with pytest.raises(ClientDisconnected):
            await explain(state, Request({**scope, "headers": headers}, receive))
        slow.set()

    asyncio.run(disconnect())
    assert not state.model._scheduler.admitted
    for _ in range(2 * MAX_EXPLANATIONS):
        assert ask(state, draw()).status_code == 200


def test_an_older_bundle_says_to_train_again(
    state: ServiceState, staging: Path, manifest: Manifest, draw: Any
) -> None:
    (staging / "heat_maps.onnx.part").unlink()
    bundle = seal(staging, manifest, staging.parent)
    state.model.close()
    state.model = ServedModel(bundle, state.model.tuning, Settings(), Metrics())
    with pytest.raises(NotExplainable, match="train it again"):
        ask(state, draw())
