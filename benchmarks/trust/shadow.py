"""Measures what a challenger (GRAFT_SHADOW) costs the answers of the service.

    .venv/bin/python -m benchmarks.trust.shadow BUNDLE CHALLENGER [ROUNDS=10] [SECONDS=4] [SHARE]

Three servers run: two equal ones without challenger (A/A), and one with it. In each round, they are
measured in turn: latency while requests arrive at random times, at 40% of the rate at saturation,
and then saturation. All ratios are computed within a round. The ratios of the two equal servers
show how much of a difference is noise.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.generator import collect, start_load
from benchmarks.serving.load.wrk import require_wrk, run_wrk
from benchmarks.serving.results import (
    Result,
    describe_machine,
    format_ratios,
    format_spread,
    format_verdict,
    measure_other_load,
)
from benchmarks.serving.server import Server
from service.bundle.reading import Bundle

LOAD = 0.4
SATURATING = 16
WARM_SECONDS = 0.5
MOST_P99 = 1.05
WITHOUT, AGAIN, WITH = "without", "without, again", "with"
FIGURES = {
    "p50": f"p50 at {LOAD:.0%} of saturation",
    "p99": f"p99 at {LOAD:.0%} of saturation",
    "saturation": "pictures per second at saturation",
    "saturated_p99": "p99 at saturation",
}

Measured = dict[str, dict[str, list[float]]]
"""Server -> figure -> its value in each round."""


def main(
    bundle: str, challenger: str, rounds: str = "10", seconds: str = "4", share: str = "0.1"
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # ends the servers too
    require_wrk()
    others = [measure_other_load()]
    model = Bundle.read(Path(bundle))
    with tempfile.TemporaryDirectory(prefix="graft-bench-") as folder:
        context = BenchmarkContext.prepare(model, Path(folder), float(seconds), int(rounds), ())
        shadow = {"GRAFT_SHADOW": str(Path(challenger).absolute()), "GRAFT_SHADOW_SHARE": share}
        settings: dict[str, dict[str, str]] = {WITHOUT: {}, AGAIN: {}, WITH: shadow}
        with ExitStack() as stack:
            servers = {}
            for name, variables in settings.items():
                contender = graft(model, Path(folder), name, variables)
                servers[name] = stack.enter_context(context.start(contender))
                context.expected.check(servers[name])
                servers[name].pause()
            measured, counts, others = measure(context, servers)
    title = f"{model.manifest.plugin}: {float(share):.0%} of the pictures shown to a challenger"
    result = Result("shadow", title, table(measured), notes(measured, counts))
    print(result.markdown(describe_machine(float(seconds), int(rounds), max(others))))


def measure(
    context: BenchmarkContext, servers: Mapping[str, Server]
) -> tuple[Measured, dict[str, Counter[str]], list[float]]:
    """Measure the servers in turn.

    Returns:
        The figures; how many pictures had which result, at LOAD and at saturation; and the share of
        the processors that other programs used before each round, in percent.
    """
    measured: Measured = {name: defaultdict(list) for name in servers}
    counts: dict[str, Counter[str]] = {"calm": Counter(), "saturated": Counter()}
    others = []
    first = servers[WITHOUT]
    first.resume()
    run_wrk(first, SATURATING, 1)
    rate = LOAD * run_wrk(first, SATURATING, context.seconds).per_second
    first.pause()
    names = list(servers)
    for number in range(context.rounds):
        others.append(measure_other_load())
        for name in names[number % len(names) :] + names[: number % len(names)]:
            server, figures = servers[name], measured[name]
            server.resume()
            context.expected.check(server)
            before = shown(server)
            phases = [(rate, WARM_SECONDS), (rate, context.seconds)]
            requests = collect(start_load(server, phases), phases).phases[1]
            between = shown(server)
            load = run_wrk(server, SATURATING, context.seconds)
            after = shown(server)
            figures["failed"].append(sum(request.status != 200 for request in requests))
            p50, p99 = np.percentile([request.milliseconds for request in requests], [50, 99])
            for figure, value in zip(
                FIGURES, (p50, p99, load.per_second, load.p99_ms), strict=True
            ):
                figures[figure].append(float(value))
            figures["memory"].append(server.megabytes())
            server.pause()
            if name == WITH:
                counts["calm"] += between - before
                counts["saturated"] += after - between
        p99s = ", ".join(f"{name} {measured[name]['p99'][-1]:.1f}" for name in names)
        context.log(f"{rate:.0f}/s, p99 in ms: {p99s}; others used {others[-1]:.0f}%")
    return measured, counts, others


def shown(server: Server) -> Counter[str]:
    """Return the numbers of pictures by result, as /metrics shows them after a short wait."""
    time.sleep(0.2)
    address = f"http://127.0.0.1:{server.port}/metrics"
    with urllib.request.urlopen(address, timeout=30) as response:
        text = response.read().decode()
    pattern = r'^graft_shadow_pictures_total\{result="(\w+)"\} (\d+)'
    return Counter({name: int(count) for name, count in re.findall(pattern, text, re.MULTILINE)})


def table(measured: Measured) -> list[list[str]]:
    """Return the rows of the table: absolute figures without challenger, and ratios to them."""
    rows = [["", "without challenger", "again, without: ratio", "with: ratio", "target"]]
    for figure, title in FIGURES.items():
        without, again, challenged = (measured[name][figure] for name in (WITHOUT, AGAIN, WITH))
        verdict = ""
        if figure == "p99":
            ratio = float(np.median(np.divide(challenged, without)))
            verdict = format_verdict(ratio, MOST_P99, "<=")
        digits = 0 if figure == "saturation" else 1
        ratios = [format_ratios(values, without) for values in (again, challenged)]
        rows.append([title, format_spread(without, digits), *ratios, verdict])
    return rows


def notes(measured: Measured, counts: Mapping[str, Counter[str]]) -> Sequence[str]:
    lines = []
    for load, title in (("calm", f"at {LOAD:.0%} of saturation"), ("saturated", "at saturation")):
        results = counts[load]
        total = max(1, results.total())
        lines.append(
            f"{title}, the challenger classified {1 - results['shed'] / total:.0%} of the "
            f"{results.total()} pictures that were sampled; the others were shed"
        )
    without, challenged = (np.median(measured[name]["memory"]) for name in (WITHOUT, WITH))
    failed = sum(sum(figures["failed"]) for figures in measured.values())
    lines.append(f"memory: {without:.0f} MB without challenger, {challenged:.0f} MB with it")
    lines.append(f"in every round, all answers were checked; refused or lost: {failed:.0f}")
    return lines


if __name__ == "__main__":
    main(*sys.argv[1:])
