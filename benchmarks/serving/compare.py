"""Compares how many pictures Graft and other servers classify per second, over 16 connections.

It also compares Graft with the ceiling: the speed of the same work in a loop without a server
(load/ceiling.py).
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from benchmarks.serving.chart import Bar, draw_bars
from benchmarks.serving.contenders import graft, peers
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.ceiling import ThreadLayout, measure_ceiling, thread_layouts
from benchmarks.serving.load.wrk import Load, run_wrk
from benchmarks.serving.results import (
    Result,
    format_latencies,
    format_ratios,
    format_spread,
    format_verdict,
    make_key,
)
from benchmarks.serving.server import Server
from service.system.resources import usable_cores

CONNECTIONS = 16
TARGETS = {
    "FastAPI, tuned": 1.0,
    "FastAPI, as in tutorials": 1.2,
    "LitServe": 1.3,
    "BentoML, stock": 2.2,
}
"""Targets by server: the lowest acceptable ratio of Graft's speed to the speed of that server."""
CEILING_TARGETS = {"mobilenet:v2-1.0": 0.85, "efficientnet:b0": 0.93, "resnet:50": 0.93}
"""Targets by plugin: the lowest acceptable ratio of Graft's speed to the speed of the fastest loop
without a server (C1 in tables)."""


def compare_servers(context: BenchmarkContext) -> Result:
    """Start every server once, and measure them in turn.

    While a server is measured, all others are paused, except those that cannot be paused.
    """
    layouts = thread_layouts(usable_cores())
    ceilings: dict[str, list[Load]] = {layout.name: [] for layout in layouts}
    with ExitStack() as stack:
        servers, absent = _start(context, stack)
        loads: dict[str, list[Load]] = {server.contender.name: [] for server in servers}
        for number in range(context.rounds):
            for layout in layouts:
                ceilings[layout.name].append(_ceiling(layout, context))
            # Change the order in each round, so that no server always follows the same one.
            shift = number % len(servers)
            for server in [*servers[shift:], *servers[:shift]]:
                name = server.contender.name
                try:
                    loads[name].append(measure_server(server, context, CONNECTIONS))
                except (OSError, RuntimeError) as error:
                    if name == "Graft":
                        raise
                    absent[name] = f"in round {number + 1}: {error}"
                    servers.remove(server)
                    context.log(f"{name} is no longer measured, because it failed {absent[name]}")
                    continue
                context.log(f"round {number + 1}: {name} {loads[name][-1].per_second:.0f}/s")
    return _result(context, ceilings, loads, servers, absent)


def measure_server(server: Server, context: BenchmarkContext, connections: int) -> Load:
    """Resume a server, check its responses, warm it up, measure it, and pause it again."""
    server.resume()
    try:
        context.expected.check(server)
        run_wrk(server, connections, 1)
        context.expected.check(server)  # this also waits for the requests that wrk abandoned
        return run_wrk(server, connections, context.seconds)
    finally:
        server.pause()


def _start(context: BenchmarkContext, stack: ExitStack) -> tuple[list[Server], dict[str, str]]:
    """Start the servers, Graft first.

    Returns:
        The servers that started, and the reasons why others did not start, by name.
    """
    servers, absent = [], {}
    ours = graft(context.bundle, context.folder)
    for contender in [ours, *peers(context.bundle, context.folder)]:
        if context.only and not any(part in contender.name.lower() for part in context.only):
            continue
        try:
            server = stack.enter_context(context.start(contender))
            context.expected.check(server)
        except (OSError, RuntimeError) as error:
            if contender is ours:
                raise
            absent[contender.name] = str(error)
            context.log(f"{contender.name} is not measured, because it did not start: {error}")
            continue
        context.log(f"{contender.name} is ready after {server.start_seconds:.1f} s")
        server.pause()
        servers.append(server)
    return servers, absent


def _ceiling(layout: ThreadLayout, context: BenchmarkContext) -> Load:
    load = measure_ceiling(layout, context.bundle, context.bodies["raw"], context.seconds)
    context.log(f"without a server, {layout.name}: {load.per_second:.0f}/s")
    return load


def _result(
    context: BenchmarkContext,
    ceilings: dict[str, list[Load]],
    loads: dict[str, list[Load]],
    servers: list[Server],
    absent: dict[str, str],
) -> Result:
    best = max(ceilings, key=lambda name: np.median(_rates(ceilings[name])))
    ours = _rates(loads["Graft"])
    plugin = context.bundle.manifest.plugin
    table = [["", "how", "pictures/s", "Graft / this", "target", "p50 ms", "p99 ms"]]
    for name, measured in ceilings.items():
        if name == best:
            figures = _figures(measured, ours, CEILING_TARGETS.get(plugin))
            table.append(["C1, in process", name, *figures])
        else:
            table.append(["in process", name, *_figures(measured, ours, None)])
    fastest_first = sorted(
        servers, key=lambda server: -np.median(_rates(loads[server.contender.name]))
    )
    for server in fastest_first:
        contender = server.contender
        target = TARGETS.get(contender.name)
        figures = _figures(loads[contender.name], ours, target)
        table.append([contender.name, contender.description, *figures])
    for name, reason in absent.items():
        table.append([name, f"failed: {_short(reason)}", *[""] * 5])
    rows = [Bar("C1, in process", _rates(ceilings[best]), "ceiling")]
    for server in fastest_first:
        name = server.contender.name
        rows.append(Bar(name, _rates(loads[name]), "ours" if name == "Graft" else "peer"))
    title = f"{plugin}: pictures per second, {CONNECTIONS} connections, {usable_cores()} cores"
    p99 = {name: _p99(measured) for name, measured in loads.items()}
    # Graft itself if no other server was measured.
    best_peer = min(p99, key=lambda name: (name == "Graft", p99[name]))
    notes = [
        f"Graft / C1, median (range): {format_ratios(ours, _rates(ceilings[best]))}",
        f"p99 of Graft in ms, compared with the lowest p99 of the others ({best_peer}): "
        f"{format_verdict(p99['Graft'], p99[best_peer], '<=')}",
        "pictures/s: median (range) of the rounds; ratios: computed in each round, then median "
        "(range); latencies: medians of the rounds",
    ]
    return Result(make_key("peers", context.bundle), title, table, notes, draw_bars(title, rows))


def _figures(loads: list[Load], ours: list[float], target: float | None) -> list[str]:
    rates = _rates(loads)
    median_ratio = float(np.median(np.divide(ours, rates)))
    verdict = "" if target is None else format_verdict(round(median_ratio, 2), target, ">=")
    return [format_spread(rates), format_ratios(ours, rates), verdict, *format_latencies(loads)]


def _p99(loads: list[Load]) -> float:
    return round(float(np.median([load.p99_ms for load in loads])), 1)


def _rates(loads: list[Load]) -> list[float]:
    return [load.per_second for load in loads]


def _short(reason: str) -> str:
    return reason.strip().splitlines()[-1][:120].replace("|", "/")
