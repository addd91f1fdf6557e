"""Batch sizes at 1 to 64 connections: what was measured at the start against fixed ones."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from benchmarks.serving.compare import turn
from benchmarks.serving.contenders import graft
from benchmarks.serving.load.ceiling import alone, measure
from benchmarks.serving.load.wrk import Load
from benchmarks.serving.results import Result, key, latencies, spread, verdict
from benchmarks.serving.setting import Setting

CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
FIXED = (1, 8)


def concurrency(setting: Setting) -> Result:
    """Three servers, each frozen while another is measured."""
    table = [["connections", "measured batch, pictures/s", *(f"batch {n}" for n in FIXED)]]
    table[0] += ["measured / better one", ">= 0.98", "p50 ms", "p99 ms"]
    with ExitStack() as stack:
        servers = []
        for batch in (None, *FIXED):
            name = f"Graft, batch {batch or 'as measured'}"
            settings = {"GRAFT_MAX_BATCH_SIZE": str(batch)} if batch else {}
            contender = graft(setting.bundle, setting.folder, name, settings)
            servers.append(stack.enter_context(setting.start(contender)))
            servers[-1].pause()
        for connections in CONNECTIONS:
            loads: list[list[Load]] = [[] for _ in servers]
            for number in range(setting.rounds):
                for index in np.roll(range(len(servers)), number):
                    loads[index].append(turn(servers[index], setting, connections))
            table.append(_row(connections, loads))
            setting.say(f"{connections} connections: {' | '.join(table[-1][1:])}")
        note = _latency_alone(setting, lambda: turn(servers[0], setting, 1))
    title = f"{setting.bundle.manifest.plugin}: batches as measured against fixed ones"
    return Result(key("concurrency", setting.bundle), title, table, note)


def _row(connections: int, loads: list[list[Load]]) -> list[str]:
    measured, *fixed = ([load.per_second for load in own] for own in loads)
    better = max(fixed, key=lambda rates: float(np.median(rates)))
    ratios = [one / other for one, other in zip(measured, better, strict=True)]
    return [
        str(connections),
        *(spread(rates) for rates in (measured, *fixed)),
        spread(ratios, 2),
        verdict(float(np.median(ratios)), 0.98, ">="),
        *latencies(loads[0]),
    ]


def _latency_alone(setting: Setting, ask: Callable[[], Load]) -> list[str]:
    """One connection's latency against the bare decoder and model, in rounds of their own."""
    ratios, served, bare = [], [], []
    for _ in range(setting.rounds):
        bare.append(measure(alone(), setting.bundle, setting.bodies["raw"], setting.seconds).p50_ms)
        served.append(ask().p50_ms)
        ratios.append(served[-1] / bare[-1])
    return [
        f"one connection: p50 {spread(served, 2)} ms, in process, one picture at a time by one "
        f"thread, {spread(bare, 2)} ms; ratio {spread(ratios, 2)} "
        f"({verdict(float(np.median(ratios)), 1.15, '<=')})"
    ]
