"""Measures the memory of Graft, and the seconds from its start until /readyz returns 200."""

from __future__ import annotations

import shutil

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.wrk import run_wrk
from benchmarks.serving.results import Result, format_spread, format_verdict, make_key

CONNECTIONS = 16
MAX_SECONDS, MAX_MEGABYTES = 5.0, 350.0
"""Targets for the time until the service is ready, and for its memory."""


def measure_startup(context: BenchmarkContext) -> Result:
    """Start Graft twice in each round.

    The first start times the model. The second uses the cached result of this timing.
    """
    first, second, idle, loaded = [], [], [], []
    contender = graft(context.bundle, context.folder)
    for _ in range(context.rounds):
        shutil.rmtree(context.folder / "cache", ignore_errors=True)
        with context.start(contender) as server:
            first.append(server.start_seconds)
        with context.start(contender) as server:
            second.append(server.start_seconds)
            context.expected.check(server)
            idle.append(server.megabytes())
            run_wrk(server, CONNECTIONS, context.seconds)
            loaded.append(server.megabytes())
        context.log(
            f"first start {first[-1]:.1f} s, second {second[-1]:.1f} s, {loaded[-1]:.0f} MB"
        )
    rows = [["", "median (range)", "target"]]
    for name, values, limit, digits in (
        ("first start, which times the model: seconds until ready", first, MAX_SECONDS, 2),
        ("later starts: seconds until ready", second, MAX_SECONDS, 2),
        ("memory after the first responses, MB", idle, MAX_MEGABYTES, 0),
        (
            f"memory after a load test over {CONNECTIONS} connections, MB",
            loaded,
            MAX_MEGABYTES,
            0,
        ),
    ):
        verdict = format_verdict(float(np.median(values)), limit, "<=")
        rows.append([name, format_spread(values, digits), verdict])
    title = f"{context.bundle.manifest.plugin}: start and memory"
    notes = ["memory: PSS of the parent process and the worker together"]
    return Result(make_key("start", context.bundle), title, rows, notes)
