"""Spans by an exporter in memory, through BentoML's own configuration and the real service."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from bentoml._internal.configuration.containers import BentoMLContainer
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from starlette.applications import Starlette

from service.http import routes
from service.server import tracing
from service.state import ServiceState

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OPTIONS = "services.graft.tracing."


def switch(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    config = BentoMLContainer.config.get()
    monkeypatch.setitem(config, "tracing", {**config.get("tracing", {}), **options})


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Tracing, switched on as BentoML's configuration does it; what was exported."""
    switch(monkeypatch, exporter_type="in_memory", sample_rate=1.0)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    BentoMLContainer.tracer_provider.set(provider)
    yield exporter
    BentoMLContainer.tracer_provider.reset()


def ask(state: ServiceState, path: str, **options: Any) -> httpx.Response:
    app = Starlette(routes=[endpoint.route() for endpoint in routes.HTTP_ENDPOINTS])
    app.state.service = state

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.post(path, **options)

    return asyncio.run(ask())


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def test_a_request_is_a_child_of_its_caller_and_parent_of_its_stages(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    before = time.time_ns()
    response = ask(state, "/predict", files={"image": draw()}, headers={"traceparent": PARENT})
    after = time.time_ns()
    assert response.status_code == 200
    found = by_name(spans)
    assert sorted(found) == ["POST /predict", "decode", "inference", "queue"]
    (request,) = found["POST /predict"]
    assert request.parent
    assert f"{request.parent.trace_id:032x}-{request.parent.span_id:016x}" in PARENT
    moments = [request.start_time]
    for stage in ("decode", "queue", "inference"):
        (span,) = found[stage]
        assert span.context
        assert request.context
        assert span.parent == request.context
        assert span.context.trace_id == request.context.trace_id
        moments += [span.start_time, span.end_time]
    moments.append(request.end_time)
    slack = 1_000_000  # two clocks, read one after the other
    for earlier, later in pairwise(moments):
        assert earlier is not None
        assert later is not None
        assert earlier <= later + slack
    assert before <= moments[0]  # type: ignore[operator]
    assert moments[-1] <= after  # type: ignore[operator]


def test_every_picture_of_a_batch_has_its_stages(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    files = [("images", draw()), ("images", b"text"), ("images", draw("blue"))]
    assert ask(state, "/predict_batch", files=files).status_code == 200
    found = by_name(spans)
    assert {name: len(several) for name, several in found.items()} == {
        **{"POST /predict_batch": 1, "decode": 2, "queue": 2, "inference": 2}
    }
    (request,) = found["POST /predict_batch"]
    assert request.parent is None
    assert all(span.parent == request.context for span in found["decode"])


def test_a_refusal_is_a_span_with_its_status(
    spans: InMemorySpanExporter, state: ServiceState
) -> None:
    assert ask(state, "/predict", content=b"").status_code == 422
    (request,) = spans.get_finished_spans()
    assert request.attributes
    assert request.attributes["http.status_code"] == 422


def test_unsampled_requests_have_no_spans(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    headers = {"traceparent": PARENT[:-2] + "00"}
    BentoMLContainer.tracer_provider.get().sampler = TraceIdRatioBased(0.0)
    assert ask(state, "/predict", files={"image": draw()}, headers=headers).is_success
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(
    "options",
    [
        {"exporter_type": None, "sample_rate": None},
        {"exporter_type": "otlp", "sample_rate": 0.0},
        {"exporter_type": None, "sample_rate": 1.0},
    ],
)
def test_switched_off_there_is_no_middleware(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    switch(monkeypatch, **options)
    monkeypatch.setattr(BentoMLContainer.tracer_provider, "get", None)  # not even asked for
    assert tracing.middleware() == []
    tracing.record_stages([1.0, 2.0, 3.0, 4.0, 5.0])
    tracing.flush()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """A collector of OTLP over HTTP: its address, and the bodies that it received."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", bodies
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_bentoml_s_configuration_sends_spans_to_a_collector(
    serve: Any, collector: tuple[str, list[bytes]], draw: Any
) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http",
        reason="no opentelemetry-exporter-otlp-proto-http here",
    )
    address, bodies = collector
    options = ["exporter_type=otlp", "sample_rate=1.0", "otlp.protocol=http"]
    options.append(f"otlp.endpoint={address}")
    chosen = " ".join(OPTIONS + option for option in options)
    with serve(BENTOML_CONFIG_OPTIONS=chosen) as server:
        files, headers = {"image": draw()}, {"traceparent": PARENT}
        assert httpx.post(f"{server.url}/predict", files=files, headers=headers).is_success
    sent = b"".join(bodies)  # at the latest when the service ended
    for part in (b"POST /predict", b"decode", b"queue", b"inference"):
        assert part in sent
    assert sent.count(bytes.fromhex(PARENT.split("-")[1])) >= 4
    assert bytes.fromhex(PARENT.split("-")[2]) in sent
