"""Three times more than it can do, for 20 s: what is still answered, and what is refused how."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.load.generator import Traffic, collect, start_load
from benchmarks.serving.load.wrk import wrk
from benchmarks.serving.results import Result, key, verdict
from benchmarks.serving.setting import Setting

TIMES, SECONDS = 3.0, 20.0
CALM_PER_SECOND, CALM_SECONDS = 20.0, 5.0
SATURATING = 16
OK, REFUSED = 200, (429, 503)


class Row(NamedTuple):
    what: str
    value: float
    unit: str
    limit: float
    wanted: str


def overload(setting: Setting) -> Result:
    """Calm, overload and calm again are one run of the generator."""
    with setting.start(graft(setting.bundle, setting.folder)) as server:
        setting.expected.check(server)
        wrk(server, SATURATING, 2)
        before = wrk(server, SATURATING, setting.seconds).per_second
        phases = [(CALM_PER_SECOND, CALM_SECONDS), (TIMES * before, SECONDS)]
        phases += [(CALM_PER_SECOND, CALM_SECONDS)]
        setting.say(f"saturation {before:.0f}/s; overload {TIMES * before:.0f}/s for {SECONDS:g} s")
        megabytes = [server.megabytes()]
        generator = start_load(server, phases)
        ends = time.monotonic() + CALM_SECONDS + SECONDS
        while time.monotonic() < ends:
            time.sleep(5)  # looking costs the service some milliseconds
            megabytes.append(server.megabytes())
        traffic = collect(generator, phases)
        after = wrk(server, SATURATING, setting.seconds).per_second
        setting.expected.check(server)
    growth = max(megabytes) - megabytes[0]
    return _result(setting, traffic, (before + after) / 2, growth)


def _result(setting: Setting, traffic: Traffic, saturation: float, growth: float) -> Result:
    calm, flood, recovery = traffic.phases
    end = CALM_SECONDS + SECONDS
    good = [one for one in flood if one.status == OK]
    in_time = sum(one.sent + one.milliseconds / 1000 < end for one in good)
    refused = [one for one in flood if one.status in REFUSED]
    lost = len(flood) - len(good) - len(refused)
    silent = sum(not one.says_when for one in refused)
    normal = np.percentile([one.milliseconds for one in calm], 99)
    slow = [one.sent - end for one in recovery if one.milliseconds > 2 * normal or one.status != OK]
    refusals = [one.milliseconds for one in refused] or [0.0]
    rows = [
        Row("goodput / saturation", in_time / SECONDS / saturation, "", 0.95, ">="),
        Row("refusals, p50", float(np.percentile(refusals, 50)), " ms", 50, "<="),
        Row("refusals, p99", float(np.percentile(refusals, 99)), " ms", 50, "<="),
        Row("refusals without Retry-After", silent, "", 0, "<="),
        Row("neither answered nor refused", lost, "", 0, "<="),
        Row("memory growth", growth, " MB", 64, "<="),
        Row("slower than twice the normal p99 until", max(slow, default=0.0), " s", 2, "<="),
    ]
    table = [["", "measured", "wanted"]]
    for row in rows:
        figure = f"{row.value:.2f}" if row.value < 1 else f"{row.value:.0f}"
        table.append([row.what, figure + row.unit, verdict(row.value, row.limit, row.wanted)])
    answered = np.percentile([one.milliseconds for one in good], [50, 99])
    notes = [
        f"saturation {saturation:.0f}/s (mean of before and after, {SATURATING} connections of "
        f"wrk), sent {len(flood) / SECONDS:.0f}/s for {SECONDS:g} s: {len(good)} answered, "
        f"{len(refused)} refused",
        f"answers under overload: p50 {answered[0]:.0f}, p99 {answered[1]:.0f} ms; normal p99 at "
        f"{CALM_PER_SECOND:g}/s {normal:.1f} ms",
        f"the generator took {traffic.processor_share:.0%} of one core, which the service did not "
        f"have, and sent 99% of the requests at most {traffic.lag_p99_ms:.1f} ms late",
    ]
    title = f"{setting.bundle.manifest.plugin}: {TIMES:g} times saturation"
    return Result(key("overload", setting.bundle), title, table, notes)
