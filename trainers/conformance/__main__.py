"""Checks that a backbone keeps its promises: `python -m trainers.conformance NAME`.

The tests of Graft's own backbones call the same function, `check_backbone`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from plugins.base import BackboneError
from plugins.registry import resolve
from trainers.conformance.checking import check_backbone

SIZES = range(32, 1025)
"""Sides of pictures in pixels that a run accepts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0 if all promises are kept, else 2."""
    parser = argparse.ArgumentParser(
        prog="python -m trainers.conformance",
        description="Check that a backbone keeps the promises that training and export rely on.",
    )
    parser.add_argument("name", help="FAMILY[:VARIANT], as --plugin takes it")
    parser.add_argument(
        "--image-size",
        type=_parse_size,
        help="side of the pictures in pixels, 32 to 1024 (default: 64, or the smallest possible)",
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "tf2onnx"):  # the results repeat what matters of their logs
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        backbone = resolve(options.name)
    except BackboneError as error:
        print(f"graft: {error}", file=sys.stderr)
        return 2
    broken = 0
    for result in check_backbone(backbone, options.image_size):
        print(result, flush=True)
        broken += not result.is_kept
    print(f"{backbone.name}: {f'{broken} broken' if broken else 'keeps every promise'}")
    return 2 if broken else 0


def _parse_size(text: str) -> int:
    size = int(text)
    if size not in SIZES:
        raise argparse.ArgumentTypeError(f"{size} pixels; choose 32 to 1024")
    return size


if __name__ == "__main__":
    sys.exit(main())
