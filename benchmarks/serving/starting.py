"""Seconds from the command until /readyz says 200, and memory."""

from __future__ import annotations

import shutil

import numpy as np

from benchmarks.serving.contenders import graft
from benchmarks.serving.load.wrk import wrk
from benchmarks.serving.results import Result, key, spread, verdict
from benchmarks.serving.setting import Setting

CONNECTIONS = 16
SECONDS, MEGABYTES = 5.0, 350.0


def starting(setting: Setting) -> Result:
    """A round is a first start, which times the model, and another, which finds what was kept."""
    first, again, idle, loaded = [], [], [], []
    contender = graft(setting.bundle, setting.folder)
    for _ in range(setting.rounds):
        shutil.rmtree(setting.folder / "cache", ignore_errors=True)
        with setting.start(contender) as server:
            first.append(server.start_seconds)
        with setting.start(contender) as server:
            again.append(server.start_seconds)
            setting.expected.check(server)
            idle.append(server.megabytes())
            wrk(server, CONNECTIONS, setting.seconds)
            loaded.append(server.megabytes())
        setting.say(f"first {first[-1]:.1f} s, again {again[-1]:.1f} s, {loaded[-1]:.0f} MB")
    rows = [["", "median (range)", "wanted"]]
    for name, values, limit, digits in (
        ("first start, model timed: seconds until ready", first, SECONDS, 2),
        ("later starts: seconds until ready", again, SECONDS, 2),
        ("resident after the first answers, MB", idle, MEGABYTES, 0),
        (
            f"resident after {CONNECTIONS} connections' load, MB",
            loaded,
            MEGABYTES,
            0,
        ),
    ):
        wanted = verdict(float(np.median(values)), limit, "<=")
        rows.append([name, spread(values, digits), wanted])
    title = f"{setting.bundle.manifest.plugin}: start and memory"
    notes = ["memory: PSS of the parent and the worker together"]
    return Result(key("start", setting.bundle), title, rows, notes)
