"""Generates closed-loop load with `wrk`: a connection sends a request after each response."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.server import Server


@dataclass(frozen=True)
class Load:
    """The result of one measurement: pictures per second, and latencies in milliseconds."""

    per_second: float
    p50_ms: float
    p99_ms: float


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        sys.exit("the load generator wrk is not installed: run `apt-get install wrk`")


def run_wrk(server: Server, connections: int, seconds: float) -> Load:
    """Measure pictures per second and latencies, with one thread of wrk.

    Raises:
        RuntimeError: wrk failed, or a request failed or was refused.
    """
    script = Path(__file__).with_suffix(".lua")
    bodies = server.bodies
    environment = {
        **os.environ,
        "BENCH_BODIES": ":".join(map(str, bodies.paths)),
        "BENCH_CONTENT_TYPE": bodies.content_type,
    }
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{max(1, round(seconds))}s", "--timeout", "30s", "--latency"]
    command += ["--script", str(script), server.url]
    completed = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if completed.returncode:
        raise RuntimeError(
            f"wrk ended with exit code {completed.returncode}: "
            f"{completed.stderr or completed.stdout}"
        )
    result = json.loads(completed.stdout.strip().splitlines()[-1])
    if result["refused"] or result["failed"]:
        raise RuntimeError(
            f"{server.contender.name} did not serve all {result['requests']} requests: refused "
            f"{result['refused']}, failed {result['failed']}"
        )
    return Load(result["requests"] / result["seconds"], result["p50_ms"], result["p99_ms"])
