"""Graft, its ceiling and its peers: pictures a second over 16 connections, round by round."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from benchmarks.serving.chart import Bar, bars
from benchmarks.serving.contenders import graft, peers
from benchmarks.serving.load.ceiling import Way, measure, ways
from benchmarks.serving.load.wrk import Load, wrk
from benchmarks.serving.results import Result, key, latencies, ratio, spread, verdict
from benchmarks.serving.server import Server
from benchmarks.serving.setting import Setting
from service.system.resources import usable_cores

CONNECTIONS = 16
WANTED = {
    "FastAPI, tuned": 1.0,
    "FastAPI, as in tutorials": 1.2,
    "LitServe": 1.3,
    "BentoML, stock": 2.2,
}
"""How many times as many pictures as this peer Graft is to answer."""
WANTED_OF_C1 = {"mobilenet:v2-1.0": 0.85, "efficientnet:b0": 0.93, "resnet:50": 0.93}
"""How much of C1, by plugin."""


def compare(setting: Setting) -> Result:
    """Every server is started once, and frozen while another is measured."""
    settled = ways(usable_cores())
    ceilings: dict[str, list[Load]] = {way.name: [] for way in settled}
    with ExitStack() as stack:
        servers, absent = _start(setting, stack)
        loads: dict[str, list[Load]] = {server.contender.name: [] for server in servers}
        for number in range(setting.rounds):
            for way in settled:
                ceilings[way.name].append(_ceiling(way, setting))
            # Not always in the same order: what one leaves behind should not meet the same next.
            shift = number % len(servers)
            for server in [*servers[shift:], *servers[:shift]]:
                name = server.contender.name
                try:
                    loads[name].append(turn(server, setting, CONNECTIONS))
                except (OSError, RuntimeError) as error:
                    if name == "Graft":
                        raise
                    absent[name] = f"in round {number + 1}: {error}"
                    servers.remove(server)
                    setting.say(f"{name} drops out {absent[name]}")
                    continue
                setting.say(f"round {number + 1}: {name} {loads[name][-1].per_second:.0f}/s")
    return _result(setting, ceilings, loads, servers, absent)


def turn(server: Server, setting: Setting, connections: int) -> Load:
    """One server's turn: thawed, its answers checked, warmed up, measured, frozen again."""
    server.resume()
    try:
        setting.expected.check(server)
        wrk(server, connections, 1)
        setting.expected.check(server)  # and by then what wrk walked away from is done
        return wrk(server, connections, setting.seconds)
    finally:
        server.pause()


def _start(setting: Setting, stack: ExitStack) -> tuple[list[Server], dict[str, str]]:
    """The servers that start, Graft first; and of the others the reason."""
    servers, absent = [], {}
    ours = graft(setting.bundle, setting.folder)
    for contender in [ours, *peers(setting.bundle, setting.folder)]:
        if setting.only and not any(part in contender.name.lower() for part in setting.only):
            continue
        try:
            server = stack.enter_context(setting.start(contender))
            setting.expected.check(server)
        except (OSError, RuntimeError) as error:
            if contender is ours:
                raise
            absent[contender.name] = str(error)
            setting.say(f"{contender.name} does not take part: {error}")
            continue
        setting.say(f"{contender.name} is ready after {server.start_seconds:.1f} s")
        server.pause()
        servers.append(server)
    return servers, absent


def _ceiling(way: Way, setting: Setting) -> Load:
    load = measure(way, setting.bundle, setting.bodies["raw"], setting.seconds)
    setting.say(f"in process, {way.name}: {load.per_second:.0f}/s")
    return load


def _result(
    setting: Setting,
    ceilings: dict[str, list[Load]],
    loads: dict[str, list[Load]],
    servers: list[Server],
    absent: dict[str, str],
) -> Result:
    best = max(ceilings, key=lambda name: np.median(_rates(ceilings[name])))
    ours = _rates(loads["Graft"])
    plugin = setting.bundle.manifest.plugin
    table = [["", "what", "pictures/s", "Graft / this", "wanted", "p50 ms", "p99 ms"]]
    for name, found in ceilings.items():
        if name == best:
            figures = _figures(found, ours, WANTED_OF_C1.get(plugin))
            table.append(["C1, in process", name, *figures])
        else:
            table.append(["in process", name, *_figures(found, ours, None)])
    ordered = sorted(servers, key=lambda one: -np.median(_rates(loads[one.contender.name])))
    for server in ordered:
        contender = server.contender
        wanted = WANTED.get(contender.name)
        figures = _figures(loads[contender.name], ours, wanted)
        table.append([contender.name, contender.what, *figures])
    for name, reason in absent.items():
        table.append([name, f"did not run: {_short(reason)}", *[""] * 5])
    rows = [Bar("C1, in process", _rates(ceilings[best]), "ceiling")]
    for server in ordered:
        name = server.contender.name
        rows.append(Bar(name, _rates(loads[name]), "ours" if name == "Graft" else "peer"))
    title = f"{plugin}: pictures a second, {CONNECTIONS} connections, {usable_cores()} cores"
    p99 = {name: _p99(found) for name, found in loads.items()}
    first = min(p99, key=lambda name: (name == "Graft", p99[name]))  # Graft where it is alone
    notes = [
        f"S/C1, median of each round's ratio: {ratio(ours, _rates(ceilings[best]))}",
        f"p99 against the best one's, {first}, in ms: {verdict(p99['Graft'], p99[first], '<=')}",
        "median of the rounds (range); ratios are of each round; latencies are medians of rounds",
    ]
    return Result(key("peers", setting.bundle), title, table, notes, bars(title, rows))


def _figures(loads: list[Load], ours: list[float], wanted: float | None) -> list[str]:
    rates = _rates(loads)
    middle = float(np.median(np.divide(ours, rates)))
    judged = "" if wanted is None else verdict(round(middle, 2), wanted, ">=")
    return [spread(rates), ratio(ours, rates), judged, *latencies(loads)]


def _p99(loads: list[Load]) -> float:
    return round(float(np.median([load.p99_ms for load in loads])), 1)


def _rates(loads: list[Load]) -> list[float]:
    return [load.per_second for load in loads]


def _short(reason: str) -> str:
    return reason.strip().splitlines()[-1][:120].replace("|", "/")
