"""How fast is Graft's HTTP service, beside what it is made of and beside its peers?

    .venv/bin/python -m benchmarks.serving.run BUNDLE... [--write]

measures Graft, the same work in one process, and six other servers, all with the same ONNX file and
the same pictures, in rounds. `make bench-peers` installs the others. Other questions:

    --concurrency   do measured batches do as well as fixed ones, at 1 to 64 connections?
    --open-loop     latency at 70% of what it can do, with arrivals by chance
    --start         seconds until ready, and memory
    --overload      three times what it can do, for 20 s
    --all           all of these

Machines drift: ratios count, of what was measured in the same round.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.serving.compare import compare
from benchmarks.serving.load.concurrency import concurrency
from benchmarks.serving.load.open_loop import open_loop
from benchmarks.serving.load.overload import overload
from benchmarks.serving.load.wrk import require_wrk
from benchmarks.serving.results import Result, machine, others_percent
from benchmarks.serving.setting import Setting
from benchmarks.serving.starting import starting
from service.bundle.reading import Bundle

QUESTIONS: dict[str, Callable[[Setting], Result]] = {
    "peers": compare,
    "concurrency": concurrency,
    "open-loop": open_loop,
    "start": starting,
    "overload": overload,
}

QUIET_PERCENT = 10.0
NOISY = (
    "figures made beside other work mean nothing, not even as ratios, whatever its nice value. "
    "Measure again when the machine is quiet"
)


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # servers must end, too
    require_wrk()
    for folder in options.bundles:
        bundle = Bundle.read(folder)
        for question in options.questions or ["peers"]:
            before = others_percent()
            if before > QUIET_PERCENT:
                print(f"others take {before:.0f}% of the machine: {NOISY}", flush=True)
            with tempfile.TemporaryDirectory(prefix="graft-bench-") as temporary:
                setting = Setting.prepare(
                    bundle, Path(temporary), options.seconds, options.rounds, options.only
                )
                result = QUESTIONS[question](setting)
            others = max(before, others_percent())
            where = machine(options.seconds, options.rounds, others)
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
    for name in QUESTIONS:
        parser.add_argument(
            f"--{name}", dest="questions", action="append_const", const=name, help=argparse.SUPPRESS
        )
    parser.add_argument("--all", dest="questions", action="store_const", const=list(QUESTIONS))
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
