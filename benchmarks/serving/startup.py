"""Measures the seconds from the command until /readyz answers 200, and memory."""

from __future__ import annotations

import shutil

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.wrk import run_wrk
from benchmarks.serving.results import Result, format_spread, format_verdict, make_key

CONNECTIONS = 16
SECONDS, MEGABYTES = 5.0, 350.0


def measure_startup(context: BenchmarkContext) -> Result:
    """A round is a first start, which times the model, and a second one, which uses the cache."""
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
        context.log(f"first {first[-1]:.1f} s, second {second[-1]:.1f} s, {loaded[-1]:.0f} MB")
    rows = [["", "median (range)", "wanted"]]
    for name, values, limit, digits in (
        ("first start, model timed: seconds until ready", first, SECONDS, 2),
        ("later starts: seconds until ready", second, SECONDS, 2),
        ("resident after the first answers, MB", idle, MEGABYTES, 0),
        (
            f"resident after {CONNECTIONS} connections' load, MB",
            loaded,
            MEGABYTES,
            0,
        ),
    ):
        wanted = format_verdict(float(np.median(values)), limit, "<=")
        rows.append([name, format_spread(values, digits), wanted])
    title = f"{context.bundle.manifest.plugin}: start and memory"
    notes = ["memory: PSS of the parent and the worker together"]
    return Result(make_key("start", context.bundle), title, rows, notes)
