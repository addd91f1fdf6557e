"""Measures Graft's HTTP service side by side with its parts and with other servers.

    .venv/bin/python -m benchmarks.serving.run BUNDLE... [--write]

measures Graft, the same work in one process, and six other servers, all with the same ONNX file and
the same pictures, in rounds. `make bench-peers` installs the others. Other measurements:

    --concurrency   batch sizes chosen at the start against fixed ones, at 1 to 64 connections
    --open-loop     latency at 70% of saturation, with random arrivals
    --start         seconds until ready, and memory
    --overload      three times saturation for 20 s
    --all           all of these

Machines drift, so ratios count, between figures of the same round.
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

QUIET_PERCENT = 10.0
NOISY = (
    "figures from a busy machine mean nothing, not even as ratios. Measure again when the machine "
    "is quiet"
)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # ends the servers too
    require_wrk()
    for folder in options.bundles:
        bundle = Bundle.read(folder)
        for name in options.measurements or ["peers"]:
            before = measure_other_load()
            if before > QUIET_PERCENT:
                print(f"others take {before:.0f}% of the machine: {NOISY}", flush=True)
            with tempfile.TemporaryDirectory(prefix="graft-bench-") as temporary:
                context = BenchmarkContext.prepare(
                    bundle, Path(temporary), options.seconds, options.rounds, options.only
                )
                result = MEASUREMENTS[name](context)
            others = max(before, measure_other_load())
            where = describe_machine(options.seconds, options.rounds, others)
            print(f"\n{result.markdown(where)}\n", flush=True)
            if others > QUIET_PERCENT:
                print(f"others took {others:.0f}% of the machine, not written: {NOISY}", flush=True)
            elif options.write:
                result.write(where)


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
    parser.add_argument("--seconds", type=float, default=5.0, help="of one measurement (5)")
    parser.add_argument("--rounds", type=int, default=5, help="(5)")
    parser.add_argument(
        "--only",
        type=lambda names: ["graft", *names.lower().split(";")],
        default=[],
        help="parts of the names of the peers that take part, separated by ;",
    )
    parser.add_argument("--write", action="store_true", help="into benchmarks/README.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
