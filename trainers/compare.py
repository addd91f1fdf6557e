"""Measure backbones on a folder and recommend one: `python -m trainers.compare --data DIR`."""

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

from plugins.base import BackboneError
from service.cli.arguments import WRONG_USE
from service.cli.os_errors import explain_error
from service.errors import GraftError
from service.imaging import configure_process
from service.system.folders import cache_folder
from service.system.interrupts import INTERRUPTED, TERMINATED, exit_on_signals
from trainers import hardware
from trainers.cache.array_cache import Cache
from trainers.cli import preparation
from trainers.cli.arguments import TrainingParser, add_flags
from trainers.cli.log_output import set_up_logging
from trainers.cli.stopping import StopMessage
from trainers.cli.validation import validate
from trainers.comparing import comparison
from trainers.comparing.candidates import (
    Candidate,
    describe_extras,
    parse_candidates,
    recommend,
)
from trainers.comparing.comparison import Comparison
from trainers.config import TrainingConfig
from trainers.dataset import scanning
from trainers.progress import Progress, log
from trainers.workspace import workspace

PLUGINS = (
    "pocket,mobilenet:v3-small,mobilenet:v2-1.0,efficientnet:v2-b0,efficientnet:v2-b3,resnet:50"
)
"""The backbones that are compared if --plugins is not given.

They have 0.9 to 24 million parameters. `pocket` needs no download; all others start from ImageNet
weights. `resnet:50` is slower than other backbones of the same ImageNet accuracy. It is included
because ResNets gave the best frozen features in Kornblith et al. 2019 (Do Better ImageNet Models
Transfer Better?).
"""
_SHARED_OPTIONS = (
    *("data", "task", "weights", "image_size", "seed", "group", "split", "flip"),
    *("cache_gigabytes", "strict", "device"),
)
"""The options that `trainers.compare` shares with `trainers.run`, with the same help texts."""


class NothingMeasuredError(GraftError):
    """None of the backbones could be measured."""


def compare(
    config: TrainingConfig, candidates: Sequence[Candidate], progress: Progress
) -> tuple[Comparison, Path]:
    """Measure each candidate on the same split, recommend one, and write an HTML page.

    Data flow: folder -> scan, inspect, assign sources, check, split -> measure each backbone ->
    recommendation -> HTML page.

    Args:
        config: the options, which apply to every candidate.
        candidates: the backbones, each with its weights.
        progress: shows the progress.

    Returns:
        The comparison, and the path of the HTML page.

    Raises:
        NothingMeasuredError: no backbone could be measured.
        GraftError: an option or the data cannot be used.
        BackboneError: a backbone is unknown.
    """
    if config.task == "multi-label":
        raise GraftError(
            "trainers.compare compares only models that answer with one class; for --task "
            "multi-label, train with each backbone, and compare the figures of the reports"
        )
    folder = preparation.choose_folder(config)
    with progress.step("scanning"):
        files = scanning.scan(folder, config.group, progress, config.task)
    size = max(candidate.image_size(config) for candidate in candidates)
    arrays, max_bytes = cache_folder() / "arrays", config.cache_gigabytes * 1e9
    with (
        workspace(config.output) as work,
        closing(Cache(arrays, max_bytes, work, progress)) as cache,
    ):
        dataset, findings = preparation.prepare_dataset(files, config, size, cache, progress)
        hardware.prepare(config.seed, config.device, config.precision)
        from trainers.comparing import measuring, page  # imports TensorFlow

        results = [
            measuring.try_candidate(candidate, config, dataset, cache, progress)
            for candidate in candidates
        ]
        if not any(result.figures for result in results):
            raise NothingMeasuredError(
                "no backbone could be measured; the warnings above say why. Without internet "
                "access, use --plugins pocket, which needs no download, or --plugins NAME=PATH, "
                "which reads the weights from a file"
            )
        result = Comparison(results, recommend(results), dataset, findings, config)
        return result, page.write(result, work, config.output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code.

    0 = done; 2 = wrong use, bad data, or no backbone could be measured.
    """
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # for errors of the parser
    message = StopMessage("stopped")
    with exit_on_signals({signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}, message):
        return _run(arguments, message)


def _run(arguments: Sequence[str], message: StopMessage) -> int:
    started = time.monotonic()
    try:
        values = vars(_parser().parse_args(arguments))
        plugins, is_quiet, is_json = (values.pop(name) for name in ("plugins", "quiet", "json"))
        set_up_logging(is_quiet, is_json)
        configure_process()
        candidates = parse_candidates(plugins, values.get("weights"))
        config = validate({"plugin": candidates[0].plugin, **values})
        if plugins == PLUGINS and (others := describe_extras(candidates)):
            log.info("further candidates for --plugins: %s", others)
        message.watch(config)
        result, page = compare(config, candidates, Progress(is_quiet, is_json=is_json))
    except (GraftError, BackboneError, OSError) as error:
        log.error("graft: %s", explain_error(error))
        return WRONG_USE
    if is_json:
        seconds = round(time.monotonic() - started, 1)
        print(json.dumps({"page": str(page), **comparison.record(result), "seconds": seconds}))
    else:
        print(comparison.table(result), page, sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = TrainingParser(
        prog="python -m trainers.compare",
        description="Measure backbones on the same pictures, and recommend one of them.",
        epilog="Exit codes: 0 done; 2 wrong use, bad data, or no backbone could be measured.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--plugins",
        default=PLUGINS,
        metavar="A,B,C",
        help="backbones as FAMILY[:VARIANT][=WEIGHTS], separated by commas, e.g. pocket,"
        f"mobilenet:v2-0.35=FILE.h5,resnet:50=none (default: {PLUGINS})",
    )
    add_flags(parser, _SHARED_OPTIONS)
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="folder for compare-ID.html and compare-ID.json (default: artifacts)",
    )
    parser.add_argument(
        "--quiet", action="store_true", default=False, help="log only warnings and errors"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=False,
        help="write the log as JSON lines, and the result as one JSON object instead of a table",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
