"""Make a new model `latest` unless it is worse than the old: `python -m trainers.promote NEW`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from service.cli.arguments import WRONG_USE, CommandParser
from service.cli.os_errors import explain_error
from service.errors import BundleError, GraftError
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers.cli.log_output import set_up_logging
from trainers.progress import log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0 = the models were compared, no matter which is better; 2 = wrong use or bad data.
    """
    set_up_logging(is_quiet=False)
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: "graft: stopped"):
        try:
            options = _parser().parse_args(arguments)
            print(promote(options.new, options.over, options.data))
        except (GraftError, OSError) as error:
            log.error("graft: %s", explain_error(error))
            return WRONG_USE
    return 0


def promote(new: Path, over: str | None, data: Path) -> str:
    """Make a new model the latest if it is at least as accurate as an old one.

    Both models classify the test pictures of the new model, except those that the old model was
    trained or validated on. If the new model is less accurate, it does not stay the latest: the old
    model becomes the latest again, unless a third model is the latest.

    Args:
        new: the path of a bundle, or of a folder of bundles. In such a folder, the newest bundle is
            the new model.
        over: the old model, as a BentoML tag or the path of a bundle; None means the latest model
            with the name of the new one.
        data: the folder of pictures that the new model was trained on.

    Returns:
        The tag of the model that is the latest now.

    Raises:
        GraftError: a model or a picture cannot be found or used, or no picture is left to compare
            the models with.
    """
    from service.bundle import store
    from service.bundle.reading import Bundle
    from service.imaging import configure_process
    from trainers.evaluation import promotion

    configure_process()
    bundle = promotion.find_newest(new)
    old = Bundle.read(store.resolve(over or f"{bundle.manifest.name}:latest"))
    if over is None and old.manifest.id == bundle.manifest.id:
        raise BundleError(
            f"{bundle.path} is already the latest model with its name, so there is no other model "
            "to compare it with: name the old model with --over"
        )
    return promotion.promote(bundle, old, data)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m trainers.promote",
        description="Compare a new model with an old one on the test pictures of the new model, "
        "except pictures that the old model was trained or validated on. If the new model is at "
        "least as accurate, it becomes `latest` in BentoML's model store. If it is less "
        "accurate and `latest`, the old model becomes `latest` again.",
        epilog="The last line of the output is the tag of the latest model. Exit codes: 0 the "
        "models were compared, no matter which is better; 2 wrong use or bad data.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "new",
        type=Path,
        metavar="NEW",
        help="the new model: a bundle, or a folder of bundles (the newest of them is used)",
    )
    parser.add_argument(
        "--over",
        metavar="MODEL",
        help="the old model, as a BentoML tag or a bundle (default: the latest model with the name "
        "of the new one)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="the folder of pictures that the new model was trained on (default: data)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
