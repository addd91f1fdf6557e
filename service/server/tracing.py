"""OpenTelemetry spans of requests, and of the stages of their pictures.

BentoML's own configuration switches tracing on: `tracing` of service `graft` in BENTOML_CONFIG or
BENTOML_CONFIG_OPTIONS, with `exporter_type` and `sample_rate`. While it is off, there is no
middleware, and a picture costs one look-up of a context variable.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from opentelemetry import trace
from starlette.middleware import Middleware

from service.server.bentoml_configuration import bentoml_container

_STAGES = ("", "decode", "queue", "inference")
"""The stages between a job's times; the first, the wait for a thread, is shown as a gap."""


def middleware() -> list[Middleware]:
    """Return the middleware that makes a span of each request; none if tracing is off.

    Call it when BentoML's application exists: only then is its configuration complete.
    """
    if not is_on():
        return []
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return [
        Middleware(
            OpenTelemetryMiddleware,
            excluded_urls=bentoml_container().tracing_excluded_urls.get(),
            tracer_provider=bentoml_container().tracer_provider.get(),
            exclude_spans=["receive", "send"],
        )
    ]


def is_on() -> bool:
    """Whether the configuration names an exporter and a sample rate."""
    config = bentoml_container().config.tracing
    return bool(config.exporter_type.get() and config.sample_rate.get())


def record_stages(times: Sequence[float]) -> None:
    """Make spans of the stages that a picture has reached, as children of its request's span.

    Args:
        times: by `time.monotonic()`, as in `service.engine.scheduler.Job`.
    """
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return
    tracer = trace.get_tracer("graft", tracer_provider=bentoml_container().tracer_provider.get())
    since_epoch = time.time_ns() - time.monotonic_ns()
    for stage, (start, end) in zip(_STAGES, pairwise(times), strict=False):
        if stage:
            span = tracer.start_span(stage, start_time=since_epoch + int(start * 1e9))
            span.end(since_epoch + int(end * 1e9))


def flush() -> None:
    """Send pending spans: the process ends by a signal, after which exporters send nothing."""
    if is_on():
        bentoml_container().tracer_provider.get().force_flush()
