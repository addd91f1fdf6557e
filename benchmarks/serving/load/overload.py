"""Measures responses and refusals while requests arrive at three times saturation for 20 s.

Saturation is the highest rate of successful responses.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.generator import Traffic, collect, start_load
from benchmarks.serving.load.wrk import run_wrk
from benchmarks.serving.results import Result, format_verdict, make_key

TIMES, SECONDS = 3.0, 20.0
CALM_PER_SECOND, CALM_SECONDS = 20.0, 5.0
SATURATING = 16
OK, REFUSED = 200, (429, 503)


class Row(NamedTuple):
    """One row of the result table: a measured figure and the target that it is compared with."""

    name: str
    value: float
    unit: str
    target: float
    relation: str


def measure_overload(context: BenchmarkContext) -> Result:
    """Send normal load, overload and normal load again in one run of the generator."""
    with context.start(graft(context.bundle, context.folder)) as server:
        context.expected.check(server)
        run_wrk(server, SATURATING, 2)
        rate_before = run_wrk(server, SATURATING, context.seconds).per_second
        phases = [(CALM_PER_SECOND, CALM_SECONDS), (TIMES * rate_before, SECONDS)]
        phases += [(CALM_PER_SECOND, CALM_SECONDS)]
        context.log(
            f"saturation {rate_before:.0f}/s; "
            f"overload {TIMES * rate_before:.0f}/s for {SECONDS:g} s"
        )
        megabytes = [server.megabytes()]
        generator = start_load(server, phases)
        deadline = time.monotonic() + CALM_SECONDS + SECONDS
        while time.monotonic() < deadline:
            time.sleep(5)  # measuring takes some milliseconds from the service
            megabytes.append(server.megabytes())
        traffic = collect(generator, phases)
        rate_after = run_wrk(server, SATURATING, context.seconds).per_second
        context.expected.check(server)
    growth = max(megabytes) - megabytes[0]
    return _result(context, traffic, (rate_before + rate_after) / 2, growth)


def _result(
    context: BenchmarkContext, traffic: Traffic, saturation: float, growth: float
) -> Result:
    calm, flood, recovery = traffic.phases
    end = CALM_SECONDS + SECONDS
    good = [request for request in flood if request.status == OK]
    in_time = sum(request.sent + request.milliseconds / 1000 < end for request in good)
    refused = [request for request in flood if request.status in REFUSED]
    lost = len(flood) - len(good) - len(refused)
    without_retry_after = sum(not request.has_retry_after for request in refused)
    normal = np.percentile([request.milliseconds for request in calm], 99)
    slow = [
        request.sent - end
        for request in recovery
        if request.milliseconds > 2 * normal or request.status != OK
    ]
    refusals = [request.milliseconds for request in refused] or [0.0]
    rows = [
        Row(
            "goodput (successful responses per second) / saturation",
            in_time / SECONDS / saturation,
            "",
            0.95,
            ">=",
        ),
        Row("latency of refusals, p50", float(np.percentile(refusals, 50)), " ms", 50, "<="),
        Row("latency of refusals, p99", float(np.percentile(refusals, 99)), " ms", 50, "<="),
        Row("refusals without Retry-After", without_retry_after, "", 0, "<="),
        Row("failed or lost requests", lost, "", 0, "<="),
        Row("memory growth", growth, " MB", 64, "<="),
        Row("time until latency is normal again", max(slow, default=0.0), " s", 2, "<="),
    ]
    table = [["", "measured", "target"]]
    for row in rows:
        figure = f"{row.value:.2f}" if row.value < 1 else f"{row.value:.0f}"
        table.append(
            [row.name, figure + row.unit, format_verdict(row.value, row.target, row.relation)]
        )
    answered = np.percentile([request.milliseconds for request in good], [50, 99])
    notes = [
        f"saturation {saturation:.0f}/s (mean of the rates before and after the overload; wrk with "
        f"{SATURATING} connections); overload: {len(flood) / SECONDS:.0f} requests/s for "
        f"{SECONDS:g} s, of which {len(good)} succeeded and {len(refused)} were refused",
        f"latency of successful responses: p50 {answered[0]:.0f}, p99 {answered[1]:.0f} ms; "
        f"normal p99, at {CALM_PER_SECOND:g} requests/s: {normal:.1f} ms",
        f"the load generator used {traffic.processor_share:.0%} of one core, which the service "
        f"could not use, and sent 99% of the requests at most {traffic.lag_p99_ms:.1f} ms late",
    ]
    title = f"{context.bundle.manifest.plugin}: {TIMES:g} times saturation"
    return Result(make_key("overload", context.bundle), title, table, notes)
