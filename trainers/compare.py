"""Which backbone for these pictures? `python -m trainers.compare --data DIR --plugins a,b,c`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from plugins.base import BackboneError, WeightsError
from plugins.registry import resolve
from service.errors import GraftError
from service.imaging import configure_process
from service.system.interrupts import INTERRUPTED, TERMINATED, ended_by
from trainers import hardware
from trainers.arguments import Parser, add_flags
from trainers.cache.array_cache import Cache
from trainers.comparing import comparison
from trainers.comparing.candidates import Candidate, Row, choose, parse_candidates
from trainers.comparing.comparison import Comparison
from trainers.config import TrainingConfig, validate
from trainers.dataset import grouping, scanning, splitting
from trainers.dataset.dataset import Dataset, load_dataset
from trainers.progress import Progress, log, set_up_logging
from trainers.run import WRONG_USE, cache_room, check, choose_folder
from trainers.stopping import LastWords
from trainers.workspace import workspace

PLUGINS = (
    "pocket,mobilenet:v3-small,mobilenet:v2-1.0,efficientnet:v2-b0,efficientnet:v2-b3,resnet:50"
)
"""From 0.9 to 24 million parameters, each the usual choice at its size; all but `pocket`, which
needs no download, by ImageNet's weights. ResNet is slow for its accuracy on ImageNet, but ResNets
did best as frozen features in Kornblith et al. 2019 (Do Better ImageNet Models Transfer Better?).
"""
_SHARED = (
    *("data", "weights", "image_size", "seed", "group", "flip", "head"),
    *("cache_gigabytes", "strict", "device"),
)


class NothingMeasuredError(GraftError):
    """None of the backbones could be measured."""


def compare(
    config: TrainingConfig, candidates: Sequence[Candidate], progress: Progress
) -> tuple[Comparison, Path]:
    """folder -> scan, check, split once -> each backbone measured -> table, page, choice.

    Returns:
        What came out, and the path of the page.

    Raises:
        NothingMeasuredError: no backbone could be measured.
    """
    folder = choose_folder(config)
    with progress.step("scanning"):
        files = scanning.scan(folder)
    sizes = [config.image_size or resolve(one.plugin).image_size for one in candidates]
    with (
        workspace(config.output) as work,
        closing(Cache(*cache_room(config, work, progress))) as cache,
    ):
        dataset = load_dataset(files, cache)
        dataset = grouping.assign_sources(dataset, config.group)
        with progress.step("checking"):
            found = check(dataset, max(sizes), config.strict)
        dataset = splitting.split(dataset, config.seed)
        log.info("%s", splitting.describe(dataset))
        hardware.prepare(config.seed, config.device, config.precision)
        rows = [measure(one, config, dataset, cache, progress) for one in candidates]
        if not any(row.figures for row in rows):
            raise NothingMeasuredError(
                f"none of {len(rows)} backbones could be measured; the reasons stand above. "
                "--plugins pocket needs no download, FAMILY=PATH takes weights from a file"
            )
        choice = choose(rows)
        done = Comparison(rows, choice, choice.candidate.command(config), dataset, found, config)
        parts = [
            dataset.fingerprint,
            *dataset.splits,
            config.seed,
            config.head,
            config.flip,
            *sizes,
        ]
        name = hashlib.sha256("\n".join(map(str, [*parts, *candidates])).encode()).hexdigest()[:12]
        return done, comparison.write(done, work, config.output / f"compare-{name}.html")


def measure(
    candidate: Candidate,
    config: TrainingConfig,
    dataset: Dataset,
    cache: Cache,
    progress: Progress,
) -> Row:
    """A candidate's figures, or why there are none: whatever it is, the others go on."""
    from trainers.comparing import measuring  # brings TensorFlow

    log.info("%s:", candidate.label)
    try:
        return Row(candidate, measuring.measure(candidate.config(config), dataset, cache, progress))
    except (GraftError, BackboneError, WeightsError) as error:
        problem = str(error)
    except Exception as error:  # a plugin may be a stranger's, and fail in any way
        problem = f"{type(error).__name__}: {error}"
    log.warning("%s is left out: %s", candidate.label, problem)
    return Row(candidate, problem=problem)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 done, 2 wrong use, bad data, or nothing worked."""
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging(is_quiet=False, is_json="--json" in arguments)  # before they are understood
    last_words = LastWords("stopped")
    with ended_by({signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}, last_words):
        return _run(arguments, last_words)


def _run(arguments: Sequence[str], last_words: LastWords) -> int:
    started = time.monotonic()
    try:
        given = vars(_parser().parse_args(arguments))
        plugins, is_quiet, is_json = (given.pop(name) for name in ("plugins", "quiet", "json"))
        set_up_logging(is_quiet, is_json)
        configure_process()
        candidates = parse_candidates(plugins, given.get("weights"))
        config = validate({"plugin": candidates[0].plugin, **given})
        last_words.watch(config)
        done, page = compare(config, candidates, Progress(is_quiet, is_json=is_json))
    except (GraftError, BackboneError, OSError) as error:
        log.error("graft: %s", error)
        return WRONG_USE
    if is_json:
        seconds = round(time.monotonic() - started, 1)
        print(json.dumps({"page": str(page), **comparison.record(done), "seconds": seconds}))
    else:
        print(comparison.table(done), page, sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m trainers.compare",
        description="Measure several backbones on the same pictures, and say which one to take.",
        epilog="Exit codes: 0 done; 2 wrong use, bad data, or no backbone could be measured.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--plugins",
        default=PLUGINS,
        metavar="A,B,C",
        help="backbones as FAMILY[:VARIANT][=WEIGHTS], e.g. pocket,mobilenet:v2-0.35=FILE.h5,"
        f"resnet:50=none ({PLUGINS})",
    )
    add_flags(parser, _SHARED)
    parser.add_argument(
        "--output", metavar="DIR", help="folder for compare-ID.html and .json (artifacts)"
    )
    parser.add_argument("--quiet", action="store_true", default=False, help="only problems")
    parser.add_argument(
        "--json",
        action="store_true",
        default=False,
        help="log as JSON lines, last line of stdout as a JSON object in place of the table",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
