"""The command `python -m trainers.conformance NAME`: checks that a backbone keeps its promises.

A promise is something that training or export expects of every backbone. The command calls
`check_backbone`. Graft's tests call this function, too, for every backbone in plugins/families.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence

from plugins.base import Backbone, BackboneError
from plugins.registry import resolve
from service.cli.arguments import WRONG_USE, CommandParser
from service.cli.os_errors import explain_error
from service.errors import UsageError
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers.conformance.checking import check_backbone

SIZES = range(32, 1025)
"""The image sizes in pixels that a training run accepts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 if all promises are kept, otherwise 2."""
    parser = CommandParser(
        prog="python -m trainers.conformance",
        description="Check that a backbone can do what training and export need. Each check prints "
        "one line; if the check failed, the line says what is wrong.",
        epilog="Exit codes: 0 all checks passed; 2 a check failed, or wrong use, such as an "
        "unknown backbone.",
    )
    parser.add_argument("name", help="name of the backbone, FAMILY[:VARIANT], e.g. efficientnet:b3")
    parser.add_argument(
        "--image-size",
        type=_parse_size,
        help="side of the input in pixels, 32 to 1024 (default: 64, or the smallest size that the "
        "backbone accepts if that is larger)",
    )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "tf2onnx"):  # their errors appear in the results
        logging.getLogger(name).setLevel(logging.CRITICAL)
    codes = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}
    with exit_on_signals(codes, lambda: "graft: stopped"):
        try:
            options = parser.parse_args(arguments)
            return _check(resolve(options.name), options.image_size)
        except (UsageError, BackboneError, OSError) as error:
            print(f"graft: {explain_error(error)}", file=sys.stderr)
            return WRONG_USE


def _check(backbone: Backbone, image_size: int | None) -> int:
    """Print the result of each check; return the exit code."""
    tried = broken = 0
    for result in check_backbone(backbone, image_size):
        print(result, flush=True)
        tried += 1
        broken += not result.is_kept
    summary = f"{broken} of {tried} checks failed" if broken else f"all {tried} checks passed"
    print(f"{backbone.name}: {summary}")
    return WRONG_USE if broken else 0


def _parse_size(text: str) -> int:
    if not text.isdecimal() or int(text) not in SIZES:
        raise ArgumentTypeError(f"{text} is not a size from 32 to 1024 pixels")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
