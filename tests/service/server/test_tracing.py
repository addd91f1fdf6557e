"""Spans in memory, and spans that the running service exports with BentoML's configuration."""

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


def configure_tracing(monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    config = BentoMLContainer.config.get()
    monkeypatch.setitem(config, "tracing", {**config.get("tracing", {}), **options})


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Switch tracing on as BentoML's configuration does; yield the exporter with the spans."""
    configure_tracing(monkeypatch, exporter_type="in_memory", sample_rate=1.0)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    BentoMLContainer.tracer_provider.set(provider)
    yield exporter
    BentoMLContainer.tracer_provider.reset()


def send(state: ServiceState, path: str, **options: Any) -> httpx.Response:
    app = Starlette(routes=[endpoint.route() for endpoint in routes.HTTP_ENDPOINTS])
    app.state.service = state

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://graft") as client:
            return await client.post(path, **options)

    return asyncio.run(send())


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    groups: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        groups.setdefault(span.name, []).append(span)
    return groups


def test_a_request_is_a_child_of_its_caller_and_parent_of_its_stages(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    before = time.time_ns()
    response = send(state, "/predict", files={"image": draw()}, headers={"traceparent": PARENT})
    after = time.time_ns()
    assert response.status_code == 200
    spans_by_name = by_name(spans)
    assert sorted(spans_by_name) == ["POST /predict", "decode", "inference", "queue"]
    (request,) = spans_by_name["POST /predict"]
    assert request.parent
    assert f"{request.parent.trace_id:032x}-{request.parent.span_id:016x}" in PARENT
    timestamps = [request.start_time]
    for stage in ("decode", "queue", "inference"):
        (span,) = spans_by_name[stage]
        assert span.context
        assert request.context
        assert span.parent == request.context
        assert span.context.trace_id == request.context.trace_id
        timestamps += [span.start_time, span.end_time]
    timestamps.append(request.end_time)
    slack = 1_000_000  # two clocks, read one after the other
    for earlier, later in pairwise(timestamps):
        assert earlier is not None
        assert later is not None
        assert earlier <= later + slack
    assert before <= timestamps[0]  # type: ignore[operator]
    assert timestamps[-1] <= after  # type: ignore[operator]


def test_every_picture_of_a_batch_has_its_stages(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    files = [("images", draw()), ("images", b"text"), ("images", draw("blue"))]
    assert send(state, "/predict_batch", files=files).status_code == 200
    spans_by_name = by_name(spans)
    assert {name: len(group) for name, group in spans_by_name.items()} == {
        **{"POST /predict_batch": 1, "decode": 2, "queue": 2, "inference": 2}
    }
    (request,) = spans_by_name["POST /predict_batch"]
    assert request.parent is None
    assert all(span.parent == request.context for span in spans_by_name["decode"])


def test_a_refusal_is_a_span_with_its_status(
    spans: InMemorySpanExporter, state: ServiceState
) -> None:
    assert send(state, "/predict", content=b"").status_code == 422
    (request,) = spans.get_finished_spans()
    assert request.attributes
    assert request.attributes["http.status_code"] == 422


def test_unsampled_requests_have_no_spans(
    spans: InMemorySpanExporter, state: ServiceState, draw: Any
) -> None:
    headers = {"traceparent": PARENT[:-2] + "00"}
    BentoMLContainer.tracer_provider.get().sampler = TraceIdRatioBased(0.0)
    assert send(state, "/predict", files={"image": draw()}, headers=headers).is_success
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(
    "options",
    [
        {"exporter_type": None, "sample_rate": None},
        {"exporter_type": "otlp", "sample_rate": 0.0},
        {"exporter_type": None, "sample_rate": 1.0},
    ],
)
def test_without_tracing_there_is_no_middleware(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    configure_tracing(monkeypatch, **options)
    monkeypatch.setattr(BentoMLContainer.tracer_provider, "get", None)  # must not be called
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
def test_bentomls_configuration_sends_spans_to_a_collector(
    serve: Any, collector: tuple[str, list[bytes]], draw: Any
) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http",
        reason="no opentelemetry-exporter-otlp-proto-http here",
    )
    address, bodies = collector
    options = ["exporter_type=otlp", "sample_rate=1.0", "otlp.protocol=http"]
    options.append(f"otlp.endpoint={address}")
    overrides = " ".join(OPTIONS + option for option in options)
    with serve(BENTOML_CONFIG_OPTIONS=overrides) as server:
        files, headers = {"image": draw()}, {"traceparent": PARENT}
        assert httpx.post(f"{server.url}/predict", files=files, headers=headers).is_success
    sent = b"".join(bodies)  # the last spans are sent when the service ends
    for part in (b"POST /predict", b"decode", b"queue", b"inference"):
        assert part in sent
    assert sent.count(bytes.fromhex(PARENT.split("-")[1])) >= 4
    assert bytes.fromhex(PARENT.split("-")[2]) in sent
