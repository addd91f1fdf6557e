"""Score files and folders of pictures as the service would: `python -m service.predict FILE...`."""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.arguments import Parser
from service.errors import GraftError, WrongUse
from service.system.interrupts import INTERRUPTED, ended_by

if TYPE_CHECKING:  # --help and wrong options are answered before anything large is imported
    from service.bundle.manifest import Manifest
    from service.engine.predictor import Predictor
    from service.scoring.tables import Write
    from service.settings import Settings

WRONG_USE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0, 1 some not answered, 2 wrong use, 130 stopped."""
    try:
        options = _parser().parse_args(arguments)
    except WrongUse as error:
        _say(str(error))
        return WRONG_USE
    last_words = "graft: stopped" + (f"; {options.csv} was not written" if options.csv else "")
    with ended_by({signal.SIGINT: INTERRUPTED, signal.SIGTERM: INTERRUPTED}, lambda: last_words):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        code = _predict(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read stdout has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (GraftError, OSError) as error:
        _say(str(error))
        return WRONG_USE
    return code


def _predict(options: argparse.Namespace) -> int:
    from service.bundle.signature import load_verified
    from service.cli.progress import Counter
    from service.engine.autotune import tuned
    from service.engine.device import fallback, load
    from service.imaging import configure_process
    from service.scoring.discover import pictures_in
    from service.scoring.files import score
    from service.settings import Settings
    from service.system.resources import give_large_memory_back

    give_large_memory_back()
    configure_process()
    settings = Settings.from_environment()
    paths = pictures_in(options.places)
    bundle = load_verified(options.bundle or settings.model, settings.verify_key)
    way = tuned(bundle, settings).choice
    predictor = load(bundle, settings.device, way.session_threads, way.sessions)
    if said := fallback(settings.device, predictor):
        _say(said)
    unanswered = 0
    # Where the answers themselves run over the terminal, nothing needs to say that they do.
    rows_are_seen = not options.csv and sys.stdout.isatty()
    is_shown = not (options.quiet or rows_are_seen)
    with (
        _output(options, predictor, settings) as write,
        closing(Counter(len(paths), is_shown)) as counter,
        closing(score(paths, predictor, way, settings)) as answers,
    ):
        if not options.quiet:
            _introduce(bundle.manifest)
        for scored in answers:
            write(scored)
            unanswered += scored.error is not None
            counter.advance()
        seconds = counter.seconds
    if not options.quiet:
        name = f"{bundle.manifest.name}:{bundle.manifest.version}"
        rate = len(paths) / seconds
        _say(f"{len(paths):,} pictures in {seconds:.1f} s ({rate:.1f}/s) by {name}")
    if unanswered:
        place = f"the column error of {options.csv}" if options.csv else "their lines on stdout"
        _say(f"{unanswered:,} of {len(paths):,} were not answered: see {place}")
    return 1 if unanswered else 0


def _introduce(manifest: Manifest) -> None:
    """Say by which model, and what to doubt about it."""
    from service.bundle import summary

    _say(summary.line(manifest))
    for doubt in summary.doubts(manifest):
        _say(f"warning: {doubt}")


def _output(
    options: argparse.Namespace, predictor: Predictor, settings: Settings
) -> AbstractContextManager[Write]:
    from service.scoring import tables

    if options.csv:
        return tables.csv_table(options.csv, predictor.classes)
    if hasattr(sys.stdout, "reconfigure"):  # names may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        return nullcontext(functools.partial(tables.write_json_line, predictor, settings.top_k))
    return nullcontext(functools.partial(tables.write_line, predictor.classes))


def _say(message: str) -> None:
    print(f"graft: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m service.predict",
        description="Score pictures as the service would: one line each, path, label and score.",
        epilog="Exit codes: 0 every picture was answered; 1 some were not; 2 wrong use, or a "
        "bundle that is refused. Limits and threads are the service's GRAFT_* settings.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "places", nargs="+", metavar="FILE_OR_DIR", help="pictures, and folders to look through"
    )
    parser.add_argument(
        "--bundle",
        metavar="TAG_OR_FOLDER",
        help="BentoML tag or bundle folder (default: GRAFT_MODEL, or classifier:latest)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="write a table with the probability of every class; complete or absent",
    )
    form.add_argument(
        "--json", action="store_true", help="lines of JSON, as /predict_batch answers"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
