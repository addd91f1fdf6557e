"""OpenTelemetry spans for requests, and for the stages of their pictures.

Tracing is enabled in BentoML's own configuration, BENTOML_CONFIG or BENTOML_CONFIG_OPTIONS: set
`exporter_type` and `sample_rate` in the section `tracing` of the service `graft`. If tracing is not
enabled, no middleware is installed, and the only cost per picture is to read a context variable.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from opentelemetry import trace
from starlette.middleware import Middleware

from service.server.bentoml_configuration import bentoml_container

_STAGES = ("", "decode", "queue", "inference")
"""Names of the stages of a picture, in order. The first stage is the wait for a thread; it has
neither a name nor a span."""


def middleware() -> list[Middleware]:
    """Return the middleware that makes a span for each request, or [] if tracing is not enabled.

    Call this after BentoML has created its application. Before that, the configuration is
    incomplete.
    """
    if not is_enabled():
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


def is_enabled() -> bool:
    """Whether the configuration enables tracing: it has an exporter and a sample rate above 0."""
    config = bentoml_container().config.tracing
    return bool(config.exporter_type.get() and config.sample_rate.get())


def record_stages(times: Sequence[float]) -> None:
    """Make a span for each completed stage of a picture, as a child of the request's span.

    Do nothing if the request is not traced.

    Args:
        times: start of the first stage and end of each completed stage, as returned by
            `time.monotonic()`; see `service.engine.scheduler.Job`.
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
    """Send pending spans. Call this before a signal ends the process, or they are lost."""
    if is_enabled():
        bentoml_container().tracer_provider.get().force_flush()
