"""Measures latency when requests arrive at random times, at 70% of the rate at saturation.

Saturation is the highest rate of successful responses.
"""

from __future__ import annotations

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.ceiling import measure_ceiling, single_thread_layout
from benchmarks.serving.load.generator import collect, start_load
from benchmarks.serving.load.wrk import run_wrk
from benchmarks.serving.results import Result, format_spread, format_verdict, make_key
from service.system.resources import usable_cores

SHARE = 0.7
SATURATING = 16
WARM_SECONDS = 1.0
LIMIT = 4.0


def measure_open_loop(context: BenchmarkContext) -> Result:
    """In each round, measure one picture without a server, then saturation, then latency."""
    measured: dict[str, list[float]] = {}

    def record(**values: float) -> None:
        for name, value in values.items():
            measured.setdefault(name, []).append(value)

    with context.start(graft(context.bundle, context.folder)) as server:
        for _ in range(context.rounds):
            context.expected.check(server)
            server.pause()
            for name, threads in (("bare", 1), ("bare_all", usable_cores())):
                layout = single_thread_layout(threads)
                load = measure_ceiling(
                    layout, context.bundle, context.bodies["raw"], context.seconds
                )
                record(**{name: load.p50_ms})
            server.resume()
            run_wrk(server, SATURATING, 1)
            saturation = run_wrk(server, SATURATING, context.seconds).per_second
            phases = [(SHARE * saturation, WARM_SECONDS), (SHARE * saturation, 2 * context.seconds)]
            traffic = collect(start_load(server, phases), phases)
            requests = traffic.phases[1]
            failed = sum(request.status != 200 for request in requests)
            p50, p99 = np.percentile([request.milliseconds for request in requests], [50, 99])
            record(saturation=saturation, p50=p50, p99=p99, failed=failed)
            record(lag=traffic.lag_p99_ms, share=100 * traffic.processor_share)
            context.log(f"{SHARE * saturation:.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return _result(context, measured)


def _result(context: BenchmarkContext, measured: dict[str, list[float]]) -> Result:
    rows = [["", "ms", "ratio to the first row", f"<= {LIMIT:g}"]]
    rows.append(
        ["one picture without a server, one thread", format_spread(measured["bare"], 2), "1", ""]
    )
    all_cores = np.divide(measured["bare_all"], measured["bare"])
    rows.append(
        [
            "one picture without a server, all cores",
            format_spread(measured["bare_all"], 2),
            format_spread(all_cores, 2),
            "",
        ]
    )
    for name in ("p50", "p99"):
        ratios = np.divide(measured[name], measured["bare"])
        verdict = format_verdict(float(np.median(ratios)), LIMIT, "<=")
        rows.append(
            [
                f"{name} of the service, random arrivals",
                format_spread(measured[name], 1),
                format_spread(ratios, 1),
                verdict,
            ]
        )
    notes = [
        f"saturation {format_spread(measured['saturation'])}/s (wrk, {SATURATING} connections); "
        f"requests arrived at {SHARE:.0%} of this rate; refused or lost: "
        f"{sum(measured['failed']):.0f}",
        f"the load generator used {np.median(measured['share']):.0f}% of a core; it sent 99% of "
        f"requests at most {max(measured['lag']):.1f} ms late",
    ]
    title = f"{context.bundle.manifest.plugin}: latency at {SHARE:.0%} of saturation"
    return Result(make_key("open-loop", context.bundle), title, rows, notes)
