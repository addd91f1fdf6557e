"""Put a new model in the old one's place if it is no worse: `python -m trainers.promote NEW`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from service.cli.arguments import CommandParser
from service.errors import GraftError
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers.cli.exit_codes import WRONG_USE
from trainers.cli.log_output import set_up_logging
from trainers.progress import log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code: 0 decided, either way; 2 wrong use."""
    set_up_logging(is_quiet=False)
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: "graft: stopped"):
        try:
            options = _parser().parse_args(arguments)
            print(promote(options.new, options.over, options.data))
        except (GraftError, OSError) as error:
            log.error("graft: %s", error)
            return WRONG_USE
    return 0


def promote(new: Path, over: str | None, data: Path) -> str:
    """Find both models and compare them; return the tag of the one that is the latest now."""
    from service.bundle import store
    from service.bundle.reading import Bundle
    from service.imaging import configure_process
    from trainers.evaluation import promotion

    configure_process()
    bundle = promotion.find_newest(new)
    old = Bundle.read(store.resolve(over or f"{bundle.manifest.name}:latest"))
    return promotion.promote(bundle, old, data)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m trainers.promote",
        description="Make a new model `latest` in BentoML's store if it is no worse than the old.",
        epilog="Exit codes: 0 decided, the last line is the latest model; 2 wrong use.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "new", type=Path, metavar="NEW", help="a bundle, or a folder of bundles (the newest counts)"
    )
    parser.add_argument(
        "--over",
        metavar="MODEL",
        help="the model to replace, a BentoML tag or a bundle (the latest of the same name)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="the folder with the pictures (data)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
