"""OpenTelemetry: what a request waited for, as spans under its caller's.

BentoML's own configuration switches it on and names the exporter: `tracing` of service `graft` in
BENTOML_CONFIG or BENTOML_CONFIG_OPTIONS, with `exporter_type` and `sample_rate`. Off, there is no
middleware, and a picture costs one look at a context variable.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from opentelemetry import trace
from starlette.middleware import Middleware

from service.system.bento_configuration import container

_STAGES = ("", "decode", "queue", "inference")
"""What lies between a picture's times; the first is the wait for a thread, seen as a gap."""


def middleware() -> list[Middleware]:
    """What makes a span of each request, as before BentoML's own routes; nothing where it is off.

    Asked when BentoML's application is there, and with it the service's part of its configuration.
    """
    if not is_on():
        return []
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return [
        Middleware(
            OpenTelemetryMiddleware,
            excluded_urls=container().tracing_excluded_urls.get(),
            tracer_provider=container().tracer_provider.get(),
            exclude_spans=["receive", "send"],
        )
    ]


def is_on() -> bool:
    config = container().config.tracing
    return bool(config.exporter_type.get() and config.sample_rate.get())


def record(times: Sequence[float]) -> None:
    """Make spans of a picture's stages, as far as it came, below its request's.

    Args:
        times: by `time.monotonic()`, as in `service.engine.scheduler.Picture`.
    """
    if not trace.get_current_span().get_span_context().trace_flags.sampled:
        return
    tracer = trace.get_tracer("graft", tracer_provider=container().tracer_provider.get())
    since_epoch = time.time_ns() - time.monotonic_ns()
    for stage, (start, end) in zip(_STAGES, pairwise(times), strict=False):
        if stage:
            span = tracer.start_span(stage, start_time=since_epoch + int(start * 1e9))
            span.end(since_epoch + int(end * 1e9))


def flush() -> None:
    """Send what waits: the process ends by a signal, which leaves exporters no last word."""
    if is_on():
        container().tracer_provider.get().force_flush()
