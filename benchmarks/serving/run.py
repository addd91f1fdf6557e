"""Compares Graft's HTTP service with other servers, and with the same work without a server.

    .venv/bin/python -m benchmarks.serving.run BUNDLE... [--write]

measures Graft, the same work without a server, and other servers, in turn. All use the same ONNX
file and the same pictures. `make bench-peers` installs the other servers. Other measurements:

    --concurrency   automatic batch sizes compared with fixed ones, over 1 to 64 connections
    --open-loop     latency with requests at random times, at 70% of the highest possible rate
    --start         seconds until the service is ready, and its memory
    --overload      requests at three times the highest possible rate for 20 s
    --all           all of these, and the comparison with other servers

The speed of a machine changes over time. So compare only speeds from the same round, as ratios.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.serving.compare import compare_servers
from benchmarks.serving.context import BenchmarkContext
from benchmarks.serving.load.concurrency import measure_concurrency
from benchmarks.serving.load.open_loop import measure_open_loop
from benchmarks.serving.load.overload import measure_overload
from benchmarks.serving.load.wrk import require_wrk
from benchmarks.serving.results import Result, describe_machine, measure_other_load
from benchmarks.serving.startup import measure_startup
from service.bundle.reading import Bundle

MEASUREMENTS: dict[str, Callable[[BenchmarkContext], Result]] = {
    "peers": compare_servers,
    "concurrency": measure_concurrency,
    "open-loop": measure_open_loop,
    "start": measure_startup,
    "overload": measure_overload,
}

MAX_OTHER_LOAD_PERCENT = 10.0
BUSY_MACHINE = (
    "results from a busy machine are not reliable, not even ratios; measure again when no other "
    "program is running"
)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # ends the servers too
    require_wrk()
    for folder in options.bundles:
        bundle = Bundle.read(folder)
        for name in options.measurements or ["peers"]:
            load_before = measure_other_load()
            if load_before > MAX_OTHER_LOAD_PERCENT:
                print(
                    f"other programs use {load_before:.0f}% of the processors: {BUSY_MACHINE}",
                    flush=True,
                )
            with tempfile.TemporaryDirectory(prefix="graft-bench-") as temporary:
                context = BenchmarkContext.prepare(
                    bundle, Path(temporary), options.seconds, options.rounds, options.only
                )
                result = MEASUREMENTS[name](context)
            others = max(load_before, measure_other_load())
            conditions = describe_machine(options.seconds, options.rounds, others)
            print(f"\n{result.markdown(conditions)}\n", flush=True)
            if others > MAX_OTHER_LOAD_PERCENT:
                message = f"other programs used {others:.0f}% of the processors"
                written = "; nothing was written to benchmarks/README.md" if options.write else ""
                print(f"{message}: {BUSY_MACHINE}{written}", flush=True)
            elif options.write:
                result.write(conditions)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    for name in MEASUREMENTS:
        parser.add_argument(
            f"--{name}",
            dest="measurements",
            action="append_const",
            const=name,
            help=argparse.SUPPRESS,
        )
    parser.add_argument(
        "--all", dest="measurements", action="store_const", const=list(MEASUREMENTS)
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="duration of one measurement in seconds (default: 5)",
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often each measurement is repeated (default: 5)"
    )
    parser.add_argument(
        "--only",
        type=lambda names: ["graft", *names.lower().split(";")],
        default=[],
        help="measure only Graft and the servers whose names contain one of these texts, separated "
        "by ; (e.g. 'fastapi;ray')",
    )
    parser.add_argument(
        "--write", action="store_true", help="write the results to benchmarks/README.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
