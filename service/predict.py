"""Classify picture files and folders as the service does: `python -m service.predict FILE...`."""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from service.cli.arguments import WRONG_USE, CommandParser, non_empty, non_empty_path
from service.cli.os_errors import explain_error
from service.errors import GraftError, UsageError
from service.system.interrupts import INTERRUPTED, exit_on_signals

if TYPE_CHECKING:  # --help and wrong options are answered before slow imports
    from service.bundle.manifest import Manifest
    from service.engine.predictor import Predictor
    from service.scoring.tables import WriteRow
    from service.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0 = all pictures were classified; 1 = some were not, or the program that reads stdout has ended;
    2 = an option or a setting is wrong, the bundle is refused, or the results cannot be written.
    SIGINT or SIGTERM ends the process at once, with exit code 130.
    """
    try:
        options = _parser().parse_args(arguments)
    except UsageError as error:
        _report(str(error))
        return WRONG_USE
    stopped = "graft: stopped" + (f"; {options.csv} was not written" if options.csv else "")
    with exit_on_signals(
        {signal.SIGINT: INTERRUPTED, signal.SIGTERM: INTERRUPTED}, lambda: stopped
    ):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        code = _predict(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the program that reads stdout has ended, for example `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (GraftError, OSError) as error:
        _report(explain_error(error))
        return WRONG_USE
    return code


def _predict(options: argparse.Namespace) -> int:
    from service.bundle.signature import load_verified
    from service.cli.progress import ProgressLine
    from service.engine.autotune import autotune
    from service.engine.device import fallback_warning, load_predictor
    from service.imaging import configure_process
    from service.scoring.discover import find_pictures
    from service.scoring.files import score_files
    from service.settings import Settings
    from service.system.resources import release_large_memory

    release_large_memory()
    configure_process()
    settings = Settings.from_environment()
    paths = find_pictures(options.places)
    bundle = load_verified(options.bundle or settings.model, settings.verify_key, "--bundle")
    config = autotune(bundle, settings).choice
    predictor = load_predictor(bundle, settings.device, config.session_threads, config.sessions)
    if warning := fallback_warning(settings.device, predictor):
        _report(warning)
    failed = 0
    # Rows printed on a terminal already show the progress.
    are_rows_on_terminal = not options.csv and sys.stdout.isatty()
    is_shown = not (options.quiet or are_rows_on_terminal)
    with (
        _output(options, predictor, settings) as write_row,
        closing(ProgressLine(len(paths), is_shown)) as progress,
        closing(score_files(paths, predictor, config, settings)) as results,
    ):
        if not options.quiet:
            _introduce(bundle.manifest)
        for scored in results:
            write_row(scored)
            failed += scored.error is not None
            progress.advance()
        seconds = progress.seconds
    if not options.quiet:
        name = f"{bundle.manifest.name}:{bundle.manifest.version}"
        rate = len(paths) / seconds
        plural = "" if len(paths) == 1 else "s"
        _report(f"{len(paths):,} picture{plural} in {seconds:.1f} s ({rate:.1f}/s) with {name}")
    if failed:
        place = f"in the column `error` of {options.csv}" if options.csv else "on stdout"
        _report(f"pictures not classified: {failed:,} of {len(paths):,}; the reasons are {place}")
    return 1 if failed else 0


def _introduce(manifest: Manifest) -> None:
    """Print a description of the model, then the warnings about it, on stderr."""
    from service.bundle import summary

    _report(summary.describe(manifest))
    for warning in summary.model_warnings(manifest):
        _report(f"warning: {warning}")


def _output(
    options: argparse.Namespace, predictor: Predictor, settings: Settings
) -> AbstractContextManager[WriteRow]:
    from service.scoring import tables

    judge = functools.partial(predictor.judge, settings=settings)
    if options.csv:
        return tables.csv_table(options.csv, predictor.classes, judge, predictor.is_multi_label)
    if hasattr(sys.stdout, "reconfigure"):  # paths may contain bytes that are not valid text
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        return nullcontext(functools.partial(tables.write_json_line, predictor, settings))
    return nullcontext(functools.partial(tables.write_line, judge))


def _report(message: str) -> None:
    print(f"graft: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m service.predict",
        description="Classify pictures as the service does. Prints one line for each picture: "
        "its path, the most probable class, and the probability of this class.",
        epilog="Exit codes: 0 = all pictures were classified; 1 = some pictures were not "
        "classified; 2 = an option or a setting is wrong, the bundle is refused, or the results "
        "cannot be written; 130 = stopped by a signal. The GRAFT_* settings of the service, such "
        "as limits and threads, apply to this command too.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "places",
        nargs="+",
        type=non_empty,
        metavar="FILE_OR_DIR",
        help="picture files, or folders of pictures",
    )
    parser.add_argument(
        "--bundle",
        type=non_empty,
        metavar="TAG_OR_FOLDER",
        help="BentoML tag or bundle folder (default: GRAFT_MODEL, or classifier:latest)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--csv",
        type=non_empty_path,
        metavar="FILE",
        help="write the probability of every class to a CSV file instead of printing results; the "
        "file appears after the last picture",
    )
    form.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object per picture, as in the response of /predict_batch",
    )
    parser.add_argument("--quiet", action="store_true", help="print only results and errors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
