"""Make a new model the champion unless it is worse than the old: `python -m trainers.promote NEW`.

`--rollback` makes the previous champion the champion again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service.cli.arguments import WRONG_USE, CommandParser, non_empty, non_empty_path
from service.cli.os_errors import explain_error
from service.errors import GraftError, UsageError
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers.cli.log_output import log_line, set_up_logging
from trainers.progress import Progress, log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0 = done, no matter which model is better; 2 = wrong use or bad data.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # for errors while parsing
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    started = time.monotonic()
    with exit_on_signals(codes, lambda: log_line("graft: stopped")):
        try:
            options = _parser().parse_args(arguments)
            result = _run(options)
        except (GraftError, OSError) as error:
            log.error("graft: %s", explain_error(error))
            return WRONG_USE
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result) if options.json else result["champion"])
    return 0


def _run(options: argparse.Namespace) -> dict[str, Any]:
    """Promote or roll back; return what --json prints, with the tag of the champion.

    Raises:
        GraftError: the options do not fit together; a model cannot be found or used; no picture is
            left to compare the models with; or there is no champion to roll back to.
    """
    if (options.new is None) == (options.rollback is None):
        raise UsageError(
            "give either a new model, e.g. `artifacts`, or --rollback; --help explains both"
        )
    from service.imaging import configure_process
    from service.system.folders import cache_folder
    from trainers.config import DEMO
    from trainers.dataset.samples import draw_samples
    from trainers.promoting import decision

    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    if options.rollback is not None:
        return decision.roll_back(options.rollback)
    configure_process()
    new = decision.find_bundle(options.new)
    data = draw_samples(cache_folder()) if options.data == DEMO else Path(options.data)
    progress = Progress(is_json=options.json)
    return decision.promote(new, options.over, data, options.accept_class_losses, progress)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m trainers.promote",
        description="Compare a new model with the champion on the test pictures of both that "
        "neither was trained or validated on. If it classifies at least as many of them correctly, "
        "and no class clearly loses, it becomes the champion. The champion is NAME:champion and "
        "NAME:latest in BentoML's model store.",
        epilog="The last line of the output is the tag of the champion. Exit codes: 0 done, no "
        "matter which model is better; 2 wrong use or bad data.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "new",
        type=non_empty_path,
        nargs="?",
        metavar="NEW",
        help="the new model: a bundle, a folder of bundles (the newest of them is used), or a "
        "BentoML tag",
    )
    parser.add_argument(
        "--over",
        type=non_empty,
        metavar="MODEL",
        help="the model to compare with, as a BentoML tag or a bundle (default: the champion with "
        "the name of the new model; if there is none, the newest other model)",
    )
    parser.add_argument(
        "--data",
        type=non_empty,
        default="data",
        metavar="DIR",
        help="the folder, archive or table of pictures that the models were trained on; demo = the "
        "generated sample pictures (default: data)",
    )
    parser.add_argument(
        "--accept-class-losses",
        action="store_true",
        help="promote a model although it clearly recognises fewer pictures of a class",
    )
    parser.add_argument(
        "--rollback",
        nargs="?",
        const="classifier",
        type=non_empty,
        metavar="NAME",
        help="make the previous champion of this name the champion again (default: classifier)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="write the log to stderr as JSON lines, and print all figures as a JSON object",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
