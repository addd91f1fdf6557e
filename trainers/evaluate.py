"""Measure a model on a labelled folder: `python -m trainers.evaluate MODEL --data DIR`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from service.cli.arguments import WRONG_USE, CommandParser, non_empty, non_empty_path
from service.cli.os_errors import explain_error
from service.errors import GraftError
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers.cli.data_option import add_data_option
from trainers.cli.log_output import log_line, set_up_logging
from trainers.progress import Progress, log


def evaluate(model: str | None, data: Path, output: Path, progress: Progress) -> dict[str, Any]:
    """Measure a model on the pictures of a folder, with the answers that the service would give.

    Data flow: bundle, folder -> pictures that the model has not learned from -> answers of the
    service's scheduler -> figures -> page, metrics.json, predictions.csv.

    Args:
        model: a BentoML tag or the path of a bundle; None = GRAFT_MODEL, or classifier:latest.
        data: a folder with one sub-folder per class, an archive of such a folder, or a table of
            labels; a table for a multi-label model.
        output: the folder in which the folder of the evaluation appears.
        progress: shows the progress.

    Returns:
        The values that the command prints with --json, except the time.

    Raises:
        GraftError: the model or the folder cannot be used, or no picture is left to measure on.
    """
    from service.bundle import signature, summary
    from service.settings import Settings
    from service.system.folders import cache_folder
    from trainers.cache.array_cache import Cache
    from trainers.cache.eviction import NO_LIMIT_BYTES
    from trainers.dataset import scanning
    from trainers.evaluating import classifying, evaluation_set, measuring, writing
    from trainers.workspace import workspace

    settings = Settings.from_environment()
    bundle = signature.load_verified(model or settings.model, settings.verify_key)
    summary.log_summary(bundle.manifest, log, "measuring")
    with progress.step("scanning"):
        scan = scanning.scan(data, progress=progress, task=bundle.manifest.task)
    with (
        workspace(output) as work,
        closing(Cache(cache_folder() / "arrays", NO_LIMIT_BYTES, work, progress)) as cache,
    ):
        chosen = evaluation_set.choose_pictures(scan, bundle, cache)
        evaluation_set.log_choice(chosen)
        staging = work / "evaluation"
        staging.mkdir()
        answers = classifying.classify(chosen, bundle, settings, staging, progress)
        metrics = measuring.measure(answers, bundle, settings.confidence)
        writing.log_figures(bundle.manifest, metrics)
        page = writing.write(staging, output, bundle.manifest, metrics, answers)
    return writing.record(page, metrics)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0 = done; 2 = wrong use or bad data."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # for errors of the parser
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: log_line("graft: stopped; nothing was written")):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    try:
        options = _parser().parse_args(arguments)
        set_up_logging(options.quiet, options.json)
        from service.imaging import configure_process
        from service.system.resources import release_large_memory

        release_large_memory()
        configure_process()
        progress = Progress(options.quiet, is_json=options.json)
        result = evaluate(options.model, options.data, options.output, progress)
    except (GraftError, OSError) as error:
        log.error("graft: %s", explain_error(error))
        return WRONG_USE
    result["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(result) if options.json else result["page"])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m trainers.evaluate",
        description="Measure a model on a folder of labelled pictures, with the answers that the "
        "service would give. Pictures that the model was trained or validated on are left out.",
        epilog="The last line of the output is the path of the page. Exit codes: 0 done; 2 wrong "
        "use or bad data. The GRAFT_* settings of the service apply to this command, too.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "model",
        nargs="?",
        type=non_empty,
        metavar="MODEL",
        help="BentoML tag or bundle folder (default: GRAFT_MODEL, or classifier:latest)",
    )
    add_data_option(parser)
    parser.add_argument(
        "--output",
        type=non_empty_path,
        default=Path("artifacts"),
        metavar="DIR",
        help="folder for the new folder evaluation-NAME-VERSION-ID, with report.html, metrics.json "
        "and predictions.csv (default: artifacts)",
    )
    parser.add_argument("--quiet", action="store_true", help="log only warnings and errors")
    parser.add_argument(
        "--json",
        action="store_true",
        help="write the log as JSON lines, and print the result as one JSON object",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
