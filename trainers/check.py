"""Check a folder of pictures before training: `python -m trainers.check --data DIR`."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from service.cli.arguments import WRONG_USE, CommandParser
from service.cli.os_errors import explain_error
from service.errors import GraftError
from service.system.interrupts import INTERRUPTED, TERMINATED, cleanup_on_signal, exit_on_signals
from trainers.cli.data_option import add_data_option
from trainers.cli.log_output import set_up_logging
from trainers.progress import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code.

    0 = the data can be used; 2 = wrong use, bad data or, with --strict, any finding.
    """
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: "graft: stopped"):
        try:
            return _check(_parser().parse_args(arguments))
        except (GraftError, OSError) as error:
            print(f"graft: {explain_error(error)}", file=sys.stderr)
            return WRONG_USE


def _check(options: argparse.Namespace) -> int:
    from service.imaging import configure_process
    from service.system.folders import cache_folder
    from trainers.cache.array_cache import Cache
    from trainers.cache.eviction import NO_LIMIT_BYTES
    from trainers.dataset import grouping, scanning
    from trainers.dataset.dataset import check_classes, load_dataset
    from trainers.dataset.findings import checks, finding
    from trainers.dataset.splits import splitting

    configure_process()
    set_up_logging(options.quiet)
    with tempfile.TemporaryDirectory() as folder, cleanup_on_signal(lambda: shutil.rmtree(folder)):
        progress, work = Progress(options.quiet), Path(folder)
        cache = Cache(cache_folder() / "arrays", NO_LIMIT_BYTES, work, progress)
        scan = scanning.scan(options.data, options.group, progress, options.task)
        dataset = load_dataset(scan, cache)
    dataset = grouping.assign_sources(dataset, options.group)
    findings = checks.run_checks(dataset, options.image_size)
    if options.output:
        finding.write_json(options.output, dataset, findings)
    if options.json:
        print(json.dumps(finding.to_dict(dataset, findings)))
    else:
        for line in (*finding.list_notes(dataset), *findings):
            print(line)
        total = f"{len(findings)} finding{'s' if len(findings) != 1 else ''}"
        pictures = f"{len(dataset.paths):,} picture{'s' if len(dataset.paths) != 1 else ''}"
        classes = f"{len(dataset.classes)} class{'es' if len(dataset.classes) != 1 else ''}"
        print(f"{pictures} of {classes}: {total}")
    check_classes(dataset)
    # This raises the errors that a training run would raise.
    splitting.log_drawn_splits(dataset, splitting.split(dataset, seed=0))
    return WRONG_USE if options.strict and findings else 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m trainers.check",
        description="Find problems in a folder of labelled pictures.",
        epilog="Exit codes: 0 the folder can be trained on; 2 wrong use, a folder that cannot be "
        "trained on or, with --strict, any finding.",
        allow_abbrev=False,
    )
    add_data_option(parser)
    parser.add_argument(
        "--image-size",
        type=_size,
        default=224,
        metavar="N",
        help="side of the model's input in pixels; pictures much smaller than this are reported "
        "(default: 224)",
    )
    parser.add_argument(
        "--group",
        metavar="GROUP",
        help="how to find the source of a picture (a video, patient or plant): a regular "
        "expression for its path, or a .csv file; see --group of trainers.run",
    )
    parser.add_argument(
        "--task",
        choices=("auto", "single-label", "multi-label"),
        default="auto",
        help="whether a picture in a table may have several labels; see --task of trainers.run",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write all findings to a JSON file"
    )
    parser.add_argument(
        "--strict", action="store_true", help="exit with code 2 if there is any finding"
    )
    parser.add_argument("--quiet", action="store_true", help="do not show the progress")
    parser.add_argument("--json", action="store_true", help="print the findings to stdout as JSON")
    return parser


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number of pixels, at least 1, not {text}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
