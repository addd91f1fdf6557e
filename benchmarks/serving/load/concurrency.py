"""Compares Graft's automatic batch sizes, chosen by timing at start-up, with fixed ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from benchmarks.serving.compare import measure_server
from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.ceiling import measure_ceiling, single_thread_layout
from benchmarks.serving.load.wrk import Load
from benchmarks.serving.results import (
    Result,
    format_latencies,
    format_spread,
    format_verdict,
    make_key,
)

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
FIXED = (1, 8)


def measure_concurrency(context: BenchmarkContext) -> Result:
    """Start three servers, and measure them in turn over 1 to 64 connections.

    While one server is measured, the others are paused.
    """
    table = [["connections", "automatic batch, pictures/s", *(f"batch {n}" for n in FIXED)]]
    table[0] += ["automatic / faster fixed size", ">= 0.98", "p50 ms", "p99 ms"]
    with ExitStack() as stack:
        servers = []
        for batch in (None, *FIXED):
            name = f"Graft, batch {batch or 'automatic'}"
            settings = {"GRAFT_MAX_BATCH_SIZE": str(batch)} if batch else {}
            contender = graft(context.bundle, context.folder, name, settings)
            servers.append(stack.enter_context(context.start(contender)))
            servers[-1].pause()
        for connections in CONNECTIONS:
            loads: list[list[Load]] = [[] for _ in servers]
            for number in range(context.rounds):
                for index in np.roll(range(len(servers)), number):
                    loads[index].append(measure_server(servers[index], context, connections))
            table.append(_row(connections, loads))
            context.log(f"{connections} connections: {' | '.join(table[-1][1:])}")
        notes = _latency_alone(context, lambda: measure_server(servers[0], context, 1))
    title = f"{context.bundle.manifest.plugin}: automatic batch sizes and fixed ones"
    return Result(make_key("concurrency", context.bundle), title, table, notes)


def _row(connections: int, loads: list[list[Load]]) -> list[str]:
    measured, *fixed = ([load.per_second for load in server_loads] for server_loads in loads)
    better = max(fixed, key=lambda rates: float(np.median(rates)))
    ratios = [rate / fixed_rate for rate, fixed_rate in zip(measured, better, strict=True)]
    return [
        str(connections),
        *(format_spread(rates) for rates in (measured, *fixed)),
        format_spread(ratios, 2),
        format_verdict(float(np.median(ratios)), 0.98, ">="),
        *format_latencies(loads[0]),
    ]


def _latency_alone(context: BenchmarkContext, measure: Callable[[], Load]) -> list[str]:
    """Compare the latency over one connection with that of the same work without a server."""
    ratios, served, without_server = [], [], []
    for _ in range(context.rounds):
        without_server.append(
            measure_ceiling(
                single_thread_layout(), context.bundle, context.bodies["raw"], context.seconds
            ).p50_ms
        )
        served.append(measure().p50_ms)
        ratios.append(served[-1] / without_server[-1])
    return [
        f"one connection: p50 {format_spread(served, 2)} ms; without a server, one picture after "
        f"another in one thread: {format_spread(without_server, 2)} ms; ratio "
        f"{format_spread(ratios, 2)} "
        f"({format_verdict(float(np.median(ratios)), 1.15, '<=')})"
    ]
