"""Latency at 70% of saturation, with arrivals by chance."""

from __future__ import annotations

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.load.ceiling import alone, measure
from benchmarks.serving.load.generator import collect, start_load
from benchmarks.serving.load.wrk import wrk
from benchmarks.serving.results import Result, key, spread, verdict
from benchmarks.serving.setting import Setting
from service.system.resources import usable_cores

SHARE = 0.7
SATURATING = 16
WARM_SECONDS = 1.0
LIMIT = 4.0


def open_loop(setting: Setting) -> Result:
    """A round is: the bare time, saturation by wrk, then the open loop at 70% of that."""
    found: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(value)

    with setting.start(graft(setting.bundle, setting.folder)) as server:
        for _ in range(setting.rounds):
            setting.expected.check(server)
            server.pause()
            for name, threads in (("bare", 1), ("bare_all", usable_cores())):
                way = alone(threads)
                load = measure(way, setting.bundle, setting.bodies["raw"], setting.seconds)
                note(**{name: load.p50_ms})
            server.resume()
            wrk(server, SATURATING, 1)
            saturation = wrk(server, SATURATING, setting.seconds).per_second
            phases = [(SHARE * saturation, WARM_SECONDS), (SHARE * saturation, 2 * setting.seconds)]
            traffic = collect(start_load(server, phases), phases)
            arrivals = traffic.phases[1]
            failed = sum(one.status != 200 for one in arrivals)
            p50, p99 = np.percentile([one.milliseconds for one in arrivals], [50, 99])
            note(saturation=saturation, p50=p50, p99=p99, failed=failed)
            note(lag=traffic.lag_p99_ms, share=100 * traffic.processor_share)
            setting.say(f"{SHARE * saturation:.0f}/s: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    return _result(setting, found)


def _result(setting: Setting, found: dict[str, list[float]]) -> Result:
    rows = [["", "ms", "of the bare time", f"<= {LIMIT:g}"]]
    rows.append(["bare time of a picture, one thread", spread(found["bare"], 2), "1", ""])
    all_cores = np.divide(found["bare_all"], found["bare"])
    rows.append(["bare time, all cores", spread(found["bare_all"], 2), spread(all_cores, 2), ""])
    for name in ("p50", "p99"):
        ratios = np.divide(found[name], found["bare"])
        holds = verdict(float(np.median(ratios)), LIMIT, "<=")
        rows.append([f"{name}, open loop", spread(found[name], 1), spread(ratios, 1), holds])
    notes = [
        f"saturation {spread(found['saturation'])}/s ({SATURATING} connections of wrk); arrivals "
        f"at {SHARE:.0%} of it; refused or lost: {sum(found['failed']):.0f}",
        f"the generator took {np.median(found['share']):.0f}% of one core and sent 99% of the "
        f"requests at most {max(found['lag']):.1f} ms late",
    ]
    title = f"{setting.bundle.manifest.plugin}: latency at {SHARE:.0%} of saturation"
    return Result(key("open-loop", setting.bundle), title, rows, notes)
